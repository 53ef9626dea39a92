"""Packed masks against the masks they were made of."""

from __future__ import annotations

import numpy as np
import pytest

from sam2_core.label_files import combine_masks
from sam2_core.packed import PackedMask, PackedMasks, mask_in_box

SHAPE = (23, 31)


def blob(top: int, left: int, height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(top * 100 + left)
    mask = np.zeros(SHAPE, bool)
    mask[top : top + height, left : left + width] = rng.random((height, width)) < 0.6
    return mask


MASKS = {
    4: blob(3, 5, 9, 13),
    1: blob(0, 0, 23, 31),
    9: blob(8, 10, 15, 21),
    2: np.zeros(SHAPE, bool),
}


@pytest.fixture
def packed():
    return PackedMasks(SHAPE, {i: PackedMask.of(mask) for i, mask in MASKS.items()})


def test_masks_come_back_as_they_were(packed):
    assert list(packed) == list(MASKS)
    assert len(packed) == len(MASKS)
    for object_id, mask in packed.items():
        assert mask.dtype == bool
        np.testing.assert_array_equal(mask, MASKS[object_id])
    with pytest.raises(KeyError):
        packed[3]


def test_each_access_gives_an_array_of_its_own(packed):
    packed[4][:] = True
    np.testing.assert_array_equal(packed[4], MASKS[4])


def test_a_window_is_packed_in_its_place():
    window = MASKS[4][2:14, 3:20]
    packed = PackedMasks(SHAPE, {1: PackedMask.of(window, 2, 3)})
    np.testing.assert_array_equal(packed[1], MASKS[4])


def test_only_the_boxes_take_memory(packed):
    areas = []
    for mask in MASKS.values():
        rows, columns = np.nonzero(mask)
        areas.append(np.ptp(rows) + 1 if len(rows) else 0)
        areas[-1] *= np.ptp(columns) + 1 if len(columns) else 0
    assert packed.nbytes == sum(-(-area // 8) for area in areas)


def test_labels_are_painted_from_the_boxes(packed):
    np.testing.assert_array_equal(
        combine_masks(packed, SHAPE), combine_masks(MASKS, SHAPE)
    )
    window, patch = mask_in_box(packed, 4)
    np.testing.assert_array_equal(patch, MASKS[4][window])
    assert patch.size < MASKS[4].size
    assert mask_in_box(MASKS, 4)[1] is MASKS[4]
