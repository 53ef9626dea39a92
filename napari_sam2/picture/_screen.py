"""Which part of an image is on screen, and how to get another there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2._layers import image_shape, unit_factor

if TYPE_CHECKING:
    import napari.components
    from napari.layers import Image
    from numpy.typing import NDArray


def camera_of(viewer: Any) -> Any:
    """The camera; napari 0.9 moved it."""
    return getattr(viewer, "scene", viewer).camera


def region_on_screen(
    viewer: napari.components.ViewerModel, image: Image, plane: tuple[int, int]
) -> tuple[int, int, int, int] | None:
    """Pixels of an image that the canvas shows in 2D display.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        In 2D display; a turned camera is taken as if it were not.
    image : napari.layers.Image
        One of its layers.
    plane : (int, int)
        Data axes of rows and columns.

    Returns
    -------
    (x0, y0, x1, y1) or None
        In pixels of full resolution, x1 and y1 excluded; None if the image is not on
        screen. Pixels seen in part count.
    """
    camera = camera_of(viewer)
    middle = np.asarray(camera.center, float)[-2:]
    half = np.asarray(_canvas_hw(viewer), float) / camera.zoom / 2
    corners = []
    for signs in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
        world = np.asarray(viewer.dims.point, float)
        world[list(viewer.dims.displayed)] = middle + half * signs
        here = image.world_to_data(_in_units_of(viewer, image, world))
        corners.append(np.asarray(here)[list(plane)])
    shape = np.array([image_shape(image)[axis] for axis in plane])
    first = np.floor(np.min(corners, axis=0) + 0.5)
    last = np.ceil(np.max(corners, axis=0) - 0.5)
    y0, x0 = (int(v) for v in np.clip(first, 0, shape))
    y1, x1 = (int(v) for v in np.clip(last + 1, 0, shape))
    return (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None


def show_point(
    viewer: napari.components.ViewerModel, image: Image, point: NDArray[Any]
) -> None:
    """Move the sliders, and the camera if need be, to a data coordinate of an image."""
    world = np.asarray(image.data_to_world(point), float)
    units = getattr(viewer.layers, "units", None)
    if units is not None and len(units) >= image.ndim:
        world *= [
            unit_factor(a, b)
            for a, b in zip(image.units, units[-image.ndim :], strict=True)
        ]
    offset = viewer.dims.ndim - image.ndim
    for axis, value in enumerate(world, offset):
        if axis not in viewer.dims.displayed:
            viewer.dims.set_point(axis, value)
    shown = [a - offset for a in viewer.dims.displayed if a >= offset]
    camera = camera_of(viewer)
    centre = np.asarray(camera.center, float)
    half = np.asarray(_canvas_hw(viewer), float) / camera.zoom / 2
    target = world[shown]
    if len(shown) == 2 and (np.abs(target - centre[-2:]) > half).any():
        camera.center = (*centre[:-2], *target)


def _in_units_of(viewer: Any, layer: Any, world: NDArray[Any]) -> NDArray[Any]:
    """A point of the world in the units of a layer, without the axes it lacks."""
    world, units = world[-layer.ndim :], getattr(viewer.layers, "units", None)
    if units is None or len(units) < layer.ndim:
        return world
    pairs = zip(units[-layer.ndim :], layer.units, strict=True)
    return world * [unit_factor(a, b) for a, b in pairs]


def _canvas_hw(viewer: Any) -> tuple[int, int]:
    canvas = getattr(viewer, "canvas", None)  # napari before 0.9 has no such thing
    height, width = viewer._canvas_size if canvas is None else canvas.size
    return height, width
