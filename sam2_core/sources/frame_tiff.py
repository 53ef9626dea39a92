"""Raw frames of a TIFF file, one plane read at a time."""

from __future__ import annotations

import itertools
import logging
import math
import struct
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from sam2_core.errors import ImageError
from sam2_core.sources.frame_arrays import TILE, reading
from sam2_core.sources.frame_axes import find_axes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from sam2_core.sources.frame_axes import Axis, Select

_MOST_CHANNELS = 4  # more that ImageJ does not blend are taken for slices
TIFF_SUFFIXES = (".tif", ".tiff", ".btf", ".tf8", ".lsm", ".stk")


class TiffFrames:
    """Planes of the first image series of a TIFF: plain, OME, ImageJ, BigTIFF, LSM.

    Only the plane asked for is read and decoded; nothing is kept. A plane that an
    OME-TIFF declares but does not hold is zero. Values are those in the file: colour
    maps are not applied.

    Parameters
    ----------
    path : Path
        The file. It stays open until :meth:`close`.
    channel_axis, select
        See :func:`sam2_core.sources.frame_axes.find_axes`; axes may be given by the
        letters of the file, such as ``select={"C": 0}``.

    Raises
    ------
    ImageError
        The file is no TIFF, broken or cut short, or its axes need a choice.
    """

    def __init__(
        self,
        path: Path,
        channel_axis: Axis | None = None,
        select: Select | None = None,
    ) -> None:
        self._name = path.name
        self._lock = threading.Lock()
        with _reading_tiff(str(path)):
            self._file = _open(path)
        try:
            with _reading_tiff(str(path)):
                self._open_series(channel_axis, select)
        except BaseException:
            self._file.close()
            raise

    def _open_series(self, channel_axis: Axis | None, select: Select | None) -> None:
        if not self._file.series:
            raise ImageError(f"{self._name} holds no image.")
        if not _all_pages_found(self._file):
            raise self._cut_short()
        series = self._file.series[0]
        self._series = series
        self._letters = _letters(self._file)
        self._axes = find_axes(
            tuple(series.shape),
            letters=self._letters,
            channel_axis=channel_axis,
            select=select,
            what=self._name,
        )
        self.shape = self._axes.shape
        # The series is a row of equal blocks; a block is what one read returns.
        self._offset = series.dataoffset
        if self._offset is not None:
            plane_axes = [series.axes.find(letter) for letter in "YXS"]
            self._lead = min(axis for axis in plane_axes if axis >= 0)
            if self._offset + series.nbytes > self._file.filehandle.size:
                raise self._cut_short()
        else:
            blocks = len(series)
            leads = range(len(series.shape) + 1)
            fitting = [k for k in leads if math.prod(series.shape[:k]) == blocks]
            if not fitting:
                raise ImageError(
                    f"{self._name} has {blocks} pages for the shape {series.shape}; "
                    "save it again as a plain TIFF stack."
                )
            self._lead = fitting[0]
        self._block_shape = tuple(series.shape[self._lead :])

    def __len__(self) -> int:
        return self._axes.length

    @property
    def frame_axis(self) -> Axis:
        """The axis of the frames as one would write it in `select`."""
        axis = self._axes.frames or 0
        letter = self._letters[axis]
        return letter if self._letters.count(letter) == 1 else axis

    @property
    def tile(self) -> tuple[int, int]:
        """Height and width of parts that are read for their share of a frame's time.

        Rows that lie in the file as they are can be read alone.
        """
        height, width = self.shape
        return min(TILE, height) if self._in_rows else height, width

    @property
    def _in_rows(self) -> bool:
        return self._offset is not None and self._axes.plane[0] == self._lead

    def __getitem__(self, index: int, /) -> NDArray[Any]:
        return self.crop(index, slice(None), slice(None))

    def crop(self, index: int, rows: slice, columns: slice) -> NDArray[Any]:
        """Rows and columns of one frame, of which no more is read than :attr:`tile`."""
        key = self._axes.key(index, rows, columns)
        sizes = self._series.shape[: self._lead]
        positions = [
            range(size) if isinstance(item, slice) else (item,)
            for item, size in zip(key, sizes, strict=False)
        ]
        with self._lock, _reading_tiff(self.name(index)):
            numbers = [
                int(np.ravel_multi_index(at, sizes)) if sizes else 0
                for at in itertools.product(*positions)
            ]
            within = key[self._lead :]
            if self._in_rows:
                start, stop, _ = rows.indices(self.shape[0])
                shape = stop - start, *self._block_shape[1:]
                blocks = [self._stored(number, start, shape) for number in numbers]
                within = (slice(None), *within[1:])
            else:
                blocks = [self._block(number) for number in numbers]
        parts = [block[within] for block in blocks]
        # More than one block only where the channels are separate pages.
        split = self._axes.channels is not None and self._axes.channels < self._lead
        return self._axes.channels_last(np.stack(parts) if split else parts[0])

    def name(self, index: int) -> str:
        """What to call a frame in an error message."""
        return self._name if len(self) == 1 else f"Frame {index} of {self._name}"

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _cut_short(self) -> ImageError:
        return ImageError(
            f"{self._name} is damaged or cut short; copy or save it again."
        )

    def _block(self, number: int) -> NDArray[Any]:
        if self._offset is not None:
            return self._stored(number, 0, self._block_shape)
        page = self._series[number]
        if page is None:
            return np.zeros(self._block_shape, self._series.dtype)
        size = page.parent.filehandle.size
        ends = zip(page.dataoffsets, page.databytecounts, strict=False)
        if any(offset + count > size for offset, count in ends):
            raise self._cut_short()
        return page.asarray().reshape(self._block_shape)

    def _stored(self, number: int, start: int, shape: tuple[int, ...]) -> NDArray[Any]:
        """So much of a block, from a place on its first axis on, as the file has it."""
        # Read, not memory-mapped: mapped pages would count as memory in use.
        dtype = self._series.dtype.newbyteorder(self._file.byteorder)
        row = math.prod(self._block_shape[1:])
        first = number * math.prod(self._block_shape) + start * row
        handle = self._file.filehandle
        assert self._offset is not None
        handle.seek(self._offset + first * dtype.itemsize)
        count = math.prod(shape) * dtype.itemsize
        return np.frombuffer(handle.read(count), dtype).reshape(shape)


