"""Work that is saved, done again, restored and offered back: to the pixel."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from fakes import FakeBackend
from keeping import LONG, kept_with_tools

from napari_sam2.engine._engine import Engine
from napari_sam2.following._marks import ABSENT, END
from napari_sam2.history._history import History
from napari_sam2.history._record import Record
from napari_sam2.history._replay import Redo, apply, rerun
from napari_sam2.picture._image_reference import ImageReference, checksum, open_layer
from napari_sam2.sessions._autosaves import find_offer
from napari_sam2.sessions._session_file import SessionFile, read_session, readable
from sam2_core import ImageError


class Labels:
    """As much of a labels layer as a replay needs."""

    name = "labels"

    def __init__(self, like):
        self.data = np.zeros_like(like)


def at(t, frame):
    t.viewer.dims.set_current_step(0, frame)


def story(t, tools):
    """Everything that changes labels: prompts, propagation, undo, marks, clearing."""
    at(t, 3)
    t.add_point((10, 20))
    t.add_point((14, 20), positive=False)
    t.propagate("both")
    t.next_object()
    t.add_shapes([[(20, 30), (20, 45), (32, 45), (32, 30)]])
    t.propagate("forward", 3, 7)
    t.undo()
    at(t, 5)
    t.add_point((10, 26))  # a correction on a frame that was visited
    t.propagate("forward")
    t.select_object(1)
    at(t, 6)
    t.add_point((11, 24))
    t.stage.points.remove([len(t.stage.points.data) - 1])
    at(t, 7)
    tools.toggle_mark(ABSENT)
    at(t, 1)
    tools.toggle_mark(END)
    t.propagate("both")
    t.select_object(3)
    at(t, 4)
    t.add_point((30, 50))
    t.propagate("both", 2, 6)
    t.objects.delete([t.state.object_id])
    t.select_object(4)
    t.add_shapes([[(2, 2), (2, 9), (9, 9)]], "polygon")
    t.propagate("backward")


def redo(session, data, backend):
    labels = Labels(np.empty(session.labels["shape"], session.labels["dtype"]))
    history = History(Record(session.journal))
    engine = Engine(backend)
    for item in rerun(session.journal, data, engine, lambda: False):
        if isinstance(item, Redo):
            apply(item, labels, history)
    return labels.data


@pytest.fixture
def kept(tool, tmp_path):
    return kept_with_tools(tool, tmp_path)


def test_replay_gives_the_labels_of_the_dock(kept, tmp_path):
    t = kept()
    story(t, t.tools)
    assert t.errors == []
    labels = t.stage.labels.data
    assert set(np.unique(labels)) == {0, 1, 2, 4}
    path = t.keeper.save(tmp_path / "work")
    assert path.name == "work.sam2.json"
    session = read_session(path)
    np.testing.assert_array_equal(redo(session, LONG, FakeBackend()), labels)


def test_an_outline_that_added_to_a_followed_mask_does_so_again(kept, tmp_path):
    t = kept()
    t.add_point((3, 10, 20))
    t.propagate("both")
    before = int((t.stage.labels.data[5] == 1).sum())
    t.add_shapes([[(5, 8, 26), (5, 8, 31), (5, 12, 31), (5, 12, 26)]], "polygon")
    labels = t.stage.labels.data
    assert (labels[5] == 1).sum() > before
    session = read_session(t.keeper.save(tmp_path / "work"))
    np.testing.assert_array_equal(redo(session, LONG, FakeBackend()), labels)


def test_the_file_is_readable(kept, tmp_path):
    t = kept(name="cells")
    at(t, 3)
    t.add_point((10.5, 20))
    t.notes.rename(1, "mother")
    t.tools.check()
    text = t.keeper.save(tmp_path / "work.json").read_text()
    content = json.loads(text)
    assert list(content)[:4] == ["format", "version", "program", "saved"]
    assert content["image"]["name"] == "cells"
    assert content["image"]["checksum"] == checksum(LONG)
    assert content["model"]["name"] == "sam2_nano"
    assert len(content["model"]["sha256"]) == 64
    assert content["objects"] == [
        {
            "id": 1,
            "name": "mother",
            "prompts": [
                {"plane": [1, 2], "position": [3], "points": [[20.0, 10.5, 1]]}
            ],
        }
    ]
    assert content["checked"] == [{"plane": [1, 2], "position": [3]}]
    assert text.count("\n") < 90  # points and positions on lines of their own


def test_readable_keeps_the_content():
    content = {"a [b": ["x {", [1, 2], {"k": []}], "n": None, "long": list(range(99))}
    text = readable(content)
    assert json.loads(text) == content
    assert "[1, 2]" in text


def test_what_was_cancelled_is_repeated_as_far_as_it_came(kept, backend, tmp_path):
    t = kept()
    at(t, 3)
    t.add_point((10, 20))

    def cancel_soon():
        if backend.answers == 6:
            t.runner.cancel("propagate")

    backend.on_answer = cancel_soon
    t.propagate("forward")
    labels = t.stage.labels.data
    assert 1 < labels.any((1, 2)).sum() < 6
    session = read_session(t.keeper.save(tmp_path / "a.json"))
    np.testing.assert_array_equal(redo(session, LONG, FakeBackend()), labels)


def test_what_was_cancelled_on_its_way_is_repeated(kept, backend, tmp_path):
    t = kept()
    at(t, 0)
    t.add_point((10, 20))

    def cancel_soon():
        if backend.answers == 5:
            t.runner.cancel("propagate")

    backend.on_answer = cancel_soon
    t.propagate("forward", 6, 8)
    assert t.state.busy == ""
    assert backend.answers < 7
    assert t.state.status == "Stopped; what is done stays."
    session = read_session(t.keeper.save(tmp_path / "a.json"))
    run = session.journal.entries[-1]
    assert (run.do, run.computed, run.passed) == ("propagate", 0, 4)
    again = FakeBackend()
    labels = redo(session, LONG, again)
    np.testing.assert_array_equal(labels, t.stage.labels.data)
    assert again.answers == backend.answers
    assert again.settled == backend.settled == 0


def test_a_propagation_that_came_to_its_end_does_so_again(kept, backend, tmp_path):
    """The model only then knows that what has changed has been carried."""
    t = kept()
    at(t, 3)
    t.add_point((10, 20))
    t.propagate("both")
    session = read_session(t.keeper.save(tmp_path / "a.json"))
    again = FakeBackend()
    redo(session, LONG, again)
    assert again.settled == backend.settled == 1


def test_files_that_do_not_say_what_was_shown_are_repeated(kept, tmp_path):
    """They were made when the model was told nothing but prompts."""
    t = kept()
    at(t, 3)
    t.add_point((10, 20))
    t.propagate("both")
    at(t, 5)
    t.add_point((10, 27), positive=False)
    labels = t.stage.labels.data
    content = json.loads(t.keeper.save(tmp_path / "a.json").read_text())
    told = [at for step in content["steps"] for at in step.get("set", ())]
    assert len(told) == 2
    for prompts in told:
        del prompts["shown"]
    (tmp_path / "old.json").write_text(json.dumps(content))
    session = read_session(tmp_path / "old.json")
    np.testing.assert_array_equal(redo(session, LONG, FakeBackend()), labels)


def test_another_image_is_told_apart(kept, tmp_path):
    t = kept()
    t.add_point((3, 10, 20))
    session = read_session(t.keeper.save(tmp_path / "a.json"))
    assert session.image.why_not(LONG) == ""
    assert "checksum" in session.image.why_not(LONG + 1)
    assert "shape" in session.image.why_not(LONG[:5])
    assert "pixels are" in session.image.why_not(LONG.astype(float))


def test_files_that_are_no_sessions_say_so(tmp_path):
    for text in ("{", "[1]", '{"format": "other"}'):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(ImageError, match="session file cannot be read"):
            read_session(tmp_path / "a.json")
    with pytest.raises(ImageError, match="cannot be read"):
        read_session(tmp_path / "missing.json")
    good = {"format": "napari-sam2 session", "version": 99}
    with pytest.raises(ImageError, match="version"):
        SessionFile.from_text(json.dumps(good))
    with pytest.raises(ImageError):
        SessionFile.from_text(json.dumps(good | {"version": 1}))


def test_loading_brings_prompts_marks_and_masks_back(kept, tmp_path):
    t = kept()
    story(t, t.tools)
    t.tools.check(True)
    labels = t.stage.labels.data.copy()
    snapshot = t.stage.snapshot()
    marks = list(t.history.record.marks)
    facts = t.history.record.review.line((1, 2), (), 0)
    path = t.keeper.save(tmp_path / "work")

    other = kept()
    other.keeper.load(path)
    assert other.errors == []
    np.testing.assert_array_equal(other.stage.labels.data, labels)
    back = other.stage.snapshot()
    order = np.lexsort(snapshot.points.T), np.lexsort(back.points.T)
    np.testing.assert_array_equal(snapshot.points[order[0]], back.points[order[1]])
    assert sorted(back.shape_types) == sorted(snapshot.shape_types)
    assert list(other.history.record.marks) == marks
    assert other.history.record.review.checked == t.history.record.review.checked
    assert other.history.record.review.line((1, 2), (), 0) == facts
    assert other.state.undo_text == ""
    # Work goes on where it stopped, and can be saved and repeated again.
    for tool_ in (t, other):
        tool_.select_object(2)
        at(tool_, 8)
        tool_.add_point((25, 44))
        tool_.propagate("both")
    np.testing.assert_array_equal(other.stage.labels.data, t.stage.labels.data)
    again = read_session(other.keeper.save(tmp_path / "again"))
    np.testing.assert_array_equal(redo(again, LONG, FakeBackend()), t.stage.labels.data)


def test_loading_does_not_touch_labels_that_are_there(kept, tmp_path):
    t = kept()
    t.add_point((3, 10, 20))
    path = t.keeper.save(tmp_path / "a")
    other = kept()
    other.stage.labels.data[0, 0, 0] = 7
    old = other.stage.labels
    other.keeper.load(path)
    assert other.stage.labels is not old
    assert old.data.sum() == 7
    assert other.stage.labels.data[3, 10, 20] == 1


def test_after_a_crash_the_work_is_offered_back(kept, tmp_path):
    t = kept()
    t.add_point((3, 10, 20))
    t.propagate("both")
    t.keeper._autosave.flush()
    expected = t.stage.labels.data.copy()
    folder = t.keeper.folder
    assert find_offer(folder, checksum(LONG)) is None  # it is open, and locked
    t.keeper._autosave._lock.release()  # what the system does after a crash
    other = kept()
    assert other.keeper.offer is not None
    assert other.keeper.offer.session.prompt_count == 1
    assert kept(LONG + 1).keeper.offer is None
    other.keeper.accept_offer()
    np.testing.assert_array_equal(other.stage.labels.data, expected)
    assert kept().keeper.offer is None  # the old file is gone, the new one is open


def test_work_that_was_saved_or_discarded_is_not_offered(kept, tmp_path):
    t = kept()
    t.add_point((3, 10, 20))
    path = t.keeper._autosave.path
    t.keeper.save(tmp_path / "a")
    assert not path.exists()
    t.add_point((3, 12, 20))
    t.keeper._autosave.close()
    other = kept()
    other.keeper.discard_offer()
    assert other.keeper.offer is None
    assert not path.exists()


def test_image_is_found_again_by_its_file(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, LONG)
    reference = ImageReference(
        "a", str(path), "napari", (), LONG.shape, "uint16", checksum(LONG)
    )
    np.testing.assert_array_equal(np.asarray(open_layer(reference)[0]), LONG)
    moved = path.rename(tmp_path / "b.tif")
    with pytest.raises(ImageError, match="not at"):
        open_layer(reference)
    assert open_layer(reference, moved)[2] == "image"
    tifffile.imwrite(moved, LONG + 1)
    with pytest.raises(ImageError, match="not the image of the session"):
        open_layer(reference, moved)


def test_checksum_reads_few_planes_of_a_long_stack():
    read = []

    class Lazy:
        shape, dtype = (10_000, 4, 5), np.dtype(np.uint8)

        def __getitem__(self, index):
            read.append(index)
            return np.zeros((4, 5), np.uint8)

    assert checksum(Lazy()).startswith("sha256-16-planes:")
    assert len(read) == 16


def test_replay_of_4d_data_along_both_axes_and_in_another_plane(kept, tmp_path):
    data = np.arange(3 * 5 * 24 * 30, dtype=np.uint16).reshape(3, 5, 24, 30)
    t = kept(data)
    t.viewer.dims.set_current_step(1, 2)
    t.add_point((10, 12))
    t.propagate("both")
    t.choose_axis(1)
    t.propagate("both")
    t.next_object()
    t.viewer.dims.order = (0, 2, 1, 3)
    t.viewer.dims.set_current_step(2, 16)
    t.add_point((1, 3, 16, 20))
    t.choose_axis(2)
    t.propagate("forward", 16, 20)
    t.stage.image.contrast_limits = (10, 500)
    t.add_point((1, 2, 18, 20))
    assert t.errors == []
    labels = t.stage.labels.data
    assert set(np.unique(labels)) == {0, 1, 2}
    session = read_session(t.keeper.save(tmp_path / "a"))
    assert len(session.journal.setups) >= 4
    np.testing.assert_array_equal(redo(session, data, FakeBackend()), labels)
