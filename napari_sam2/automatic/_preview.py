"""A passing Labels layer that shows candidates before they are added."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2 import _labels
from napari_sam2._label_colors import clear_colors
from napari_sam2._layers import SPATIAL, add_aside, image_shape, plane_index, spatial

if TYPE_CHECKING:
    import napari.components
    from napari.layers import Image, Labels
    from numpy.typing import NDArray

PREVIEW_NAME = "SAM2 candidates"


class Preview:
    """Shows one plane of ids over an image; made when needed, gone when not.

    The layer's array is read-only, so that nobody paints into it or takes it for the
    result.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Where the layer is shown.
    """

    def __init__(self, viewer: napari.components.ViewerModel) -> None:
        self.viewer = viewer
        self.layer: Labels | None = None
        self._image: Image | None = None
        self._data: NDArray[np.uint16] | None = None
        self._index: tuple[int | slice, ...] = ()

    def show(
        self,
        image: Image,
        plane: tuple[int, int],
        position: tuple[int, ...],
        ids: NDArray[np.integer[Any]],
    ) -> None:
        """Show ids, (H, W) integers, in a plane of ``image`` and nowhere else."""
        new = self.layer not in self.viewer.layers or image is not self._image
        if new:
            self.remove()
            self._make(image)
        assert self._data is not None
        assert self.layer is not None
        index = plane_index(plane, position)
        if index != self._index and self._index:
            self._data[self._index] = 0
        self._index = index
        self._data[index] = ids
        if new:
            self.layer.refresh()  # with the thumbnail
        else:
            _labels.refresh(self.layer)

    def remove(self) -> None:
        """Take the layer away."""
        layer, self.layer = self.layer, None
        if self._image is not None:
            for name in SPATIAL:
                self._image.events[name].disconnect(self._on_moved)
        self._image, self._data, self._index = None, None, ()
        if layer is not None and layer in self.viewer.layers:
            self.viewer.layers.remove(layer)

    def _make(self, image: Image) -> None:
        from napari.layers import Labels

        self._image = image
        self._data = np.zeros(image_shape(image), np.uint16)
        shown = self._data.view()
        shown.flags.writeable = False
        layer = Labels(
            shown,
            name=PREVIEW_NAME,
            opacity=0.6,
            colormap=clear_colors(),
            **spatial(image),
        )
        layer.editable = False
        add_aside(self.viewer, layer)
        self.layer = layer
        for name in SPATIAL:
            image.events[name].connect(self._on_moved)

    def _on_moved(self, event: Any = None) -> None:
        """The image was moved or scaled: the preview follows."""
        if self.layer is not None and self._image is not None:
            for name, value in spatial(self._image).items():
                setattr(self.layer, name, value)
