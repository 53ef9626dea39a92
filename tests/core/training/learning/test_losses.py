"""Losses of masks, scores and presence."""

from __future__ import annotations

import math

import pytest
import torch

from sam2_core.nn.mask_decoder import DecodedMasks
from sam2_core.training.learning.losses import (
    balanced_cross_entropy,
    dice_loss,
    mask_iou,
    prompt_loss,
    soft_targets,
)


def square(size: int = 32) -> torch.Tensor:
    target = torch.zeros(1, size, size)
    target[:, 10:14, 10:14] = 1
    return target


def decoded(logits: torch.Tensor, iou: list[float]) -> DecodedMasks:
    return DecodedMasks(
        logits, torch.tensor([iou]), torch.zeros(1, 4, 8), torch.ones(1, 1)
    )


def test_soft_targets_are_the_covered_part():
    masks = torch.zeros(1, 8, 8, dtype=torch.bool)
    masks[0, :3, :4] = True
    assert torch.equal(
        soft_targets(masks, (2, 2))[0], torch.tensor([[0.75, 0], [0, 0]])
    )


def test_undecided_masks_cost_what_the_weights_say():
    # ln 2 for each: 1 for the object of 4 x 4, as much per cell for the 3 cells beside
    # it (10 x 10 - 4 x 4), 4 for the ring beyond (its cap), a half for the rest.
    loss = balanced_cross_entropy(torch.zeros(1, 1, 32, 32), square())
    assert float(loss) == pytest.approx(math.log(2) * (1 + 84 / 16 + 4 + 0.5), rel=1e-4)


def test_true_masks_cost_nothing_and_empty_ones_do():
    right = (square()[:, None] - 0.5) * 60
    empty = torch.full_like(right, -30.0)
    assert float(balanced_cross_entropy(right, square())) < 1e-6
    assert float(dice_loss(right, square())) < 1e-3
    assert float(dice_loss(empty, square())) == pytest.approx(1 - 1 / 17, rel=1e-3)
    assert float(balanced_cross_entropy(empty, square())) == pytest.approx(30, rel=1e-3)


def test_iou_counts_cells():
    shifted = torch.roll(square(), 2, dims=2)
    logits = (shifted[:, None] - 0.5) * 20
    assert float(mask_iou(logits, square())) == pytest.approx(8 / 24)
    assert float(mask_iou(logits * 0 - 1, square() * 0)) == 1


def test_lone_click_learns_from_the_best_of_three():
    right = (square() - 0.5) * 60
    wrong = torch.full_like(right, -30.0)
    one = torch.stack((right, wrong, right, wrong), dim=1)
    none = torch.stack((right, wrong, wrong, wrong), dim=1)
    there = torch.tensor([True])
    reached = prompt_loss(decoded(one, [1, 0.0, 1, 0.0]), square(), there, True)
    missed = prompt_loss(decoded(none, [1, 0.0, 0.0, 0.0]), square(), there, True)
    assert float(reached.total) + 10 < float(missed.total)
    assert reached.shown.tolist() == [2]
    assert reached.iou.tolist() == [1]


def test_absent_objects_teach_presence_alone():
    logits = torch.randn(1, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    loss = prompt_loss(
        decoded(logits, [0.5] * 4), square() * 0, torch.tensor([False]), True
    )
    assert float(loss.total) == pytest.approx(math.log(1 + math.e), rel=1e-4)
