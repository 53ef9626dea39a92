"""Tracks and divisions: from numbers, from masks, and as the user answers."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from divided import SHAPE, STACK, Splitting, pull_apart
from fakes import Stepper, disc, facts

from napari_sam2._labels import Rules
from napari_sam2._prompts import ObjectPrompts
from napari_sam2.asking._messages import PlaneMasks
from napari_sam2.dock import _lineage
from napari_sam2.dock._lineage import LineageTools
from napari_sam2.dock._stacking import StackTools
from napari_sam2.engine._engine import Engine
from napari_sam2.following._divisions import Suspect
from napari_sam2.following._flags import SPLIT, find_flags
from napari_sam2.following._marks import END
from napari_sam2.following._tracks import collect_rows, make_tracks
from napari_sam2.history._history import History
from napari_sam2.history._record import Record
from napari_sam2.history._replay import Redo, apply, rerun
from napari_sam2.sessions._keeping import SessionKeeper
from napari_sam2.sessions._saved_prompts import answers_from_json
from napari_sam2.sessions._session_file import read_session
from sam2_core import PromptError


def test_a_division_makes_two_objects_and_undo_one_again(lapse):
    (suspect,) = lapse.lineage.suspects()
    assert suspect == Suspect(1, 3)
    before = lapse.stage.labels.data.copy()
    assert lapse.lineage.answer(suspect, divided=True) == (2, 3)
    labels = lapse.stage.labels.data
    assert set(np.unique(labels[3:])) == {0, 2, 3}
    assert set(np.unique(labels[:3])) == {0, 1}
    np.testing.assert_array_equal(labels > 0, before > 0)
    assert lapse.lineage.suspects() == []
    assert lapse.next_object() == 4
    lapse.undo()
    lapse.undo()
    np.testing.assert_array_equal(lapse.stage.labels.data, before)
    assert lapse.lineage.suspects() == [suspect]
    assert len(lapse.history.record.marks) == 0


def test_an_object_that_divides_does_so_on_all_slices(tool, tmp_path):
    t = tool(np.zeros((7, 3, *SHAPE), np.float32))
    t.tasks.engine = Engine(Splitting())
    tools = StackTools(t)
    lineage = LineageTools(tools)
    keeper = SessionKeeper(t, tmp_path / "autosaves")
    for z in (0, 1):
        t.viewer.dims.set_current_step(1, z)
        t.add_point((0, z, 20, 20), object_id=1)
        t.add_point((5, z, 20, 12), object_id=1)
        t.propagate("forward")
    labels = t.stage.labels.data
    before = labels.copy()
    assert lineage.suspects() == [Suspect(1, 3)]
    first, second = lineage.answer(Suspect(1, 3), divided=True)
    for z in (0, 1):
        np.testing.assert_array_equal(labels[:3, z], before[:3, z])
        assert not (labels[3:, z] == 1).any()
        np.testing.assert_array_equal(labels[3:, z] > 0, before[3:, z] > 0)
    np.testing.assert_array_equal(labels[3:, 0] == first, labels[3:, 1] == first)
    assert (labels[3:, 0] == second).any()
    assert [key.position for key in t.pending.prompts()] == [(0, 0), (0, 1)]
    marks = {(mark.object_id, mark.position, mark.kind) for mark in tools.record.marks}
    assert marks == {(1, (2, 0), END), (1, (2, 1), END)}
    for z in (0, 1):
        t.viewer.dims.set_current_step(1, z)
        assert lineage.suspects() == []
    saved = read_session(keeper.save(tmp_path / "a"))
    again = SimpleNamespace(name="labels", data=np.zeros(labels.shape, np.uint16))
    history = History(Record(saved.journal))
    engine = Engine(Splitting())
    for item in rerun(saved.journal, t.stage.image.data, engine, lambda: False):
        if isinstance(item, Redo):
            apply(item, again, history)
    np.testing.assert_array_equal(again.data, labels)
    t.undo()
    np.testing.assert_array_equal(labels, before)
    assert len(tools.record.marks) == 0


def test_a_daughter_is_fixed_by_a_click_that_takes_away(lapse):
    (suspect,) = lapse.lineage.suspects()
    daughter = lapse.lineage.answer(suspect, divided=True)[1]
    lapse.select_object(daughter)
    before = lapse.stage.labels.data[5] == daughter
    row, column = (int(axis.mean()) for axis in np.nonzero(before))
    lapse.add_point((5, row, column + 5), positive=False)
    expected = before & ~disc(SHAPE, column + 5, row)
    assert 0 < expected.sum() < before.sum()
    found = lapse.stage.labels.data[5] == daughter
    assert found[expected].all()
    assert not found[before & ~expected].any()


def test_a_mother_is_not_asked_for_beyond_the_division(lapse):
    """Her prompts there would take the daughters' pixels, or her end away."""
    lapse.add_point((1, 20, 20))
    before = [key.position for key in lapse.pending.prompts()]
    lapse.viewer.dims.set_current_step(0, 5)
    lapse.add_point((5, 20, 12))
    asked = [key.position for key in lapse.pending.prompts()]
    (suspect,) = lapse.lineage.suspects()
    lapse.lineage.answer(suspect, divided=True)
    assert sorted(key.position for key in lapse.pending.prompts()) == sorted(before)
    divided = lapse.stage.labels.data.copy()
    lapse.propagate("both")
    np.testing.assert_array_equal(lapse.stage.labels.data[3:], divided[3:])
    assert [mark.kind for mark in lapse.history.record.marks] == [END]
    lapse.undo()
    lapse.undo()
    assert sorted(key.position for key in lapse.pending.prompts()) == sorted(asked)
    assert len(lapse.history.record.marks) == 0


