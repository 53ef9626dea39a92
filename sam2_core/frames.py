"""Stacks as a row of RGB frames, read lazily, shown with one value range."""

from __future__ import annotations

import operator
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, overload

from sam2_core.errors import ImageError
from sam2_core.intensity import MAX_FRAMES, check_value_range, robust_range, to_rgb8
from sam2_core.sources.frame_arrays import ArrayFrames, ListedFrames
from sam2_core.sources.frame_files import FileFrames, existing, images_in, read_image
from sam2_core.sources.frame_tiff import TIFF_SUFFIXES, TiffFrames
from sam2_core.sources.frame_video import VIDEO_SUFFIXES, VideoFrames
from sam2_core.sources.frame_zarr import ZarrFrames, is_zarr

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sam2_core.sources.frame_arrays import RawFrames
    from sam2_core.sources.frame_axes import Axis, Select

__all__ = ["FrameSource", "FrameStack", "open_frames", "read_image"]


MOST_SAMPLED = 2**28  # pixels that are read to determine the value range


class FrameSource(Protocol):
    """Anything that yields frame t of a stack as 8-bit RGB.

    One value range must hold for all frames, or tracking flickers.
    """

    def __len__(self) -> int: ...

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""

    def frame(self, index: int) -> NDArray[np.uint8]:
        """Frame `index` as (H, W, 3) uint8."""


