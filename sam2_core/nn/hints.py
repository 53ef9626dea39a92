"""First guesses at the prompted object, drawn from the guide and the prompts.

One map per question that a person would ask: which pixels vote for the same centre as
the clicked one, which look alike, which are reached without crossing an outline, which
lie in the box. The maps join the decoder twice: as part of the dense prompt, and at
stride 4, where cells too small for the stride-16 tokens can still be told apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sam2_core.nn.flood import flood, lowest_around
from sam2_core.nn.guide import (
    CENTRE_UNIT,
    FEATURES,
    HEAD_CHANNELS,
    OFFSET,
    OUTLINE,
    TRAIT,
)
from sam2_core.nn.layers import MLP
from sam2_core.nn.prompt_encoder import (
    BOX_BOTTOM_RIGHT,
    BOX_TOP_LEFT,
    DRAWN_LOGIT,
    DRAWN_STRIDE,
    NEGATIVE,
    POSITIVE,
)

FLOOD_LOGIT = 6.0
MAPS = 13


@dataclass(frozen=True)
class _Reference:
    """What pixels are compared with: R of them for each of N prompts.

    ``vote`` (N, R, 2) is a centre (y, x in cells), ``trait`` (N, R, C) of unit length,
    ``cell`` (N, R, 2) a place (y, x) and ``valid`` (N, R) whether it counts.
    """

    vote: Tensor
    trait: Tensor
    cell: Tensor
    valid: Tensor


class PromptHints(nn.Module):
    """Lets hint maps into the decoder, and judges the masks that come out.

    Parameters
    ----------
    dim : int
        Width of the image embedding; the decoder's canvas has an eighth of it.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        canvas = dim // 8
        self.to_dense = nn.Conv2d(MAPS, dim, 4, stride=4)
        self.enter = nn.Conv2d(canvas + MAPS, FEATURES, 3, padding=1)
        self.wide = nn.Conv2d(FEATURES, FEATURES, 3, padding=2, dilation=2)
        self.near = nn.Conv2d(FEATURES, FEATURES, 3, padding=1)
        self.leave = nn.Conv2d(FEATURES, canvas, 1)
        self.judge = MLP(2 * FEATURES + 2, FEATURES, 1, 3)
        for layer in (self.to_dense, self.leave, self.judge.layers[-1]):
            for parameter in layer.parameters():
                nn.init.zeros_(parameter)

    def dense(self, maps: Tensor) -> Tensor:
        """Part of the dense prompt: (N, MAPS, 4g, 4g) -> (N, dim, g, g)."""
        return cast("Tensor", self.to_dense(maps))

    def look(self, canvas: Tensor, maps: Tensor, guide: Tensor) -> Tensor:
        """What canvas, hints and guide say together.

        Parameters
        ----------
        canvas : Tensor
            (N, dim / 8, 4g, 4g), on which the decoder draws.
        maps : Tensor
            (N, MAPS, 4g, 4g).
        guide : Tensor
            (1 or N, GUIDE_CHANNELS, 4g, 4g).

        Returns
        -------
        Tensor
            (N, FEATURES, 4g, 4g).
        """
        joined = torch.cat((canvas, maps.to(canvas.dtype)), 1)
        x = self.enter(joined.contiguous(memory_format=torch.channels_last))
        # In the layout of x: adding across layouts is slow.
        seen = guide[:, HEAD_CHANNELS:].to(canvas.dtype)
        seen = seen.contiguous(memory_format=torch.channels_last)
        x = F.relu(x + seen, inplace=True)
        x = F.relu(x + self.wide(x), inplace=True)
        return F.relu(x + self.near(x), inplace=True)

    def score(self, features: Tensor, logits: Tensor) -> Tensor:
        """What masks look like inside and around says how good they are.

        Parameters
        ----------
        features : Tensor
            (N, FEATURES, 4g, 4g) from :meth:`look`.
        logits : Tensor
            (N, M, 4g, 4g) of the masks.

        Returns
        -------
        Tensor
            (N, M), to be added to the logits of the predicted IoU.
        """
        inside = logits.detach().sigmoid()
        # Two steps of 3 x 3 reach as far as 5 x 5 and cost a CPU a tenth of pooling.
        around = -lowest_around(lowest_around(-inside)) - inside

        def mean(weight: Tensor) -> Tensor:
            total = torch.einsum("nchw,nmhw->nmc", features, weight)
            return total / (weight.sum((2, 3))[..., None] + 1)

        area = inside.sum((2, 3))
        doubt = (inside * (1 - inside)).sum((2, 3)) / (area + 1)
        parts = (mean(inside), mean(around), (area + 1).log()[..., None] / 8)
        return cast(
            "Tensor", self.judge(torch.cat((*parts, doubt[..., None]), 2))[..., 0]
        )


