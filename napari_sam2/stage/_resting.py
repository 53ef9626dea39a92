"""An empty layer of shapes is not drawn until it is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import napari.components
    from napari.layers import Shapes


class Resting:
    """Hides the layer of shapes while it is empty and not the active one.

    napari makes new shaders for a Shapes layer on every frame, also for an empty one,
    which takes a good part of the time that a move of the slider takes.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Says which layer is active.
    """

    def __init__(self, viewer: napari.components.ViewerModel) -> None:
        self._viewer = viewer
        self._layer: Shapes | None = None
        self._hidden = False  # by us; what the user hides stays hidden
        viewer.layers.selection.events.active.connect(self.update)

    def use(self, layer: Shapes | None) -> None:
        """Look after another layer."""
        if layer is self._layer:
            return
        if self._layer is not None:
            self._layer.events.data.disconnect(self.update)
            self._show(self._layer)
        self._layer = layer
        if layer is not None:
            layer.events.data.connect(self.update)
        self.update()

    def update(self, event: Any = None) -> None:
        """Hide the layer or show it."""
        layer = self._layer
        if layer is None:
            return
        if len(layer.data) or self._viewer.layers.selection.active is layer:
            self._show(layer)
        elif layer.visible:
            layer.visible, self._hidden = False, True

    def _show(self, layer: Shapes) -> None:
        if self._hidden:
            layer.visible, self._hidden = True, False
