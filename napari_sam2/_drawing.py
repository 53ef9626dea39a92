"""The shape that is being drawn: no prompt before it is finished, and never left so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_sam2._layers import adding_aside

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    import napari.components
    import pandas as pd
    from napari.layers import Shapes

# Of napari, in which the mouse goes on drawing after its button is released.
OUTLINE, SCRIBBLE = "add_polygon", "add_path"
BOX = "add_rectangle"
DOT = 1.0  # pixels; a path of no length would not be seen


def count_finished(layer: Any) -> int:
    """How many prompts are in a layer, without the shape that is being drawn."""
    return len(layer.data) - _is_unfinished(layer)


def finished_rows(layer: Any) -> pd.DataFrame:
    """Features of the prompts in a layer, without the shape that is being drawn."""
    return layer.features.iloc[: count_finished(layer)]


class Drawing:
    """Ends what the user draws before anything else begins.

    napari says nothing of its drawing in public, and fails when a shape is removed
    while it is drawn, or when the mouse goes on drawing one that is gone.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Says which layer is active.
    quiet : callable
        A context in which events of the layers are not the user's doing.
    """

    changed = Signal()  # a shape is begun, or gone before it was one
    begun = Signal(object)  # an outline, whose first corner is at these coordinates

    def __init__(
        self,
        viewer: napari.components.ViewerModel,
        quiet: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._viewer = viewer
        self._quiet = quiet
        self._layer: Shapes | None = None
        self._mode: Any = None  # in which the shape was begun
        self._still = False  # whether the mouse has not moved since it began a box
        viewer.layers.selection.events.active.connect(self._on_active)

    def use(self, layer: Shapes | None) -> None:
        """Look after another layer."""
        if self._layer is not None:
            self._layer.events.mode.disconnect(self.end)
            self._layer.events.data.disconnect(self._on_data)
            if self._on_press in self._layer.mouse_drag_callbacks:
                self._layer.mouse_drag_callbacks.remove(self._on_press)
        self._layer = layer
        if layer is not None:
            layer.events.mode.connect(self.end)
            layer.events.data.connect(self._on_data)
            layer.mouse_drag_callbacks.append(self._on_press)

    @property
    def outlining(self) -> bool:
        """Whether an outline waits for its next corner."""
        layer = self._layer
        return _is_unfinished(layer) and str(getattr(layer, "mode", "")) == OUTLINE

    def was_click(self) -> bool:
        """Whether the mouse stood still for the box that has come; asked once of it."""
        still, self._still = self._still, False
        return still

    def end(self, event: Any = None, but_for: int | None = None) -> None:
        """Finish the shape as it is; napari drops one of too few corners.

        ``but_for``: not if the shape is for this object.
        """
        layer = self._layer
        if layer is None or not _is_unfinished(layer):
            return
        if but_for == layer.features["object_id"].iloc[-1]:
            return
        _end_drag(layer)
        now = layer._mode
        layer._mode = self._mode or now  # it tells napari what is drawn
        try:
            layer._finish_drawing()
        finally:
            layer._mode = now

    def drop(self) -> bool:
        """Forget the shape; returns whether there was one."""
        layer = self._layer
        if layer is None:
            return False
        unfinished = _is_unfinished(layer)
        _let_go(layer)
        if unfinished:
            _end_drag(layer)
            defaults = layer.feature_defaults
            with self._quiet():
                layer.remove([len(layer.data) - 1])
                layer.feature_defaults = defaults  # napari forgets them with the last
            self.changed.emit()
        return unfinished

    def _on_press(self, layer: Shapes, event: Any) -> Any:
        """A click is all of a scribble; other shapes go on after it."""
        self._mode = layer._mode
        self._still = str(layer.mode) == BOX
        yield
        while event.type == "mouse_move":
            self._still = False
            yield
        if not _is_unfinished(layer):
            return
        vertices = np.array(layer.data[-1])
        if str(layer.mode) != SCRIBBLE or len(vertices) > 2:
            if len(vertices) == 2:  # the second one goes with the cursor
                self.begun.emit(vertices[0])
            self.changed.emit()
            return
        self.drop()
        dot = vertices[[0, 0]]
        column = max(self._viewer.dims.displayed) - self._viewer.dims.ndim
        dot[:, column] += (-DOT / 2, DOT / 2)
        layer.add(dot, shape_type="path")

    def _on_active(self, event: Any = None) -> None:
        other = self._viewer.layers.selection.active is not self._layer
        if other and not adding_aside():
            self.end()

    def _on_data(self, event: Any) -> None:
        if str(getattr(event.action, "value", event.action)) == "removing":
            _let_go(event.source)


def is_half_drawn(layer: Any) -> bool:
    """Whether a shape, a polygon or a stroke on a layer is not finished yet.

    napari does not say so in public; without its word, Esc is the plugin's.
    """
    overlays = getattr(layer, "_overlays", {})
    return bool(
        getattr(layer, "_is_creating", False)
        or getattr(overlays.get("polygon"), "points", None)
        or getattr(overlays.get("brush_stroke"), "active", False)
    )


def _is_unfinished(layer: Any) -> bool:
    """Whether the last shape is being drawn; not while napari tells that it is done."""
    creating = getattr(layer, "_is_creating", False)
    return bool(creating) and layer._moving_value[0] is not None


def _let_go(layer: Shapes) -> None:
    """Let napari forget that it draws; else it looks for a shape that may be gone."""
    layer._is_creating = False
    layer._moving_value = (None, None)


def _end_drag(layer: Shapes) -> None:
    """Let the layer miss the rest of a drag, as with the button still held."""
    for drag in layer._mouse_drag_gen.values():
        if not drag.gi_running:
            drag.close()
