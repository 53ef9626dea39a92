"""Label pixels that neither prompts nor the dock's brush made, in sessions."""

from __future__ import annotations

import time

import numpy as np
import pytest
from fakes import FakeBackend, disc
from napari.layers import Labels
from search_fakes import FakeSearchBackend, scene

import napari_sam2.sessions._elsewhere as elsewhere
from napari_sam2._automatic_state import AutomaticState
from napari_sam2._jobs import JobRunner, run_inline
from napari_sam2.automatic._adding import ADDED
from napari_sam2.automatic._automatic import AutomaticController
from napari_sam2.automatic._search import SearchEngine
from napari_sam2.commands import replay as command
from napari_sam2.history._sums import PlaneSums, plane_sum
from napari_sam2.sessions._keeping import SessionKeeper
from napari_sam2.sessions._session_file import read_session
from sam2_core import Sam2Error

SHAPE = (5, 60, 80)
STACK = np.arange(np.prod(SHAPE), dtype=np.uint16).reshape(SHAPE)


@pytest.fixture
def kept(tool, tmp_path):
    """A controller with a keeper of sessions and the Automatic dock beside it."""

    def make(data=STACK, keeper=True, **kwargs):
        t = tool(data, **kwargs)
        t.keeper = SessionKeeper(t, tmp_path / "autosaves") if keeper else None
        t.automatic = AutomaticController(
            t.viewer,
            AutomaticState(),
            JobRunner(run_inline),
            SearchEngine(FakeSearchBackend()),
        )
        if data is not None:
            t.automatic.choose_image(t.stage.image)
        return t

    return make


@pytest.fixture
def repeat(tmp_path, monkeypatch):
    """Save, and replay as the command does; gives the labels and what is lacking."""
    monkeypatch.setattr("napari_sam2.engine._backend.Sam2Backend", FakeBackend)

    def run(t, data=STACK):
        path = t.keeper.save(tmp_path / f"{time.monotonic_ns()}")
        return command.run(read_session(path), data)

    return run


def same(t, repeat, data=STACK):
    labels, lacking = repeat(t, data)
    np.testing.assert_array_equal(labels, t.stage.labels.data)
    return lacking == ""


def at(t, frame):
    t.viewer.dims.set_current_step(0, frame)


def foreign():
    """Labels as another program might have left them."""
    data = np.zeros(SHAPE, np.int32)
    data[:, 5:20, 5:20] = 3
    data[2] += 40 * disc(SHAPE[1:], 40, 40, 9)
    return data


# -- checksums ------------------------------------------------------------------------


@pytest.mark.parametrize("plane", [(1, 2), (0, 2), (0, 1)])
def test_sums_follow_writes_undo_and_redo_in_every_plane(tool, plane):
    from napari_sam2._labels import Rules
    from napari_sam2._prompts import ObjectPrompts
    from napari_sam2.asking._messages import PlaneMasks
    from napari_sam2.history._history import History
    from napari_sam2.history._snapshots import Moment

    labels, history = Labels(np.zeros((7, 8, 9), np.uint16)), History()
    rng = np.random.default_rng(5)
    shape = tuple(labels.data.shape[i] for i in plane)

    def check():
        expected = {(i,): plane_sum(labels.data[i]) for i in range(7)}
        known = history.record.sums.known
        assert {at: known.get(at, 0) for at in expected} == expected

    for position in ((0,), (3,), (3,)):
        ids = rng.integers(0, 3, shape).astype(np.uint32)
        step = history.begin("x", Moment())
        masks = PlaneMasks(plane, position, ids, dict.fromkeys((1, 2), ObjectPrompts()))
        history.write(labels, masks, step, Rules(keep_others=False))
        check()
    assert labels.data.any()
    history.take_back(labels)
    check()
    history.take_back(labels)
    history.redo(labels)
    check()


