"""Losses of predicted masks, their scores and the object's presence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from sam2_core.nn.mask_decoder import DecodedMasks

# Edge and ring of an object reach half of these, in cells of the low-resolution mask.
EDGE, RING = 7, 17
MAX_RING_WEIGHT = 4.0
SCORE_WEIGHT = 2.0  # of the IoU scores, which choose among the ambiguous masks
# What all three ambiguous masks learn, beside the best of them. With 0 two of them
# became halos around the object, which were often taken for the best.
OTHERS_SHARE = 0.4
CROSS_ENTROPY_SHARE = 0.5  # beside Dice, which counts 1


def soft_targets(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """Part of each low-resolution cell that is object: (N, H, W) bool -> (N, h, w)."""
    return F.adaptive_avg_pool2d(masks[:, None].float(), size)[:, 0]


def balanced_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy in units of the object's own area.

    Objects cover a few percent of an image; a plain mean would teach empty masks. So
    the object weighs 1 whatever its size. A cell just outside weighs as much as one
    inside, as it does in an IoU; the ring beyond at most 4 in all (with the edge in it,
    small objects came out up to 2.5 times too large); the far ground one half.

    Parameters
    ----------
    logits : Tensor
        (N, M, h, w).
    target : Tensor
        (N, h, w) in [0, 1].

    Returns
    -------
    Tensor
        (N, M).
    """

    def within(reach: int) -> Tensor:
        # One axis after the other gives the same and costs a fraction.
        x = target[:, None]
        for size in ((reach, 1), (1, reach)):
            x = F.max_pool2d(x, size, stride=1, padding=(size[0] // 2, size[1] // 2))
        return x > 0

    beside, near = within(EDGE)[:, 0], within(RING)[:, 0]
    edge = (1 - target) * beside
    ring = (1 - target) * (near & ~beside)
    far = (1 - target) * ~near

    def total(region: Tensor) -> Tensor:
        return region.sum((1, 2), keepdim=True).clamp(min=1.0)

    object_area = total(target)
    ring_unit = torch.maximum(object_area, total(ring) / MAX_RING_WEIGHT)
    weight = (target + edge) / object_area + ring / ring_unit + 0.5 * far / total(far)
    loss = F.binary_cross_entropy_with_logits(
        logits, target[:, None].expand_as(logits), reduction="none"
    )
    return (loss * weight[:, None]).flatten(2).sum(2)


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """One minus the soft Dice overlap: (N, M, h, w), (N, h, w) -> (N, M)."""
    p = logits.sigmoid().flatten(2)
    t = target.flatten(1)[:, None]
    overlap = 2 * (p * t).sum(2) + 1
    return 1 - overlap / (p.sum(2) + t.sum(2) + 1)


@torch.no_grad()
def mask_iou(logits: Tensor, target: Tensor) -> Tensor:
    """IoU of thresholded masks: (N, M, h, w), (N, h, w) -> (N, M); 1 if both empty."""
    p = (logits > 0).flatten(2)
    t = (target > 0.5).flatten(1)[:, None]
    union = (p | t).sum(2)
    return torch.where(union > 0, (p & t).sum(2) / union.clamp(min=1), 1.0)


@dataclass
class MaskLoss:
    """Loss of a batch of prompts and what was reached.

    Attributes
    ----------
    total : Tensor
        Scalar to minimise.
    iou : Tensor
        (N,) IoU of the mask the model itself would show.
    shown : Tensor
        (N,) index of that mask among the four.
    """

    total: Tensor
    iou: Tensor
    shown: Tensor


def prompt_loss(
    decoded: DecodedMasks,
    target: Tensor,
    present: Tensor,
    ambiguous: bool,
) -> MaskLoss:
    """Loss of the four masks of N prompts.

    Mask 0 always learns; of the three ambiguous ones mostly the best, fully for a lone
    click and with half weight otherwise. All IoU scores learn the IoU reached.

    Parameters
    ----------
    decoded : DecodedMasks
        All four masks.
    target : Tensor
        (N, h, w) in [0, 1], at the size of the logits.
    present : Tensor
        (N,) bool; where False only presence is learned.
    ambiguous : bool
        Whether the prompts are lone clicks.
    """
    seg = CROSS_ENTROPY_SHARE * balanced_cross_entropy(decoded.logits, target)
    seg = seg + dice_loss(decoded.logits, target)
    best = seg[:, 1:].min(1).values
    several = (1 - OTHERS_SHARE) * best + OTHERS_SHARE * seg[:, 1:].mean(1)
    per_prompt = seg[:, 0] + (1.0 if ambiguous else 0.5) * several
    reached = mask_iou(decoded.logits, target)
    score = (decoded.iou - reached).abs().mean(1)
    there = present.float()
    loss = ((per_prompt + SCORE_WEIGHT * score) * there).sum() / there.sum().clamp(
        min=1
    )
    presence = F.binary_cross_entropy_with_logits(decoded.object_score[:, 0], there)
    with torch.no_grad():
        shown = decoded.iou[:, 1:].argmax(1) + 1
        if not ambiguous:
            shown = torch.zeros_like(shown)
        iou = reached.gather(1, shown[:, None])[:, 0]
    return MaskLoss(loss + presence, iou, shown)
