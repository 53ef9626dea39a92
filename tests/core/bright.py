"""A stand-in for the close-up network that knows only bright things."""

from __future__ import annotations

import torch
from skimage.measure import label
from torch import nn

from sam2_core.nn.closeup import IMAGE_MAPS, SeenObject


class Bright(nn.Module):
    """Takes what is brighter than the mean of its window for the object.

    Of several bright things it takes the one under the positive click, if there is one.

    Its score is best where that covers a quarter of the window's area, as it does if
    the object has half of the window's side, and 0 where it touches the border or the
    positive click lies outside. `calls` lists the number of windows of each call.
    `present` is the logit of presence of what it sees.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 1, 1)
        self.calls = []
        self.maps = None
        self.present = 4.0

    def for_first_answers(self):
        return self

    def forward(self, maps):
        self.calls.append(len(maps))
        self.maps = maps
        logits = _touched(maps, (maps[:, 0] - 0.5) * 8)
        mask = logits > 0
        share = mask.float().mean((1, 2))
        ring = torch.ones_like(mask)
        ring[:, 1:-1, 1:-1] = False
        cut_off = (mask & ring).flatten(1).any(1)
        clicked = (maps[:, IMAGE_MAPS] > 0.9).flatten(1).any(1)
        hit = ((maps[:, IMAGE_MAPS] > 0.9) & mask).flatten(1).any(1) | ~clicked
        iou = torch.where(hit & ~cut_off, 4 - 20 * (share - 0.2).abs(), -8.0)
        present = torch.where(mask.flatten(1).any(1), self.present, -4.0)
        return SeenObject(logits, iou, present)


def _touched(maps, logits):
    kept = logits.clone()
    for spots, plane in zip(maps[:, IMAGE_MAPS], kept, strict=True):
        if spots.max() > 0.9:
            pieces = torch.from_numpy(label((plane > 0).numpy()))
            here = pieces.flatten()[spots.argmax()]
            plane[(pieces != here) | (pieces == 0)] = -4
    return kept


def iou(a, b):
    """Of two masks."""
    return (a & b).sum() / (a | b).sum()