@dataclass(frozen=True)
class DrawnHints:
    """The hints of N prompts on one image, as the decoder wants them.

    ``maps`` is (N, MAPS, 4g, 4g), ``guide`` (1 or N, GUIDE_CHANNELS, 4g, 4g).
    """

    layers: PromptHints
    maps: Tensor
    guide: Tensor

    def refine(self, canvas: Tensor) -> tuple[Tensor, Tensor]:
        """The canvas with the hints worked in, and the features behind them."""
        features = self.layers.look(canvas, self.maps, self.guide)
        return canvas + self.layers.leave(features), features

    def score(self, features: Tensor, logits: Tensor) -> Tensor:
        """See :meth:`PromptHints.score`."""
        return self.layers.score(features, logits)


def first_guess(point_xy: Tensor, labels: Tensor, guide: Tensor) -> Tensor:
    """Mask logits of the region that positive clicks spread into.

    Parameters
    ----------
    point_xy, labels : Tensor
        (N, P, 2) and (N, P), as for :func:`sam2_core.nn.prompt_encoder.draw_prompts`.
    guide : Tensor
        (1 or N, GUIDE_CHANNELS, h, w).

    Returns
    -------
    Tensor
        (N, 1, h, w) logits, 0 for those without a positive click.
    """
    n = len(labels)
    h, w = guide.shape[-2:]
    cells = ((point_xy + 0.5) / DRAWN_STRIDE).floor().long()
    at = cells[..., 1].clamp(0, h - 1) * w + cells[..., 0].clamp(0, w - 1)
    positive = labels == POSITIVE
    if not bool(positive.any()):
        return torch.zeros(n, 1, h, w, device=guide.device)
    seeds = torch.zeros(n, h * w, device=guide.device)
    seeds = seeds.scatter_reduce(1, at, positive.float(), "amax").reshape(n, 1, h, w)
    barrier = guide[:, OUTLINE : OUTLINE + 1].detach().float().sigmoid()
    crossed = flood(barrier.expand(n, -1, -1, -1), seeds > 0)
    clicked = positive.any(1)[:, None, None, None]
    return torch.where(clicked, FLOOD_LOGIT * (1 - 2 * crossed), 0.0)


def hint_maps(
    guide: Tensor,
    point_xy: Tensor,
    labels: Tensor,
    drawn: Tensor,
    spread: Tensor,
) -> Tensor:
    """All hint maps of N prompts.

    Parameters
    ----------
    guide : Tensor
        (1 or N, GUIDE_CHANNELS, h, w).
    point_xy, labels : Tensor
        (N, P, 2) and (N, P); prompts may have neither points nor a box.
    drawn : Tensor
        (N, 1, h, w) mask prompt with everything drawn into it.
    spread : Tensor
        (N, 1, h, w) from :func:`first_guess`.

    Returns
    -------
    Tensor
        (N, MAPS, h, w) float32, roughly within +-1.
    """
    n = len(labels)
    h, w = guide.shape[-2:]
    clues = guide[:, :HEAD_CHANNELS].float()
    y = torch.arange(h, device=guide.device)[:, None].expand(h, w)
    x = torch.arange(w, device=guide.device)[None].expand(h, w)
    place = torch.stack((y, x)).float()
    votes = place + clues[:, OFFSET] * (CENTRE_UNIT / DRAWN_STRIDE)
    traits = F.normalize(clues[:, TRAIT], dim=1)
    if not bool((labels >= NEGATIVE).any()):
        return _followed_maps(votes, traits, place, drawn)
    cells = (point_xy + 0.5) / DRAWN_STRIDE - 0.5

    clicks = _at_points(votes, traits, cells, labels == POSITIVE)
    followed = _at_mask(votes, traits, drawn, ~(labels >= NEGATIVE).any(1))
    alike = _Reference(
        *(
            torch.cat((getattr(clicks, name), getattr(followed, name)), 1)
            for name in ("vote", "trait", "cell", "valid")
        )
    )
    unlike = _at_points(votes, traits, cells, labels == NEGATIVE)
    votes, traits = (t.expand(n, -1, -1, -1) for t in (votes, traits))
    centre, likeness, nearness = _compare(votes, traits, place, alike)
    other, dislikeness, otherness = _compare(votes, traits, place, unlike)
    return torch.cat(
        (
            (drawn / DRAWN_LOGIT).clamp(-1, 1),
            spread / FLOOD_LOGIT,
            torch.exp(-centre),
            torch.exp(-centre / 4),
            likeness,
            torch.exp(-nearness / 4),
            torch.exp(-nearness / 16),
            torch.exp(-other / 2),
            dislikeness,
            torch.exp(-otherness / 4),
            _box_maps(cells, labels, place, votes),
        ),
        1,
    )


