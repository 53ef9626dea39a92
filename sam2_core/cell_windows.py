"""Square windows of the feature grid, in which small objects are followed.

Windows have one of three sizes, so that those of many objects are worked on together.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sam2_core.nn.sam2 import NO_OBJECT_LOGIT, ImageFeatures

if TYPE_CHECKING:
    from collections.abc import Sequence

# Sides of windows, in eighths of the grid: 16, 24 and 32 of 64 cells.
EIGHTHS = (2, 3, 4)
# A window is so many times as wide as the object; the rest is room for its motion.
ROOM = 2
# Of a mask the outermost hundredth, each way, does not count: specks.
SPECKS = 0.01
# A memory reaches so far: seven cells by the convolutions, and less than one by the
# resizing of the mask.
HALO = 8
# Mask logits per cell, each way.
FINE = 4


@dataclass(frozen=True)
class Area:
    """What a mask occupies, in cells and fractions of them; ends are exclusive."""

    top: float
    left: float
    bottom: float
    right: float

    @property
    def side(self) -> float:
        """The longer one."""
        return max(self.bottom - self.top, self.right - self.left)


@dataclass(frozen=True)
class CellWindow:
    """A square of cells of a frame's feature grid.

    Attributes
    ----------
    row, column : int
        Its first cell.
    side : int
        How many cells.
    """

    row: int
    column: int
    side: int

    @classmethod
    def around(cls, area: Area, grid: int, beyond: int = 0) -> CellWindow | None:
        """The smallest window for an object; None if none is large enough.

        Parameters
        ----------
        area : Area
            Where the object is.
        grid : int
            Side of the frame's grid.
        beyond : int
            Side that the window must exceed.
        """
        for eighths in EIGHTHS:
            side = grid * eighths // 8
            if side > beyond and side >= ROOM * area.side:
                row = round((area.top + area.bottom - side) / 2)
                column = round((area.left + area.right - side) / 2)
                return cls(row, column, side).inside(grid)
        return None

    def inside(self, grid: int) -> CellWindow:
        """Moved so that all of it lies on the grid."""
        last = grid - self.side
        return CellWindow(
            min(max(self.row, 0), last), min(max(self.column, 0), last), self.side
        )

    def widened(self, grid: int) -> CellWindow:
        """With all that a memory of its cells depends on.

        Where it would leave the grid it is moved instead, so that its border is either
        that of the frame or a halo away.
        """
        side = min(self.side + 2 * HALO, grid)
        return CellWindow(self.row - HALO, self.column - HALO, side).inside(grid)

    def cuts(self, area: Area, grid: int) -> bool:
        """Whether something reaches the outermost cells, but for those of the frame."""
        end_row, end_column = self.row + self.side, self.column + self.side
        return (
            (self.row > 0 and area.top < self.row + 1)
            or (self.column > 0 and area.left < self.column + 1)
            or (end_row < grid and area.bottom > end_row - 1)
            or (end_column < grid and area.right > end_column - 1)
        )

    def cells(self, grid: int) -> Tensor:
        """(side, side) int64 numbers of its cells, the grid counted row by row."""
        return _grid_cells(grid)[
            self.row : self.row + self.side, self.column : self.column + self.side
        ]

    def part(self, x: Tensor, scale: int = 1) -> Tensor:
        """The window of (..., grid * scale, grid * scale), a view."""
        rows = slice(self.row * scale, (self.row + self.side) * scale)
        columns = slice(self.column * scale, (self.column + self.side) * scale)
        return x[..., rows, columns]


def occupied(logits: Tensor) -> list[Area | None]:
    """Where masks are, a few outlying pixels left out of account; None for empty ones.

    Parameters
    ----------
    logits : Tensor
        (N, 1, h, w) low-resolution mask logits.
    """
    mask = logits[:, 0] > 0
    profiles = zip(mask.sum(2).cpu(), mask.sum(1).cpu(), strict=True)
    areas: list[Area | None] = []
    for rows, columns in profiles:
        if not rows.any():
            areas.append(None)
            continue
        (top, bottom), (left, right) = _extent(rows), _extent(columns)
        areas.append(Area(top / FINE, left / FINE, bottom / FINE, right / FINE))
    return areas


def _extent(profile: Tensor) -> tuple[int, int]:
    """First index, and one past the last, of almost all that is counted."""
    counted = profile.cumsum(0)
    total = float(counted[-1])
    first = int((counted > SPECKS * total).int().argmax())
    last = int((counted >= (1 - SPECKS) * total).int().argmax())
    return first, last + 1


def crop(x: Tensor, windows: Sequence[CellWindow], scale: int = 1) -> Tensor:
    """Windows of equal size, (N, C, side * scale, side * scale).

    Parameters
    ----------
    x : Tensor
        (1 or N, C, grid * scale, grid * scale); one for all windows or one for each.
    windows : sequence of CellWindow
        N of them.
    scale : int
        Pixels of ``x`` per cell, each way.
    """
    shared = len(x) == 1
    return torch.stack(
        [
            window.part(x[0 if shared else row], scale)
            for row, window in enumerate(windows)
        ]
    )


def crop_features(
    features: ImageFeatures, windows: Sequence[CellWindow], grid: int
) -> ImageFeatures:
    """What the encoder sees in N windows of one frame."""
    stride4, stride8 = features.high_res
    cells = torch.stack([window.cells(grid) for window in windows])
    return ImageFeatures(
        embedding=crop(features.embedding, windows),
        high_res=(crop(stride4, windows, 4), crop(stride8, windows, 2)),
        guide=None if features.guide is None else crop(features.guide, windows, 4),
        cells=cells.to(features.embedding.device),
    )


def paste(logits: Tensor, windows: Sequence[CellWindow], grid: int) -> Tensor:
    """Logits of N windows, (N, 1, 4 side, 4 side), on the frame: (N, 1, 4g, 4g).

    Outside the windows they say that there is nothing.
    """
    whole = logits.new_full((len(logits), 1, FINE * grid, FINE * grid), NO_OBJECT_LOGIT)
    for row, window in enumerate(windows):
        window.part(whole[row], FINE).copy_(logits[row])
    return whole


@lru_cache(maxsize=8)
@torch.inference_mode(mode=False)
def _grid_cells(grid: int) -> Tensor:
    return torch.arange(grid * grid).reshape(grid, grid)