class FrameStack:
    """A :class:`FrameSource` over raw frames of any numeric type.

    A frame is read when it is asked for and not kept, so memory does not grow with the
    number of frames. The value range is determined once, at the first frame, from at
    most 16 evenly spaced frames, fewer of huge ones. Frames may be read from any
    thread. Close it, or use it in a ``with`` statement, where it reads from files.

    Parameters
    ----------
    raw : RawFrames
        Where unconverted frames come from.
    value_range : (float, float), optional
        Values that become 0 and 255, see :func:`sam2_core.intensity.to_rgb8`.

    Raises
    ------
    ImageError
        There are no frames, or the value range is not one.
    """

    def __init__(
        self, raw: RawFrames, value_range: tuple[float, float] | None = None
    ) -> None:
        # Files are also closed when the stack is forgotten.
        self._close = weakref.finalize(self, raw.close)
        self._raw = raw
        self._lock = threading.RLock()
        self._range: tuple[float, float] | None = None
        try:
            if len(raw) == 0 or 0 in raw.shape:
                raise ImageError("The stack is empty; give at least one frame.")
            if value_range is not None:
                self._range = check_value_range(value_range)
        except ImageError:
            self.close()
            raise

    def __len__(self) -> int:
        return len(self._raw)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self._raw.shape

    @property
    def value_range(self) -> tuple[float, float]:
        """Values shown as 0 and 255 in every frame; determined at the first use."""
        with self._lock:
            if self._range is None:
                self._check_open()
                height, width = self.shape
                affordable = max(MOST_SAMPLED // (height * width), 1)
                self._range = robust_range(
                    self._raw, max_frames=min(MAX_FRAMES, affordable)
                )
            return self._range

    def frame(self, index: int) -> NDArray[np.uint8]:
        """Read one frame.

        Parameters
        ----------
        index : int
            0 to ``len(self) - 1``.

        Returns
        -------
        ndarray, (H, W, 3) uint8
            A new array each time.

        Raises
        ------
        ImageError
            The index lies outside, the frame cannot be read or has another size than
            the first one, or the stack is closed.
        """
        index = self._checked(index)
        with self._lock:
            self._check_open()
            value_range = self.value_range
            raw = self._raw[index]
        rgb = to_rgb8(raw, value_range)
        if rgb.shape[:2] != self.shape:
            height, width = rgb.shape[:2]
            raise ImageError(
                f"{self._raw.name(index)} has {height} x {width} pixels, but the first "
                f"frame has {self.shape[0]} x {self.shape[1]}."
            )
        return rgb

    def _checked(self, index: int) -> int:
        index = operator.index(index)
        if not 0 <= index < len(self):
            raise ImageError(
                f"There is no frame {index}; the stack has the frames 0 to "
                f"{len(self) - 1}."
            )
        return index

    def close(self) -> None:
        """Close the files behind the stack; may be called twice."""
        self._close()

    def __enter__(self) -> FrameStack:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_open(self) -> None:
        if not self._close.alive:
            raise ImageError("The stack has been closed; open it again.")


class CroppedStack(FrameStack):
    """A stack of which parts of frames can be read: arrays and TIFF files."""

    _raw: ArrayFrames | TiffFrames

    @property
    def tile(self) -> tuple[int, int]:
        """Height and width of parts that are read for their share of a frame's time."""
        return self._raw.tile

    def crop(self, index: int, rows: slice, columns: slice) -> NDArray[np.uint8]:
        """Read a part of one frame.

        Parameters
        ----------
        index : int
            0 to ``len(self) - 1``.
        rows, columns : slice
            With a start and a stop, within the frame.

        Returns
        -------
        ndarray, (h, w, 3) uint8
            What :meth:`frame` has there.

        Raises
        ------
        ImageError
            As for :meth:`frame`.
        """
        index = self._checked(index)
        with self._lock:
            self._check_open()
            value_range = self.value_range
            raw = self._raw.crop(index, rows, columns)
        return to_rgb8(raw, value_range)


@overload
def open_frames(
    data: str | Path | Sequence[Any] | NDArray[Any],
    value_range: tuple[float, float] | None = None,
    channel_axis: Axis | None = None,
    select: Select | None = None,
) -> FrameStack: ...


@overload
def open_frames(
    data: Any,
    value_range: tuple[float, float] | None = None,
    channel_axis: Axis | None = None,
    select: Select | None = None,
) -> Any: ...


def open_frames(
    data: Any,
    value_range: tuple[float, float] | None = None,
    channel_axis: Axis | None = None,
    select: Select | None = None,
) -> Any:
    """Open anything that is a stack, without reading more than one frame.

    Parameters
    ----------
    data
        One of

        - an array (numpy, dask, zarr): (T, H, W), (T, H, W, 3 or 4) or one image
          (H, W). Three axes are always (T, H, W); for one RGB image give
          ``channel_axis=-1``.
        - the path of a TIFF file: its first series; a video file (needs the extra
          ``video``); or one picture.
        - the path of a folder: its images in natural order (2 before 10), or a zarr
          array or OME-Zarr image.
        - a list of paths or of images.
        - a :class:`FrameSource`, which is returned as it is.
    value_range : (float, float), optional
        Values that become 0 and 255 in every frame. Default: uint8 RGB as it is, else
        robust percentiles of a sample of the whole stack.
    channel_axis : int or str, optional
        Axis holding 1, 3 or 4 channels (grey, RGB, RGBA), counted in `data` as it is;
        for TIFF and OME-Zarr files also its letter.
    select : mapping of axis to int, optional
        Axes held at one position, by number or, for TIFF and OME-Zarr, by letter:
        ``select={"C": 1, "Z": 20}`` follows channel 1 at slice 20 through time.

    Returns
    -------
    FrameStack
        Or `data` itself where it is a :class:`FrameSource` already.

    Raises
    ------
    ImageError
        Nothing is there, it cannot be read, or its axes need a choice.
    """
    if hasattr(data, "frame") and hasattr(data, "__len__"):
        if value_range is not None or channel_axis is not None or select:
            raise ImageError(
                "These frames are opened already; give value_range, channel_axis and "
                "select where they are opened."
            )
        return data
    raw = _open_raw(data, channel_axis, select)
    stack = CroppedStack if isinstance(raw, ArrayFrames | TiffFrames) else FrameStack
    return stack(raw, value_range)


def _open_raw(data: Any, channel_axis: Axis | None, select: Select | None) -> RawFrames:
    if isinstance(data, str | Path):
        return _open_path(existing(data), channel_axis, select)
    if hasattr(data, "shape") and hasattr(data, "__getitem__"):
        return ArrayFrames(data, channel_axis, select)
    if not isinstance(data, Sequence):
        raise ImageError(
            f"A {type(data).__name__} is not a stack; give an array, a path or a list "
            "of images."
        )
    if data and all(isinstance(item, str | Path) for item in data):
        return FileFrames(data, channel_axis, select)
    if channel_axis is not None or select:
        raise ImageError("channel_axis and select are for arrays and TIFF files.")
    return ListedFrames(data)


def _open_path(
    path: Path, channel_axis: Axis | None, select: Select | None
) -> RawFrames:
    suffix = path.suffix.lower()
    if path.is_dir() and is_zarr(path):
        return ZarrFrames(path, channel_axis, select)
    if path.is_dir():
        paths = images_in(path)
        if not paths:
            raise ImageError(f"There are no images in the folder {path}.")
        return FileFrames(paths, channel_axis, select)
    if suffix in TIFF_SUFFIXES:
        return TiffFrames(path, channel_axis, select)
    if suffix in VIDEO_SUFFIXES:
        if channel_axis is not None or select:
            raise ImageError("channel_axis and select are for arrays and TIFF files.")
        return VideoFrames(path)
    return FileFrames([path], channel_axis, select)
