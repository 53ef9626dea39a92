"""Sessions that are opened again: on their image, and on no other."""

from __future__ import annotations

import shutil
from collections import deque
from types import SimpleNamespace

import npe2
import numpy as np
import pytest
import tifffile
import zarr
from fakes import FakeBackend, Stepper, disc
from napari.utils.notifications import notification_manager

from napari_sam2._disk_labels import move_to_disk, on_disk
from napari_sam2._elsewhere import missing
from napari_sam2._engine import Engine
from napari_sam2._history import History
from napari_sam2._jobs import run_inline
from napari_sam2._keeping import SessionKeeper
from napari_sam2._record import Record
from napari_sam2._replay import Redo, apply, rerun
from napari_sam2._restoring import STOPPED
from napari_sam2._session_file import read_session
from sam2_core import ImageError

STACK = np.arange(5 * 40 * 60, dtype=np.uint16).reshape(5, 40, 60)


@pytest.fixture
def kept(tool, tmp_path):
    """Make a controller that keeps sessions."""

    def make(data=STACK, **kwargs):
        t = tool(data, **kwargs)
        t.keeper = SessionKeeper(t, tmp_path / "autosaves")
        return t

    return make


@pytest.fixture
def session(kept, tmp_path):
    """A session on an image file; gives both paths."""
    path = tmp_path / "cells.tif"
    tifffile.imwrite(path, STACK)
    npe2.PluginManager.instance().discover()
    t = kept(None)
    (image,) = t.viewer.open(str(path), plugin="napari")
    t.choose_image(image)
    t.add_point((3, 10, 20))
    return t.keeper.save(tmp_path / "work"), path


def test_an_image_file_that_was_exchanged_is_refused(session, kept):
    file, path = session
    tifffile.imwrite(path, STACK + 1)
    t = kept(None)
    with pytest.raises(ImageError, match=r"cells\.tif is not the image of the session"):
        t.keeper.load(file)
    assert t.stage.labels is None or not t.stage.labels.data.any()
    assert not t.history.record.journal.worked
    tifffile.imwrite(path, STACK)
    t = kept(None)
    t.keeper.load(file)
    assert t.stage.labels.data[3, 10, 20] == 1


def test_an_open_image_with_other_pixels_is_not_taken_for_it(session, kept):
    file, path = session
    t = kept(STACK + 1, name="cells")
    t.keeper._checksums.clear()  # it was not identified yet
    other = t.stage.image
    t.keeper.load(file)
    assert t.stage.image is not other
    np.testing.assert_array_equal(t.stage.image.data, STACK)
    assert t.stage.labels.data[3, 10, 20] == 1
    path.unlink()
    t = kept(STACK + 1, name="cells")
    t.keeper._checksums.clear()
    with pytest.raises(ImageError, match="is not the image of the session: its pixels"):
        t.keeper.load(file)
    assert len(t.stage.points.data) == 0


def test_masks_drawn_by_hand_come_back_beside_other_work(kept, tmp_path):
    """Also where labels take time to be counted, and somebody clicks meanwhile."""
    waiting = deque()
    t = kept(start=lambda *job: waiting.append(job[:3]))

    def work():
        while waiting:
            run_inline(*waiting.popleft())

    work()
    t.add_point((3, 10, 20))
    work()
    first = t.stage.labels
    t.viewer.dims.set_current_step(0, 3)
    first.mode = "paint"
    first.paint((3, 20, 30), 1)
    work()
    before = first.data.copy()
    assert before[3, 20, 30] == before[3, 10, 20] == 1
    t.keeper.load(t.keeper.save(tmp_path / "a"))
    t.add_point((1, 30, 50))
    work()
    assert t.stage.labels is not first
    np.testing.assert_array_equal(t.stage.labels.data[3], before[3])
    assert t.stage.labels.data[1, 30, 50] == 2


# -- something else meanwhile ---------------------------------------------------------


@pytest.fixture
def going(kept, tmp_path):
    """Threads that advance when told to; two sessions of an image: 1, and 1 and 2."""
    threads = Stepper()
    t = kept(STACK, start=threads.start)
    t.threads = threads
    threads.run()
    t.files, t.saved = [], []
    for object_id, at in ((1, (0, 10, 20)), (2, (0, 30, 40))):
        t.add_point(at, object_id=object_id)
        threads.run()
        t.propagate("forward")
        threads.run()
        t.files.append(t.keeper.save(tmp_path / str(object_id)))
        t.saved.append(t.stage.labels.data.copy())
    return t


def begin(t, number):
    t.keeper.load(t.files[number])
    while t.state.done < 3:
        t.threads.step()
    assert t.state.busy == "restore"


