"""Deletions, mergers and marks while the model works: what was asked for is done."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import STACK, Stepper, disc

from napari_sam2.dock._stacking import StackTools
from napari_sam2.engine._engine import Engine
from napari_sam2.following._marks import BEGIN, END
from napari_sam2.history._history import History
from napari_sam2.history._record import Record
from napari_sam2.history._replay import Redo, apply, rerun
from napari_sam2.history._sums import plane_sum
from napari_sam2.sessions._keeping import SessionKeeper
from napari_sam2.sessions._session_file import read_session
from sam2_core import ImageError

FIRST, SECOND = (10, 20), (30, 40)  # row and column of the two objects on frame 0


@pytest.fixture
def pair(tool):
    """Objects 1 and 2 on all frames, and threads that advance when told to."""
    threads = Stepper()
    t = tool(STACK.copy(), start=threads.start)
    t.threads = threads
    threads.run()
    t.tools = StackTools(t)
    follow(t)
    return t


def follow(t):
    """Both objects, from their clicks on the first frame."""
    for object_id, at in ((1, FIRST), (2, SECOND)):
        t.add_point((0, *at), object_id=object_id)
        t.threads.run()
    t.propagate("forward")
    t.threads.run()
    assert frames_of(t, 1) == frames_of(t, 2) == list(range(7))


def begin(t, done=2):
    """A propagation that is at this frame."""
    t.propagate("forward")
    while t.state.done < done:
        t.threads.step()


def frames_of(t, object_id, labels=None):
    labels = labels or t.stage.labels
    return np.flatnonzero((labels.data == object_id).any((1, 2))).tolist()


def expected(object_id, frame):
    """Mask of the fake model."""
    row, column = (FIRST, SECOND)[object_id - 1]
    return disc(STACK.shape[1:], column + frame, row)


def repeated(session, backend):
    """Labels that a session gives without the dock."""

    class Labels:
        name, data = "labels", np.zeros(STACK.shape, np.uint16)

    history = History(Record(session.journal))
    for item in rerun(session.journal, STACK, Engine(backend), lambda: False):
        if isinstance(item, Redo):
            apply(item, Labels, history)
    return Labels.data


# -- other labels meanwhile -----------------------------------------------------------


def test_what_was_deleted_goes_from_its_own_labels_when_the_image_changes(pair):
    t, image, mine = pair, pair.stage.image, pair.stage.labels
    other = t.viewer.add_image(STACK + 1)
    t.choose_image(other)
    t.threads.run()
    follow(t)
    theirs, before = t.stage.labels, t.stage.labels.data.copy()
    t.choose_image(image)
    t.threads.run()
    whole = mine.data.copy()
    begin(t)
    t.objects.delete([1])
    t.choose_image(other)
    t.threads.run()
    assert t.stage.labels is theirs is not mine
    np.testing.assert_array_equal(theirs.data, before)
    assert frames_of(t, 1, mine) == []
    assert frames_of(t, 2, mine) == list(range(7))
    assert [row.object_id for row in t.objects.rows() if row.frames] == [1, 2]
    t.choose_image(image)
    t.threads.run()
    assert t.state.undo_text == "deletion"
    t.undo()
    t.threads.run()
    np.testing.assert_array_equal(mine.data, whole)


def test_what_was_deleted_goes_from_its_own_labels_when_others_are_chosen(pair):
    t, mine = pair, pair.stage.labels
    theirs = t.viewer.add_labels(mine.data.copy())
    before = theirs.data.copy()
    begin(t)
    t.objects.delete([1])
    t.choose_labels(theirs)
    t.threads.run()
    np.testing.assert_array_equal(theirs.data, before)
    assert frames_of(t, 1, mine) == []
    assert t.ledger.extent(1) == 7  # the table shows the labels in use


# -- what is asked for next -----------------------------------------------------------


@pytest.mark.parametrize("planes", [-1, 0, 3])
def test_a_click_for_a_deleted_object_brings_nothing_of_it_back(pair, planes):
    """While a propagation winds down, before the first frame, and after some."""
    t = pair
    if planes < 0:
        begin(t)
    t.objects.delete([1])
    for _ in range(planes):
        t.threads.step()
    t.tools.go_to(4)
    t.add_point((4, 10, 50), object_id=1)
    t.threads.run()
    assert frames_of(t, 1) == [4]
    clicked = disc(STACK.shape[1:], 50, 10)
    np.testing.assert_array_equal(t.stage.labels.data[4] == 1, clicked)
    t.undo()
    t.threads.run()
    assert frames_of(t, 1) == []
    t.undo()
    t.threads.run()
    assert frames_of(t, 1) == list(range(7))


def test_a_deleted_object_is_not_among_all_labels_that_are_tracked(pair):
    t = pair
    begin(t)
    t.objects.delete([1])
    t.tools.go_to(0)
    assert t.objects.track_all() == [2]
    t.threads.run()
    assert frames_of(t, 1) == []
    assert frames_of(t, 2) == list(range(7))


def test_a_deleted_object_is_not_merged(pair):
    t = pair
    begin(t)
    t.objects.delete([1])
    t.objects.merge([1, 2])
    t.threads.run()
    t.propagate("forward")  # from what the merger looked like
    t.threads.run()
    for frame in range(7):
        shown = t.stage.labels.data[frame] == 1
        np.testing.assert_array_equal(shown, expected(2, frame))


def test_prompts_take_nothing_of_an_object_deleted_during_a_restore(pair, tmp_path):
    """The deletion has to wait until the masks that it is about are there."""
    t = pair
    keeper = SessionKeeper(t, tmp_path / "autosaves")
    t.threads.run()
    keeper.load(keeper.save(tmp_path / "a"))
    while t.state.done < 7:
        t.threads.step()
    t.objects.delete([1])
    t.tools.go_to(4)
    assert 1 in t.stage.labels.data[4]
    t.add_point((4, 10, 50), object_id=1)
    t.threads.run()
    clicked = disc(STACK.shape[1:], 50, 10)
    np.testing.assert_array_equal(t.stage.labels.data[4] == 1, clicked)
    assert not t.history.record.going


# -- undo, Esc, the end of the dock ---------------------------------------------------


def test_undo_of_later_work_leaves_a_deletion_that_waits(pair):
    t = pair
    begin(t)
    t.objects.delete([1])
    t.add_point((0, 20, 50), object_id=3)
    t.undo()
    t.threads.run()
    assert frames_of(t, 1) == frames_of(t, 3) == []
    assert t.state.undo_text == "deletion"
    t.redo()
    t.threads.run()
    assert frames_of(t, 1) == []
    assert frames_of(t, 3) == [0]


@pytest.mark.parametrize("planes", [0, 3])
def test_a_deletion_that_is_taken_back_before_its_end_leads_nowhere(pair, planes):
    """Done again it would take the prompts away, and leave pixels."""
    t, before = pair, pair.stage.labels.data.copy()
    t.objects.delete([1])
    for _ in range(planes):
        t.threads.step()
    assert len(frames_of(t, 1)) == 7 - planes
    t.undo()
    t.threads.run()
    np.testing.assert_array_equal(t.stage.labels.data, before)
    assert len(t.stage.points.data) == 2
    assert (t.state.undo_text, t.state.redo_text) == ("propagation", "")


def test_a_mark_that_waits_outlives_the_undo_of_the_next_object(pair):
    t = pair
    begin(t)
    t.tools.go_to(4)
    t.select_object(1)
    t.tools.toggle_mark(END)
    t.next_object()
    t.undo()
    t.threads.run()
    assert frames_of(t, 1) == list(range(5))
    assert t.state.undo_text == "mark"


def test_esc_stops_the_model_and_no_deletion(pair):
    t = pair
    begin(t)
    t.objects.delete([1])
    t.cancel()
    t.threads.run()
    assert frames_of(t, 1) == []
    assert t.state.undo_text == "deletion"
    t.undo()
    assert frames_of(t, 1) == list(range(7))


@pytest.mark.parametrize("planes", [-1, 0, 3])
def test_a_deletion_is_done_when_the_dock_closes(pair, planes, tmp_path, backend):
    """While it waits, at its beginning, and in the middle; nobody looks any more."""
    t = pair
    keeper, heard = SessionKeeper(t, tmp_path), []
    signals = t.objects.changed, t.tools.changed, t.tools.measured, t.tasks.ended
    for signal in signals:
        signal.connect(lambda *told: heard.append(told))
    if planes < 0:
        begin(t)
    t.objects.delete([1])
    for _ in range(planes):
        t.threads.step()
    heard.clear()
    t.tasks.close()
    assert heard == []
    assert frames_of(t, 1) == []
    assert frames_of(t, 2) == list(range(7))
    t.threads.run()
    assert heard == []
    session = read_session(keeper.save(tmp_path / "a"))
    np.testing.assert_array_equal(repeated(session, backend), t.stage.labels.data)


# -- frames that are still to come ----------------------------------------------------


@pytest.mark.parametrize(("kind", "frames"), [(END, range(5)), (BEGIN, range(4, 7))])
def test_a_mark_counts_for_frames_that_come_after_it(tool, kind, frames):
    threads = Stepper()
    t = tool(STACK, start=threads.start)
    t.threads, t.tools = threads, StackTools(t)
    threads.run()
    at = 0 if kind == END else 6
    t.add_point((at, *FIRST))
    threads.run()
    t.propagate()
    while t.state.done < 2:
        threads.step()
    t.tools.go_to(4)
    t.tools.toggle_mark(kind)
    threads.run()
    assert frames_of(t, 1) == list(frames)
    t.undo()
    assert len(t.history.record.marks) == 0
    assert frames_of(t, 1) == list(range(7))


def test_an_object_deleted_while_a_session_is_restored_is_gone(pair, tmp_path, backend):
    t = pair
    keeper = SessionKeeper(t, tmp_path / "autosaves")
    t.threads.run()
    file = keeper.save(tmp_path / "a")
    keeper.load(file)
    while t.state.done < 4:
        t.threads.step()
    assert t.state.busy == "restore"
    t.objects.delete([1])
    t.threads.run()
    assert frames_of(t, 1) == []
    for frame in range(7):
        shown = t.stage.labels.data[frame] == 2
        np.testing.assert_array_equal(shown, expected(2, frame))
    session = read_session(keeper.save(tmp_path / "b"))
    np.testing.assert_array_equal(repeated(session, backend), t.stage.labels.data)


# -- sessions -------------------------------------------------------------------------


@pytest.mark.parametrize("planes", [-1, 0, 3])
def test_a_session_saved_while_a_deletion_waits_has_it(pair, planes, tmp_path, backend):
    t = pair
    keeper = SessionKeeper(t, tmp_path / "autosaves")
    t.threads.run()
    if planes < 0:
        begin(t)
    t.objects.delete([1])
    for _ in range(planes):
        t.threads.step()
    session = read_session(keeper.save(tmp_path / "a"))
    assert frames_of(t, 1) == []
    np.testing.assert_array_equal(repeated(session, backend), t.stage.labels.data)
    t.threads.run()
    assert not t.runner.busy
    t.undo()
    assert frames_of(t, 1) == list(range(7))
    t.redo()
    assert frames_of(t, 1) == []


def test_a_session_is_not_saved_before_it_is_restored(pair, tmp_path, backend):
    """By itself it is once it is restored, and what was asked for meanwhile is done."""
    t = pair
    keeper = SessionKeeper(t, tmp_path / "autosaves")
    t.threads.run()
    keeper.load(keeper.save(tmp_path / "a"))
    while t.state.done < 4:
        t.threads.step()
    t.objects.delete([1])
    keeper.autosave()
    with pytest.raises(ImageError, match="being restored; save again"):
        keeper.save(tmp_path / "b")
    assert not list(tmp_path.glob("b*"))
    assert keeper._autosave is None
    t.threads.run()
    keeper._autosave.flush()
    by_itself = read_session(keeper._autosave.path)
    by_hand = read_session(keeper.save(tmp_path / "b"))
    for session in (by_itself, by_hand):
        np.testing.assert_array_equal(repeated(session, backend), t.stage.labels.data)
        sums = [plane_sum(plane) for plane in t.stage.labels.data]
        assert session.checksums.tolist() == sums


def test_a_restore_that_is_called_off_keeps_nothing_from_being_saved(pair, tmp_path):
    t = pair
    keeper = SessionKeeper(t, tmp_path / "autosaves")
    t.threads.run()
    keeper.load(keeper.save(tmp_path / "a"))
    t.threads.step()
    other = t.viewer.add_image(STACK + 1)
    t.choose_image(other)
    session = read_session(keeper.save(tmp_path / "b"))
    assert session.image.name == other.name


@pytest.mark.parametrize("planes", [-1, 0, 3])
@pytest.mark.parametrize("left_for", ["image", "labels"])
def test_labels_that_are_left_are_saved_without_what_was_deleted(
    pair, planes, left_for, tmp_path, backend
):
    t, mine = pair, pair.stage.labels
    keeper = SessionKeeper(t, tmp_path / "autosaves")
    t.threads.run()
    if planes < 0:
        begin(t)
    t.objects.delete([1])
    for _ in range(planes):
        t.threads.step()
    if left_for == "image":
        t.choose_image(t.viewer.add_image(STACK + 1))
    else:
        t.choose_labels(None)
    t.threads.run()
    assert t.stage.labels is not mine
    assert frames_of(t, 1, mine) == []
    for autosave in keeper._open:
        autosave.flush()
    (path,) = keeper.folder.glob("*.json")
    np.testing.assert_array_equal(repeated(read_session(path), backend), mine.data)


def test_a_stroke_during_a_deletion_comes_after_it(pair, tmp_path, backend):
    t = pair
    keeper = SessionKeeper(t, tmp_path / "autosaves")
    t.threads.run()
    t.viewer.dims.set_current_step(0, 5)
    t.objects.delete([1])
    for _ in range(2):
        t.threads.step()
    labels = t.stage.labels
    labels.mode, labels.brush_size = "paint", 4
    with labels.block_history():
        labels.paint(np.array((5, 30, 10)), 1)
        labels.paint(np.array((5, 30, 14)), 1)
    t.threads.run()
    assert labels.data[5, 30, 14] == 1
    assert frames_of(t, 1) == [5]
    session = read_session(keeper.save(tmp_path / "a"))
    np.testing.assert_array_equal(repeated(session, backend), labels.data)
