"""Portraits: what an object looked like, at any size and place of a window."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sam2_core.closeups.answers import Answer
from sam2_core.closeups.portraits import Portrait, signs
from sam2_core.closeups.windows import Window, cut
from sam2_core.nn.closeup import SIDE

HW = (200, 260)
ROWS, COLUMNS = np.mgrid[: HW[0], : HW[1]]


def square(x, y, half=10):
    return (abs(COLUMNS - x) <= half) & (abs(ROWS - y) <= half)


def seen(mask, window):
    """An answer with this mask of the image."""
    drawn = cut(torch.from_numpy(mask * 16.0 - 8)[None].float(), [window], SIDE)
    return Answer(window, drawn[0, 0], 1.0, 1.0)


def image_of(mask):
    grey = torch.from_numpy(np.where(mask, 200, 40).astype(np.uint8))
    return grey.expand(3, -1, -1)


@pytest.fixture
def portrait():
    mask = square(60, 70)
    window = Window.around((60, 70), 40, HW)
    return Portrait.of(image_of(mask), seen(mask, window), window)


@pytest.mark.parametrize("side", [40, 64, 28])
def test_it_lies_where_another_mask_does(portrait, side):
    """The object is elsewhere in its own image, and as large as it is there."""
    window = Window.around((150, 118), side, HW)
    grey, mask, _ = portrait.beside(seen(square(154, 121), window), window)
    expected = seen(square(154, 121), window).logits > 0
    assert mask.unique().tolist() == [-1, 1]
    for shown in (mask > 0, grey > 120):
        overlap = (shown & expected).sum() / (shown | expected).sum()
        assert overlap > 0.93
    assert grey.min() == pytest.approx(40, abs=2)
    assert grey.max() == pytest.approx(200, abs=2)


def test_beside_an_empty_mask_it_is_in_the_middle(portrait):
    window = Window.around((150, 118), 40, HW)
    nothing = Answer(window, torch.full((SIDE, SIDE), -4.0), 0.0, 0.0)
    _, mask, _ = portrait.beside(nothing, window)
    rows, columns = (mask > 0).nonzero(as_tuple=True)
    for at in (rows, columns):
        assert at.float().mean() == pytest.approx((SIDE - 1) / 2, abs=1.5)


def test_it_is_small(portrait):
    assert portrait.grey.dtype == torch.uint8
    assert portrait.grey.numel() == (2 * SIDE) ** 2


def test_signs():
    assert signs(torch.tensor([-3.0, 0.0, 0.1])).tolist() == [-1, -1, 1]


def test_slips_are_what_the_network_gets_wrong(portrait):
    true = portrait.answer.seen_in(portrait.own, SIDE) > 0
    drawn = seen(square(64, 70), portrait.own).logits  # too far to the right
    assert not portrait.beside(portrait.answer, portrait.own)[2].any()  # not known yet
    portrait.learn(drawn)
    slips = portrait.beside(portrait.answer, portrait.own)[2]
    assert torch.equal(drawn + slips > 0, true)
    assert torch.equal(slips.abs() > 0.1, (drawn > 0) != true)


@pytest.mark.parametrize("side", [40, 60])
def test_slips_lie_about_another_mask(portrait, side):
    """At its size, and where it is not in the middle of its window."""
    # Drawn too far to the left by 4 of its 21 pixels.
    portrait.learn(seen(square(56, 70), portrait.own).logits)
    half = side // 4
    x = HW[1] - half - 1
    window = Window.around((x, 90), side, HW)  # moved into the image
    other = seen(square(x, 90, half), window)
    columns = (portrait.beside(other, window)[2] < 0).nonzero()[:, 1]
    first = (other.logits > 0).nonzero()[:, 1].min()
    assert columns.max() == pytest.approx(int(first), abs=1.5)
    assert columns.min() == pytest.approx(int(first) - 4 / 21 * SIDE / 2, abs=2)