def test_sums_tell_planes_apart():
    plane = np.zeros((50, 60), np.uint8)
    assert plane_sum(plane) == 0
    plane[10:20, 10:20], plane[30:40, 10:20] = 1, 2
    swapped = np.choose(plane, [0, 2, 1])
    moved = np.roll(plane, 1, axis=1)
    turned = plane[:, ::-1]
    sums = {plane_sum(p) for p in (plane, swapped, moved, turned)}
    assert len(sums) == 4
    assert plane_sum(plane) == plane_sum(plane.astype(np.int64))
    bordered = np.where(plane == 0, -1, plane.astype(np.int64))  # background, too
    assert plane_sum(plane) == plane_sum(bordered)
    assert PlaneSums().known == {}


# -- labels from elsewhere ------------------------------------------------------------


def test_labels_that_were_there_are_part_of_the_session(kept, repeat):
    t = kept()
    t.choose_labels(t.viewer.add_labels(foreign()))
    at(t, 2)
    t.add_point((10, 25), object_id=60)
    t.add_point((40, 35), object_id=40)  # corrects what was there
    t.propagate("forward")
    t.undo()
    assert t.errors == []
    assert {3, 40, 60} <= set(np.unique(t.stage.labels.data))
    assert same(t, repeat)
    assert t.history.record.journal.entries[0].do == "found"


def test_borders_below_0_come_back_as_background(kept, repeat):
    t = kept()
    bordered = foreign().astype(np.int32)
    bordered[:, 5] = np.where(bordered[:, 5] == 0, -1, bordered[:, 5])
    t.choose_labels(t.viewer.add_labels(bordered))
    at(t, 2)
    t.add_point((6, 25), object_id=60)  # over the border
    labels, lacking = repeat(t)
    np.testing.assert_array_equal(labels, np.maximum(t.stage.labels.data, 0))
    assert (t.stage.labels.data < 0).any()
    assert lacking == ""


def test_labels_written_by_others_in_between(kept, repeat):
    t = kept()
    at(t, 2)
    t.add_point((10, 25))
    t.stage.labels.data[1:4, 8:30, 20:28] = 77  # over what the point gave
    t.next_object()
    t.add_point((12, 26))
    assert same(t, repeat)
    t.stage.labels.data = np.where(t.stage.labels.data == 77, 0, foreign())
    assert same(t, repeat)
    t.undo()
    assert same(t, repeat)


@pytest.mark.parametrize("how", ["array", "in place, before another image"])
def test_pixels_that_others_add_to_an_object_come_after_its_propagation(
    kept, repeat, how
):
    t = kept(None)
    image = t.viewer.add_image(STACK)
    t.choose_image(image)  # labels are made here: there is nothing to count yet
    at(t, 0)
    t.add_point((10, 25))
    t.propagate("forward")
    labels = t.stage.labels
    data = labels.data.copy()
    data[3][disc(SHAPE[1:], 60, 40, 9)] = 1
    if how == "array":
        labels.data = data
    else:
        labels.data[3] = data[3]
        t.choose_image(t.viewer.add_image(STACK + 1))
        t.choose_image(image)
    assert t.stage.labels is labels
    assert same(t, repeat)
    t.undo()
    assert same(t, repeat)
    t.redo()
    assert same(t, repeat)


def test_labels_that_were_there_when_a_search_added_to_them(kept, repeat):
    """The other dock begins: what was there is noticed by this one after that."""
    t = kept(None)
    image = t.viewer.add_image(STACK)
    t.automatic.choose_image(image)
    t.automatic.choose_labels(t.viewer.add_labels(foreign()))
    at(t, 2)
    t.automatic.search()
    t.automatic.add_to_labels()
    t.choose_image(image)
    t.choose_labels(t.automatic.state.labels)
    assert same(t, repeat)
    t.undo()
    np.testing.assert_array_equal(t.stage.labels.data, foreign())
    assert same(t, repeat)
    t.redo()
    assert same(t, repeat)


def test_undoing_what_came_before_others_wrote(kept, repeat):
    t = kept()
    at(t, 2)
    t.add_point((10, 25))
    t.add_point((30, 40))
    t.stage.labels.data[2, 50:55, 50:70] = 77
    assert same(t, repeat)
    t.undo()
    assert same(t, repeat)
    t.redo()
    assert same(t, repeat)


