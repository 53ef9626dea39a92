"""Clicks that spread, and prompts that are drawn."""

from __future__ import annotations

import torch

from sam2_core.nn.flood import LOGIT, flood, guide_map
from sam2_core.nn.prompt_encoder import DRAWN_LOGIT, draw_prompts, spread_prompts


def two_cells() -> torch.Tensor:
    """Two bright squares on dark ground, a dark gap of two cells between them."""
    guide = torch.full((1, 1, 16, 16), -1.0)
    guide[..., 4:12, 1:7] = 1.5
    guide[..., 4:12, 9:15] = 1.5
    return guide


def test_a_click_fills_its_cell_and_no_other():
    seeds = torch.tensor([[True]])
    logits = flood(two_cells(), torch.tensor([[[3.0, 8.0]]]), seeds)
    expected = torch.zeros(16, 16, dtype=torch.bool)
    expected[4:12, 1:7] = True
    assert torch.equal(logits[0, 0] > 0, expected)
    assert logits[0, 0, 8, 3] == LOGIT
    assert logits[0, 0, 8, 12] == -LOGIT  # as bright, but behind the gap


def test_without_a_seed_nothing_spreads():
    nowhere = torch.tensor([[False]])
    logits = flood(two_cells(), torch.tensor([[[3.0, 8.0]]]), nowhere)
    assert not logits.any()


def test_guide_does_not_depend_on_brightness_and_contrast():
    pixels = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    guide = guide_map(pixels, 4)
    assert guide.shape == (1, 1, 8, 8)
    torch.testing.assert_close(
        guide, guide_map(pixels * 40 + 7, 4), atol=0.05, rtol=0.05
    )


def test_only_positive_clicks_spread():
    # Cell (3, 8) of the guide is pixel (13.5, 33.5) of the input.
    points = torch.tensor([[[13.5, 33.5]]]).expand(2, 1, 2)
    labels = torch.tensor([[1], [0]])
    spread = spread_prompts(points, labels, two_cells())
    assert (spread[0] > 0).sum() == 48
    assert not spread[1].any()


def test_box_bars_its_outside_and_clicks_are_discs():
    # Box from pixel 16 to 47 (cells 4 to 11) and a negative click in it.
    points = torch.tensor([[[16.0, 16.0], [47.0, 47.0], [29.5, 29.5]]])
    labels = torch.tensor([[2, 3, 0]])
    drawn = draw_prompts(points, labels, torch.zeros(1, 1, 16, 16))[0, 0]
    inside = torch.zeros(16, 16, dtype=torch.bool)
    inside[4:12, 4:12] = True
    assert (drawn[~inside] == -DRAWN_LOGIT).all()
    assert drawn[7, 7] == -DRAWN_LOGIT
    assert drawn[10, 10] == 0
    positive = draw_prompts(points[:, 2:], labels[:, 2:] + 1, torch.zeros(1, 1, 16, 16))
    assert (positive == DRAWN_LOGIT).sum() == 9
