"""Prompts placed by scripts, as a user would place them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_sam2 import _layers
from napari_sam2._layers import IN_3D
from napari_sam2._stage import full_coordinates
from sam2_core.errors import PromptError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_sam2._object_notes import ObjectNotes
    from napari_sam2._stage import Stage
    from napari_sam2._state import SegmentationState
    from napari_sam2._steps import Steps


class Placing:
    """Checks positions and adds prompts to the layers.

    Parameters
    ----------
    state, stage, notes
        What is chosen, the layers, and which objects are locked.
    """

    def __init__(
        self, state: SegmentationState, stage: Stage, notes: ObjectNotes
    ) -> None:
        self.state = state
        self.stage = stage
        self.notes = notes

    def point(self, position: Sequence[float], positive: bool | None) -> None:
        """Add a point at (row, column) of the plane shown or at nD data coordinates."""
        full = self.locate(position)
        self.check()
        self.stage.add_point(full, self._sign(positive))

    def shapes(self, shapes: Any, kind: str, positive: bool | None) -> None:
        """Add shapes of (row, column) or nD corners, all at once."""
        outlines = [[self.locate(corner) for corner in shape] for shape in shapes]
        self.check()
        self.stage.add_shapes(outlines, kind, self._sign(positive))

    def locate(self, position: Sequence[float]) -> list[float]:
        """Full data coordinates; PromptError beside the image."""
        image = self.stage.ensure()[0]
        view = _layers.current_view(self.stage.viewer, image)
        full = full_coordinates(view, position)
        shape = _layers.image_shape(image)
        if any(not -0.5 <= v < n - 0.5 for v, n in zip(full, shape, strict=True)):
            raise PromptError(f"{tuple(position)} lies outside the image {shape}.")
        return full

    def _sign(self, positive: bool | None) -> bool:
        return self.state.positive if positive is None else positive

    def check(self) -> None:
        """PromptError if the current object cannot be prompted."""
        if self.state.object_id < 1:
            raise PromptError("Label 0 is the background; choose another label.")
        if self.state.object_id in self.notes.locked:
            raise PromptError(self.notes.refusal(self.state.object_id))

    def why_not(self, steps: Steps) -> str:
        """Reason why what was just drawn or moved has to go back; "" if it may stay."""
        if locked := steps.touched(self.notes.locked):
            return self.notes.refusal(locked)
        now, last = self.stage.snapshot(), steps.last
        if self.stage.viewer.dims.ndisplay == 2 or now is None or last is None:
            return ""
        more = len(now.points) + len(now.shapes) > len(last.points) + len(last.shapes)
        return IN_3D if more else ""
