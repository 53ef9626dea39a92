"""The tool in hand: what a click on the canvas would do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psygnal import Signal

if TYPE_CHECKING:
    from collections.abc import Sequence

    import napari.components
    from napari.layers import Labels, Points, Shapes

MODES = {
    "point": "add",
    "box": "add_rectangle",
    "scribble": "add_path",
    "lasso": "add_polygon_lasso",
    "polygon": "add_polygon",
}


class Hand:
    """Takes tools, and notices when the user takes or drops one in napari's controls.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Says which layer is active.
    """

    changed = Signal(str)

    def __init__(self, viewer: napari.components.ViewerModel) -> None:
        self._viewer = viewer
        self._points: Points | None = None
        self._shapes: Shapes | None = None
        self.tool = ""  # none of ours
        self._last = 0, MODES["point"]  # place of its layer, its mode
        viewer.layers.selection.events.active.connect(self.look)

    def use(self, points: Points | None, shapes: Shapes | None) -> None:
        """Prompts go into other layers from now on."""
        for layer in (self._points, self._shapes):
            if layer is not None:
                layer.events.mode.disconnect(self.look)
        self._points, self._shapes = points, shapes
        for layer in (points, shapes):
            if layer is not None:
                layer.events.mode.connect(self.look)
        self.look()

    def drop(self) -> None:
        """Put the tool down: nobody would read what is drawn."""
        for layer in (self._points, self._shapes):
            if layer is not None:
                layer.mode = "pan_zoom"

    def take(self, tool: str, labels: Labels) -> None:
        """Take a tool in hand: "point", "box", "scribble", "polygon", "lasso".

        napari lets nobody draw on what is hidden; a click on an eye with Alt hides all
        layers but one, and so the labels, too.
        """
        layer = self._points if tool == "point" else self._shapes
        if layer is not None:
            self._viewer.layers.selection.active = layer
            if not layer.visible:
                layer.visible = labels.visible = True
            layer.mode = MODES[tool]

    def held(self, layers: Sequence[Any]) -> tuple[int, str] | None:
        """Place of the active layer among these, and its mode; None: it is another."""
        active = self._viewer.layers.selection.active
        for place, layer in enumerate(layers):
            if layer is not None and layer is active:
                return place, str(layer.mode)
        return None

    def go_on(self, layers: Sequence[Any], held: tuple[int, str] | None) -> None:
        """Do in these layers what was done in others; None: use the tool used last.

        Parameters
        ----------
        layers : sequence
            Points, shapes and labels.
        held : (int, str) or None
            From :meth:`held`.
        """
        place, mode = held or self._last
        self._viewer.layers.selection.active = layers[place]
        layers[place].mode = mode

    def look(self, event: Any = None) -> None:
        """See what is in hand now."""
        tool, active = "", self._viewer.layers.selection.active
        if active is not None and active in (self._points, self._shapes):
            ours = ["point"] if active is self._points else [*MODES][1:]
            mode = str(active.mode)
            tool = next((name for name in ours if MODES[name] == mode), "")
        if tool:
            self._last = int(tool != "point"), MODES[tool]
        if tool != self.tool:
            self.tool = tool
            self.changed.emit(tool)
