"""A passing layer that shows a mask nobody has asked for yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2 import _layers

if TYPE_CHECKING:
    import napari.components
    from napari.layers import Image, Labels
    from numpy.typing import NDArray

    from napari_sam2.asking._glimpses import Glimpse

NAME = "SAM2 preview"


class Ghost:
    """One plane of one label over an image; made when needed.

    The layer holds a single plane, whatever the size of the stack.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Where it is shown.
    """

    def __init__(self, viewer: napari.components.ViewerModel) -> None:
        self.viewer = viewer
        self.layer: Labels | None = None
        self._made_for: tuple[Any, ...] = ()
        self._data: NDArray[np.uint8] | None = None

    def show(
        self,
        image: Image,
        glimpse: Glimpse,
        color: Any,
    ) -> None:
        """Show a mask in a colour, at its place in a plane of an image."""
        plane, mask = glimpse.plane, glimpse.mask
        made_for = (id(image), plane, glimpse.position, glimpse.corner, mask.shape)
        made_for = (*made_for, *_layers.place_of(image))
        if self.layer not in self.viewer.layers or made_for != self._made_for:
            self.remove()
            self._make(image, glimpse)
            self._made_for = made_for
        assert self.layer is not None
        assert self._data is not None
        index = _layers.plane_index(plane, (0,) * (image.ndim - 2))
        self._data[index] = mask
        self._tint(color)
        self.layer.visible = True
        self.layer.refresh(extent=False, thumbnail=False, highlight=False)

    def hide(self) -> None:
        """Show nothing for now."""
        if self.layer is not None and self.layer.visible:
            self.layer.visible = False

    def remove(self) -> None:
        """Take the layer away."""
        layer, self.layer = self.layer, None
        if layer is not None and layer in self.viewer.layers:
            self.viewer.layers.remove(layer)

    def _tint(self, color: Any) -> None:
        from napari.utils.colormaps import DirectLabelColormap

        assert self.layer is not None
        if self.layer.get_color(1) is None or not np.allclose(
            self.layer.get_color(1), color
        ):
            colors = {None: np.zeros(4), 0: np.zeros(4), 1: np.asarray(color, float)}
            self.layer.colormap = DirectLabelColormap(color_dict=colors)

    def _make(self, image: Image, glimpse: Glimpse) -> None:
        from napari.layers import Labels
        from napari.utils.transforms import Affine

        plane, place = glimpse.plane, _layers.spatial(image)
        corner = np.zeros(image.ndim)
        others = [i for i in range(image.ndim) if i not in plane]
        corner[others], corner[list(plane)] = glimpse.position, glimpse.corner
        moved = Affine(
            scale=image.scale, rotate=image.rotate, shear=image.shear, ndim=image.ndim
        )
        place["translate"] = np.asarray(image.translate) + moved(corner)
        flat = np.ones(image.ndim, int)
        flat[list(plane)] = glimpse.mask.shape
        self._data = np.zeros(tuple(flat), np.uint8)
        shown = self._data.view()
        shown.flags.writeable = False  # nobody takes it for the result
        layer = Labels(shown, name=NAME, opacity=0.45, **place)
        layer.editable = False
        _layers.add_aside(self.viewer, layer)
        self.layer = layer
