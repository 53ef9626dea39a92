"""Choosing among the masks that one click may mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_sam2 import _layers
from napari_sam2._prompts import MaskPrompt
from sam2_core.errors import Sam2Error

if TYPE_CHECKING:
    from napari_sam2._controller import SegmentController
    from napari_sam2.asking._glimpses import Choices
    from napari_sam2.history._snapshots import Moment


class Ambiguity:
    """Shows another candidate instead of the mask that the model thinks best.

    Parameters
    ----------
    controller : SegmentController
        Does the work.
    """

    def __init__(self, controller: SegmentController) -> None:
        self.controller = controller
        self.state = controller.state
        self._last: Choices | None = None
        self.state.events.choices.connect(self._on_choices)
        for name in ("image", "labels"):
            self.state.events[name].connect(self._on_layers)
        self.state.events.object_id.connect(self._check)
        for name in _layers.DIMS:
            controller.viewer.dims.events[name].connect(self._on_dims)
        controller.stage.prompts_changed.connect(self._check)
        controller.steps.arrived.connect(self._on_arrived)

    @property
    def choices(self) -> Choices | None:
        """Candidates of the last click, as long as it is the last."""
        found: Choices | None = self.state.choices
        return found

    def close(self) -> None:
        """The dock is gone: nobody is there to choose."""
        for name in _layers.DIMS:
            self.controller.viewer.dims.events[name].disconnect(self._on_dims)

    def cycle(self) -> None:
        """Show the next larger candidate; after the largest, the smallest."""
        self._check()
        if self.choices is None:
            self.state.status = "There are no other masks; click once on a new object."
            return
        self.choose((self.state.choice + 1) % len(self.choices.masks))

    def choose(self, number: int) -> None:
        """Show this candidate; it is what later prompts correct."""
        self._check()
        found = self.choices
        if found is None or not 0 <= number < len(found.masks):
            return
        controller = self.controller
        if found.key.object_id in controller.notes.locked:
            self.state.status = controller.notes.refusal(found.key.object_id)
            return
        controller.steps.begin("other mask")
        controller.stage.masks[found.key] = MaskPrompt(
            found.masks[number], found.prompts
        )
        controller.steps.look()
        self.state.choice = number
        controller.sync()
        controller.tasks.rest()  # there may be nothing to write

    def _check(self, *_: Any) -> None:
        """Candidates are gone with the click they belong to."""
        found = self.choices
        if found is not None and not self._stands(found, self.state.object_id):
            self.state.choices = None

    def _stands(self, found: Choices, object_id: int) -> bool:
        """Whether the click is on display, of this object and all there is of it."""
        if self.state.image is None or found.key.object_id != object_id:
            return False
        try:
            view = _layers.current_view(self.controller.viewer, self.state.image)
        except Sam2Error:  # 3D display
            return False
        if (view.plane, view.position) != found.key.place:
            return False
        ask = self.controller.starts.prompts(with_masks=False).get(found.key)
        return ask == found.prompts

    def _on_choices(self, found: Choices | None) -> None:
        self._last = found or self._last
        self._check()  # another frame may be on display by now

    def _on_dims(self, event: Any = None) -> None:
        """Candidates leave with the frame of their click and come back with it."""
        self._check()
        if self.choices is None:
            self._bring_back(self.state.object_id)

    def _on_layers(self, *_: Any) -> None:
        self._last = None
        self._check()

    def _on_arrived(self, moment: Moment) -> None:
        """After undo and redo, candidates come and go with their click."""
        self._bring_back(moment.object_id or self.state.object_id)

    def _bring_back(self, object_id: int) -> None:
        found = self._last
        if found is None:
            return
        start = self.controller.stage.masks.get(found.key)
        known = start is None or start.mask in found.masks
        if not known or not self._stands(found, object_id):
            self.state.choices = None
            return
        choice = found.best if start is None else found.masks.index(start.mask)
        self.state.update(choices=found, choice=choice)
