"""Frames of which only those parts are read that are looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sam2_core.frames import FrameSource

TILED_FROM = 1024**2  # pixels; frames up to that are read whole
STRIP = 512  # rows that are compared at once


class Picture(Protocol):
    """What windows are cut from: a (3, H, W) uint8 tensor, or something like it."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(3, H, W)."""

    @property
    def device(self) -> torch.device:
        """Where the parts are."""

    def __getitem__(self, key: tuple[slice, slice, slice], /) -> Tensor: ...


@runtime_checkable
class CroppedFrames(Protocol):
    """A :class:`sam2_core.frames.FrameSource` that can read parts of its frames."""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""

    @property
    def tile(self) -> tuple[int, int]:
        """Height and width of parts that are read for their share of a frame's time.

        They are counted from the first row and column of the frame.
        """

    def crop(self, index: int, rows: slice, columns: slice) -> NDArray[np.uint8]:
        """Part of frame `index` as (h, w, 3) uint8; slices start and stop within it."""


class TiledPicture:
    """One large frame, read in tiles when they are first looked at.

    Tiles are kept, so memory grows with the area that was looked at.

    Parameters
    ----------
    frames : CroppedFrames
        Where it comes from.
    index : int
        Which frame.
    device : torch.device
        Where its parts are wanted.
    """

    def __init__(self, frames: CroppedFrames, index: int, device: torch.device) -> None:
        self.shape = (3, *frames.shape)
        self.device = device
        self._frames, self._index = frames, index
        self._tile = frames.tile
        self._tiles: dict[tuple[int, int], Tensor] = {}

    def __getitem__(self, key: tuple[slice, slice, slice], /) -> Tensor:
        """Rows and columns of all channels, (3, h, w) uint8.

        Of grey parts there is one channel in memory, expanded to three.
        """
        _, rows, columns = key
        high, wide = self._tile
        first_row, first_column = rows.start // high, columns.start // wide
        strips = []
        for row in range(first_row, -(-rows.stop // high)):
            across = range(first_column, -(-columns.stop // wide))
            strips.append(_joined([self._read(row, column) for column in across], 2))
        down, right = first_row * high, first_column * wide
        rows = slice(rows.start - down, rows.stop - down)
        columns = slice(columns.start - right, columns.stop - right)
        part = _joined(strips, 1)[:, rows, columns]
        return part.to(self.device).expand(3, -1, -1)

    def _read(self, row: int, column: int) -> Tensor:
        if (row, column) not in self._tiles:
            (high, wide), (_, height, width) = self._tile, self.shape
            rows = slice(row * high, min((row + 1) * high, height))
            columns = slice(column * wide, min((column + 1) * wide, width))
            part = self._frames.crop(self._index, rows, columns)
            self._tiles[row, column] = _planes(part, torch.device("cpu"))
        return self._tiles[row, column]


def picture_of(frames: FrameSource, index: int, device: torch.device) -> Picture:
    """A frame, in tiles where it is large and its source can read parts.

    Parameters
    ----------
    frames : FrameSource
        Where it comes from.
    index : int
        Which frame.
    device : torch.device
        Where it is wanted.
    """
    height, width = frames.shape
    if height * width > TILED_FROM and isinstance(frames, CroppedFrames):
        high, wide = frames.tile
        if high < height or wide < width:
            return TiledPicture(frames, index, device)
    return whole_picture(frames.frame(index), device)


def whole_picture(image: NDArray[np.uint8], device: torch.device) -> Tensor:
    """An image (H, W, 3) uint8 as (3, H, W); grey ones have one channel, expanded."""
    return _planes(image, device).expand(3, -1, -1)


def is_blank(picture: Picture, near: tuple[slice, slice]) -> bool:
    """Whether all of a picture looks the same, as that of a dropped frame does.

    Parameters
    ----------
    picture : Picture
        A frame.
    near : (slice, slice)
        Rows and columns that are read in any case; they nearly always tell.
    """
    _, height, width = picture.shape
    strips = [slice(top, min(top + STRIP, height)) for top in range(0, height, STRIP)]
    first: Tensor | None = None
    for rows, columns in (near, *((strip, slice(0, width)) for strip in strips)):
        if rows.start == rows.stop or columns.start == columns.stop:
            continue
        part = picture[:, rows, columns]
        first = part[:, :1, :1] if first is None else first
        if bool((part != first).any()):
            return False
    return True


def _planes(image: NDArray[np.uint8], device: torch.device) -> Tensor:
    """(3, H, W), or (1, H, W) of grey images."""
    grey = all((image[..., 0] == image[..., i]).all() for i in (1, 2))
    pixels = np.array(image[..., :1] if grey else image, order="C")
    return torch.from_numpy(pixels).to(device).permute(2, 0, 1)


def _joined(parts: list[Tensor], axis: int) -> Tensor:
    """Parts beside each other along an axis, of one channel if all of them are."""
    channels = max(len(part) for part in parts)
    return torch.cat([part.expand(channels, -1, -1) for part in parts], axis)
