"""What propagation hands out, frame by frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sam2_core import transforms
from sam2_core.packed import PackedMask, PackedMasks

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from numpy.typing import NDArray


@dataclass(frozen=True)
class FrameResult:
    """What is known of a frame.

    Attributes
    ----------
    frame_index : int
        Which frame.
    masks : mapping
        Object id to (H, W) bool mask; all False where the object is not in the frame.
        They are kept packed and unpacked anew at each access, so that many objects in
        large frames take little memory.
    scores : dict
        Object id to the model's estimate of the mask's IoU, 0 to 1.
    object_scores : dict
        Object id to the probability that the object is in the frame, 0 to 1.
    reverse : bool
        Whether propagation came to the frame on the way back.
    """

    frame_index: int
    masks: PackedMasks
    scores: dict[int, float]
    object_scores: dict[int, float]
    reverse: bool = False

    def joined(self, later: FrameResult, alive: Collection[int]) -> FrameResult:
        """These objects, as far as they are alive, and those of another result."""
        kept = [object_id for object_id in self.masks if object_id in alive]
        packed = {i: self.masks.packed[i] for i in kept} | later.masks.packed
        lost = self.masks.lost | later.masks.lost
        return FrameResult(
            later.frame_index,
            PackedMasks(later.masks.shape, packed, lost),
            {i: self.scores[i] for i in kept} | later.scores,
            {i: self.object_scores[i] for i in kept} | later.object_scores,
            later.reverse,
        )


def draw_masks(
    logits: Mapping[int, NDArray[np.float32]], shape: tuple[int, int], apart: bool
) -> PackedMasks:
    """Masks at the size of the frame, each worked on in its own box only.

    Parameters
    ----------
    logits : mapping
        Object id to (h, w) float32 low-resolution mask logits.
    shape : (int, int)
        Height and width of the frame.
    apart : bool
        Leave each pixel to the object with the highest logit.
    """
    parts = {i: transforms.positive_part(plane, shape) for i, plane in logits.items()}
    return join_parts(parts, shape, apart)


def join_parts(
    parts: Mapping[int, tuple[NDArray[np.float32], int, int]],
    shape: tuple[int, int],
    apart: bool,
) -> PackedMasks:
    """Masks of objects whose logits are known where they are.

    Parameters
    ----------
    parts : mapping
        Object id to (h, w) float32 logits at the size of the frame, and the row and
        column of their first pixel.
    shape : (int, int)
        Height and width of the frame.
    apart : bool
        Leave each pixel to the object with the highest logit.
    """
    if not apart or len(parts) < 2:
        packed = {i: PackedMask.of(part > 0, *at) for i, (part, *at) in parts.items()}
        return PackedMasks(shape, packed)
    highest = np.zeros(shape, np.float32)
    owner = np.zeros(shape, np.int32)
    boxes = {}
    for number, (object_id, (part, top, left)) in enumerate(parts.items(), start=1):
        box = slice(top, top + part.shape[0]), slice(left, left + part.shape[1])
        higher = part > highest[box]
        np.copyto(highest[box], part, where=higher)
        np.copyto(owner[box], number, where=higher)
        boxes[object_id] = box
    ids, packed, lost = list(parts), {}, {}
    for number, (object_id, box) in enumerate(boxes.items(), start=1):
        owners, (part, *at) = owner[box], parts[object_id]
        packed[object_id] = PackedMask.of(owners == number, *at)
        counts = np.bincount(owners[(part > 0) & (owners != number)])
        for other in np.flatnonzero(counts):
            lost[object_id, ids[other - 1]] = int(counts[other])
    return PackedMasks(shape, packed, lost)