@contextmanager
def _reading_tiff(what: str) -> Iterator[None]:
    """Like :func:`reading`, and what tifffile logs does not end up on the screen."""
    logger, silence = logging.getLogger("tifffile"), logging.NullHandler()
    logger.addHandler(silence)
    try:
        with reading(what):
            yield
    finally:
        logger.removeHandler(silence)


def _open(path: Path) -> tifffile.TiffFile:
    """Open a file; pages that tifffile wrote one by one count as one series."""
    file = tifffile.TiffFile(path)
    try:
        shapes = {(tuple(s.shape), len(s)) for s in file.series}
        one_by_one = file.is_shaped and len(file.series) == len(file.pages) > 1
    except BaseException:
        file.close()
        raise
    if one_by_one and len(shapes) == 1:
        file.close()
        return tifffile.TiffFile(path, is_shaped=False)
    return file


def _letters(file: tifffile.TiffFile) -> str:
    """Axes of the first series; slices that ImageJ's format calls channels are Z.

    Who writes for ImageJ without naming the axes, as tifffile lets one do, gets C.
    """
    letters, shape = file.series[0].axes, file.series[0].shape
    mode = (file.imagej_metadata or {}).get("mode")
    many = shape[0] > _MOST_CHANNELS and mode not in ("composite", "color")
    if file.is_imagej and (letters == "CYXS" or (letters == "CYX" and many)):
        return letters.replace("C", "Z")
    return letters


def _all_pages_found(file: tifffile.TiffFile) -> bool:
    """Whether the chain of pages ends properly; tifffile tolerates a broken one."""
    if file.is_lsm or file.is_ndpi:  # their chains do not follow the standard
        return True
    tiff, handle, start = file.tiff, file.filehandle, file.pages[-1].offset
    handle.seek(start)
    (tags,) = struct.unpack(tiff.tagnoformat, handle.read(tiff.tagnosize))
    handle.seek(start + tiff.tagnosize + tags * tiff.tagsize)
    (following,) = struct.unpack(tiff.offsetformat, handle.read(tiff.offsetsize))
    return bool(following == 0)
