"""Masks of one object in its window, and how several of them compare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sam2_core.nn.closeup import SIDE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sam2_core.windows import Window

ALIKE = 0.7  # IoU above which two masks are no two answers
SAME = 0.5  # IoU with the coarse copy of a mask above which it is that mask
NOWHERE = -32.0


@dataclass(frozen=True)
class Answer:
    """One mask of an object.

    Attributes
    ----------
    window : Window
        Where the object is.
    logits : Tensor
        (SIDE, SIDE) float32 of the mask in the window.
    score : float
        Predicted IoU, 0 to 1.
    present : float
        Predicted probability that the object is there at all.
    """

    window: Window
    logits: Tensor
    score: float
    present: float

    def over(self, image_hw: tuple[int, int], size: int) -> Tensor:
        """Logits over the whole image, at (size, size) places of it."""
        height, width = image_hw
        at = torch.arange(size, device=self.logits.device) + 0.5
        x, y = at * (width / size) - 0.5, at * (height / size) - 0.5
        return self._at(x, y)

    def seen_in(self, window: Window) -> Tensor:
        """Logits as seen in another window, (SIDE, SIDE)."""
        at = torch.arange(SIDE, device=self.logits.device) + 0.5
        step = window.side / SIDE
        return self._at(at * step + window.x, at * step + window.y)

    def _at(self, x: Tensor, y: Tensor) -> Tensor:
        """Logits at columns x and rows y of the image, (len(y), len(x))."""
        unit = 2 / self.window.side
        x, y = (x - self.window.x) * unit - 1, (y - self.window.y) * unit - 1
        grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)[None]
        # Shifted, because beyond the window there are zeros.
        shifted = self.logits[None, None].clamp(min=NOWHERE) - NOWHERE
        moved = F.grid_sample(shifted, grid, align_corners=False)
        return moved[0, 0] + NOWHERE


def distinct(answers: Sequence[Answer]) -> list[Answer]:
    """Best first, without those that show much the same as a better one."""
    kept: list[Answer] = []
    seen = [answer for answer in answers if bool((answer.logits > 0).any())]
    for answer in sorted(seen or answers[:1], key=lambda a: -a.score):
        mask = answer.logits > 0
        if all(overlap(mask, k.seen_in(answer.window) > 0) < ALIKE for k in kept):
            kept.append(answer)
    return kept


def most_alike(mask: Answer, answers: list[Answer]) -> Answer:
    """The answer that shows this mask, sharper than it was handed back."""
    inside = mask.logits > 0
    overlaps = [overlap(inside, a.seen_in(mask.window) > 0) for a in answers]
    best = int(np.argmax(overlaps))
    return answers[best] if overlaps[best] > SAME else mask


def overlap(a: Tensor, b: Tensor) -> float:
    """IoU of two bool masks."""
    return float((a & b).sum() / (a | b).sum().clamp(min=1))
