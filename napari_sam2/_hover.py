"""The mask under the cursor, before the click."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_sam2 import _layers
from napari_sam2._ghost import Ghost
from napari_sam2._jobs import Job
from napari_sam2._prompts import ObjectPrompts
from sam2_core.errors import Sam2Error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_sam2._controller import SegmentController
    from napari_sam2._glimpses import Glimpse
    from napari_sam2._jobs import Stop

QUICK_MS = 60  # a model that takes longer is asked under the cursor only on request


class Hover:
    """Follows the cursor while the point tool is in hand.

    A preview never waits in line: while anything else runs, there is none.

    Parameters
    ----------
    controller : SegmentController
        Knows the layers and the model.
    """

    def __init__(self, controller: SegmentController) -> None:
        self.controller = controller
        self.state = controller.state
        self.ghost = Ghost(controller.viewer)
        self._at: tuple[Any, ...] = ()
        self._wanted: tuple[Any, ...] = ()
        controller.viewer.mouse_move_callbacks.append(self.on_move)
        controller.stage.prompts_changed.connect(self.hide)
        for name in ("object_id", "hover", "image"):
            self.state.events[name].connect(self.hide)
        for name in ("current_step", "order", "ndisplay"):
            controller.viewer.dims.events[name].connect(self.hide)

    @property
    def is_on(self) -> bool:
        """Whether the mask under the cursor is shown: as chosen, or if it is quick."""
        if self.state.hover is not None:
            return bool(self.state.hover)
        quick = self.state.glimpse_ms
        return quick is not None and quick <= QUICK_MS

    def toggle(self) -> None:
        """Switch it on or off."""
        self.state.hover = not self.is_on
        on = "on" if self.state.hover else "off"
        self.state.status = f"Preview under the cursor is {on}."

    def hide(self, *_: Any) -> None:
        """Show nothing until the cursor moves again."""
        self._at = self._wanted = ()
        self.ghost.hide()

    def close(self) -> None:
        """The dock is gone."""
        callbacks = self.controller.viewer.mouse_move_callbacks
        if self.on_move in callbacks:
            callbacks.remove(self.on_move)
        self.ghost.remove()

    def on_move(self, viewer: Any, event: Any) -> None:
        """The cursor is somewhere else."""
        points = self.controller.stage.points
        in_hand = (
            points is not None
            and viewer.layers.selection.active is points
            and str(points.mode) == "add"
        )
        if not in_hand or not self.is_on:
            self.ghost.hide()
            return
        self.look(event.position)

    def look(self, world: Any) -> None:
        """Show the mask at world coordinates, as soon as nothing else is going on."""
        image = self.controller.stage.image
        if image is None or self.state.object_id < 1:
            return
        try:
            view = _layers.current_view(self.controller.viewer, image)
        except Sam2Error:
            return
        here = image.world_to_data(world)
        row, column = (float(here[i]) for i in view.plane)
        height, width = (_layers.image_shape(image)[i] for i in view.plane)
        if not (-0.5 <= row < height - 0.5 and -0.5 <= column < width - 0.5):
            self.hide()
            return
        at = (view, round(row), round(column))
        if at == self._at:
            return
        self._wanted = at
        if not self.controller.runner.busy:
            self._ask(at)

    def _ask(self, at: tuple[Any, ...]) -> None:
        controller = self.controller
        self._at = at
        view, row, column = at
        try:
            image, under = controller.stage.ensure()[0], ((float(column), float(row)),)
            spot = ObjectPrompts(under, (1,))
            frames = controller.sight.part(controller.frames(), image, spot)
        except Sam2Error:
            return
        choice, engine = controller.tasks.choice, controller.tasks.engine

        def work(stop: Stop) -> Iterator[Any]:
            return engine.hover(choice, frames, view.position, (column, row), stop)

        controller.runner.submit(Job("hover", work, self._on_item, self._on_end))

    def _on_item(self, glimpse: Glimpse) -> None:
        image = self.controller.stage.image
        if image is None or not self._at or glimpse.position != self._at[0].position:
            return
        color = self.controller.stage.label_color(self.state.object_id)
        self.ghost.show(image, glimpse, color)

    def _on_end(self, error: Sam2Error | None) -> None:
        """The cursor has moved on meanwhile: look there."""
        wanted = self._wanted
        moved = bool(wanted) and wanted != self._at
        if error is None and moved and not self.controller.runner.busy:
            self._ask(wanted)
