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
    """

    shape: tuple[int, int]
    data: bytes

    @classmethod
    def of(cls, mask: NDArray[Any]) -> PackedMask:
        """Pack an (H, W) mask; anything but 0 and False is inside."""
        height, width = mask.shape
        bits = np.packbits(np.asarray(mask, bool))
        return cls((height, width), zlib.compress(bits.tobytes(), 1))

    def unpack(self) -> NDArray[np.bool_]:
        """The mask, (H, W) bool."""
        height, width = self.shape
        bits = np.frombuffer(zlib.decompress(self.data), np.uint8)
        flat = np.unpackbits(bits, count=height * width)
        return flat.reshape(self.shape).astype(bool)

    @property
    def nbytes(self) -> int:
        """Memory it takes."""
        return len(self.data)
