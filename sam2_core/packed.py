"""Masks as bounding boxes and bits, unpacked when somebody looks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


@dataclass(frozen=True)
class PackedMask:
    """One mask, an eighth of a byte for each pixel of its bounding box.

    Attributes
    ----------
    top, left, height, width : int
        The bounding box in pixels; all 0 for an empty mask.
    bits : ndarray
        uint8, the mask inside the box as :func:`numpy.packbits` makes it.
    """

    top: int
    left: int
    height: int
    width: int
    bits: NDArray[np.uint8]

    @classmethod
    def of(cls, mask: NDArray[np.bool_], top: int = 0, left: int = 0) -> PackedMask:
        """Pack a mask, (h, w) bool, whose first pixel is at (top, left)."""
        rows = np.flatnonzero(mask.any(1))
        if not len(rows):
            return cls.empty()
        mask = mask[rows[0] : rows[-1] + 1]
        columns = np.flatnonzero(mask.any(0))
        mask = mask[:, columns[0] : columns[-1] + 1]
        return cls(
            top + int(rows[0]),
            left + int(columns[0]),
            mask.shape[0],
            mask.shape[1],
            np.packbits(mask),
        )

    @classmethod
    def empty(cls) -> PackedMask:
        """A mask without pixels."""
        return cls(0, 0, 0, 0, np.zeros(0, np.uint8))

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the box."""
        return (
            slice(self.top, self.top + self.height),
            slice(self.left, self.left + self.width),
        )

    def patch(self) -> NDArray[np.bool_]:
        """The mask inside its box, (height, width) bool, a new array."""
        size = self.height * self.width
        bits = np.unpackbits(self.bits, count=size).view(bool)
        return bits.reshape(self.height, self.width)


class PackedMasks(Mapping[int, "NDArray[np.bool_]"]):
    """Masks by object id; each is unpacked to (H, W) bool when it is asked for.

    Parameters
    ----------
    shape : (int, int)
        Height and width of the frame.
    packed : dict
        Object id to packed mask.
    lost : dict, optional
        By (object id, other object id): pixels that the first would have had, if they
        had not gone to the second.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        packed: dict[int, PackedMask],
        lost: Mapping[tuple[int, int], int] | None = None,
    ) -> None:
        self.shape = shape
        self.packed = packed
        self.lost = dict(lost or {})

    def __getitem__(self, object_id: int) -> NDArray[np.bool_]:
        """The mask of an object, a new (H, W) bool array."""
        packed = self.packed[object_id]
        mask = np.zeros(self.shape, bool)
        mask[packed.window] = packed.patch()
        return mask

    def __iter__(self) -> Iterator[int]:
        return iter(self.packed)

    def __len__(self) -> int:
        return len(self.packed)

    def __repr__(self) -> str:
        height, width = self.shape
        return f"<masks of {height} x {width} pixels, objects {list(self.packed)}>"

    @property
    def nbytes(self) -> int:
        """Bytes that all masks take as they are kept."""
        return sum(packed.bits.nbytes for packed in self.packed.values())


def mask_in_box(
    masks: Mapping[int, NDArray[np.bool_]], object_id: int
) -> tuple[tuple[slice, slice], NDArray[np.bool_]]:
    """Where an object's mask is and the mask there, not unpacked beyond its box.

    Parameters
    ----------
    masks : mapping
        Of a :class:`FrameResult`, or any mapping of object ids to (H, W) bool.
    object_id : int
        One of its keys.

    Returns
    -------
    tuple
        Rows and columns, and the (h, w) bool mask there.
    """
    if isinstance(masks, PackedMasks):
        packed = masks.packed[object_id]
        return packed.window, packed.patch()
    return (slice(None), slice(None)), masks[object_id]
