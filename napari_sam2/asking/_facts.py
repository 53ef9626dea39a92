"""What is known of a mask besides its pixels: scores, size, place, parts, overlaps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from numpy.typing import NDArray

SMALL_PART = 0.1  # of the area; smaller pieces do not count as parts


@dataclass(frozen=True)
class Facts:
    """One object on one frame.

    Attributes
    ----------
    iou : float
        The model's estimate of the mask's IoU, 0 to 1.
    object_score : float
        Probability that the object is in the frame, 0 to 1.
    area : int
        Pixels.
    centre : (float, float) or None
        Mean row and column; None for an empty mask.
    parts : int
        Connected pieces that hold at least a tenth of the area each.
    overlaps : tuple of (int, float)
        Other objects and the part of the smaller of both masks that both claim; of an
        empty mask, the object it came out of.
    prompted : bool
        Whether the user's prompts on this frame shaped the mask.
    """

    iou: float
    object_score: float
    area: int
    centre: tuple[float, float] | None
    parts: int
    overlaps: tuple[tuple[int, float], ...] = ()
    prompted: bool = False

    @property
    def certainty(self) -> float:
        """Predicted IoU times object score, 0 to 1."""
        return self.iou * self.object_score


def measure(
    masks: Mapping[int, NDArray[np.bool_]],
    ious: Mapping[int, float],
    object_scores: Mapping[int, float],
    prompted: Collection[int] = (),
) -> dict[int, Facts]:
    """Facts of all masks of a frame.

    Parameters
    ----------
    masks : dict of int to (H, W) bool
        As the model gave them, overlaps included.
    ious, object_scores : dict of int to float
        Scores from 0 to 1; objects that are missing count as certain.
    prompted : collection of int
        Objects that the user prompted, or marked, on this frame.
    """
    boxes = {i: _box(mask) for i, mask in masks.items()}
    result = {}
    for object_id, mask in masks.items():
        box = boxes[object_id]
        area, centre, parts = 0, None, 0
        if box is not None:
            area, centre, parts = _shape(mask, box)
        result[object_id] = Facts(
            round(float(ious.get(object_id, 1.0)), 4),
            round(float(object_scores.get(object_id, 1.0)), 4),
            area,
            centre,
            parts,
            _overlaps(object_id, masks, boxes),
            object_id in prompted,
        )
    return result


def measure_labels(
    ids: NDArray[np.integer], ious: Mapping[int, float]
) -> dict[int, Facts]:
    """Facts of some labels of a plane, (H, W), by the IoU that is expected of each."""
    from scipy import ndimage

    chosen = np.where(np.isin(ids, list(ious)), ids, 0).astype(np.int64)
    low = min(ious, default=1) - 1
    boxes = ndimage.find_objects(np.maximum(chosen - low, 0))
    result = {}
    for number, box in enumerate(boxes, 1 + low):
        if box is not None and number in ious:
            facts = measure({number: chosen[box] == number}, ious, {})[number]
            result[number] = moved(facts, (box[0].start, box[1].start))
    return result


def moved(facts: Facts, corner: tuple[int, int]) -> Facts:
    """Facts of a mask whose first pixel is at this row and column."""
    if facts.centre is None:
        return facts
    row, column = facts.centre
    return replace(facts, centre=(row + corner[0], column + corner[1]))


def _box(mask: NDArray[np.bool_]) -> tuple[slice, slice] | None:
    rows = np.flatnonzero(mask.any(1))
    if rows.size == 0:
        return None
    columns = np.flatnonzero(mask.any(0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _shape(
    mask: NDArray[np.bool_], box: tuple[slice, slice]
) -> tuple[int, tuple[float, float], int]:
    from scipy.ndimage import label

    inside = mask[box]
    rows, columns = np.nonzero(inside)
    pieces, _ = label(inside)
    sizes = np.bincount(pieces.ravel())[1:]
    area = int(rows.size)
    centre = (
        round(float(rows.mean()) + box[0].start, 2),
        round(float(columns.mean()) + box[1].start, 2),
    )
    return area, centre, int((sizes >= SMALL_PART * area).sum())


def _overlaps(
    object_id: int,
    masks: Mapping[int, NDArray[np.bool_]],
    boxes: Mapping[int, tuple[slice, slice] | None],
) -> tuple[tuple[int, float], ...]:
    mine = boxes[object_id]
    if mine is None:
        return ()
    found = []
    for other, theirs in boxes.items():
        if other == object_id or theirs is None or not _touch(mine, theirs):
            continue
        common = int((masks[object_id][mine] & masks[other][mine]).sum())
        if common:
            smaller = min(int(masks[i].sum()) for i in (object_id, other))
            found.append((other, round(common / smaller, 3)))
    return tuple(found)


def _touch(a: tuple[slice, slice], b: tuple[slice, slice]) -> bool:
    return all(x.start < y.stop and y.start < x.stop for x, y in zip(a, b, strict=True))