def _followed_maps(
    votes: Tensor, traits: Tensor, place: Tensor, drawn: Tensor
) -> Tensor:
    """The same where there is nothing but the mask of the frame before."""
    before = _at_mask(
        votes, traits, drawn, drawn.new_ones(len(drawn), dtype=torch.bool)
    )
    centre, likeness, nearness = _compare(votes, traits, place, before)
    maps = (
        (drawn / DRAWN_LOGIT).clamp(-1, 1),
        torch.exp(-centre),
        torch.exp(-centre / 4),
        likeness,
        torch.exp(-nearness / 4),
        torch.exp(-nearness / 16),
    )
    shown = drawn.new_zeros(len(drawn), MAPS, *drawn.shape[-2:])
    for channel, found in zip((0, 2, 3, 4, 5, 6), maps, strict=True):
        shown[:, channel : channel + 1] = found
    return shown


def _at_points(
    votes: Tensor, traits: Tensor, cells_xy: Tensor, valid: Tensor
) -> _Reference:
    h, w = votes.shape[-2:]
    n = len(valid)
    size = cells_xy.new_tensor((w, h))
    grid = ((cells_xy + 0.5) / size * 2 - 1)[:, :, None]
    both = torch.cat((votes, traits), 1).expand(n, -1, -1, -1)
    found = F.grid_sample(
        both, grid, mode="bilinear", padding_mode="border", align_corners=False
    )[..., 0].transpose(1, 2)
    return _Reference(
        found[..., :2], F.normalize(found[..., 2:], dim=2), cells_xy.flip(2), valid
    )


def _at_mask(
    votes: Tensor, traits: Tensor, drawn: Tensor, wanted: Tensor
) -> _Reference:
    """Mean over the mask of the frame before, where there is no other prompt."""
    inside = (drawn > 0).float()
    area = inside.sum((2, 3))  # (N, 1)

    def mean(values: Tensor) -> Tensor:
        total = torch.einsum(
            "nchw,nhw->nc", values.expand(len(inside), -1, -1, -1), inside[:, 0]
        )
        return (total / area.clamp(min=1))[:, None]

    vote = mean(votes)
    valid = wanted[:, None] & (area > 0)
    return _Reference(vote, F.normalize(mean(traits), dim=2), vote, valid)


def _compare(
    votes: Tensor, traits: Tensor, place: Tensor, reference: _Reference
) -> tuple[Tensor, Tensor, Tensor]:
    """Distance of the votes, likeness and distance in place to the best reference."""
    far = 1e3
    skip = ~reference.valid[:, :, None, None]

    def distance(maps: Tensor, points: Tensor) -> Tensor:
        squared = (maps[:, None] - points[..., None, None]).square().sum(2)
        return (squared + 1e-4).sqrt().masked_fill(skip, far).amin(1, keepdim=True)

    likeness = torch.einsum("nchw,nrc->nrhw", traits, reference.trait)
    best = likeness.masked_fill(skip, -2).amax(1, keepdim=True)
    some = reference.valid.any(1)[:, None, None, None]
    return (
        distance(votes, reference.vote),
        torch.where(some, best, 0.0),
        distance(place[None], reference.cell),
    )


def _box_maps(cells_xy: Tensor, labels: Tensor, place: Tensor, votes: Tensor) -> Tensor:
    """Inside of the box, its ellipse, votes for its centre; 0 without: (N, 3, h, w)."""

    def corner(kind: int) -> Tensor:
        return (cells_xy * (labels == kind)[..., None]).sum(1).flip(1)

    first, last = corner(BOX_TOP_LEFT), corner(BOX_BOTTOM_RIGHT)
    boxed = ((labels == BOX_TOP_LEFT).any(1))[:, None, None]
    centre = ((first + last) / 2)[..., None, None]
    half = ((last - first) / 2).clamp(min=0.5)[..., None, None]
    away = (place[None] - centre) / half
    inside = torch.where(away.abs().amax(1) <= 1, 1.0, -1.0)
    ellipse = (1 - away.square().sum(1)).clamp(-1, 1)
    votes_away = ((votes - centre) / half).square().sum(1)
    maps = (inside, ellipse, torch.exp(-2 * votes_away))
    return torch.stack([torch.where(boxed, m, 0.0) for m in maps], 1)
