"""Sessions that are opened again, whose labels live on disk."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import zarr
from fakes import RAMP, Stepper, disc

from napari_sam2._jobs import run_inline
from napari_sam2.tasks._disk_labels import move_to_disk, on_disk


@pytest.mark.parametrize("theirs", [np.uint16, np.int32])
def test_labels_are_restored_in_their_type(kept, tmp_path, theirs):
    t = kept()
    cells = np.zeros(RAMP.shape, np.int32)
    cells[3, :5, :5] = 70000
    cells[2, 30:, 50:] = 70001
    t.choose_labels(t.viewer.add_labels(cells.copy(), name="cells"))
    t.add_point((3, 20, 30), object_id=70002)
    cells[3][disc((40, 60), 30, 20)] = 70002
    file = t.keeper.save(tmp_path / "work")
    again = kept()
    foreign = again.viewer.add_labels(np.zeros(RAMP.shape, theirs), name="foreign")
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


def test_the_offer_finds_a_store_that_moved_together_with_the_image(kept, tmp_path):
    folder = tmp_path / "project"
    t = kept()
    t.add_point((3, 10, 20))
    move_to_disk(t.tasks, t.stage.labels, folder / "labels.zarr")
    t.keeper._autosave.close()
    moved = folder.rename(tmp_path / "elsewhere")
    other = kept()
    image = other.viewer.layers[0]
    image.source.__dict__["path"] = str(moved / "stack.tif")
    other.choose_image(None)
    other.choose_image(image)
    other.keeper.accept_offer()
    assert on_disk(other.stage.labels) == str(moved / "labels.zarr")
    np.testing.assert_array_equal(
        other.stage.labels.data, content(moved / "labels.zarr")
    )


def test_work_whose_store_has_newer_masks_is_offered_again(kept, tmp_path):
    t, store = kept(), tmp_path / "labels.zarr"
    t.add_point((3, 10, 20))
    move_to_disk(t.tasks, t.stage.labels, store)
    t.keeper._autosave.close()
    path, known = t.keeper._autosave.path, content(store)
    zarr.open_array(str(store), mode="r+")[4, :9, :9] = 1  # written before the crash
    newer = content(store)
    other = kept()
    other.keeper.accept_offer()
    assert on_disk(other.stage.labels) == ""
    np.testing.assert_array_equal(other.stage.labels.data, known)
    np.testing.assert_array_equal(content(store), newer)
    assert f"{store} holds other labels now, newer ones" in other.state.status
    assert other.keeper.offer.path == path
    zarr.open_array(str(store), mode="r+")[4] = known[4]
    other.keeper.accept_offer()
    assert on_disk(other.stage.labels) == str(store)
    assert not path.exists()


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("gone", "cannot be opened any more, so the labels stay in memory."),
        (
            "changed",
            "holds other labels now, newer ones if napari crashed (open it in napari "
            "to see them), so the labels stay in memory.",
        ),
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
    monkeypatch.setattr("napari_sam2.sessions._elsewhere.MAX_BYTES", 10)
    t = kept()
    t.choose_labels(t.viewer.add_labels(np.zeros(RAMP.shape, np.uint32)))
    t.stage.labels.data[:, :9, :9] = 7
    t.add_point((3, 20, 40))
    move_to_disk(t.tasks, t.stage.labels, tmp_path / "labels.zarr")
    before = content(tmp_path / "labels.zarr")
    file = t.keeper.save(tmp_path / "work")
    other = kept()
    other.keeper.load(file)
    assert on_disk(other.stage.labels) == str(tmp_path / "labels.zarr")
    np.testing.assert_array_equal(content(tmp_path / "labels.zarr"), before)
    assert (before == 7).sum() == 81 * len(RAMP)
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
