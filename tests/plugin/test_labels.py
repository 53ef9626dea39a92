from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Labels

from napari_sam2 import _labels


@pytest.fixture
def labels() -> Labels:
    data = np.zeros((3, 10, 12), np.uint16)
    data[1, 2:5, 2:5] = 1
    data[1, 2:5, 7:10] = 2
    return Labels(data)


def box(rows: slice, columns: slice, value: int = 1) -> np.ndarray:
    ids = np.zeros((10, 12), np.uint32)
    ids[rows, columns] = value
    return ids


def test_new_mask_replaces_the_old_and_keeps_other_labels(labels):
    before = labels.data.copy()
    ids = box(slice(4, 8), slice(4, 9))
    _labels.write_plane(labels, (1, 2), (1,), ids, [1])
    expected = before.copy()
    expected[1][expected[1] == 1] = 0
    expected[1, 4:8, 4:9] = 1
    expected[1, 2:5, 7:10] = 2
    np.testing.assert_array_equal(labels.data, expected)


def test_other_labels_can_be_overwritten_on_request(labels):
    ids = box(slice(2, 8), slice(4, 9))
    _labels.write_plane(labels, (1, 2), (1,), ids, [1], keep_others=False)
    assert (labels.data[1, 2:8, 4:9] == 1).all()
    assert (labels.data[1, 2:5, 9] == 2).all()


def test_revert_brings_every_pixel_back(labels):
    before = labels.data.copy()
    patch = _labels.write_plane(
        labels, (1, 2), (1,), box(slice(3, 9), slice(0, 12)), [1], keep_others=False
    )
    assert not np.array_equal(labels.data, before)
    _labels.replay(labels, patch, back=True)
    np.testing.assert_array_equal(labels.data, before)


def test_revert_leaves_later_edits_alone(labels):
    patch = _labels.write_plane(
        labels, (1, 2), (0,), box(slice(1, 4), slice(1, 4)), [1]
    )
    labels.data[0, 2, 2] = 9  # the user paints
    _labels.replay(labels, patch, back=True)
    expected = np.zeros((10, 12))
    expected[2, 2] = 9
    np.testing.assert_array_equal(labels.data[0], expected)


def test_writing_the_same_again_changes_nothing(labels):
    ids = box(slice(2, 5), slice(2, 5))
    assert _labels.write_plane(labels, (1, 2), (1,), ids, [1]) is None


def test_planes_across_other_axes(labels):
    ids = np.zeros((3, 12), np.uint32)
    ids[2, 3:6] = 5
    patch = _labels.write_plane(labels, (0, 2), (8,), ids, [5])
    assert np.argwhere(labels.data == 5).tolist() == [[2, 8, 3], [2, 8, 4], [2, 8, 5]]
    _labels.replay(labels, patch, back=True)
    assert not (labels.data == 5).any()


def test_patch_of_a_small_change_is_small():
    labels = Labels(np.zeros((2000, 2000), np.uint16))
    ids = np.zeros((2000, 2000), np.uint32)
    ids[100:120, 500:530] = 1
    patch = _labels.write_plane(labels, (0, 1), (), ids, [1])
    assert patch.nbytes < 4000


def test_combine_prefers_the_lower_id():
    a, b = np.zeros((2, 4, 4), bool)
    a[:3], b[2:] = True, True
    ids = _labels.combine({7: b, 3: a})
    assert ids[:, 0].tolist() == [3, 3, 3, 7]


def test_first_free_id():
    assert _labels.first_free_id(Labels(np.zeros((4, 4), np.uint8))) == 1
    data = np.zeros((2, 4, 4), np.uint8)
    data[1, 2, 3] = 41
    assert _labels.first_free_id(Labels(data)) == 42


def test_zarr_labels_can_be_written():
    zarr = pytest.importorskip("zarr")
    store = zarr.zeros((3, 10, 12), chunks=(1, 10, 12), dtype="uint16")
    layer = Labels(store, multiscale=False)
    ids = box(slice(1, 4), slice(1, 4))
    patch = _labels.write_plane(layer, (1, 2), (1,), ids, [1])
    assert np.asarray(layer.data[1]).sum() == 9
    _labels.replay(layer, patch, back=True)
    assert np.asarray(layer.data[1]).sum() == 0
