"""The outline of the part of an image that the model has looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2 import _layers

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari.components
    from napari.layers import Shapes
    from numpy.typing import NDArray

    from napari_sam2._state import SegmentationState
    from napari_sam2.picture._region import Looked

NAME = "SAM2 region"
COLOR = "#ffd34d"
THICKNESS = 1 / 300  # of the longer side


class Outline:
    """A thin frame on a layer of its own, which takes no mouse and is never chosen.

    Whoever hides or deletes the layer has seen enough of it: it does not come back by
    itself.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Where it is shown.
    state : SegmentationState
        Says what was looked at.
    soon : callable, optional
        Calls a function a little later; a mask that was found just now is drawn first.
    """

    def __init__(
        self,
        viewer: napari.components.ViewerModel,
        state: SegmentationState,
        soon: Callable[[Callable[[], None]], Any] = lambda show: show(),
    ) -> None:
        self.viewer = viewer
        self.state = state
        self._soon = soon
        self.layer: Shapes | None = None
        self._unwanted = False
        state.events.looked.connect(self._on_looked)
        state.events.image.connect(self.remove)
        viewer.layers.events.removed.connect(self._on_removed)

    def remove(self, *_: Any) -> None:
        """Take the layer away."""
        layer, self.layer = self.layer, None
        if layer is not None and layer in self.viewer.layers:
            self.viewer.layers.remove(layer)

    def _on_looked(self, _: Looked | None) -> None:
        self._soon(self._show)

    def _show(self) -> None:
        looked, image = self.state.looked, self.state.image
        if looked is None or image is None or self._unwanted:
            self.remove()
            return
        corners = _corners(looked, image.ndim)
        x0, y0, x1, y1 = looked.region
        width = max(1.0, max(x1 - x0, y1 - y0) * THICKNESS)
        if self.layer is not None and self.layer.ndim == image.ndim:
            if not np.array_equal(self.layer.data[0], corners):
                self.layer.data = [(corners, "rectangle")]
                self.layer.edge_width = [width]
            return
        self.remove()
        self._make(image, corners, width)

    def _make(self, image: Any, corners: NDArray[np.float64], width: float) -> None:
        from napari.layers import Shapes

        layer = Shapes(
            [corners],
            shape_type="rectangle",
            ndim=image.ndim,
            name=NAME,
            face_color="transparent",
            edge_color=COLOR,
            edge_width=width,
            opacity=0.6,
            **_layers.spatial(image),
        )
        layer.editable = False
        _layers.add_aside(self.viewer, layer)
        self.layer = layer

    def _on_removed(self, event: Any) -> None:
        if self.layer is not None and event.value is self.layer:
            self.layer, self._unwanted = None, True


def _corners(looked: Looked, ndim: int) -> NDArray[np.float64]:
    """Corners in data coordinates, (4, ndim)."""
    x0, y0, x1, y1 = (v - 0.5 for v in looked.region)
    corners = np.empty((4, ndim))
    others = [i for i in range(ndim) if i not in looked.plane]
    corners[:, others] = looked.position
    corners[:, list(looked.plane)] = [(y0, x0), (y0, x1), (y1, x1), (y1, x0)]
    return corners