def test_another_image_while_a_session_is_restored_gets_none_of_it(going):
    t, image = going, going.stage.image
    other = t.viewer.add_image(STACK + 1)
    t.choose_image(other)
    t.threads.run()
    t.add_point((2, 20, 30))
    t.threads.run()
    theirs, before = t.stage.labels, t.stage.labels.data.copy()
    begin(t, 0)
    assert t.stage.image is image
    notification_manager.records.clear()
    t.choose_image(other)
    t.threads.run()
    assert t.stage.labels is theirs
    np.testing.assert_array_equal(theirs.data, before)
    told = [note.message for note in notification_manager.records]
    assert told == [STOPPED]
    t.keeper.load(t.files[0])
    t.threads.run()
    np.testing.assert_array_equal(t.stage.labels.data, t.saved[0])


@pytest.mark.parametrize("frames", [1, 3])
def test_of_two_sessions_the_second_is_as_it_was_saved(going, frames):
    t = going
    t.keeper.load(t.files[1])
    while t.state.done < frames:
        t.threads.step()
    t.keeper.load(t.files[0])
    t.threads.run()
    np.testing.assert_array_equal(t.stage.labels.data, t.saved[0])
    assert t.errors == []


def test_a_session_that_was_all_but_restored_is_no_other_image_s(going):
    """Its last mask has come, and another image is chosen before its end."""
    t = going
    other = t.viewer.add_image(STACK + 1)
    begin(t, 0)
    while not t.runner._running.ended[1]:
        t.threads.step()
    t.choose_image(other)
    t.select_object(7)
    t.threads.run()
    assert t.stage.image is other
    assert t.state.object_id == 7
    assert not t.stage.labels.data.any()


def test_stopping_says_that_masks_are_missing(going):
    t = going
    begin(t, 1)
    t.cancel()
    t.threads.run()
    assert t.state.status == STOPPED
    t.add_point((4, 20, 50), object_id=3)
    t.threads.run()
    t.undo()  # the click, and no prompt of the session
    assert sorted(t.stage.points.features["object_id"]) == [1, 2]


# -- labels on disk -------------------------------------------------------------------


@pytest.mark.parametrize("theirs", [np.uint16, np.int32])
def test_labels_are_restored_in_their_type(kept, tmp_path, theirs):
    t = kept()
    cells = np.zeros(STACK.shape, np.int32)
    cells[3, :5, :5] = 70000
    cells[2, 30:, 50:] = 70001
    t.choose_labels(t.viewer.add_labels(cells.copy(), name="cells"))
    t.add_point((3, 20, 30), object_id=70002)
    cells[3][disc((40, 60), 30, 20)] = 70002
    file = t.keeper.save(tmp_path / "work")
    again = kept()
    foreign = again.viewer.add_labels(np.zeros(STACK.shape, theirs), name="foreign")
    again.choose_labels(foreign)
    again.keeper.load(file)
    labels = again.stage.labels
    assert labels.data.dtype == np.int32
    np.testing.assert_array_equal(labels.data, cells)
    assert (labels is foreign) == (theirs == np.int32)
    assert "not those that were saved" not in again.state.status


@pytest.fixture
def on_zarr(kept, tmp_path):
    """A session whose labels live in a store; gives its file and the store's path."""
    t = kept()
    t.add_point((3, 10, 20))
    t.propagate("both")
    move_to_disk(t.tasks, t.stage.labels, tmp_path / "labels.zarr")
    t.next_object()
    t.add_point((1, 30, 50))
    file = t.keeper.save(tmp_path / "work")
    return file, tmp_path / "labels.zarr"


def content(path):
    return np.asarray(zarr.open_array(str(path), mode="r")[:])


def test_labels_on_disk_live_there_again(on_zarr, kept):
    file, store = on_zarr
    before = content(store)
    assert set(np.unique(before)) == {0, 1, 2}
    written = {path: path.stat().st_mtime_ns for path in store.rglob("*")}
    t = kept()
    t.keeper.load(file)
    assert on_disk(t.stage.labels) == str(store)
    np.testing.assert_array_equal(content(store), before)
    assert written == {path: path.stat().st_mtime_ns for path in store.rglob("*")}
    assert "from now on" in t.state.status
    assert t.errors == []
    t.next_object()
    t.add_point((4, 30, 10))
    assert content(store)[4, 30, 10] == 3
    assert t.keeper.describe().labels["path"] == str(store)
    t.undo()
    np.testing.assert_array_equal(content(store), before)


def test_a_store_that_is_on_display_is_shown_by_one_layer_only(on_zarr, kept):
    file, store = on_zarr
    t = kept()
    t.keeper.load(file)
    first, before = t.stage.labels, content(store)
    t.keeper.load(file)
    second = t.stage.labels
    assert (on_disk(first), on_disk(second)) == (str(store), "")
    np.testing.assert_array_equal(second.data, before)
    assert f"{store} is on display as {first.name!r} already" in t.state.status
    assert "in memory" in t.state.status
    t.next_object()
    t.add_point((4, 30, 10))
    assert second.data.max() == 3
    np.testing.assert_array_equal(content(store), before)