def test_strokes_without_the_dock_looking(kept, repeat):
    t = kept()
    t.add_point((10, 25))
    for frame in (0, 4):
        at = np.array([frame] * 2), np.array([3, 4]), np.array([5, 5])
        t.stage.labels.data_setitem(at, 9)
    assert same(t, repeat)


def test_a_flat_image(kept, repeat):
    t = kept(STACK[0])
    t.choose_labels(t.viewer.add_labels(foreign()[2]))
    t.add_point((10, 25), object_id=4)
    assert same(t, repeat, STACK[0])


def test_a_click_before_the_labels_were_looked_at(kept, repeat):
    """What was there goes to the front of the journal, in spite of the click."""
    waiting = []
    t = kept()

    def later(*job):
        waiting.append(job)

    def work():
        while waiting:
            jobs = waiting[:]
            waiting.clear()
            for job in jobs:
                run_inline(*job)

    t.runner._start = later
    t.choose_labels(t.viewer.add_labels(foreign()))
    at(t, 2)
    t.add_point((12, 19), object_id=3)  # grows a label that was there
    work()
    does = [entry.do for entry in t.history.record.journal.entries]
    here = [e.what.get("position") for e in t.history.record.journal.entries].index([2])
    assert does.count("found") == SHAPE[0]
    assert here < does.index("predict") < len(does) - 1
    t.add_point((12, 30), object_id=3)
    work()
    t.runner._start = run_inline
    assert same(t, repeat)


def test_too_much_for_a_session_is_said(kept, repeat, monkeypatch):
    t = kept()
    monkeypatch.setattr(elsewhere, "MAX_BYTES", 100)
    t.choose_labels(t.viewer.add_labels(foreign()))
    at(t, 0)
    t.add_point((40, 40), object_id=9)
    labels, lacking = repeat(t)
    assert "Labels from elsewhere on" in lacking
    assert lacking.endswith("save the labels layer as well.")
    assert lacking.count(". ") == 0
    assert (labels[0] == 9).sum() == (t.stage.labels.data[0] == 9).sum()


def test_labels_that_are_others_are_said_on_loading(kept, repeat, tmp_path, capsys):
    t = kept()
    at(t, 2)
    t.add_point((10, 25))
    path = t.keeper.save(tmp_path / "a")
    session = read_session(path)
    assert session.checksums.tolist() == [plane_sum(p) for p in t.stage.labels.data]
    session.journal.entries[0].what["set"][0]["points"] = [[40.0, 30.0, 1]]
    _, lacking = command.run(session, STACK)
    assert lacking.startswith("The labels are not those that were saved: 1 of 5 planes")
    assert "(first: 2) differs, because" in lacking


# -- both docks -----------------------------------------------------------------------


def test_objects_of_a_search_are_known_to_the_other_dock(kept, repeat):
    t = kept()
    at(t, 1)
    t.add_point((10, 70))
    t.automatic.search()
    ids = t.automatic.add_to_labels()
    assert t.automatic.state.labels is t.stage.labels
    assert set(ids) <= {row.object_id for row in t.objects.rows()}
    assert all(t.ledger.extent(i) == 1 for i in ids)
    assert t.state.undo_text == t.automatic.state.undo_text == ADDED
    t.objects.lock(ids[0], True)
    t.objects.rename(ids[1], "mine")
    assert t.automatic.state.undo_text == ""
    at(t, 3)
    t.automatic.search()
    t.automatic.add_to_labels()
    assert same(t, repeat)
    t.undo()
    assert not t.stage.labels.data[3].any()
    assert t.notes.names == {ids[1]: "mine"}
    assert t.state.object_id > 0
    assert same(t, repeat)
    t.redo()
    assert t.stage.labels.data[3].any()
    assert same(t, repeat)
    entry = next(e for e in t.history.record.journal.entries if e.do == "add")
    assert entry.what["search"]["model"] == "sam2_nano"
    assert entry.what["search"]["labels"] == [ids[0], ids[-1]]


