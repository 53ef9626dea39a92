"""Axes of a stack: their names, and along which one it is followed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_sam2._layers import NO_IMAGE, current_view, image_shape
from sam2_core.errors import ImageError, PromptError

if TYPE_CHECKING:
    import napari.components
    from napari.layers import Image

CHANNELS = frozenset({"c", "ch", "channel", "channels"})
FLAT = "This image has a single plane; there is nothing to propagate through"


def axis_name(image: Image, axis: int) -> str:
    """Name of a data axis for the user: its label, else its position."""
    label = str(image.axis_labels[axis])
    return f"axis {axis}" if label.lstrip("-").isdigit() else label


def may_be_time(image: Image | None, axis: int | None) -> bool:
    """Whether an axis is not said to be space; one without a name may be time."""
    return image is not None and axis is not None and _letters(image, axis) != "z"


def default_axis(viewer: napari.components.ViewerModel, image: Image) -> int | None:
    """Data axis to propagate along at first; None for a single plane.

    The first with frames to fill; readers leave axes of length 1, and channels.
    """
    if image.ndim == 2:
        return None
    try:
        others = current_view(viewer, image).others
    except ImageError:  # 3D display
        others = tuple(range(image.ndim - 2))
    shape = image_shape(image)

    def unlikely(axis: int) -> tuple[bool, bool]:
        return _letters(image, axis) in CHANNELS, shape[axis] == 1

    return min(others, key=unlikely)


def missing_axis(image: Image | None) -> PromptError:
    """What to say where frames are needed, and no axis leads through any."""
    if image is not None and image.ndim == 2:
        return PromptError(f"{FLAT}.")
    if image is None:
        return PromptError(NO_IMAGE)
    return PromptError("Choose a stack, and under More the axis to follow it along.")


def _letters(image: Image, axis: int) -> str:
    return axis_name(image, axis).strip().lower()