def test_the_offer_after_a_crash_has_the_store_too(kept, tmp_path):
    t = kept()
    t.add_point((3, 10, 20))
    move_to_disk(t.tasks, t.stage.labels, tmp_path / "labels.zarr")
    t.keeper._autosave.close()
    other = kept()
    path = other.keeper.offer.path
    other.keeper.accept_offer()
    assert on_disk(other.stage.labels) == str(tmp_path / "labels.zarr")
    assert not path.exists()


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("gone", "cannot be opened any more, so the labels stay in memory."),
        ("changed", "holds other labels now, so the labels stay in memory."),
        ("another", "holds other labels now, so the labels stay in memory."),
    ],
)
def test_a_store_that_does_not_fit_is_said_and_left(on_zarr, kept, how, said):
    file, path = on_zarr
    before = content(path)
    if how == "changed":
        zarr.open_array(str(path), mode="r+")[0, 0, 0] = 9
    else:
        shutil.rmtree(path)
    if how == "another":
        zarr.open_array(str(path), mode="w", shape=(2, 4, 4), dtype="u1", fill_value=1)
    found = content(path) if path.exists() else None
    t = kept()
    t.keeper.load(file)
    assert on_disk(t.stage.labels) == ""
    np.testing.assert_array_equal(t.stage.labels.data, before)
    assert t.state.status == f"{path} {said}"
    if found is not None:
        np.testing.assert_array_equal(content(path), found)


def test_what_a_session_lacks_comes_from_the_store(kept, tmp_path, monkeypatch):
    """Labels from elsewhere that were too many for the file."""
    monkeypatch.setattr("napari_sam2._elsewhere.MAX_BYTES", 10)
    t = kept()
    t.choose_labels(t.viewer.add_labels(np.zeros(STACK.shape, np.uint32)))
    t.stage.labels.data[:, :9, :9] = 7
    t.add_point((3, 20, 40))
    move_to_disk(t.tasks, t.stage.labels, tmp_path / "labels.zarr")
    before = content(tmp_path / "labels.zarr")
    file = t.keeper.save(tmp_path / "work")
    other = kept()
    other.keeper.load(file)
    assert on_disk(other.stage.labels) == str(tmp_path / "labels.zarr")
    np.testing.assert_array_equal(content(tmp_path / "labels.zarr"), before)
    assert (before == 7).sum() == 81 * len(STACK)
    assert "missing" not in other.state.status


def test_what_is_done_while_the_store_is_compared_goes_there(on_zarr, kept):
    file, path = on_zarr
    before = content(path)
    t = kept()
    waiting = []

    def start(*job):
        if t.state.busy == "restore" and t.runner._running.kind == "copy":
            waiting.append(job)
        else:
            run_inline(*job)

    t.runner._start = start
    t.keeper.load(file)
    (job,) = waiting
    assert on_disk(t.stage.labels) == ""
    t.viewer.dims.set_current_step(0, 2)
    t.stage.labels.mode = "paint"
    t.stage.labels.paint((2, 5, 50), 9)
    np.testing.assert_array_equal(content(path), before)
    t.runner._start = run_inline
    run_inline(*job)
    assert on_disk(t.stage.labels) == str(path)
    changed = np.argwhere(content(path) != before)
    assert len(changed)
    assert (content(path)[tuple(changed.T)] == 9).all()
    assert (changed[:, 0] == 2).all()


def paint(t):
    t.stage.labels.mode, t.stage.labels.brush_size = "paint", 1
    t.stage.labels.paint((4, 35, 5), 1)  # its mask is written over that
    t.stage.labels.paint((0, 2, 2), 7)


def paint_and_undo(t):
    paint(t)
    t.undo()


def delete_prompt(t):
    t.stage.points.selected_data = {0}
    t.stage.points.remove_selected()


def delete_object(t):
    t.objects.delete([1])


def after(edit, before):
    """What an edit makes of labels."""
    expected = before.copy()
    if edit in (paint, paint_and_undo):
        expected[4, 35, 5] = 1
    if edit is paint:
        expected[0, 2, 2] = 7
    if edit is delete_prompt:
        expected[3][expected[3] == 1] = 0
    if edit is delete_object:
        expected[expected == 1] = 0
    return expected