def test_undo_takes_flags_and_question_with_it_and_redo_brings_them(lapse):
    asked, flags = lapse.lineage.suspects(), lapse.tools.flags
    heard = []

    def on_changed():
        heard.append(lapse.lineage.suspects())

    lapse.tools.changed.connect(on_changed)
    assert any(flag.frame == 3 for flag in flags)
    lapse.undo()  # what made the two parts
    assert lapse.tools.flags == find_flags(lapse.tools.line()) != flags
    assert heard[-1] == []
    lapse.redo()
    assert lapse.tools.flags == flags
    assert heard[-1] == asked
    lapse.lineage.answer(asked[0], divided=False)
    lapse.undo()
    assert heard[-1] == asked


def test_a_question_that_no_longer_stands_is_not_answered(lapse):
    (suspect,) = lapse.lineage.suspects()
    lapse.undo()
    before, text = lapse.stage.labels.data.copy(), lapse.state.undo_text
    with pytest.raises(PromptError, match="have changed"):
        lapse.lineage.answer(suspect, divided=True)
    np.testing.assert_array_equal(lapse.stage.labels.data, before)
    assert lapse.state.undo_text == text
    assert len(lapse.history.record.marks) == 0


def test_no_is_an_answer_too(lapse):
    (suspect,) = lapse.lineage.suspects()
    before = lapse.stage.labels.data.copy()
    assert lapse.lineage.answer(suspect, divided=False) == ()
    np.testing.assert_array_equal(lapse.stage.labels.data, before)
    assert lapse.lineage.suspects() == []


def test_tracks_layer_with_the_division_as_graph(lapse):
    lapse.lineage.answer(lapse.lineage.suspects()[0], divided=True)
    lapse.lineage.make_tracks()
    assert lapse.errors == []
    tracks = lapse.lineage.tracks
    assert {k: list(v) for k, v in tracks.graph.items()} == {2: [1], 3: [1]}
    assert set(tracks.data[:, 0]) == {1, 2, 3}
    colors = [lapse.stage.label_color(int(i)) for i in tracks.data[:, 0]]
    np.testing.assert_allclose(tracks.track_colors, colors)
    assert tracks.tail_width > 2  # napari's own, which nobody sees
    np.testing.assert_allclose(tracks.data[tracks.data[:, 0] == 2][0], [2, 3, 20, 12])
    lapse.lineage.make_tracks()
    names = [layer.name for layer in lapse.viewer.layers]
    assert names.count("SAM2 tracks") == 1


@pytest.mark.parametrize("how", ["delete", "merge"])
def test_the_number_of_a_daughter_that_went_is_nobodys_daughter(lapse, how):
    lapse.lineage.answer(lapse.lineage.suspects()[0], divided=True)
    divided = dict(lapse.history.record.divisions)
    assert divided == {(1, 3, 0): (2, 3)}
    if how == "delete":
        lapse.objects.delete([3])
    else:
        lapse.objects.merge([2, 3])
    assert lapse.history.record.divisions == {(1, 3, 0): (2,)}
    lapse.add_point((4, 5, 50), object_id=3)  # another cell
    lapse.lineage.make_tracks()
    assert {k: list(v) for k, v in lapse.lineage.tracks.graph.items()} == {2: [1]}
    lapse.undo()
    lapse.undo()
    assert lapse.history.record.divisions == divided
    lapse.redo()
    lapse.objects.delete([2])
    assert lapse.history.record.divisions == {}


def test_a_mother_that_divided_is_not_to_be_looked_at_until_undo(tool):
    t = tool(STACK)
    tools = StackTools(t)
    lineage, step = LineageTools(tools), t.steps.begin("test")
    for frame, size in enumerate((10, 10, 10, 6, 6, 6, 6)):
        ids = disc(SHAPE, 30 - 10 * (frame > 2), 20, size).astype(np.uint32)
        known = {1: facts(int((ids == 1).sum()), (20.0, 30.0))}
        if frame > 2:
            ids[disc(SHAPE, 40, 20, 6)] = 2
            known[2] = facts(int((ids == 2).sum()), (20.0, 40.0))
        masks = {i: ObjectPrompts() for i in known}
        item = PlaneMasks((1, 2), (frame,), ids, masks, known)
        t.history.write(t.stage.labels, item, step, Rules())
    tools.refresh()
    assert [(flag.object_id, flag.frame) for flag in tools.flags] == [(1, 3)]
    (suspect,) = lineage.suspects()
    lineage.answer(suspect, divided=True)
    assert tools.flags == []
    t.undo()
    assert [(flag.object_id, flag.frame) for flag in tools.flags] == [(1, 3)]


