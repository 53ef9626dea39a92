"""Labels that are written through to a zarr store."""

from __future__ import annotations

import numpy as np
import pytest
import zarr
from fakes import disc

from napari_sam2 import _disk_labels
from napari_sam2._disk_labels import copy_planes, move_to_disk, on_disk
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


def test_only_touched_chunks_are_written(tool, tmp_path):
    t = tool(np.zeros((3, 1100, 600), np.uint8))
    move_to_disk(t.tasks, t.stage.labels, tmp_path / "a.zarr")
    t.add_point((1, 10, 20))
    store = t.stage.labels.data
    assert store.chunks == (1, 512, 512)
    assert store.nchunks_initialized == 1
