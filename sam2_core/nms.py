"""Which of many overlapping boxes to keep."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def box_iou(
    box: NDArray[np.float32], others: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Intersection over union of a box with others.

    Parameters
    ----------
    box : ndarray
        (4,) x0, y0, x1, y1.
    others : ndarray
        (N, 4).

    Returns
    -------
    ndarray
        (N,) float32, 0 to 1; 0 also where both boxes have no area.
    """
    corner0 = np.maximum(box[:2], others[:, :2])
    corner1 = np.minimum(box[2:], others[:, 2:])
    shared = np.maximum(corner1 - corner0, 0).prod(1)
    union = (box[2:] - box[:2]).prod() + (others[:, 2:] - others[:, :2]).prod(1)
    union -= shared
    iou = np.zeros_like(union)
    return np.asarray(np.divide(shared, union, out=iou, where=union > 0))


def box_nms(boxes: ArrayLike, scores: ArrayLike, threshold: float) -> NDArray[np.intp]:
    """Greedy non-maximum suppression: the best box wins, its near copies go.

    Parameters
    ----------
    boxes : array_like
        (N, 4) x0, y0, x1, y1.
    scores : array_like
        (N,), higher is better; of equal ones the first wins.
    threshold : float
        A box goes if its IoU with a better one that stays is above this.

    Returns
    -------
    ndarray
        Indices of the boxes that stay, best first.
    """
    corners = np.asarray(boxes, np.float32).reshape(-1, 4)
    order = np.argsort(-np.asarray(scores, np.float64), kind="stable")
    kept = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        if threshold < 1:
            order = order[box_iou(corners[best], corners[order]) <= threshold]
    return np.array(kept, dtype=np.intp)


def undominated(
    boxes: ArrayLike, scores: ArrayLike, threshold: float
) -> NDArray[np.intp]:
    """Drop near copies that are worse in every score.

    Unlike :func:`box_nms` this loses nothing that a later choice by any of the scores
    could prefer.

    Parameters
    ----------
    boxes : array_like
        (N, 4) x0, y0, x1, y1.
    scores : array_like
        (N, S) several scores of each box, higher is better.
    threshold : float
        Boxes whose IoU is above this are copies of each other.

    Returns
    -------
    ndarray
        Indices of the boxes that stay, best in the first score first.
    """
    corners = np.asarray(boxes, np.float32).reshape(-1, 4)
    if not len(corners):
        return np.zeros(0, np.intp)
    quality = np.asarray(scores, np.float64).reshape(len(corners), -1)
    # By the first score, then by the next ones: whoever is beaten is beaten by
    # someone before it.
    order = np.lexsort(-quality.T[::-1])
    kept = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        beaten = (quality[order] <= quality[best]).all(1)
        copies = box_iou(corners[best], corners[order]) > threshold
        order = order[~(beaten & copies)]
    return np.array(kept, dtype=np.intp)