def test_tracks_of_a_dock_that_was_closed_are_replaced(lapse):
    lapse.lineage.make_tracks()
    others = lapse.viewer.add_tracks(np.array([[1, 0, 5, 5.0], [1, 1, 6, 6]]))
    reopened = LineageTools(StackTools(lapse))
    reopened.make_tracks()
    assert lapse.state.status == "1 track."
    kind = type(others)
    tracks = [layer for layer in lapse.viewer.layers if isinstance(layer, kind)]
    assert tracks == [others, reopened.tracks]
    assert reopened.tracks.name == "SAM2 tracks"


@pytest.mark.parametrize(("axis", "asks"), [("z", 0), ("Z", 0), ("t", 1), ("0", 1)])
def test_along_z_nothing_divides(tool, axis, asks):
    t = tool(STACK, axis_labels=(axis, "y", "x"))
    lineage = LineageTools(StackTools(t))
    t.add_point((0, 20, 20))
    t.propagate("forward")
    pull_apart(t)
    lineage.tools.refresh()
    assert len(lineage.suspects()) == asks
    texts = [flag.text for flag in lineage.tools.flags if flag.kind == SPLIT]
    assert texts
    assert all(("a division?" in text) == bool(asks) for text in texts)


def test_stopping_the_tracks_is_no_error(tool):
    threads = Stepper()
    t = tool(STACK, start=threads.start)
    threads.run()
    t.add_point((0, 20, 20))
    threads.run()
    lineage = LineageTools(StackTools(t))
    lineage.make_tracks()
    threads.step()
    t.cancel()
    threads.run()
    assert t.errors == []
    assert (t.state.status, t.state.busy) == ("Stopped.", "")
    assert lineage.tracks is None


def test_tracks_have_the_divisions_of_the_labels_they_are_made_from(lapse, monkeypatch):
    lapse.lineage.answer(lapse.lineage.suspects()[0], divided=True)

    def then_other_labels(*args):
        yield from collect_rows(*args)
        lapse.choose_labels(None)

    monkeypatch.setattr(_lineage, "collect_rows", then_other_labels)
    lapse.lineage.make_tracks()
    graph = lapse.lineage.tracks.graph
    assert {daughter: list(mother) for daughter, mother in graph.items()} == {
        2: [1],
        3: [1],
    }


def test_of_two_daughters_each_is_asked_about_and_kept(tool, tmp_path):
    t = tool(STACK)
    tools = StackTools(t)
    lineage = LineageTools(tools)
    t.add_point((0, 20, 20))
    t.propagate("forward", 0, 2)
    tools.go_to(2)
    tools.toggle_mark(END)
    t.next_object()
    t.add_point((3, 14, 23))
    t.next_object()
    t.add_point((3, 27, 23))
    t.propagate("forward", 3)
    left, right = lineage.suspects()
    assert (left, right) == (Suspect(1, 3, 2), Suspect(1, 3, 3))
    lineage.answer(left, divided=True)
    assert lineage.suspects() == [right]
    lineage.answer(right, divided=True)
    assert lineage.suspects() == []
    lineage.make_tracks()
    graph = {child: list(parents) for child, parents in lineage.tracks.graph.items()}
    assert graph == {2: [1], 3: [1]}
    saved = read_session(SessionKeeper(t, tmp_path / "autosaves").save(tmp_path / "a"))
    assert answers_from_json(saved.divisions) == t.history.record.divisions
    t.undo()
    assert lineage.suspects() == [right]


def test_answers_of_older_session_files_tell_the_daughter():
    old = [
        {"parent": 1, "frame": 3, "daughters": [2]},
        {"parent": 4, "frame": 5, "daughters": [6, 7]},
        {"parent": 8, "frame": 9, "daughters": []},
    ]
    expected = {(1, 3, 2): (2,), (4, 5, 0): (6, 7), (8, 9, 0): ()}
    assert answers_from_json(old) == expected


def test_no_tracks_without_labels(tool):
    t = tool(STACK)
    lineage = LineageTools(StackTools(t))
    lineage.make_tracks()
    assert "empty" in str(t.errors[0])
    t.choose_axis(None)
    with pytest.raises(PromptError, match="time"):
        lineage.make_tracks()
    with pytest.raises(PromptError, match="empty"):
        make_tracks(np.empty((0, 4)), {}, t.stage.image, None)
