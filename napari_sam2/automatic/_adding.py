"""What a search found comes into the labels: a step to undo, told to the journal."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2 import _labels
from napari_sam2._layers import plane_index
from napari_sam2.stage._sharing import history_of
from sam2_core.errors import PromptError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari.layers import Image, Labels

    from napari_sam2._images import LayerFrames
    from napari_sam2.automatic._chosen import Chosen
    from napari_sam2.automatic._search import SearchOptions
    from sam2_core.everything.candidates import MaskCandidate

ADDED = "added objects"


@dataclass(frozen=True)
class Searched:
    """A plane that was searched, how, and what is in it."""

    image: Image
    frames: LayerFrames
    masks: list[MaskCandidate]
    model: str
    options: SearchOptions

    @property
    def where(self) -> str:
        """Which plane of a stack, for sentences: the slider may be elsewhere by now."""
        frame = ", ".join(str(index) for index in self.frames.fixed)
        return f" on frame {frame}" if frame else ""


def add_objects(
    labels: Labels,
    searched: Searched,
    chosen: Chosen,
    keep_others: bool,
    limits: Mapping[str, float],
) -> list[int]:
    """Write the chosen candidates into the labels, each with a new label.

    Locked objects stay as they are, and so do others if ``keep_others``. ``limits`` are
    what candidates had to pass; they are noted in the journal.

    Returns
    -------
    list of int
        The new labels, consecutive.

    Raises
    ------
    PromptError
        If the layer cannot hold so many labels.
    """
    history, frames = history_of(labels), searched.frames
    first = _labels.first_free_id(labels)
    if history.witness is not None:  # the selected label may be in the making there
        first = max(first, int(labels.selected_label) + 1)
    ids = list(range(first, first + len(chosen.numbers)))
    _labels.check_new(labels, ids[-1])
    step = history.begin(ADDED, history.now())
    patch = _labels.write_plane(
        labels,
        frames.plane,
        frames.fixed,
        chosen.renumbered(ids),
        (),
        keep_others=keep_others,
        locked=history.locked,
    )
    if patch is not None:
        history.add(patch, step)
        sure = [_sure(searched.masks[number - 1]) for number in chosen.numbers]
        about = _about(searched, limits) | {"labels": [ids[0], ids[-1]], "sure": sure}
        history.record.journal.add(patch, about, step)
        place = frames.plane, frames.fixed
        written = np.asarray(labels.data[plane_index(*place)])
        history.record.searched(*place, written, about, step)
    _labels.refresh(labels)
    if ids[-1] < np.iinfo(labels.data.dtype).max:
        labels.selected_label = ids[-1] + 1
    history.added.emit()
    return ids


def take_back_added(labels: Labels | None) -> bool:
    """Take back what was added last; False if something else was done since.

    Raises
    ------
    PromptError
        If one of the objects has been locked.
    """
    history = history_of(labels)
    step = history.last
    if labels is None or step is None or step.text != ADDED:
        return False
    if locked := history.locked_in(step):
        raise PromptError(f"Object {locked} is locked; unlock it to undo this step.")
    history.take_back(labels, history.now())
    _labels.refresh(labels)
    history.added.emit()
    return True


def _sure(mask: MaskCandidate) -> float:
    return round(min(1.0, max(0.0, float(mask.predicted_iou))), 4)


def _about(searched: Searched, limits: Mapping[str, float]) -> dict[str, Any]:
    options = searched.options
    return {
        "model": searched.model,
        "region": None if options.region is None else list(options.region),
        "points_per_side": options.points_per_side,
        "crop_layers": options.crop_layers,
        **{name: value for name, value in limits.items() if not math.isinf(value)},
    }
