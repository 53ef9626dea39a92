"""Masks at rest: small enough to keep one for every object, frame and step."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class PackedMask:
    """A mask as compressed bits: comparable, hashable and safe to hand to a thread.

    Attributes
    ----------
    shape : (int, int)
        Height and width.
    data : bytes
        Row by row, eight pixels a byte, compressed.
    box : (top, left, height, width) or None
        The part that ``data`` holds, with nothing outside; None for all.
    """

    shape: tuple[int, int]
    data: bytes
    box: tuple[int, int, int, int] | None = None

    @classmethod
    def of(
        cls,
        mask: NDArray[Any],
        corner: tuple[int, int] = (0, 0),
        shape: tuple[int, int] | None = None,
    ) -> PackedMask:
        """Pack an (H, W) mask; anything but 0 and False is inside.

        With ``shape`` it is a part of a mask of that shape: ``corner`` is the row and
        column of its first pixel.
        """
        height, width = mask.shape
        bits = np.packbits(np.asarray(mask, bool))
        data = zlib.compress(bits.tobytes(), 1)
        if shape is None or shape == (height, width):
            return cls((height, width), data)
        return cls(shape, data, (*corner, height, width))

    def unpack(self) -> NDArray[np.bool_]:
        """The mask, (H, W) bool."""
        part = self._part()
        if self.box is None:
            return part
        mask = np.zeros(self.shape, bool)
        top, left, height, width = self.box
        mask[top : top + height, left : left + width] = part
        return mask

    def within(self, rows: slice, columns: slice) -> NDArray[np.bool_]:
        """A window of the mask, (h, w) bool."""
        if self.box is None:
            return self._part()[rows, columns]
        top, left, height, width = self.box
        window = np.zeros((rows.stop - rows.start, columns.stop - columns.start), bool)
        y0, y1 = max(rows.start, top), min(rows.stop, top + height)
        x0, x1 = max(columns.start, left), min(columns.stop, left + width)
        if y0 < y1 and x0 < x1:
            part = self._part()[y0 - top : y1 - top, x0 - left : x1 - left]
            inside = slice(y0 - rows.start, y1 - rows.start)
            window[inside, x0 - columns.start : x1 - columns.start] = part
        return window

    def bounds(self) -> tuple[int, int, int, int] | None:
        """Bounding box x0, y0, x1, y1, the last pixels included; None if empty."""
        part = self._part()
        rows, columns = np.flatnonzero(part.any(1)), np.flatnonzero(part.any(0))
        if not rows.size:
            return None
        top, left = (0, 0) if self.box is None else self.box[:2]
        return (
            int(columns[0]) + left,
            int(rows[0]) + top,
            int(columns[-1]) + left,
            int(rows[-1]) + top,
        )

    def _part(self) -> NDArray[np.bool_]:
        height, width = self.shape if self.box is None else self.box[2:]
        bits = np.frombuffer(zlib.decompress(self.data), np.uint8)
        flat = np.unpackbits(bits, count=height * width)
        return flat.reshape(height, width).astype(bool)

    @property
    def nbytes(self) -> int:
        """Memory it takes."""
        return len(self.data)


def drawn_into(
    ids: NDArray[Any], corner: tuple[int, int], mask: PackedMask, object_id: int
) -> tuple[NDArray[Any], tuple[int, int]]:
    """Ids with a mask of an object added, whole if they were a part of the plane."""
    whole = ids
    if ids.shape != mask.shape:
        whole = np.zeros(mask.shape, ids.dtype)
        (top, left), (height, width) = corner, ids.shape
        whole[top : top + height, left : left + width] = ids
    return np.where(mask.unpack(), np.uint32(object_id), whole), (0, 0)
