"""Mask clean-up against a flood fill written out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sam2_core.masks import (
    few_pixels,
    fill_holes,
    remove_specks,
    small_components,
    without_overlaps,
)


def flood_areas(mask: np.ndarray) -> np.ndarray:
    """Area of the 8-connected component of every True pixel."""
    areas = np.zeros(mask.shape, int)
    seen = np.zeros_like(mask)
    for start in zip(*np.nonzero(mask), strict=True):
        if seen[start]:
            continue
        component, stack = [], [start]
        seen[start] = True
        while stack:
            y, x = stack.pop()
            component.append((y, x))
            for near in np.ndindex(3, 3):
                place = (y + near[0] - 1, x + near[1] - 1)
                if min(place) < 0 or place[0] >= len(mask) or place[1] >= mask.shape[1]:
                    continue
                if mask[place] and not seen[place]:
                    seen[place] = True
                    stack.append(place)
        for place in component:
            areas[place] = len(component)
    return areas


@pytest.mark.parametrize("density", [0.1, 0.3, 0.5])
@pytest.mark.parametrize("limit", [1, 4, 8])
def test_small_components_match_a_flood_fill(density, limit):
    mask = np.random.default_rng(7).random((40, 33)) < density
    areas = flood_areas(mask)
    expected = mask & (areas <= limit)
    np.testing.assert_array_equal(small_components(mask, limit), expected)


@pytest.mark.parametrize("density", [0.2, 0.4, 0.6])
@pytest.mark.parametrize("limit", [1, 2, 5, 8, 16])
def test_steps_for_a_gpu_find_the_same(density, limit):
    masks = np.random.default_rng(5).random((3, 40, 33)) < density
    found = few_pixels(torch.from_numpy(masks), limit).numpy()
    for mask, small in zip(masks, found, strict=True):
        np.testing.assert_array_equal(small, mask & (flood_areas(mask) <= limit))


def test_no_component_at_all():
    assert not small_components(np.zeros((5, 5), bool), 8).any()


def test_diagonal_neighbours_hang_together():
    mask = np.eye(9, dtype=bool)
    assert not small_components(mask, 8).any()
    assert small_components(mask, 9).sum() == 9


def disc_with_holes() -> torch.Tensor:
    logits = torch.full((2, 1, 20, 20), -5.0)
    logits[:, :, 2:18, 2:18] = 5.0
    logits[0, :, 4:6, 4:8] = -1.0  # 8 pixels
    logits[0, :, 10:13, 10:13] = -1.0  # 9 pixels
    logits[1, :, 0, 0] = 3.0
    return logits


def test_holes_up_to_the_area_are_raised():
    logits = disc_with_holes()
    filled = fill_holes(logits, 8)
    expected = logits.clone()
    expected[0, :, 4:6, 4:8] = 0.1
    assert torch.equal(filled, expected)
    assert logits[0, 0, 4, 4] == -1.0


def test_filling_can_be_off():
    logits = disc_with_holes()
    assert fill_holes(logits, 0) is logits


def test_specks_up_to_the_area_are_lowered():
    logits = disc_with_holes()
    cleaned = remove_specks(logits, 1, value=-10.0)
    expected = logits.clone()
    expected[1, 0, 0, 0] = -10.0
    assert torch.equal(cleaned, expected)


def test_each_pixel_goes_to_the_best_object():
    logits = torch.tensor([[3.0, 1.0, -20.0], [2.0, 4.0, -30.0]])[:, None, None]
    got = without_overlaps(logits)
    expected = torch.tensor([[3.0, -10.0, -20.0], [-10.0, 4.0, -30.0]])
    assert torch.equal(got[:, 0, 0], expected)


def test_a_single_object_has_no_rival():
    logits = disc_with_holes()[:1]
    assert torch.equal(without_overlaps(logits), logits)
