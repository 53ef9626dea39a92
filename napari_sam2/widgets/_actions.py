"""More that the dock does for keys, buttons and scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_sam2._state import PARTS, SEES, WRITING
from sam2_core.errors import PromptError
from sam2_core.presets import PRESETS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_sam2._controller import SegmentController
    from napari_sam2._state import SegmentationState
    from napari_sam2.dock._ambiguity import Ambiguity
    from napari_sam2.dock._hover import Hover
    from napari_sam2.dock._objects import Objects

ANSWERED = "Masks come by themselves; Scribble is D."
BACK = "The labels are hidden; V shows them again."
OPTIONS = {
    "writing": WRITING,
    "sees": SEES,
    "part": PARTS,
    "neighbours": None,
    "alone": None,
    "each": None,
    "hover": None,
    "preset": ("", *PRESETS),
}


class Actions:
    """Methods of :class:`napari_sam2.widgets.segment.SegmentWidget`."""

    state: SegmentationState
    controller: SegmentController
    objects: Objects
    ambiguity: Ambiguity
    hover: Hover

    def add_boxes(self, boxes: Sequence[Sequence[float]]) -> None:
        """Add boxes (top, left, bottom, right); each is an object of its own."""
        shapes = [
            [(top, left), (top, right), (bottom, right), (bottom, left)]
            for top, left, bottom, right in boxes
        ]
        self.controller.add_shapes(shapes, "rectangle", None, True)

    def add_scribble(
        self,
        vertices: Sequence[Sequence[float]],
        positive: bool | None = None,
        object_id: int | None = None,
    ) -> None:
        """Add a scribble: a path on the object, or on what does not belong to it."""
        self.controller.add_shapes([vertices], "path", object_id, positive)

    def choose_option(self, name: str, value: Any) -> None:
        """Set an option of the dock.

        Parameters
        ----------
        name : str
            "writing" is "keep", "overwrite" or "empty": what happens to other labels.
            "sees" is "layer" or "shown": whether the model is shown the image alone or
            all images that are visible. "part" is "auto", "screen" or "whole": whether
            it looks at the part on screen alone. "preset" is "best", "balanced",
            "fast" or "": how official models follow through stacks. The others are
            switches: "neighbours" (stay out of them), "alone" (propagate the current
            object only), "each" (one object per prompt), "hover" (preview under the
            cursor).
        value
            Its new value.
        """
        if name not in OPTIONS:
            raise PromptError(f"The option must be one of {', '.join(OPTIONS)}.")
        values = OPTIONS[name]
        if values is not None and value not in values:
            raise PromptError(f"{name!r} must be one of {', '.join(values)}.")
        setattr(self.state, name, value)
        if name in ("sees", "part", "preset"):
            self.controller.look_again()

    def track_all(self) -> None:
        """Follow every label of this frame through the stack."""
        self.objects.track_all()

    def next_candidate(self) -> None:
        """Show the next of the masks that the last click may mean."""
        self.ambiguity.cycle()

    def choose_candidate(self, number: int) -> None:
        """Show one of the masks that the last click may mean, 0 is the smallest."""
        self.ambiguity.choose(number)

    def redo(self) -> None:
        """Do again what was taken back last."""
        self.controller.redo()

    def toggle_each(self) -> None:
        """Switch "one object per prompt" on or off."""
        self.state.each = not self.state.each
        what = "every prompt is" if self.state.each else "prompts are for"
        rest = "an object of its own" if self.state.each else "the current object"
        self.state.status = f"From now on {what} {rest}."

    def toggle_hover(self) -> None:
        """Switch the preview under the cursor on or off."""
        self.hover.toggle()

    def tell_answered(self) -> None:
        """Say that nothing has to be started; habit of other tools."""
        self.controller.tasks.rest()
        if not self.state.busy:
            self.state.status += f" {ANSWERED}"

    def toggle_labels(self) -> None:
        """Show or hide the labels, and keep the tool in hand."""
        labels = self.controller.stage.labels
        if labels is not None:
            labels.visible = not labels.visible
            self.controller.tasks.rest("" if labels.visible else BACK)

    def take_tool(self, tool: str) -> None:
        """Take a tool in hand: point, box, scribble, polygon or lasso."""
        self.controller.steps.take_tool(tool)

    def take_point(self) -> None:
        """Take the point tool in hand."""
        self.take_tool("point")

    def take_box(self) -> None:
        """Take the box tool in hand."""
        self.take_tool("box")

    def take_scribble(self) -> None:
        """Take the scribble tool in hand."""
        self.take_tool("scribble")

    def take_lasso(self) -> None:
        """Take the lasso tool in hand."""
        self.take_tool("lasso")
