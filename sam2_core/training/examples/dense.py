"""What the guide must find in an image, whatever the prompts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from sam2_core.nn.guide import CENTRE_UNIT, FOREGROUND, OFFSET, OUTLINE

STRIDE = 4


@dataclass(frozen=True)
class DenseTargets:
    """What the guide must predict, at stride 4.

    Attributes
    ----------
    foreground, boundary : (h, w) float32
        Part of the pixel that is object, and that lies on an edge between labels.
    offset : (2, h, w) float32
        From the pixel to the centre of its object, y then x, in units of 32 pixels.
    known : (h, w) float32
        0 where nothing is known: unlabelled ground of partly labelled images.
    """

    foreground: npt.NDArray[np.float32]
    boundary: npt.NDArray[np.float32]
    offset: npt.NDArray[np.float32]
    known: npt.NDArray[np.float32]


def dense_targets(labels: npt.NDArray[np.int32], partial: bool) -> DenseTargets:
    """Targets of one label image (H, W), sides multiples of 4."""
    inside = labels > 0
    edge = np.zeros(labels.shape, bool)
    for axis in (0, 1):
        step = np.diff(labels, axis=axis) != 0
        low = [slice(None), slice(None)]
        high = [slice(None), slice(None)]
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        edge[tuple(low)] |= step
        edge[tuple(high)] |= step
    nearest = labels[STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE]
    offset = np.zeros((2, *nearest.shape), np.float32)
    size = int(labels.max()) + 1
    counts = np.maximum(np.bincount(labels.ravel(), minlength=size), 1)
    for axis in (0, 1):
        position = np.arange(labels.shape[axis], dtype=np.float64)
        grid = np.broadcast_to(
            position[:, None] if axis == 0 else position[None], labels.shape
        )
        centre = np.bincount(labels.ravel(), grid.ravel(), minlength=size) / counts
        at = grid[STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE]
        offset[axis] = np.where(nearest > 0, (centre[nearest] - at) / CENTRE_UNIT, 0)
    foreground = _block_mean(inside)
    known = np.ones_like(foreground) if not partial else (foreground > 0).astype("f4")
    return DenseTargets(foreground, _block_mean(edge), offset, known)


def _block_mean(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    h, w = mask.shape
    blocks = mask.reshape(h // STRIDE, STRIDE, w // STRIDE, STRIDE)
    return np.asarray(blocks.mean((1, 3)), np.float32)


def dense_loss(predicted: Tensor, targets: list[DenseTargets]) -> Tensor:
    """Mean loss of a batch; ``predicted`` is the guide's (B, GUIDE_CHANNELS, h, w)."""

    def stacked(name: str) -> Tensor:
        return torch.from_numpy(np.stack([getattr(t, name) for t in targets])).to(
            predicted.device
        )

    foreground, boundary = stacked("foreground"), stacked("boundary")
    offset, known = stacked("offset"), stacked("known")
    loss_fg = F.binary_cross_entropy_with_logits(
        predicted[:, FOREGROUND], foreground, weight=known
    )
    loss_edge = F.binary_cross_entropy_with_logits(
        predicted[:, OUTLINE], boundary, weight=known * (1 + 2 * boundary)
    )
    distance = (predicted[:, OFFSET] - offset).abs().sum(1) * (foreground > 0.5)
    loss_offset = distance.sum() / (foreground > 0.5).sum().clamp(min=1)
    return loss_fg + loss_edge + loss_offset
