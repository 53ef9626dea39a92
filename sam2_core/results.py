"""What propagation hands out, frame by frame."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray


@dataclass(frozen=True)
class FrameResult:
    """What is known of a frame.

    Attributes
    ----------
    frame_index : int
        Which frame.
    masks : dict
        Object id to (H, W) bool mask; all False where the object is not in the frame.
    scores : dict
        Object id to the model's estimate of the mask's IoU, 0 to 1.
    object_scores : dict
        Object id to the probability that the object is in the frame, 0 to 1.
    """

    frame_index: int
    masks: dict[int, NDArray[np.bool_]]
    scores: dict[int, float]
    object_scores: dict[int, float]


@dataclass(frozen=True)
class PackedResult:
    """A result that waits for another one of the same frame, masks compressed.

    Attributes
    ----------
    objects : dict
        Object id to packed mask, score and object score.
    """

    objects: dict[int, tuple[bytes, float, float]]

    @classmethod
    def of(cls, result: FrameResult) -> PackedResult:
        """Pack a result."""
        return cls(
            {
                i: (
                    zlib.compress(np.packbits(mask).tobytes(), 1),
                    result.scores[i],
                    result.object_scores[i],
                )
                for i, mask in result.masks.items()
            }
        )

    def merged(self, result: FrameResult, alive: Collection[int]) -> FrameResult:
        """These objects, as far as they are alive, and those of another result."""
        hw = next(iter(result.masks.values())).shape
        plane_masks, scores, object_scores = {}, {}, {}
        for i, (packed, score, object_score) in self.objects.items():
            if i in alive:
                bits = np.frombuffer(zlib.decompress(packed), dtype=np.uint8)
                plane_masks[i] = np.unpackbits(bits)[: hw[0] * hw[1]].reshape(hw) > 0
                scores[i], object_scores[i] = score, object_score
        return FrameResult(
            result.frame_index,
            {**plane_masks, **result.masks},
            {**scores, **result.scores},
            {**object_scores, **result.object_scores},
        )
