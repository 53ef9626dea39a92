"""Labels that are written through to a zarr store."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import zarr
from fakes import disc

from napari_sam2._jobs import run_inline
from napari_sam2._labels import difference
from napari_sam2.tasks import _disk_labels
from napari_sam2.tasks._disk_labels import Doubles, copy_planes, move_to_disk, on_disk
from sam2_core import ImageError

STACK = np.zeros((7, 40, 60), np.float32)


def test_masks_go_through_to_the_store_and_undo_takes_them_back(tool, tmp_path):
    t = tool(STACK)
    t.add_point((3, 10, 20))
    labels, in_memory = t.stage.labels, t.stage.labels.data
    move_to_disk(t.tasks, labels, tmp_path / "labels")
    assert t.stage.labels is labels
    assert on_disk(labels) == str(tmp_path / "labels.zarr")
    stored = zarr.open_array(str(tmp_path / "labels.zarr"), mode="r")
    np.testing.assert_array_equal(stored[3], disc((40, 60), 20, 10))
    t.propagate("both")
    assert np.asarray(stored[:]).any((1, 2)).all()
    assert in_memory.any((1, 2)).sum() == 1  # no second copy is kept up
    t.undo()
    assert np.asarray(stored[:]).any((1, 2)).sum() == 1
    t.undo()
    assert not np.asarray(stored[:]).any()
    assert t.errors == []


def test_a_prompt_deleted_on_another_frame_meanwhile_is_gone_on_disk(
    tool, tmp_path, monkeypatch
):
    t = tool(STACK)
    t.viewer.dims.set_current_step(0, 3)
    t.add_point((3, 10, 20))
    t.add_point((1, 10, 20))
    t.viewer.dims.set_current_step(0, 6)
    passes = []

    def copy(*args):
        passes.append(len(passes))
        for done in copy_planes(*args):
            if done[0] == 5 and len(passes) == 1:  # frame 1 has been copied
                t.stage.points.selected_data = {1}
                t.stage.points.remove_selected()
            yield done

    monkeypatch.setattr(_disk_labels, "copy_planes", copy)
    move_to_disk(t.tasks, t.stage.labels, tmp_path / "labels")
    assert on_disk(t.stage.labels)
    filled = np.asarray(t.stage.labels.data).any((1, 2))
    assert np.flatnonzero(filled).tolist() == [3]
    assert t.errors == []
    assert len(passes) == 2


@pytest.fixture
def copying(tool, tmp_path):
    """One object on its way to the disk; ``finish`` lets it arrive and gives it."""
    t = tool(STACK)
    t.add_point((3, 10, 20))
    t.mine, waiting = t.stage.labels, []
    t.runner._start = lambda *job: waiting.append(job)
    move_to_disk(t.tasks, t.mine, tmp_path / "labels")

    def finish():
        t.runner._start = run_inline
        run_inline(*waiting.pop())
        stored = zarr.open_array(str(tmp_path / "labels.zarr"), mode="r")
        assert on_disk(t.mine) == str(tmp_path / "labels.zarr")
        return np.asarray(stored[:])

    def copy_first():
        """Copy all planes now; what they are follows later."""
        iterator, *rest = waiting.pop()
        waiting.append((iter(list(iterator)), *rest))

    t.copy_first, t.finish = copy_first, finish
    return t


def test_what_is_taken_back_meanwhile_is_taken_back_on_disk(copying):
    copying.copy_first()
    copying.viewer.dims.set_current_step(0, 0)  # not the plane that changes
    copying.undo()
    assert not copying.finish().any()
    copying.redo()
    np.testing.assert_array_equal(copying.mine.data[3], disc((40, 60), 20, 10))


def test_a_history_that_is_exchanged_meanwhile_is_followed_too(copying):
    former = copying.history
    copying.viewer.layers.remove(copying.stage.points)
    assert copying.history is not former
    copying.copy_first()
    before = copying.mine.data[5].copy()
    copying.mine.data[5, :4] = 3
    patch = difference((1, 2), (5,), before, copying.mine.data[5])
    copying.history.add(patch, None)
    assert (copying.finish()[5, :4] == 3).all()


def test_other_labels_chosen_meanwhile_stay_those_in_use(copying):
    t = copying
    t.choose_labels(None)
    other = t.stage.labels
    expected = disc((40, 60), 20, 10)
    np.testing.assert_array_equal(t.finish()[3], expected)
    assert t.state.labels is t.stage.labels is other
    other.mode, other.brush_size = "paint", 3
    other.paint((3, 30, 50), 2)
    assert t.history.text == "painting"
    t.undo()
    assert not other.data.any()
    t.choose_labels(t.mine)
    assert len(t.stage.points.data) == 1
    t.undo()
    assert not t.mine.data[:].any()


def test_a_store_that_is_there_is_not_overwritten(tool, tmp_path):
    t = tool(STACK)
    t.add_point((3, 10, 20))
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.zarr" / "file").touch()
    with pytest.raises(ImageError, match="exists already"):
        move_to_disk(t.tasks, t.stage.labels, tmp_path / "a.zarr")
    move_to_disk(t.tasks, t.stage.labels, tmp_path / "b.zarr")
    with pytest.raises(ImageError, match="already"):
        move_to_disk(t.tasks, t.stage.labels, tmp_path / "c.zarr")


def test_a_duplicate_of_labels_on_disk_is_said_to_be_none(tool, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr("napari_sam2.tasks._disk_labels.show_warning", said.append)
    t = tool(STACK)
    doubles = Doubles(t.viewer)
    t.viewer.add_labels(t.stage.labels.data.copy())
    move_to_disk(t.tasks, t.stage.labels, tmp_path / "labels")
    t.viewer.add_labels(np.zeros(STACK.shape, np.uint16))
    assert said == []
    t.viewer.add_labels(deepcopy(t.stage.labels.data), name="backup")
    (sentence,) = said
    assert sentence.startswith("'backup' is no copy: it shows the labels on disk that")
    assert repr(t.stage.labels.name) in sentence
    del doubles


def test_only_touched_chunks_are_written(tool, tmp_path):
    t = tool(np.zeros((3, 1100, 600), np.uint8))
    move_to_disk(t.tasks, t.stage.labels, tmp_path / "a.zarr")
    t.add_point((1, 10, 20))
    store = t.stage.labels.data
    assert store.chunks == (1, 512, 512)
    assert store.nchunks_initialized == 1
