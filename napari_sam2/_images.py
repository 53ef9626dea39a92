"""Image layers as the model sees them: planes, in 8 bit, at the contrast shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2._layers import image_shape, plane_index
from sam2_core.errors import ImageError, Sam2Error

if TYPE_CHECKING:
    from napari.layers import Image
    from numpy.typing import NDArray


def full_resolution(image: Image) -> Any:
    """The array to segment; of a multiscale layer, its finest level."""
    return image.data[0] if image.multiscale else image.data


def value_range(image: Image) -> tuple[float, float] | None:
    """Values shown as black and white; None for 8-bit RGB, which is taken as it is.

    napari draws RGB without contrast limits: 0 to 1 for floats, the full range of the
    type for integers.
    """
    if not image.rgb:
        low, high = (float(v) for v in image.contrast_limits)
        return low, high
    dtype = np.dtype(full_resolution(image).dtype)
    if dtype == np.uint8:
        return None
    if np.issubdtype(dtype, np.integer):
        return 0.0, float(np.iinfo(dtype).max)
    return 0.0, 1.0


@dataclass(frozen=True)
class LayerFrames:
    """A line of planes through an image layer; satisfies ``sam2_core.FrameSource``.

    It holds the array and not the layer, so that a worker thread may read it, and it
    equals another one exactly when the model would see the same pixels.

    Attributes
    ----------
    plane : (int, int)
        Data axes of rows and columns.
    axis : int or None
        Data axis along which frames follow each other; None for a single plane.
    fixed : tuple of int
        Index along each remaining axis, ascending.
    limits : (float, float) or None
        Values that become 0 and 255; None for 8-bit RGB.
    """

    data: Any = field(repr=False, compare=False)
    data_id: int
    ndim: int
    plane: tuple[int, int]
    axis: int | None
    fixed: tuple[int, ...]
    limits: tuple[float, float] | None

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of a frame."""
        return int(self.data.shape[self.plane[0]]), int(self.data.shape[self.plane[1]])

    def __len__(self) -> int:
        return 1 if self.axis is None else int(self.data.shape[self.axis])

    def position(self, index: int) -> tuple[int, ...]:
        """Index along every axis that is not displayed, for one frame."""
        if self.axis is None:
            return self.fixed
        axes = [i for i in range(self.ndim) if i not in self.plane]
        place = axes.index(self.axis)
        return (*self.fixed[:place], index, *self.fixed[place:])

    def frame(self, index: int) -> NDArray[np.uint8]:
        """One frame, (H, W, 3) uint8; ImageError if it cannot be read."""
        from sam2_core.intensity import to_rgb8

        position = self.position(index)
        try:
            plane = np.asarray(self.data[plane_index(self.plane, position)])
        except (Sam2Error, MemoryError):
            raise
        except Exception as error:
            reason = str(error).strip().split("\n")[0] or type(error).__name__
            raise ImageError(
                f"Frame {index} of the image cannot be read ({reason}); what is done "
                "stays."
            ) from error
        if plane.ndim == 3:  # RGB or RGBA
            plane = plane[..., :3]
        return to_rgb8(plane, value_range=self.limits)

    def crop(self, index: int, rows: slice, columns: slice) -> NDArray[np.uint8]:
        """A window of one frame, (h, w, 3) uint8."""
        from sam2_core.intensity import to_rgb8

        where = list(plane_index(self.plane, self.position(index)))
        where[self.plane[0]], where[self.plane[1]] = rows, columns
        part = np.asarray(self.data[tuple(where)])
        if part.ndim == 3:
            part = part[..., :3]
        return to_rgb8(part, value_range=self.limits)


def split_position(
    plane: tuple[int, int], position: tuple[int, ...], axis: int | None
) -> tuple[tuple[int, ...], int]:
    """Split an nD position into (fixed, frame index) for frames along ``axis``."""
    if axis is None:
        return position, 0
    axes = [i for i in range(len(position) + 2) if i not in plane]
    place = axes.index(axis)
    return (*position[:place], *position[place + 1 :]), position[place]


def frames_of(
    image: Image, plane: tuple[int, int], position: tuple[int, ...], axis: int | None
) -> LayerFrames:
    """Frames through ``position`` of an image layer.

    Parameters
    ----------
    image : napari.layers.Image
        Any dtype, RGB, multiscale and dask included.
    plane : (int, int)
        Data axes of rows and columns.
    position : tuple of int
        Index along every other axis.
    axis : int or None
        Data axis to follow; None for the single plane at ``position``.

    Raises
    ------
    ImageError
        If the image is smaller than 2 x 2 pixels or not numeric.
    """
    data = full_resolution(image)
    if np.dtype(data.dtype).kind not in "buif":
        raise ImageError(f"{image.name!r} holds {data.dtype} values; numbers needed.")
    shape = image_shape(image)
    if min(shape[plane[0]], shape[plane[1]]) < 2:
        raise ImageError(f"{image.name!r} is too small to segment: {shape}.")
    fixed, _ = split_position(plane, position, axis)
    return LayerFrames(
        data=data,
        data_id=id(data),
        ndim=image.ndim,
        plane=plane,
        axis=axis,
        fixed=fixed,
        limits=value_range(image),
    )
