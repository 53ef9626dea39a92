"""Raw frames of arrays: numpy, dask, zarr, or a list of images."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from sam2_core.errors import ImageError, Sam2Error
from sam2_core.sources.frame_axes import find_axes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

    from sam2_core.sources.frame_axes import Axis, Select


class RawFrames(Protocol):
    """Unconverted frames: what :class:`sam2_core.frames.FrameStack` reads from.

    Items are (H, W) or (H, W, C) arrays of the source's own dtype, read when asked for
    and not kept. Indices are valid when they arrive here.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> NDArray[Any]: ...

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""

    def name(self, index: int) -> str:
        """What to call a frame in an error message."""

    def close(self) -> None:
        """Release files; may be called twice."""


TILE = 512  # pixels along each side of parts of frames


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn whatever a file reader raises into one ImageError sentence."""
    try:
        yield
    except Sam2Error:
        raise
    except Exception as exc:
        text = getattr(exc, "strerror", None) or str(exc)
        reason = (text.strip().splitlines() or [type(exc).__name__])[0]
        raise ImageError(f"{what} could not be read: {reason.rstrip('.')}.") from exc


def tile_of(array: Any, plane: tuple[int, int]) -> tuple[int, int]:
    """Height and width of parts of planes that can be read alone.

    They are whole chunks of about 512 pixels; all of the plane where the array does not
    say how it is stored.

    Parameters
    ----------
    array : array-like (numpy, dask, zarr, h5py)
        Of any shape.
    plane : (int, int)
        Its axes of height and width.
    """
    sides = [int(array.shape[axis]) for axis in plane]
    chunks = getattr(array, "chunks", None)
    if isinstance(array, np.ndarray):
        chunks = (1,) * array.ndim
    # Whatever else is called so is not known here.
    if not isinstance(chunks, tuple) or len(chunks) != len(array.shape):
        return sides[0], sides[1]
    tile = []
    for side, axis in zip(sides, plane, strict=True):
        # dask lists the sizes of all chunks along an axis.
        sizes = chunks[axis]
        chunk = sizes if isinstance(sizes, int) else max(sizes)
        tile.append(min(-(-TILE // chunk) * chunk, side))
    return tile[0], tile[1]


class ArrayFrames:
    """Frames of one array-like with a shape; each is sliced out when asked for.

    Parameters
    ----------
    array : array-like with ``shape`` and indexing (numpy, dask, zarr)
        (H, W), (T, H, W), (T, H, W, 3 or 4), or more with `select`.
    channel_axis, select
        See :func:`sam2_core.sources.frame_axes.find_axes`.
    letters, what
        As there, for arrays that come from a file.
    """

    def __init__(
        self,
        array: Any,
        channel_axis: Axis | None = None,
        select: Select | None = None,
        letters: str | None = None,
        what: str = "The array of shape",
    ) -> None:
        self._array = array
        self._axes = find_axes(
            tuple(int(size) for size in array.shape),
            letters=letters,
            channel_axis=channel_axis,
            select=select,
            what=what,
        )
        self.shape = self._axes.shape

    def __len__(self) -> int:
        return self._axes.length

    def __getitem__(self, index: int, /) -> NDArray[Any]:
        return self.crop(index, slice(None), slice(None))

    def crop(self, index: int, rows: slice, columns: slice) -> NDArray[Any]:
        """Rows and columns of one frame; nothing else is read."""
        with reading(self.name(index)):
            frame = np.asarray(self._array[self._axes.key(index, rows, columns)])
        return self._axes.channels_last(frame)

    @property
    def tile(self) -> tuple[int, int]:
        """See :func:`tile_of`."""
        return tile_of(self._array, self._axes.plane)

    def name(self, index: int) -> str:
        """What to call a frame in an error message."""
        return f"Frame {index}"

    def close(self) -> None:
        """Nothing to release: the array belongs to the caller."""


class ListedFrames:
    """A list of images, each (H, W) or (H, W, C)."""

    def __init__(self, images: Sequence[ArrayLike]) -> None:
        if not images:
            raise ImageError("The stack has no frames; give at least one image.")
        self._images = images
        with reading("Frame 0"):
            sizes = np.shape(images[0])
        if len(sizes) not in (2, 3):
            raise ImageError(
                f"Frame 0 of the list has the shape {sizes}; give (H, W) or (H, W, 3)."
            )
        self.shape = (sizes[0], sizes[1])

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int, /) -> NDArray[Any]:
        with reading(self.name(index)):
            return np.asarray(self._images[index])

    def name(self, index: int) -> str:
        """What to call a frame in an error message."""
        return f"Frame {index}"

    def close(self) -> None:
        """Nothing to release: the images belong to the caller."""
