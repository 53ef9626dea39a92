"""What of a mask did not get into the labels, or is gone, in one sentence."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2._layers import plane_index
from napari_sam2._prompts import Key
from napari_sam2.picture._region import excerpt, extent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_sam2._prompts import ObjectPrompts
    from napari_sam2._state import SegmentationState
    from napari_sam2.asking._messages import PlaneMasks
    from napari_sam2.history._object_notes import ObjectNotes
    from napari_sam2.history._written import Written

NOTHING = (
    "The model found nothing there for {}: click in another place, or draw a box or an "
    "outline."
)
KEPT = (
    "{0} lies in {1}, whose pixels are kept: choose {1} to correct it, or change "
    "Options > {2}."
)
LOCKED = "{0} lies in {1}, which is locked: unlock {1} to change it."
GONE = "Almost nothing of {} is left here: if it is absent, undo, and press H."
NOT_YET = (
    "There is nothing of {} here yet, so that it counts as absent and is not followed "
    "beyond: undo, propagate, and take away then."
)
CUT = (
    "{} was cut off there: draw a positive outline to give that back, or delete the "
    "negative one."
)
REST = 0.1  # of what was there; other tools end an object by a negative click
ENOUGH = 0.5  # of a mask; with less the user wonders where the rest is


def shortfall(
    labels: Labels | None,
    masks: PlaneMasks,
    notes: ObjectNotes,
    state: SegmentationState,
    written: Mapping[Key, Written],
) -> str:
    """Why the labels show little of masks that were just written; "" if they do."""
    if labels is None:
        return ""
    plane = np.asarray(labels.data[plane_index(masks.plane, masks.position)])
    top, left = masks.corner
    here = plane[top : top + masks.ids.shape[0], left : left + masks.ids.shape[1]]
    for object_id, prompts in masks.prompts.items():
        mask = masks.ids == object_id
        drawn = replace(prompts, start=None)
        if state.axis is not None and drawn and not drawn.positive:
            known = written.get(Key(masks.plane, masks.position, object_id))
            rest = (here == object_id).sum()
            before = None if known is None else known.before
            if before is not None and rest < REST * before.unpack().sum():
                return GONE.format(notes.name(object_id))
            if before is None and not rest:
                return NOT_YET.format(notes.name(object_id))
        if state.tool == "point" and _is_cut_off(plane, prompts, object_id):
            return CUT.format(notes.name(object_id))
        if not mask.any():
            if not prompts.positive:
                continue
            values = _values_at(plane, prompts)  # neighbours may hold all of the mask
            if state.writing == "overwrite" and not state.neighbours:
                values = values[np.isin(values, list(notes.locked))]
        else:
            values = here[mask]
        own = values == object_id
        numbers, counts = np.unique(values[~own & (values > 0)], return_counts=True)
        if not numbers.size and not mask.any():
            return NOTHING.format(notes.name(object_id))
        other = _clicked(plane, prompts) if mask.any() else 0
        if other <= 0 or other == object_id:
            if own.mean() >= ENOUGH or not numbers.size:
                continue
            other = int(numbers[counts.argmax()])
        names = notes.name(object_id), notes.name(other)
        if other in notes.locked:
            return LOCKED.format(*names)
        only = state.writing == "overwrite"  # else that is what keeps them
        return KEPT.format(*names, "Stay out of neighbours" if only else "Other labels")
    return ""


def _is_cut_off(plane: NDArray[Any], prompts: ObjectPrompts, object_id: int) -> bool:
    """Whether the last point is positive, and denied by an outline that cuts off."""
    if not prompts.cuts_xy or _clicked(plane, prompts) == object_id:
        return False
    bounds = extent(prompts)
    if bounds is None:
        return False
    x0, y0 = (max(0, int(low)) for low in bounds[:2])
    x1, y1 = (int(high) + 2 for high in bounds[2:])
    region = x0, y0, min(x1, plane.shape[1]), min(y1, plane.shape[0])
    part = excerpt(prompts, region)  # planes may be large
    denied = part.drawn((region[3] - y0, region[2] - x0)).denied
    return bool(_clicked(denied, part))


def _clicked(plane: NDArray[Any], prompts: ObjectPrompts) -> int:
    """What is under the last point if that is positive, else 0."""
    if not prompts.point_labels or not prompts.point_labels[-1]:
        return 0
    return int(_labels_at(plane, [prompts.points_xy[-1]])[0])


def _values_at(plane: NDArray[Any], prompts: ObjectPrompts) -> NDArray[Any]:
    """Labels under the positive points and in the middle of the box."""
    labels = prompts.point_labels
    spots = [xy for xy, on in zip(prompts.points_xy, labels, strict=True) if on]
    if prompts.box_xyxy is not None:
        x0, y0, x1, y1 = prompts.box_xyxy
        spots.append(((x0 + x1) / 2, (y0 + y1) / 2))
    return _labels_at(plane, spots)


def _labels_at(
    plane: NDArray[Any], spots: Sequence[tuple[float, float]]
) -> NDArray[Any]:
    at = np.array([(y, x) for x, y in spots]).reshape(-1, 2).round()
    rows, columns = np.clip(at, 0, np.array(plane.shape) - 1).astype(int).T
    return np.asarray(plane[rows, columns])
