"""The tool in hand: what a click on the canvas would do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psygnal import Signal

if TYPE_CHECKING:
    from collections.abc import Sequence

    import napari.components
    from napari.layers import Points, Shapes

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

    def take(self, tool: str) -> None:
        """Take a tool in hand: "point", "box", "scribble", "polygon", "lasso"."""
        layer = self._points if tool == "point" else self._shapes
        if layer is not None:
            self._viewer.layers.selection.active = layer
            layer.mode = MODES[tool]

    def pass_on(self, before: Sequence[Any], now: Sequence[Any]) -> None:
        """What was done in a layer is done in the one that takes its place."""
        selection = self._viewer.layers.selection
        for old, new in zip(before, now, strict=True):
            if new is not None and old is selection.active is not new:
                selection.active, new.mode = new, old.mode
                return

    def look(self, event: Any = None) -> None:
        """See what is in hand now."""
        tool, active = "", self._viewer.layers.selection.active
        if active is not None and active in (self._points, self._shapes):
            ours = ["point"] if active is self._points else [*MODES][1:]
            mode = str(active.mode)
            tool = next((name for name in ours if MODES[name] == mode), "")
        if tool != self.tool:
            self.tool = tool
            self.changed.emit(tool)
