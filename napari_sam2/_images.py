"""Image layers as the model sees them: planes, in 8 bit, at the contrast shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from napari_sam2._layers import image_shape, plane_index
from sam2_core.errors import ImageError, Sam2Error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Image
    from numpy.typing import NDArray


Region: TypeAlias = tuple[int, int, int, int]
"""Part of a plane in pixels: x0, y0, x1, y1, the last two excluded."""


class Look(Protocol):
    """How pixels become a picture, where that takes more than contrast limits.

    It can be compared and hashed: equal ones make the same picture.
    """

    @property
    def arrays(self) -> Sequence[Any]:
        """What it reads from."""

    def picture(self, where: tuple[int | slice, ...]) -> NDArray[np.uint8]:
        """The (H, W, 3) picture of one plane, or of a part of it."""


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
    look : Look or None
        Makes the picture instead, from several layers.
    region : Region or None
        Part of the plane that a frame shows; None for all of it.
    reference : ImageReference or None
        Where the image came from, for sessions; None if nobody asks.
    """

    data: Any = field(repr=False, compare=False)
    data_id: int
    ndim: int
    plane: tuple[int, int]
    axis: int | None
    fixed: tuple[int, ...]
    limits: tuple[float, float] | None
    look: Look | None = None
    region: Region | None = None
    reference: Any = field(default=None, repr=False, compare=False)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of a frame."""
        if self.region is None:
            return self.plane_shape
        x0, y0, x1, y1 = self.region
        return y1 - y0, x1 - x0

    @property
    def plane_shape(self) -> tuple[int, int]:
        """Height and width of the whole plane."""
        return int(self.data.shape[self.plane[0]]), int(self.data.shape[self.plane[1]])

    @property
    def corner(self) -> tuple[int, int]:
        """Row and column, in the plane, of a frame's first pixel."""
        return (0, 0) if self.region is None else (self.region[1], self.region[0])

    @property
    def tile(self) -> tuple[int, int]:
        """Height and width of parts that are read for their share of a frame's time."""
        from sam2_core.sources.frame_arrays import tile_of

        arrays = [self.data] if self.look is None else self.look.arrays
        high, wide = np.max([tile_of(array, self.plane) for array in arrays], axis=0)
        return int(high), int(wide)

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
        height, width = self.shape
        return self.crop(index, slice(0, height), slice(0, width))

    def crop(self, index: int, rows: slice, columns: slice) -> NDArray[np.uint8]:
        """A window of one frame, (h, w, 3) uint8; ImageError if it cannot be read."""
        try:
            return self._picture(index, rows, columns)
        except (Sam2Error, MemoryError):
            raise
        except Exception as error:
            reason = str(error).strip().split("\n")[0] or type(error).__name__
            raise ImageError(
                f"Frame {index} of the image cannot be read ({reason}); what is done "
                "stays."
            ) from error

    def _picture(self, index: int, rows: slice, columns: slice) -> NDArray[np.uint8]:
        from sam2_core.intensity import to_rgb8

        top, left = self.corner
        where = list(plane_index(self.plane, self.position(index)))
        where[self.plane[0]] = slice(rows.start + top, rows.stop + top)
        where[self.plane[1]] = slice(columns.start + left, columns.stop + left)
        if self.look is not None:
            return self.look.picture(tuple(where))
        part = np.asarray(self.data[tuple(where)])
        if part.ndim == 3:  # RGB or RGBA
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


def check_plane(image: Image, plane: tuple[int, int]) -> None:
    """ImageError if the planes of an image cannot be segmented.

    They are smaller than 2 x 2 pixels, or not numeric.
    """
    dtype, shape = full_resolution(image).dtype, image_shape(image)
    if np.dtype(dtype).kind not in "buif":
        raise ImageError(f"{image.name!r} holds {dtype} values; numbers needed.")
    if min(shape[plane[0]], shape[plane[1]]) < 2:
        raise ImageError(f"{image.name!r} is too small to segment: {shape}.")


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
    check_plane(image, plane)
    data = full_resolution(image)
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
