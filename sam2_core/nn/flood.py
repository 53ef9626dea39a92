"""How far a click spreads before it meets something that looks different."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SPREAD = 1.5  # difference, in standard deviations of the image, at which it has stopped
LOGIT = 6.0


def guide_map(pixels: Tensor, stride: int) -> Tensor:
    """Small grey copy of normalised images, in which clicks spread.

    Parameters
    ----------
    pixels : Tensor
        (B, 3, H, W) float.
    stride : int
        Pixels per cell.

    Returns
    -------
    Tensor
        (B, 1, H / stride, W / stride) float32, mean 0 and standard deviation 1,
        slightly smoothed.
    """
    grey = F.avg_pool2d(pixels.float().mean(1, keepdim=True), stride)
    grey = F.avg_pool2d(grey, 3, stride=1, padding=1, count_include_pad=False)
    centred = grey - grey.mean((2, 3), keepdim=True)
    return centred / (centred.square().mean((2, 3), keepdim=True).sqrt() + 1e-3)


def flood(guide: Tensor, cell_xy: Tensor, seeds: Tensor) -> Tensor:
    """Logits of the regions that clicks spread into.

    A cell gets the largest difference from the clicked cell's grey value that has to
    be crossed to reach it: small inside an object of even brightness, large beyond its
    edge, whether the edge is a step, a bright membrane or a dark gap.

    Parameters
    ----------
    guide : Tensor
        (N, 1, h, w) from :func:`guide_map`.
    cell_xy : Tensor
        (N, P, 2) seeds, x then y, in cells.
    seeds : Tensor
        (N, P) bool; others do not spread.

    Returns
    -------
    Tensor
        (N, 1, h, w) from ``LOGIT`` at the seeds down to minus that; 0 everywhere for
        those without a seed.
    """
    h, w = guide.shape[-2:]
    x = cell_xy[..., 0].round().long().clamp(0, w - 1)
    y = cell_xy[..., 1].round().long().clamp(0, h - 1)
    at = y * w + x  # (N, P)
    clicked = guide.flatten(1).gather(1, at)
    cost = (guide - clicked[:, :, None, None]).abs().clamp(max=SPREAD)
    crossed = torch.full_like(cost, SPREAD).flatten(2)
    start = torch.where(seeds, 0.0, SPREAD).to(crossed.dtype)
    crossed = crossed.scatter(2, at[..., None], start[..., None]).reshape(cost.shape)
    # Half the image is as far as an object is followed.
    for _ in range(max(h, w) // 2):
        nearest = -F.max_pool2d(-crossed, 3, stride=1, padding=1)
        crossed = torch.minimum(crossed, torch.maximum(nearest, cost))
    best = crossed.amin(1, keepdim=True)
    logits = LOGIT * (1 - 2 * best / SPREAD)
    return logits * seeds.any(1)[:, None, None, None]
