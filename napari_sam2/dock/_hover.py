"""The mask under the cursor, before the click or before its button is up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_sam2 import _layers
from napari_sam2._jobs import Job
from napari_sam2._prompts import Key, ObjectPrompts
from napari_sam2.dock._ghost import Ghost
from napari_sam2.picture._cover import why_unseen
from sam2_core.errors import Sam2Error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_sam2._controller import SegmentController
    from napari_sam2._images import LayerFrames
    from napari_sam2._jobs import Stop
    from napari_sam2._layers import View
    from napari_sam2.asking._glimpses import Glimpse

QUICK_MS = 60  # a model that takes longer is asked under the cursor only on request


@dataclass(frozen=True)
class Spot:
    """A place in the plane on display, in pixels of the image."""

    view: View
    row: float
    column: float

    @property
    def xy(self) -> tuple[float, float]:
        """As prompts have it."""
        return self.column, self.row

    @property
    def pixel(self) -> tuple[View, int, int]:
        """Within it the answer is taken to be the same."""
        return self.view, round(self.row), round(self.column)


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
        self._at: Spot | None = None
        self._wanted: Spot | None = None
        controller.viewer.mouse_move_callbacks.append(self.on_move)
        controller.viewer.mouse_drag_callbacks.append(self.on_press)
        controller.stage.prompts_changed.connect(self.hide)
        for name in ("object_id", "hover", "image"):
            self.state.events[name].connect(self.hide)
        for name in _layers.DIMS:
            controller.viewer.dims.events[name].connect(self.hide)
        controller.viewer.events.mouse_over_canvas.connect(self._on_border)

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
        self._at = self._wanted = None
        self.ghost.hide()

    def close(self) -> None:
        """The dock is gone."""
        viewer = self.controller.viewer
        for callbacks, own in (
            (viewer.mouse_move_callbacks, self.on_move),
            (viewer.mouse_drag_callbacks, self.on_press),
        ):
            if own in callbacks:
                callbacks.remove(own)
        self.ghost.remove()

    def on_move(self, viewer: Any, event: Any) -> None:
        """The cursor is somewhere else."""
        if self._in_hand and self.is_on:
            self.look(event.position)
        else:
            self.ghost.hide()

    def _on_border(self, event: Any = None) -> None:
        """A preview that stays when the cursor has left looks like a mask."""
        if not self.controller.viewer.mouse_over_canvas:
            self.hide()

    def on_press(self, viewer: Any, event: Any) -> None:
        """The button is down: begin with the answer, for when it is up again.

        Models that answer by close-ups remember what they were asked; others would be
        asked twice. In stacks, what a correction means depends on what was followed.
        """
        state, controller = self.state, self.controller
        spot = self._spot(event.position) if event.button == 1 else None
        ready = self._in_hand and controller.sight.close_ups
        if spot is None or not ready or controller.runner.busy:
            return
        new = state.each or not controller.stage.count_prompts(state.object_id)
        if not new and state.axis is not None:
            return
        key = Key(spot.view.plane, spot.view.position, state.object_id)
        given = None if new else controller.pending.prompts().get(key)
        prompts = (given or ObjectPrompts()).with_point(spot.xy, state.positive)
        frames = self._frames(prompts) if prompts.positive else None
        if frames is None:
            return
        choice, engine = controller.tasks.choice, controller.tasks.engine

        def work(stop: Stop) -> Iterator[Any]:
            if not stop():
                engine.ahead(choice, frames, key, prompts)
            yield from ()

        controller.tasks.awaited.emit(True)
        job = Job("hover", work, lambda item: None, self._on_ahead)
        controller.runner.submit(job)

    def _on_ahead(self, error: Sam2Error | None) -> None:
        if not self.controller.runner.awaits("predict"):
            self.controller.tasks.awaited.emit(False)

    def look(self, world: Any) -> None:
        """Show the mask at world coordinates, as soon as nothing else is going on."""
        spot = self._spot(world)
        if spot is None:
            self.hide()
        elif self._at is None or spot.pixel != self._at.pixel:
            self._wanted = spot
            if not self.controller.runner.busy:
                self._show()

    @property
    def _in_hand(self) -> bool:
        """Whether a click would make a point."""
        points = self.controller.stage.points
        active = self.controller.viewer.layers.selection.active
        return points is not None and active is points and str(points.mode) == "add"

    def _spot(self, world: Any) -> Spot | None:
        image = self.controller.stage.image
        if image is None or self.state.object_id < 1:
            return None
        try:
            view = _layers.current_view(self.controller.viewer, image)
        except Sam2Error:
            return None
        here = image.world_to_data(world)
        row, column = (float(here[i]) for i in view.plane)
        height, width = (_layers.image_shape(image)[i] for i in view.plane)
        if not (-0.5 <= row < height - 0.5 and -0.5 <= column < width - 0.5):
            return None
        if why_unseen(self.controller.viewer, self.state, image, here):
            return None
        return Spot(view, row, column)

    def _frames(self, prompts: ObjectPrompts) -> LayerFrames | None:
        """Where such prompts would be answered."""
        controller = self.controller
        try:
            image = controller.stage.ensure()[0]
            return controller.sight.part(controller.frames(), image, prompts)
        except Sam2Error:
            return None

    def _show(self) -> None:
        self._at = spot = self._wanted
        if spot is None:
            return
        frames = self._frames(ObjectPrompts().with_point(spot.xy, True))
        if frames is None:
            return
        tasks = self.controller.tasks
        choice, engine = tasks.choice, tasks.engine

        def work(stop: Stop) -> Iterator[Any]:
            return engine.hover(choice, frames, spot.view.position, spot.xy, stop)

        job = Job("hover", work, self._on_item, self._on_end)
        self.controller.runner.submit(job)

    def _on_item(self, glimpse: Glimpse) -> None:
        image = self.controller.stage.image
        if image is None or not self._at or glimpse.position != self._at.view.position:
            return
        color = self.controller.stage.label_color(self.state.object_id)
        self.ghost.show(image, glimpse, color)

    def _on_end(self, error: Sam2Error | None) -> None:
        """The cursor has moved on meanwhile: look there."""
        moved = self._wanted is not None and self._wanted != self._at
        if error is None and moved and not self.controller.runner.busy:
            self._show()
