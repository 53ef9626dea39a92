"""The layers of the plugin: created beside the image, styled, and located in space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from napari.layers import Image, Labels, Layer, Points, Shapes
from napari.utils.colormaps.standardize_color import transform_color

from napari_sam2._label_colors import clear_colors, hidden_in
from sam2_core.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari.components
    from numpy.typing import NDArray

POINTS_NAME = "SAM2 points"
SHAPES_NAME = "SAM2 shapes"
LABELS_NAME = "SAM2 labels"
SPATIAL = (
    "scale",
    "translate",
    "rotate",
    "shear",
    "affine",
    "units",
    "axis_labels",
)
GREEN = (0.0, 0.694, 0.047, 1.0)
RED = (0.827, 0.027, 0.0, 1.0)
ON_CANVAS = (5, 20)  # screen pixels of a point, however far one has zoomed in
FADED = 0.3  # opacity of prompts of other objects
DIMS = ("current_step", "order", "ndisplay")  # events: other planes are on display
NO_IMAGE = "Open an image and choose it in the Segment dock."
IN_3D = "Switch the viewer to 2D display to place prompts."
POLARITIES = ("positive", "negative")
_ASIDE: list[Layer] = []  # on their way into a viewer


def spatial(layer: Any) -> dict[str, Any]:
    """Place of a layer in the world: the seven attributes, ready to hand to another."""
    return {name: getattr(layer, name) for name in SPATIAL}


def place_of(layer: Any) -> tuple[Any, ...]:
    """The same, ready to be compared."""
    values = (getattr(v, "affine_matrix", v) for v in spatial(layer).values())
    return tuple(v.tobytes() if isinstance(v, np.ndarray) else v for v in values)


def attend(layer: Any, moved: Callable[..., None], listen: bool = True) -> None:
    """Have a function called, or no more, when the place of a layer changes."""
    for name in SPATIAL:
        if name in layer.events:
            emitter = layer.events[name]
            (emitter.connect if listen else emitter.disconnect)(moved)


def image_shape(image: Image) -> tuple[int, ...]:
    """Shape of the image at full resolution, without the channels of RGB."""
    data = image.data[0] if image.multiscale else image.data
    return tuple(int(n) for n in data.shape[: image.ndim])


def _features() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "polarity": pd.Series([], dtype=object),
            "object_id": pd.Series([], dtype=int),
            "plane": pd.Series([], dtype=object),
        }
    )


def add_aside(viewer: napari.components.ViewerModel, layer: Layer) -> None:
    """Add a layer that does not become the active one.

    napari makes it that for a moment, see :func:`adding_aside`.
    """
    active = viewer.layers.selection.active
    _ASIDE.append(layer)
    try:
        viewer.add_layer(layer)
        if active is not None and active in viewer.layers:
            viewer.layers.selection.active = active
    finally:
        _ASIDE.remove(layer)


def adding_aside() -> bool:
    """Whether the active layer changes for a moment only, and not by the user."""
    return bool(_ASIDE)


def new_points(image: Image) -> Points:
    """Empty points layer that coincides with ``image``."""
    layer = Points(
        ndim=image.ndim,
        name=POINTS_NAME,
        features=_features(),
        feature_defaults={"polarity": "positive", "object_id": 1, "plane": ""},
        face_color=np.array([GREEN]),
        border_color="white",
        border_width=0.12,
        size=prompt_size(image),
        canvas_size_limits=ON_CANVAS,
        symbol="disc",
        **spatial(image),
    )
    layer.current_face_color = GREEN
    return layer


def new_shapes(image: Image) -> Shapes:
    """Empty shapes layer that coincides with ``image``."""
    layer = Shapes(
        ndim=image.ndim,
        name=SHAPES_NAME,
        features=_features(),
        feature_defaults={"polarity": "positive", "object_id": 1, "plane": ""},
        face_color="transparent",
        edge_color=np.array([GREEN]),
        edge_width=max(1.0, prompt_size(image) / 6),
        **spatial(image),
    )
    layer.current_face_color = "transparent"
    layer.current_edge_color = GREEN
    return layer


def new_labels(image: Image) -> Labels:
    """Empty labels layer (uint16) of the shape and place of ``image``."""
    data = np.zeros(image_shape(image), np.uint16)
    return Labels(data, name=LABELS_NAME, colormap=clear_colors(), **spatial(image))


def prompt_size(image: Image) -> float:
    """Diameter of a point in pixels: easy to see, small against the image."""
    return float(np.clip(max(image_shape(image)[-2:]) / 60, 3, 40))


def check_labels(labels: Labels, image: Image) -> None:
    """ImageError if ``labels`` cannot take the masks of ``image``."""
    if reason := why_not_labels(labels, image):
        raise ImageError(f"{labels.name!r} cannot take the masks: {reason}.")


def why_not_labels(labels: Labels, image: Image) -> str:
    """Reason why ``labels`` cannot take the masks of ``image``; "" when it can."""
    if labels.multiscale:
        return "it is multiscale"
    if tuple(labels.data.shape) != image_shape(image):
        return f"its shape is {labels.data.shape}, the image's is {image_shape(image)}"
    if not hasattr(labels.data, "__setitem__") or hasattr(labels.data, "dask"):
        return "its data cannot be written to"
    flags = getattr(labels.data, "flags", None)
    if flags is not None and not flags.writeable:
        return "its data is read-only"
    return ""


@dataclass(frozen=True)
class View:
    """The plane of a layer that the user looks at.

    Attributes
    ----------
    plane : (int, int)
        Displayed data axes, rows then columns, in ascending order.
    position : tuple of int
        Index along every other axis, in ascending order of the axes; () for 2D data.
    ndim : int
        Number of data axes.
    """

    plane: tuple[int, int]
    position: tuple[int, ...]
    ndim: int

    @property
    def others(self) -> tuple[int, ...]:
        """Data axes that are not displayed, ascending."""
        return tuple(i for i in range(self.ndim) if i not in self.plane)

    @property
    def tag(self) -> str:
        """The plane as text, kept with each prompt ("1-2")."""
        return f"{self.plane[0]}-{self.plane[1]}"


def plane_index(
    plane: tuple[int, int], position: tuple[int, ...]
) -> tuple[int | slice, ...]:
    """Index that cuts one plane out of the data array of a layer."""
    rest = iter(position)
    return tuple(
        slice(None) if i in plane else next(rest) for i in range(len(position) + 2)
    )


def current_view(viewer: napari.components.ViewerModel, image: Image) -> View:
    """Which plane of ``image`` the viewer shows.

    Raises
    ------
    ImageError
        In 3D display, or when the image is shown along an axis it does not have.
    """
    if viewer.dims.ndisplay != 2:
        raise ImageError(IN_3D)
    offset = viewer.dims.ndim - image.ndim
    rows, columns = sorted(d - offset for d in viewer.dims.displayed)
    if rows < 0:
        raise ImageError(f"Show the rows and columns of {image.name!r} to prompt it.")
    point = image.world_to_data(world_point(viewer, image))
    shape = image_shape(image)
    position = tuple(
        int(np.clip(np.floor(point[i] + 0.5), 0, shape[i] - 1))
        for i in range(image.ndim)
        if i not in (rows, columns)
    )
    return View((rows, columns), position, image.ndim)


def hidden(
    viewer: napari.components.ViewerModel,
    image: Image,
    plane: tuple[int, int],
    position: tuple[int, ...],
) -> bool:
    """Whether a plane of an image is parallel to the one on display, and not it."""
    try:
        view = current_view(viewer, image)
    except ImageError:  # 3D display shows every frame
        return False
    return plane == view.plane and position != view.position


def world_point(
    viewer: napari.components.ViewerModel, layer: Any
) -> NDArray[np.float64]:
    """Position of the sliders in world coordinates, in the units of ``layer``."""
    point = np.asarray(viewer.dims.point, float)[-layer.ndim :]
    world_units = getattr(viewer.layers, "units", None)
    if world_units is None or len(world_units) < layer.ndim:
        return point
    factors = [
        unit_factor(a, b)
        for a, b in zip(world_units[-layer.ndim :], layer.units, strict=True)
    ]
    return np.asarray(point * factors)


def world_factor(viewer: napari.components.ViewerModel, layer: Any, dim: int) -> float:
    """How many of the sliders' units are in one of the layer's, for an axis ``dim``."""
    world_units = getattr(viewer.layers, "units", None)
    if world_units is None or len(world_units) <= dim:
        return 1.0
    axis = dim - viewer.dims.ndim + layer.ndim
    return unit_factor(layer.units[axis], world_units[dim])


def unit_factor(source: Any, target: Any) -> float:
    """How many ``target`` units are in one ``source`` unit; 1 if incommensurable."""
    if source == target or source.dimensionality != target.dimensionality:
        return 1.0
    return float((1 * source).to(target).magnitude)


def defaults_of(layer: Points | Shapes) -> dict[str, Any]:
    """Features of the next prompt."""
    defaults = layer.feature_defaults
    return {name: defaults[name].iloc[0] for name in defaults.columns}


def set_next(
    layer: Points | Shapes, features: dict[str, Any], looks: dict[str, Any]
) -> None:
    """Say what the next prompt is and looks like; those that are selected stay as is.

    Prompts of other objects are selected no longer: Delete is for the current one.

    Parameters
    ----------
    layer : Points or Shapes
        Holds the prompts.
    features : dict
        One value for each column.
    looks : dict
        RGBA of parts of the prompt: "face", "border", "edge".
    """
    ids = layer.features["object_id"].to_numpy()
    selected = [ids[i] for i in layer.selected_data if i < len(ids)]
    if any(object_id != features["object_id"] for object_id in selected):
        layer.selected_data = set()
    with layer.block_update_properties():
        if defaults_of(layer) != features:
            layer.feature_defaults = features
        for part, rgba in looks.items():
            name = f"current_{part}_color"
            now = transform_color(getattr(layer, name))[0]
            if not np.allclose(now, rgba, atol=0.01):
                setattr(layer, name, rgba)


def style_points(
    layer: Points, object_id: int, border: Any, labels: Labels | None = None
) -> None:
    """Green and red, with the prompts of other objects faded.

    ``border`` maps an object id to its colour in the labels layer; what is hidden there
    is not drawn.
    """
    if len(layer.data) == 0:
        return
    colors, hidden = _prompt_colors(layer, object_id, labels)
    borders = np.array([border(int(i)) for i in layer.features["object_id"]])
    borders[hidden, 3] = 0
    # Each of these has all points drawn anew.
    if not _same(layer.face_color, colors):
        layer.face_color = colors
    if not _same(layer.border_color, borders):
        layer.border_color = borders
    if not _same(layer.shown, ~hidden):
        layer.shown = ~hidden


def style_shapes(layer: Shapes, object_id: int, labels: Labels | None = None) -> None:
    """Green and red outlines, faded for other objects, none for hidden ones."""
    if len(layer.data) == 0:
        return
    colors, _ = _prompt_colors(layer, object_id, labels)
    if not _same(layer.edge_color, colors):
        layer.edge_color = colors


def _prompt_colors(
    layer: Points | Shapes, object_id: int, labels: Labels | None
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """RGBA of every prompt, and which are hidden; none of these stays selected."""
    ids = layer.features["object_id"].to_numpy()
    positive = layer.features["polarity"].to_numpy() == "positive"
    colors = np.where(positive[:, None], GREEN, RED)
    colors[ids != object_id, 3] = FADED
    hidden = np.isin(ids, list(hidden_in(labels)))
    colors[hidden, 3] = 0  # napari draws in 2D also what is not shown
    # What is selected is outlined.
    if any(hidden[i] for i in layer.selected_data if i < len(hidden)):
        layer.selected_data = set()
    return colors, hidden


def drop_stale_rows(layer: Points | Shapes) -> bool:
    """Bring the features to the length of the data; returns whether they were longer.

    napari drops a shape of too few corners when it is finished, but not its features.
    """
    number = len(layer.data)
    stale = len(layer.features) > number
    if stale:
        defaults = layer.feature_defaults
        layer.features = layer.features.iloc[:number]
        layer.feature_defaults = defaults
    return stale


def _same(before: Any, after: Any) -> bool:
    before = np.asarray(before)
    return before.shape == after.shape and bool(np.allclose(before, after, atol=1e-3))


def unwrap(layer: Any) -> Any:
    """The layer itself where napari handed out a proxy."""
    return getattr(layer, "__wrapped__", layer)
