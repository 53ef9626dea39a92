"""What to do next, in one sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_sam2 import _layers
from napari_sam2._drawing import finished_rows
from napari_sam2._images import check_plane
from napari_sam2.asking._remedies import TO_DOWNLOAD
from napari_sam2.picture._cover import is_under, why_unseen
from napari_sam2.stage._sharing import or_go_on
from sam2_core.errors import Sam2Error

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_sam2._state import SegmentationState
    from napari_sam2.history._history import History
    from napari_sam2.history._ledger import Ledger
    from napari_sam2.history._object_notes import ObjectNotes
    from napari_sam2.stage._stage import Stage

BACKGROUND = "Label {} is the background; choose another label."
NOWHERE = (
    "{} has negative prompts only; say where it is with a positive point, a box "
    "or an outline."
)
UNSEEN = " {} is hidden: show it to see the mask."
UNDER = " {} lies above {}: drag it down in the list of layers to see the mask."
DROPPED = "{} is hidden: show it, or take a tool again."
FINISH = "Enter or a double click finishes the outline."
BEGIN = {
    "point": "Click on {} in the image",
    "box": "Drag a box around {}",
    "scribble": "Drag along {}",
    "lasso": "Outline {} with a stroke",
    "polygon": "Outline {} click by click",
    "": "Take Point or another tool to prompt {}",
}


def advice(
    state: SegmentationState,
    stage: Stage,
    ledger: Ledger,
    history: History,
    notes: ObjectNotes,
) -> str:
    """Say what a user who sees this state may want to know."""
    image, object_id = stage.image, state.object_id
    if image is None:
        return "Open an image, or a sample from File > Open Sample."
    if state.model in state.missing:
        return TO_DOWNLOAD.format(state.model)
    if object_id < 1:
        return BACKGROUND.format(object_id)
    try:
        check_plane(image, _layers.current_view(stage.viewer, image).plane)
    except Sam2Error as error:
        return str(error)
    if stage.drawing.outlining:
        return FINISH
    if unseen := why_unseen(stage.viewer, state, image):
        return unseen
    active = stage.viewer.layers.selection.active
    ours = stage.points, stage.shapes
    if active is not None and active in ours and not active.visible:
        return DROPPED.format(active.name)
    name = notes.name(object_id)
    if number := stage.count_prompts(object_id):
        if not _is_somewhere(stage, object_id):
            return NOWHERE.format(name)
        told = f"{name}: {number} prompt{'s' if number > 1 else ''}."
        if number == 1:
            told += _which_candidate(state, stage)
        return told + _why_no_mask_is_seen(stage, image)
    if state.tool and ledger.extent(object_id):
        return f"{name} has a mask; click where it is wrong."
    begin = BEGIN[state.tool].format(notes.names.get(object_id, f"object {object_id}"))
    return f"{begin}{or_go_on(stage, history, ledger, state.axis)}."


def _which_candidate(state: SegmentationState, stage: Stage) -> str:
    found = state.choices
    start = None if found is None else stage.masks.get(found.key)
    if start is None or start.mask != found.masks[state.choice]:
        return ""
    return f" {found.describe(state.choice)}"


def _why_no_mask_is_seen(stage: Stage, image: Image) -> str:
    labels = stage.labels
    if labels is None:
        return ""
    if not labels.visible:
        return UNSEEN.format(labels.name)
    under = is_under(stage.viewer, labels, image)
    return UNDER.format(image.name, labels.name) if under else ""


def _is_somewhere(stage: Stage, object_id: int) -> bool:
    """Whether anything but negative prompts says where an object is."""
    if any(key.object_id == object_id for key in stage.masks):
        return True
    positive = _layers.POLARITIES[0]
    for layer in (stage.points, stage.shapes):
        if layer is not None and len(layer.data):
            rows = finished_rows(layer)
            own = rows["object_id"] == object_id
            if (own & (rows["polarity"] == positive)).any():
                return True
    return False
