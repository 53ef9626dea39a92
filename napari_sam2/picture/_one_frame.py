"""Labels of one frame of a stack, such as Cellpose's of the first: where to begin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_sam2 import _layers
from sam2_core.errors import ImageError

if TYPE_CHECKING:
    import napari.components
    from napari.layers import Image, Labels


def is_one_frame(labels: Labels, image: Image) -> bool:
    """Whether labels have the shape of a single frame of a stack, or volume of 4D."""
    shape, own = _layers.image_shape(image), tuple(labels.data.shape)
    if labels.multiscale or not 2 <= len(own) < len(shape):
        return False
    return own == shape[-len(own) :]


def fitting(
    viewer: napari.components.ViewerModel, labels: Labels, image: Image
) -> Labels:
    """Labels that can take the masks of an image: these, or new ones that begin so.

    Labels of one frame go, in a new layer, into the frame on display; they are hidden
    and stay as they are.

    Raises
    ------
    ImageError
        If they do not fit, or no frame is on display.
    """
    if not is_one_frame(labels, image):
        _layers.check_labels(labels, image)
        return labels
    view = _layers.current_view(viewer, image)
    if view.plane != (image.ndim - 2, image.ndim - 1):
        raise ImageError(f"Show the frame that {labels.name!r} belongs to first.")
    values = np.asarray(labels.data)
    stack = _layers.new_labels(image)
    if values.size and values.max() > np.iinfo(stack.data.dtype).max:
        stack.data = stack.data.astype(np.min_scalar_type(values.max()))
    stack.data[view.position[: image.ndim - values.ndim]] = values.clip(min=0)
    stack.name = f"{labels.name} (stack)"
    _layers.add_aside(viewer, stack)
    labels.visible = False
    return stack


def where_it_went(
    viewer: napari.components.ViewerModel, labels: Labels, stack: Labels
) -> str:
    """What to say when labels of one frame have gone into those of a stack."""
    view = _layers.current_view(viewer, stack)
    frame = ", ".join(str(i) for i in view.position[: stack.ndim - labels.ndim])
    return (
        f"The labels of {labels.name!r}, which is hidden now, are on frame {frame} of "
        f"{stack.name!r}; if that is not theirs, go there and choose {labels.name!r} "
        "again."
    )
