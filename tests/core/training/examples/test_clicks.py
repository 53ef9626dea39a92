from __future__ import annotations

import numpy as np
import pytest
import torch

from sam2_core.training.examples.clicks import (
    Click,
    clicks_to_prompt,
    first_click,
    next_click,
    sample_click,
    sample_error_click,
    sample_error_clicks,
    tight_box,
)


def _depth(mask: np.ndarray) -> np.ndarray:
    """Distance of each pixel to the nearest pixel outside, by trying all of them."""
    padded = np.pad(mask, 1)
    outside = np.argwhere(~padded)
    depth = np.zeros(padded.shape)
    for y, x in np.argwhere(padded):
        depth[y, x] = np.hypot(*(outside - (y, x)).T).min()
    return depth[1:-1, 1:-1]


def _blob(seed: int, size: int = 24) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    mask = np.zeros((size, size), bool)
    for _ in range(3):
        cy, cx = rng.uniform(0, size, 2)
        mask |= (y - cy) ** 2 + (x - cx) ** 2 < rng.uniform(2, 7) ** 2
    return mask


def test_first_click_is_the_centre_of_a_disc() -> None:
    y, x = np.mgrid[:40, :60]
    assert first_click((x - 33) ** 2 + (y - 12) ** 2 <= 81) == Click(33, 12, 1)


@pytest.mark.parametrize("seed", range(5))
def test_first_click_is_the_deepest_pixel(seed: int) -> None:
    mask = _blob(seed)
    click = first_click(mask)
    depth = _depth(mask)
    assert depth[click.y, click.x] == pytest.approx(depth.max())
    assert first_click(mask) == click


def test_first_click_takes_the_first_of_equal_pixels() -> None:
    mask = np.zeros((5, 9), bool)
    mask[1:4, 1:4] = mask[1:4, 5:8] = True
    assert first_click(mask) == Click(2, 2, 1)


def test_the_image_border_counts_as_outside() -> None:
    assert first_click(np.ones((7, 9), bool))[:2] == (3, 3)


def test_first_click_avoids_the_hole_of_a_ring() -> None:
    y, x = np.mgrid[:31, :31]
    distance = np.hypot(y - 15, x - 15)
    ring = (distance <= 14) & (distance >= 7)
    click = first_click(ring)
    assert ring[click.y, click.x]


def test_an_empty_object_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        first_click(np.zeros((4, 4), bool))
    with pytest.raises(ValueError, match="empty"):
        tight_box(np.zeros((4, 4), bool))


def test_next_click_goes_to_the_deeper_error() -> None:
    target = np.zeros((40, 40), bool)
    target[5:20, 5:20] = True
    predicted = target.copy()
    predicted[10:13, 10:13] = False
    assert next_click(target, predicted) == Click(11, 11, 1)
    predicted[25:36, 25:36] = True
    assert next_click(target, predicted) == Click(30, 30, 0)
    # A long thin excess is larger but shallower than the miss.
    predicted[25:36, 25:36] = False
    predicted[38:40, :] = True
    assert next_click(target, predicted) == Click(11, 11, 1)


def test_the_miss_wins_at_equal_depth() -> None:
    target = np.zeros((10, 20), bool)
    target[3:6, 12:15] = True
    predicted = np.zeros_like(target)
    predicted[3:6, 2:5] = True
    assert next_click(target, predicted) == Click(13, 4, 1)


def test_equal_masks_need_no_click() -> None:
    mask = _blob(1)
    assert next_click(mask, mask) is None
    assert sample_click(np.random.default_rng(0), mask, mask) is None


def test_tight_box_holds_the_outermost_pixel_centres() -> None:
    mask = np.zeros((20, 30), bool)
    mask[4, 7] = mask[11, 22] = True
    box = tight_box(mask)
    assert box.dtype == np.float32
    assert box.tolist() == [7, 4, 22, 11]


def test_a_single_pixel_gets_a_box_with_an_area_inside_the_image() -> None:
    for y, x in [(0, 0), (9, 14), (5, 14)]:
        mask = np.zeros((10, 15), bool)
        mask[y, x] = True
        x0, y0, x1, y1 = tight_box(mask)
        assert 0 <= x0 <= x <= x1 <= 14
        assert 0 <= y0 <= y <= y1 <= 9
        assert (x1 - x0, y1 - y0) == (1, 1)


def test_clicks_become_a_prompt() -> None:
    coords, labels = clicks_to_prompt([Click(3, 4, 1), Click(8, 2, 0)])
    assert coords.dtype == np.float32
    assert coords.tolist() == [[3, 4], [8, 2]]
    assert labels.tolist() == [1, 0]


def test_sampled_pixels_lie_inside_and_away_from_the_edge() -> None:
    rng = np.random.default_rng(0)
    mask = np.zeros((60, 80), bool)
    mask[10:50, 20:70] = True
    points = [sample_error_click(rng, mask) for _ in range(200)]
    assert None not in points
    x, y = np.array(points).T
    assert len(np.unique(x)) > 20
    assert x.min() >= 25
    assert x.max() <= 64
    assert y.min() >= 15
    assert y.max() <= 44


@pytest.mark.parametrize("seed", range(5))
def test_sampled_pixels_lie_inside_any_shape(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random((20, 20)) < 0.05
    mask[0, 0] = True
    for _ in range(20):
        point = sample_error_click(rng, mask)
        assert point is not None
        assert mask[point[1], point[0]]
    assert sample_error_click(rng, np.zeros((5, 5))) is None


def test_sampled_corrections_have_the_label_of_their_error() -> None:
    rng = np.random.default_rng(0)
    target = np.zeros((30, 30), bool)
    target[5:15, 5:25] = True
    predicted = np.zeros_like(target)
    predicted[10:20, 5:25] = True
    labels = set()
    for _ in range(40):
        click = sample_click(rng, target, predicted)
        assert click is not None
        assert target[click.y, click.x] != predicted[click.y, click.x]
        assert target[click.y, click.x] == bool(click.label)
        labels.add(click.label)
    assert labels == {0, 1}


def test_batch_of_sampled_corrections() -> None:
    target = torch.zeros(4, 32, 40, dtype=torch.bool)
    predicted = target.clone()
    target[0, 4:20, 6:30] = True  # only missed
    predicted[1, 4:20, 6:30] = True  # only excess
    target[2, 3, 3] = True  # one pixel, no deep one
    target[3, 8:20, 8:20] = predicted[3, 8:20, 8:20] = True  # no error
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        coords, labels = sample_error_clicks(target, predicted, generator)
        assert coords.shape == (4, 1, 2)
        assert labels[:, 0].tolist() == [1, 0, 1, -1]
        for x, y in coords[:2, 0].tolist():
            assert 7 <= x <= 28
            assert 5 <= y <= 18
        assert coords[2, 0].tolist() == [3, 3]


def test_batch_keeps_away_from_the_other_kind_of_error() -> None:
    target = torch.zeros(1, 20, 20, dtype=torch.bool)
    target[0, :, :10] = True
    predicted = ~target  # everything is wrong, one half each way
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        coords, _ = sample_error_clicks(target, predicted, generator)
        assert coords[0, 0, 0].item() not in (9, 10)
