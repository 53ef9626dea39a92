"""What of a mask did not get into the labels, in one sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_sam2._layers import plane_index

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_sam2._messages import PlaneMasks
    from napari_sam2._object_notes import ObjectNotes
    from napari_sam2._state import SegmentationState

NOTHING = (
    "The model found nothing there for {}: click in another place, or draw a box or an "
    "outline."
)
KEPT = (
    "{0} lies in {1}, whose pixels are kept: choose {1} to correct it, or change "
    "Options > {2}."
)
LOCKED = "{0} lies in {1}, which is locked: unlock {1} to change it."
ENOUGH = 0.5  # of a mask; with less the user wonders where the rest is


def shortfall(
    labels: Labels | None,
    masks: PlaneMasks,
    notes: ObjectNotes,
    state: SegmentationState,
) -> str:
    """Why the labels show little of masks that were just written; "" if they do."""
    if labels is None:
        return ""
    plane = np.asarray(labels.data[plane_index(masks.plane, masks.position)])
    top, left = masks.corner
    here = plane[top : top + masks.ids.shape[0], left : left + masks.ids.shape[1]]
    for object_id, prompts in masks.prompts.items():
        mask = masks.ids == object_id
        if not mask.any():
            if prompts.positive:
                return NOTHING.format(notes.name(object_id))
            continue
        values = here[mask]
        own = values == object_id
        numbers, counts = np.unique(values[~own & (values > 0)], return_counts=True)
        if own.mean() >= ENOUGH or not numbers.size:
            continue
        other = int(numbers[counts.argmax()])
        names = notes.name(object_id), notes.name(other)
        if other in notes.locked:
            return LOCKED.format(*names)
        only = state.writing == "overwrite"  # else that is what keeps them
        return KEPT.format(*names, "Stay out of neighbours" if only else "Other labels")
    return ""
