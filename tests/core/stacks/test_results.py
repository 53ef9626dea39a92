"""Masks drawn box by box, against drawing all of the frame."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sam2_core import transforms
from sam2_core.masks import without_overlaps
from sam2_core.packed import PackedMask, PackedMasks
from sam2_core.stacks.results import FrameResult, draw_masks

SIZES = [(64, 64), (40, 56), (200, 333), (16, 16), (9, 150)]


def planes(size: int = 16) -> dict[int, np.ndarray]:
    """Logits of objects in the middle, at a corner, everywhere and nowhere."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size]
    discs = {
        7: 9.0 - (y - 6) ** 2 - (x - 9) ** 2,
        3: 20.0 - (y - 15) ** 2 - (x - 0) ** 2,
        5: rng.normal(size=(size, size)) * 4,
        2: np.full((size, size), -3.0),
        9: 12.0 - (y - 8) ** 2 - (x - 8) ** 2,
    }
    return {i: plane.astype(np.float32) for i, plane in discs.items()}


def whole(logits: dict[int, np.ndarray], hw: tuple[int, int]) -> torch.Tensor:
    stacked = torch.from_numpy(np.stack(list(logits.values())))[:, None]
    return transforms.logits_to_image(stacked, hw)


@pytest.mark.parametrize("hw", SIZES)
def test_the_part_drawn_is_that_of_the_whole(hw):
    logits = planes()
    for plane, full in zip(logits.values(), whole(logits, hw)[:, 0], strict=True):
        part, top, left = transforms.positive_part(plane, hw)
        inside = np.zeros(hw, bool)
        inside[top : top + part.shape[0], left : left + part.shape[1]] = True
        np.testing.assert_allclose(
            part.ravel(), full.numpy()[inside], rtol=1e-5, atol=1e-5
        )
        assert not (full.numpy()[~inside] > 0).any()


@pytest.mark.parametrize("hw", SIZES)
@pytest.mark.parametrize("apart", [False, True])
def test_masks_are_those_of_the_whole(hw, apart):
    logits = planes()
    expected = whole(logits, hw)
    if apart:
        expected = without_overlaps(expected)
    drawn = draw_masks(logits, hw, apart)
    assert list(drawn) == list(logits)
    for object_id, full in zip(logits, expected[:, 0], strict=True):
        np.testing.assert_array_equal(drawn[object_id], full.numpy() > 0)


def test_it_is_known_what_objects_have_lost_to_others():
    logits, hw = planes(), (40, 56)
    free = draw_masks(logits, hw, False)
    apart = draw_masks(logits, hw, True)
    for one in logits:
        for other in set(logits) - {one}:
            expected = int((free[one] & ~apart[one] & apart[other]).sum())
            assert apart.lost.get((one, other), 0) == expected
    assert any(apart.lost.values())
    assert free.lost == {}


def test_a_small_object_is_not_drawn_over_all_of_the_frame():
    part, _, _ = transforms.positive_part(planes()[7], (1600, 1600))
    assert part.shape[0] < 900
    assert part.nbytes < 1600 * 1600


def test_results_of_one_frame_are_joined():
    def result(ids):
        packed = {i: PackedMask.of(np.eye(4, dtype=bool)) for i in ids}
        scores = dict.fromkeys(ids, 0.5)
        return FrameResult(3, PackedMasks((4, 4), packed), scores, scores)

    joined = result([1, 2]).joined(result([3]), alive=[2, 3])
    assert list(joined.masks) == [2, 3]
    assert list(joined.scores) == list(joined.object_scores) == [2, 3]
