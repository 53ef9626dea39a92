"""Prompts in the shapes ultralytics takes, one row per object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sam2_core import transforms
from sam2_core.errors import PromptError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A drawn mask becomes logits of this size where low-resolution logits are needed.
_SURE = 10.0


@dataclass(frozen=True)
class SamPrompts:
    """Prompts of N objects; each kind has N rows or is None.

    Attributes
    ----------
    points, labels : ndarray, optional
        (N, P, 2) xy pixels and (N, P) labels.
    bboxes : ndarray, optional
        (N, 4) x0, y0, x1, y1.
    masks : ndarray, optional
        (N, h, w): bool or integers for drawn masks, else logits.
    """

    points: NDArray[np.float64] | None
    labels: NDArray[np.float64] | None
    bboxes: NDArray[np.float64] | None
    masks: NDArray[Any] | None

    @classmethod
    def of(
        cls,
        bboxes: Any = None,
        points: Any = None,
        labels: Any = None,
        masks: Any = None,
    ) -> SamPrompts:
        """Prompts as a user gives them.

        Parameters
        ----------
        bboxes : array_like, optional
            (4,) or (N, 4).
        points : array_like, optional
            (2,) one point; (N, 2) one point of each of N objects; (N, P, 2).
        labels : array_like, optional
            1 positive, 0 negative; as many as points, all positive by default.
        masks : array_like, optional
            (h, w) or (N, h, w).

        Raises
        ------
        PromptError
            If shapes do not fit.
        """
        if labels is not None and points is None:
            raise PromptError("Labels came without points: give points too.")
        xy = flags = boxes = drawn = None
        if bboxes is not None:
            boxes = _numbers(bboxes, "bboxes")
            if boxes.ndim > 2 or boxes.shape[-1] != 4:
                raise PromptError(
                    f"bboxes has the shape {boxes.shape} but must be (N, 4): x0, y0, "
                    "x1, y1 in pixels."
                )
            boxes = boxes.reshape(-1, 4)
        if points is not None:
            xy = _numbers(points, "points")
            if xy.ndim > 3 or xy.shape[-1] != 2:
                raise PromptError(
                    f"points has the shape {xy.shape} but must be (N, 2), a point for "
                    "each object, or (N, P, 2)."
                )
            xy = xy.reshape(-1, 1, 2) if xy.ndim < 3 else xy
            flags = np.ones(1) if labels is None else _numbers(labels, "labels")
            if labels is not None and flags.size != xy.shape[0] * xy.shape[1]:
                raise PromptError(
                    f"There are {flags.size} labels for {xy.shape[0] * xy.shape[1]} "
                    "points: give every point one."
                )
            flags = (
                np.broadcast_to(flags.reshape(-1), xy.shape[:2])
                if (flags.size == 1)
                else flags.reshape(xy.shape[:2])
            )
        if masks is not None:
            drawn = np.asarray(_cpu(masks))
            if drawn.ndim not in (2, 3):
                raise PromptError(
                    f"masks has the shape {drawn.shape} but must be (N, height, width)."
                )
            drawn = drawn[None] if drawn.ndim == 2 else drawn
        prompts = cls(xy, flags, boxes, drawn)
        counts = {len(rows) for rows in (xy, boxes, drawn) if rows is not None}
        if len(counts) > 1 or 0 in counts:
            raise PromptError(
                "Points, bboxes and masks must be for the same number of objects, "
                f"at least one, not for {' and '.join(map(str, sorted(counts)))}."
            )
        return prompts

    def __bool__(self) -> bool:
        """Whether there is any prompt."""
        return any(rows is not None for rows in (self.points, self.bboxes, self.masks))

    def __len__(self) -> int:
        """Number of objects."""
        for rows in (self.points, self.bboxes, self.masks):
            if rows is not None:
                return len(rows)
        return 0

    def mask_logits(self, size: int) -> NDArray[np.float32] | None:
        """Masks as (N, 1, size, size) low-resolution logits."""
        if self.masks is None:
            return None
        is_drawn = self.masks.dtype.kind in "bui"
        if not is_drawn and self.masks.shape[1:] == (size, size):
            return self.masks[:, None].astype(np.float32)
        rows = [
            transforms.mask_to_input(mask > 0, size, torch.device("cpu"))
            for mask in self.masks
        ]
        return np.asarray((torch.cat(rows) * 2 - 1) * _SURE, dtype=np.float32)


def _numbers(value: Any, what: str) -> NDArray[np.float64]:
    try:
        return np.asarray(_cpu(value), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise PromptError(
            f"{what} must be a rectangular array of numbers: where objects have "
            "different numbers of points, call once per object."
        ) from error


def _cpu(value: Any) -> Any:
    return value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value
