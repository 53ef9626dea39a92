"""What keeps the user from seeing the image in use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image

from napari_sam2._layers import image_shape, unit_factor
from napari_sam2.picture._channels import COVERS, coincide

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import napari.components
    from numpy.typing import NDArray

    from napari_sam2._automatic_state import AutomaticState
    from napari_sam2._state import SegmentationState

HIDDEN = "{0} is hidden: show it, or choose another under Image and model."
UNCOVERED = "{1} {2} hidden now, to show {0}."
COVERED = "{1} covers {0}: choose {1} under Image and model, or hide it."


def why_unseen(
    viewer: napari.components.ViewerModel,
    state: SegmentationState | AutomaticState,
    image: Image,
    at: Sequence[float] | None = None,
) -> str:
    """Reason why the image is not what the user looks at; "" if it is.

    Where the model sees what is shown, images of its place are part of the picture.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        In 2D display.
    state : SegmentationState or AutomaticState
        Says what the model sees.
    image : napari.layers.Image
        In use.
    at : sequence of float, optional
        Data coordinates of a place in the image; its middle otherwise.
    """
    layers, alone = viewer.layers, state.sees == "layer"
    if image not in layers:
        return ""
    if alone and not (image.visible and image.opacity > 0):
        return HIDDEN.format(image.name)
    if getattr(viewer, "canvas", viewer).grid.enabled:  # napari 0.9 moved it
        return ""
    place = (np.array(image_shape(image)) - 1) / 2 if at is None else np.asarray(at)
    cover = next(_covers(viewer, image, place, alone), None)
    return "" if cover is None else COVERED.format(image.name, cover.name)


def uncover(
    viewer: napari.components.ViewerModel, state: SegmentationState, image: Image
) -> str:
    """Show an image that the user has chosen, and hide those that cover it.

    Returns what was hidden, in a sentence; "" for nothing.
    """
    if viewer.dims.ndisplay != 2 or not why_unseen(viewer, state, image):
        return ""
    image.visible = True
    if not why_unseen(viewer, state, image):  # the grid shows all
        return ""
    middle = (np.array(image_shape(image)) - 1) / 2
    covers = list(_covers(viewer, image, middle, state.sees == "layer"))
    for layer in covers:
        layer.visible = False
    *others, last = [layer.name for layer in covers] or [""]
    names = " and ".join(filter(None, [", ".join(others), last]))
    return names and UNCOVERED.format(image.name, names, "are" if others else "is")


def is_under(viewer: napari.components.ViewerModel, layer: Any, image: Image) -> bool:
    """Whether an image hides a layer of its own, being above it in the list."""
    layers = viewer.layers
    if layer not in layers or image not in layers or not _is_opaque(image):
        return False
    if getattr(viewer, "canvas", viewer).grid.enabled:  # napari 0.9 moved it
        return False
    return bool(layers.index(layer) < layers.index(image))


def lift(
    viewer: napari.components.ViewerModel, image: Image, own: Iterable[Any]
) -> None:
    """Have an image's own layers above it, where it hides them: it goes below them."""
    layers = viewer.layers
    hidden = [each for each in own if is_under(viewer, each, image)]
    if hidden:
        layers.move(layers.index(image), min(layers.index(each) for each in hidden))


def meet(viewer: napari.components.ViewerModel, a: Any, b: Any) -> bool:
    """Whether the middle of one of two layers lies on the other."""
    if coincide(a, b):
        return True
    middle = [(np.array(image_shape(each)) - 1) / 2 for each in (a, b)]
    return _reaches(viewer, a, b, middle[1]) or _reaches(viewer, b, a, middle[0])


def _covers(
    viewer: napari.components.ViewerModel, image: Image, at: NDArray[Any], alone: bool
) -> Iterator[Image]:
    """Images that hide a place of another, the topmost first."""
    layers = list(viewer.layers)  # a slice of napari's own list is costly: it connects
    for layer in reversed(layers[layers.index(image) + 1 :]):
        if not _is_opaque(layer) or not _reaches(viewer, layer, image, at):
            continue
        if alone or not coincide(layer, image):
            yield layer


def _is_opaque(layer: Any) -> bool:
    """Whether nothing can be seen through a layer."""
    if type(layer) is not Image or not layer.visible or layer.opacity < 1:
        return False
    if str(getattr(layer.blending, "value", layer.blending)) not in COVERS:
        return False
    if layer.rgb:
        data = layer.data[0] if layer.multiscale else layer.data
        return int(data.shape[-1]) == 3
    return bool((np.asarray(layer.colormap.colors)[:, 3] == 1).all())


def _reaches(
    viewer: napari.components.ViewerModel,
    layer: Image,
    image: Image,
    at: NDArray[Any],
) -> bool:
    """Whether a layer has pixels on display at a place of another.

    The place is on display but for the axes with sliders, whose position counts.
    """
    number = min(layer.ndim, image.ndim)
    world = np.array(viewer.dims.point, float)
    units = list(getattr(viewer.layers, "units", None) or ())
    if len(units) < viewer.dims.ndim:
        units = []
    place = np.asarray(image.data_to_world(at), float)
    for axis in viewer.dims.displayed:
        own = axis - viewer.dims.ndim  # the axes of layers are the last ones
        if -own > number:
            return False
        factor = unit_factor(image.units[own], units[own]) if units else 1.0
        world[axis] = place[own] * factor
    world = world[-layer.ndim :]
    if units:
        pairs = zip(units[-layer.ndim :], layer.units, strict=True)
        world = world * [unit_factor(a, b) for a, b in pairs]
    here = np.asarray(layer.world_to_data(world))
    shape = np.array(image_shape(layer))
    return bool(((here >= -0.5) & (here < shape - 0.5)).all())