def test_how_sure_the_model_is_of_what_a_search_found(kept, tmp_path):
    t = kept()
    at(t, 1)
    t.automatic.search()
    ids = t.automatic.add_to_labels()

    def sure(dock):
        rows = {row.object_id: row.confidence for row in dock.objects.rows()}
        return [rows.get(i) for i in ids]

    ious = {c.area: c.predicted_iou for c in scene()}
    facts = t.history.record.review.facts[1, 2]
    expected = []
    for i in ids:
        mask = t.stage.labels.data[1] == i
        known = facts[i][(1,)]
        assert known.area == mask.sum()
        np.testing.assert_allclose(known.centre, np.argwhere(mask).mean(0), atol=0.01)
        # Small ones lie on top of large ones, which have lost pixels to them.
        area = min((a for a in ious if a >= known.area), key=lambda a: a - known.area)
        expected.append(ious[area])
    assert len(set(expected)) > 1
    np.testing.assert_allclose(sure(t), expected, atol=1e-4)
    t.undo()
    assert sure(t) == [None] * len(ids)
    t.redo()
    np.testing.assert_allclose(sure(t), expected, atol=1e-4)
    path = t.keeper.save(tmp_path / "a")
    other = kept()
    other.keeper.load(path)
    np.testing.assert_allclose(sure(other), expected, atol=1e-4)


def test_undo_in_the_dock_of_the_search(kept, repeat):
    t = kept()
    at(t, 1)
    t.add_point((10, 70))
    before = t.stage.labels.data.copy()
    t.automatic.search()
    t.automatic.add_to_labels()
    t.automatic.undo()
    np.testing.assert_array_equal(t.stage.labels.data, before)
    assert t.state.undo_text == "last prompt"
    assert t.state.redo_text == ADDED
    t.automatic.undo()  # the prompt is not for this dock to take back
    np.testing.assert_array_equal(t.stage.labels.data, before)
    assert t.automatic.state.status == "Nothing to undo."
    assert same(t, repeat)


def test_locked_objects_stay_when_a_search_overwrites(kept):
    t = kept()
    at(t, 1)
    t.add_point((30, 30))
    t.objects.lock(1, True)
    before = t.stage.labels.data == 1
    t.automatic.keep_labels(False)
    t.automatic.search()
    t.automatic.add_to_labels()
    np.testing.assert_array_equal(t.stage.labels.data == 1, before)


def test_the_dock_goes_on_with_labels_of_a_search(kept, repeat):
    """Automatic first, Segment later: the same layer, one session, one undo."""
    t = kept(None)
    image = t.viewer.add_image(STACK)
    t.automatic.choose_image(image)
    t.automatic.search()
    ids = t.automatic.add_to_labels()
    assert len(scene()) > len(ids) > 0
    t.choose_image(image)
    assert t.stage.labels is t.automatic.state.labels
    assert {row.object_id for row in t.objects.rows()} >= set(ids)
    t.add_point((50, 70))
    assert t.state.object_id not in ids
    assert same(t, repeat)
    t.undo()
    assert t.state.undo_text == ADDED
    t.undo()
    assert not t.stage.labels.data.any()
    assert same(t, repeat)


def test_what_a_search_added_is_saved_by_itself_and_offered(kept, tmp_path):
    t = kept()
    t.automatic.search()
    t.automatic.add_to_labels()
    t.keeper._autosave.close()
    other = kept()
    assert other.keeper.offer is not None
    other.keeper.accept_offer()
    np.testing.assert_array_equal(other.stage.labels.data, t.stage.labels.data)
    assert other.errors == []


def test_choosing_labels_alone_saves_nothing(kept):
    t = kept()
    t.choose_labels(t.viewer.add_labels(foreign()))
    assert t.keeper._autosave is None
    with pytest.raises(Sam2Error):
        kept(None).keeper.save("nowhere")


def test_a_flat_image_whose_labels_are_others_is_one_sentence(kept, tmp_path):
    t = kept(STACK[0])
    t.add_point((10, 25))
    session = read_session(t.keeper.save(tmp_path / "a"))
    lacking = elsewhere.missing(session, PlaneSums())
    assert lacking == (
        "The labels are not those that were saved, because another device or version "
        "computed them, or something else than the dock wrote them."
    )
