"""Choosing among the masks that one click may mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_sam2._prompts import MaskPrompt

if TYPE_CHECKING:
    from napari_sam2._controller import SegmentController
    from napari_sam2._glimpses import Choices


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
        for name in ("object_id", "image", "labels"):
            self.state.events[name].connect(self._check)
        controller.stage.prompts_changed.connect(self._check)

    @property
    def choices(self) -> Choices | None:
        """Candidates of the last click, as long as it is the last."""
        found: Choices | None = self.state.choices
        return found

    def cycle(self) -> None:
        """Show the next larger candidate; after the largest, the smallest."""
        if self.choices is None:
            self.state.status = "There are no other masks; click once on a new object."
            return
        self.choose((self.state.choice + 1) % len(self.choices.masks))

    def choose(self, number: int) -> None:
        """Show this candidate; it is what later prompts correct."""
        found = self.choices
        if found is None or not 0 <= number < len(found.masks):
            return
        controller = self.controller
        controller.steps.begin("other mask")
        controller.stage.masks[found.key] = MaskPrompt(
            found.masks[number], found.prompts
        )
        controller.steps.look()
        self.state.choice = number
        controller.sync()
        sure = 100 * min(1.0, max(0.0, found.scores[number]))
        self.state.status = (
            f"Mask {number + 1} of {len(found.masks)}, {sure:.0f} % sure."
        )

    def _check(self, *_: Any) -> None:
        """Candidates are gone with the click they belong to."""
        found = self.choices
        if found is None:
            return
        if self.state.image is None:
            self.state.choices = None
        else:
            ask = self.controller.starts.prompts(with_masks=False).get(found.key)
            if found.key.object_id != self.state.object_id or ask != found.prompts:
                self.state.choices = None
