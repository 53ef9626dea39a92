"""Masks found without a prompt: kept small, chosen by quality, painted as labels."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sam2_core.errors import ImageError
from sam2_core.nms import box_nms, undominated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# Masks whose boxes agree better than this are taken for the same.
DUPLICATE_IOU = 0.9


@dataclass(frozen=True)
class MaskCandidate:
    """A mask that may be an object; about as large in memory as its outline is long.

    Attributes
    ----------
    box : tuple of int
        x0, y0, x1, y1 in pixels of the image; x1 and y1 are the first column and row
        after the mask, so that ``image[y0:y1, x0:x1]`` is what the mask covers.
    bits : bytes
        The mask inside the box, packed to bits and compressed; see :meth:`patch`.
    predicted_iou : float
        The model's own estimate of the mask's IoU, 0 to 1.
    stability_score : float
        How little the mask changes with the threshold of the logits, 0 to 1.
    area : int
        Pixels of the mask.
    roundness : float
        1 for a disc, 0.8 for an ellipse twice as long as wide, towards 0 for thin,
        hollow or scattered masks.
    point_xy : tuple of float
        The grid point that was asked about, x and y in pixels of the image.
    crop_box : tuple of int, optional
        Part of the image the model looked at, x0, y0, x1, y1; all of it by default.
    """

    box: tuple[int, int, int, int]
    bits: bytes
    predicted_iou: float
    stability_score: float
    area: int
    roundness: float
    point_xy: tuple[float, float]
    crop_box: tuple[int, int, int, int] | None = None

    @classmethod
    def of(
        cls,
        mask: NDArray[np.bool_],
        predicted_iou: float = 1.0,
        stability_score: float = 1.0,
        point_xy: tuple[float, float] | None = None,
        crop_box: tuple[int, int, int, int] | None = None,
        origin_xy: tuple[int, int] = (0, 0),
    ) -> MaskCandidate | None:
        """Pack a mask.

        Parameters
        ----------
        mask : ndarray
            (h, w) bool, the image or a window of it.
        predicted_iou, stability_score, point_xy, crop_box
            As described for the class; the point is the box's centre by default.
        origin_xy : tuple of int
            Where in the image the window's first pixel is.

        Returns
        -------
        MaskCandidate or None
            None for a mask without pixels.
        """
        per_row = np.count_nonzero(mask, axis=1)
        rows = np.flatnonzero(per_row)
        if not len(rows):
            return None
        top, bottom = int(rows[0]), int(rows[-1]) + 1
        per_column = np.count_nonzero(mask[top:bottom], axis=0)
        columns = np.flatnonzero(per_column)
        left, right = int(columns[0]), int(columns[-1]) + 1
        x, y = origin_xy
        box = (x + left, y + top, x + right, y + bottom)
        if point_xy is None:
            point_xy = ((box[0] + box[2] - 1) / 2, (box[1] + box[3] - 1) / 2)
        return cls(
            box=box,
            bits=zlib.compress(np.packbits(mask[top:bottom, left:right]).tobytes(), 1),
            predicted_iou=float(predicted_iou),
            stability_score=float(stability_score),
            area=int(per_row.sum()),
            roundness=_roundness(per_row, per_column),
            point_xy=(float(point_xy[0]), float(point_xy[1])),
            crop_box=crop_box,
        )

    def patch(self) -> NDArray[np.bool_]:
        """The mask inside its box, (y1 - y0, x1 - x0) bool, a new array."""
        x0, y0, x1, y1 = self.box
        bits = np.frombuffer(zlib.decompress(self.bits), np.uint8)
        count = (y1 - y0) * (x1 - x0)
        return np.unpackbits(bits, count=count).view(bool).reshape(y1 - y0, x1 - x0)

    def mask(self, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """The mask in an image of this (H, W), a new bool array.

        Raises
        ------
        ImageError
            If the image is too small for it.
        """
        full = np.zeros(shape, bool)
        full[self.window(shape)] = self.patch()
        return full

    def window(self, shape: tuple[int, int]) -> tuple[slice, slice]:
        """Rows and columns of the box in an image of this (H, W).

        Raises
        ------
        ImageError
            If the image is too small for it.
        """
        x0, y0, x1, y1 = self.box
        if x0 < 0 or y0 < 0 or y1 > shape[0] or x1 > shape[1]:
            raise ImageError(
                f"A mask with box {self.box} does not fit into an image of shape "
                f"{tuple(shape)}: use the image it was found in."
            )
        return slice(y0, y1), slice(x0, x1)

    @property
    def inclusive_box(self) -> tuple[int, int, int, int]:
        """Box as the original counts it: x1 and y1 are the last column and row."""
        x0, y0, x1, y1 = self.box
        return x0, y0, x1 - 1, y1 - 1


def select_candidates(
    candidates: Sequence[MaskCandidate],
    min_iou: float = 0.8,
    min_stability: float = 0.95,
    min_area: float = 0,
    max_area: float | None = None,
    min_roundness: float = 0.0,
    nms_thresh: float = 0.7,
) -> list[MaskCandidate]:
    """The candidates good enough in every respect, without near copies.

    Parameters
    ----------
    candidates : sequence of MaskCandidate
        From :meth:`sam2_core.AutomaticMaskGenerator.candidates`.
    min_iou, min_stability, min_roundness : float
        0 to 1, inclusive.
    min_area, max_area : float, optional
        In pixels, inclusive; None is no limit.
    nms_thresh : float
        Of two masks whose boxes have an IoU above this, the one with the higher
        predicted IoU stays; 1 keeps both.

    Returns
    -------
    list of MaskCandidate
        Highest predicted IoU first.
    """
    largest = math.inf if max_area is None else max_area
    good = [
        c
        for c in candidates
        if c.predicted_iou >= min_iou
        and c.stability_score >= min_stability
        and min_area <= c.area <= largest
        and c.roundness >= min_roundness
    ]
    boxes = [c.inclusive_box for c in good]
    kept = box_nms(boxes, [c.predicted_iou for c in good], nms_thresh)
    return [good[i] for i in kept]


def without_duplicates(
    candidates: Sequence[MaskCandidate], max_iou: float = DUPLICATE_IOU
) -> list[MaskCandidate]:
    """Drop masks of which a copy exists that is no worse in IoU and stability.

    Parameters
    ----------
    candidates : sequence of MaskCandidate
        Any.
    max_iou : float
        Masks whose boxes have an IoU above this are copies.

    Returns
    -------
    list of MaskCandidate
        Highest predicted IoU first.
    """
    boxes = [c.inclusive_box for c in candidates]
    scores = [(c.predicted_iou, c.stability_score) for c in candidates]
    return [candidates[i] for i in undominated(boxes, scores, max_iou)]


def paint_labels(
    candidates: Sequence[MaskCandidate],
    labels: NDArray[np.integer],
    first_id: int | None = None,
    min_visible: float = 0.25,
) -> list[int]:
    """Write masks into a label image, in place.

    Small masks lie on top of large ones, and pixels that are not 0 stay what they are.

    Parameters
    ----------
    candidates : sequence of MaskCandidate
        In any order.
    labels : ndarray
        (H, W) integers.
    first_id : int, optional
        Label of the first object; one more than the largest label by default.
    min_visible : float
        Masks of which less than this part, 0 to 1, would be seen are left out: they
        are copies of what lies on top, and only their rims would show.

    Returns
    -------
    list of int
        Labels that were painted, consecutive, smallest object first.

    Raises
    ------
    ImageError
        If the labels are no (H, W) integers, are too small for a mask, or their type
        cannot hold so many labels. Nothing has been painted then.
    """
    if labels.ndim != 2 or labels.dtype.kind not in "ui":
        raise ImageError(
            f"Labels must be integers of shape (H, W), not {labels.dtype} of shape "
            f"{labels.shape}."
        )
    if first_id is None:
        first_id = max(0, int(labels.max(initial=0))) + 1
    if first_id < 1:
        raise ImageError(f"The first label must be 1 or more, not {first_id}.")
    if first_id - 1 + len(candidates) > np.iinfo(labels.dtype).max:
        raise ImageError(
            f"{len(candidates)} labels from {first_id} on do not fit into "
            f"{labels.dtype}: use a label image of a wider type."
        )
    shape = (labels.shape[0], labels.shape[1])
    ordered = sorted(candidates, key=lambda c: c.area)
    windows = [c.window(shape) for c in ordered]
    painted: list[int] = []
    for candidate, window in zip(ordered, windows, strict=True):
        region = labels[window]
        free = candidate.patch() & (region == 0)
        seen = np.count_nonzero(free)
        if seen and seen >= min_visible * candidate.area:
            painted.append(first_id + len(painted))
            region[free] = painted[-1]
    return painted


def _roundness(per_row: NDArray[np.intp], per_column: NDArray[np.intp]) -> float:
    """Area squared over the polar moment of inertia, 1 for a disc, the largest."""
    area = float(per_row.sum())
    moment = area / 6  # of the pixels themselves, which are squares
    for counts in (per_row, per_column):
        place = np.arange(len(counts), dtype=np.float64)
        mean = (counts * place).sum() / area
        moment += (counts * (place - mean) ** 2).sum()
    return min(1.0, float(area**2 / (2 * math.pi * moment)))