@pytest.mark.parametrize("frames", [1, 3, 6, "compared"])
@pytest.mark.parametrize("edit", [paint, paint_and_undo, delete_prompt, delete_object])
def test_what_is_done_while_labels_on_disk_are_restored_stays(
    on_zarr, kept, frames, edit
):
    file, store = on_zarr
    before, threads = content(store), Stepper()
    assert set(np.unique(before)) == {0, 1, 2}
    t = kept(start=threads.start)
    threads.run()
    t.keeper.load(file)
    while t.state.busy != "restore":
        threads.step()
    if frames == "compared":
        while t.runner._running.kind != "copy":
            threads.step()
        threads.step()
    else:
        while t.state.done < frames:
            threads.step()
    np.testing.assert_array_equal(content(store), before)
    edit(t)
    threads.run()
    assert on_disk(t.stage.labels) == str(store)
    expected = after(edit, before)
    np.testing.assert_array_equal(content(store), expected)
    ledger, counted = t.ledger, {}
    for object_id in ledger.ids:
        places = ledger.places(object_id)
        counted[object_id] = sum(ledger.area(object_id, at) for at in places)
    ids, areas = np.unique(expected[expected > 0], return_counts=True)
    assert counted == dict(zip(ids.tolist(), areas.tolist(), strict=True))
    t.undo()
    threads.run()
    back = after(paint_and_undo, before) if edit is paint else before
    np.testing.assert_array_equal(content(store), back)


# -- a restore that stops: the next session tells what there is ------------------------


def assert_told(t, labels, tmp_path):
    """A session saved now leads to these labels again, and to no others."""
    file, shown = t.keeper.save(tmp_path / "after"), np.array(labels.data)
    session, repeated = read_session(file), np.zeros_like(shown)
    history = History(Record(session.journal))
    for item in rerun(session.journal, STACK, Engine(FakeBackend()), lambda: False):
        if isinstance(item, Redo):
            apply(item, SimpleNamespace(data=repeated, name="labels"), history)
    np.testing.assert_array_equal(repeated, shown)
    assert missing(session, history.record.sums) == ""
    return file


@pytest.mark.parametrize("frames", [0, 1, 3, 5, 6, 8])
@pytest.mark.parametrize("then", ["nothing", "click", "propagate"])
def test_what_was_stopped_is_saved_as_far_as_it_came(
    going, kept, tmp_path, frames, then
):
    t = going
    t.keeper.load(t.files[1])
    while t.state.done < frames or t.state.busy != "restore":
        t.threads.step()
    t.threads.step()  # the worker is ahead
    t.cancel()
    t.threads.run()
    if then == "nothing":
        assert_told(t, t.stage.labels, tmp_path)
        return
    t.add_point((1, 12, 24), object_id=1)
    t.threads.run()
    if then == "propagate":
        t.propagate("forward")
        t.threads.run()
        assert (t.stage.labels.data > 0).any((1, 2)).all()
    again = kept()
    again.keeper.load(assert_told(t, t.stage.labels, tmp_path))
    np.testing.assert_array_equal(again.stage.labels.data, t.stage.labels.data)
    assert "not those that were saved" not in again.state.status


def test_a_stroke_is_there_when_a_restore_is_stopped(going, tmp_path):
    """Also if a mask was written over it; and so is what was taken away."""
    t = going
    t.keeper.load(t.files[1])
    while t.state.done < 2:
        t.threads.step()
    labels = t.stage.labels
    labels.mode, labels.brush_size = "paint", 3
    labels.paint((3, 20, 30), 1)
    while t.state.done < 5:
        t.threads.step()
    t.cancel()
    t.threads.run()
    assert labels.data[3, 20, 30] == 1
    assert labels.data[3].sum() > 100  # the mask as well
    assert_told(t, labels, tmp_path)


def test_what_is_stopped_when_the_model_is_done_is_saved_as_far_as_it_came(
    going, tmp_path
):
    """All has been made, and waits for the window."""
    t = going
    t.keeper.load(t.files[1])
    while t.state.busy != "restore":
        t.threads.step()
    iterator, *rest = t.threads.threads.pop()
    t.threads.threads.append((iter(list(iterator)), *rest))
    while t.state.done < 4:
        t.threads.step()
    t.cancel()
    t.threads.run()
    assert t.state.status == STOPPED
    assert (t.stage.labels.data != t.saved[1]).any()
    assert_told(t, t.stage.labels, tmp_path)


def test_what_another_image_has_stopped_is_saved_as_far_as_it_came(going, tmp_path):
    t, image = going, going.stage.image
    other = t.viewer.add_image(STACK + 1)
    begin(t, 1)
    labels = t.stage.labels
    t.choose_image(other)
    t.threads.run()
    t.choose_image(image)
    t.threads.run()
    assert t.stage.labels is labels
    assert_told(t, labels, tmp_path)


def test_a_closed_dock_leaves_what_it_has_restored(going, tmp_path):
    t = going
    begin(t, 1)
    t.tasks.close()
    assert_told(t, t.stage.labels, tmp_path)
