"""Points that the user did not click but means: in a mask, and in its neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from napari_sam2._prompts import ObjectPrompts

XY: TypeAlias = tuple[float, float]


class Scores(NamedTuple):
    """What the model thinks of its mask: its IoU, and whether the object is there."""

    iou: float | None = None
    presence: float | None = None


Answer: TypeAlias = "tuple[NDArray[np.bool_], Scores]"

LEAK = 0.03  # of the mask in its neighbours; less is the border being drawn differently
MOST_POINTS = 3  # in neighbours, the worst ones first
CLEARANCE = 3  # pixels between a point inside and a negative click


def deepest(mask: NDArray[np.bool_]) -> XY:
    """The pixel (x, y) of a mask that is farthest from its border."""
    from scipy.ndimage import distance_transform_edt

    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    top, left = rows[0], columns[0]
    part = mask[top : rows[-1] + 1, left : columns[-1] + 1]
    depth = distance_transform_edt(np.pad(part, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(int(np.argmax(depth)), depth.shape)
    return float(left + column), float(top + row)


def inner_point(mask: NDArray[np.bool_], prompts: ObjectPrompts) -> XY | None:
    """A positive point that goes along with a mask to start from.

    Without, one click on a missing part is taken for the whole object. None if negative
    clicks leave no room.
    """
    free = mask.copy()
    for (x, y), label in zip(prompts.points_xy, prompts.point_labels, strict=True):
        if not label:
            row, column, r = round(y), round(x), CLEARANCE
            free[max(0, row - r) : row + r + 1, max(0, column - r) : column + r + 1] = 0
    return deepest(free) if free.any() else None


def without_leak(
    ask: Callable[[Sequence[XY]], Answer],
    prompts: ObjectPrompts,
    others: NDArray[np.integer] | None,
    own: int,
) -> Answer:
    """A mask that does not run into its neighbours.

    Parameters
    ----------
    ask : callable
        Gives the mask, (H, W) bool, and its scores for the prompts and further
        negative points (x, y).
    prompts : ObjectPrompts
        What the user asked for.
    others : (H, W) integers or None
        Labels that the mask must not enter.
    own : int
        Label of the object itself, which may be among them.
    """
    mask, scores = ask(())
    if others is None:
        return mask, scores
    taken = (others != 0) & (others != own)
    leak = mask & taken
    if leak.sum() > LEAK * mask.sum():
        second, its_scores = ask(_points_in(leak, others))
        if _covers(second, prompts) and (second & taken).sum() < leak.sum():
            mask, scores = second, its_scores
        else:
            ask(())  # a session remembers what it was asked last
    return _part(mask & ~taken, prompts), scores


def _points_in(leak: NDArray[np.bool_], others: NDArray[np.integer]) -> list[XY]:
    ids, counts = np.unique(others[leak], return_counts=True)
    worst = ids[np.argsort(-counts)][:MOST_POINTS]
    return [deepest(leak & (others == object_id)) for object_id in worst]


def _covers(mask: NDArray[np.bool_], prompts: ObjectPrompts) -> bool:
    """Whether a mask holds all positive clicks, or anything where there are none."""
    return bool(mask.any()) and all(mask[spot] for spot in spots(prompts, mask.shape))


def _part(mask: NDArray[np.bool_], prompts: ObjectPrompts) -> NDArray[np.bool_]:
    """Pieces of a mask with a positive click on them; all if there is no such piece."""
    from scipy.ndimage import label

    clicked = [spot for spot in spots(prompts, mask.shape) if mask[spot]]
    if not clicked:
        return mask
    pieces, count = label(mask)
    if count < 2:
        return mask
    return np.isin(pieces, [pieces[spot] for spot in clicked])


def spots(
    prompts: ObjectPrompts, shape: tuple[int, ...], polarity: int = 1
) -> list[tuple[int, int]]:
    """(row, column) of the positive clicks, or of the negative ones (0)."""
    found = []
    for (x, y), label in zip(prompts.points_xy, prompts.point_labels, strict=True):
        if label == polarity:
            row = min(max(round(y), 0), shape[0] - 1)
            found.append((row, min(max(round(x), 0), shape[1] - 1)))
    return found
