"""Square windows of an image at any scale, and masks put back where they were cut.

Places are measured as in `sam2_core.prompts`, pixel centres at integers; a window is
resampled so that its longer way through the image takes ``SIDE`` pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sam2_core.closeups.pictures import Picture

DRAWN_AT_ONCE = 2**22  # pixels


@dataclass(frozen=True)
class Window:
    """A square part of an image.

    Attributes
    ----------
    x, y : float
        Its top left corner; -0.5 is the edge of the image.
    side : float
        In pixels of the image.
    """

    x: float
    y: float
    side: float

    @classmethod
    def around(
        cls, centre_xy: tuple[float, float], side: float, image_hw: tuple[int, int]
    ) -> Window:
        """The window about a place, moved into the image as far as it fits."""
        corner = []
        for centre, limit in zip(centre_xy, image_hw[::-1], strict=True):
            low, high = -0.5, limit - 0.5 - side
            middle = (low + high) / 2
            start = centre - side / 2
            corner.append(min(max(start, low), high) if low < high else middle)
        return cls(corner[0], corner[1], side)

    @property
    def middle(self) -> NDArray[np.float64]:
        """(2,) xy of its centre."""
        return np.array((self.x, self.y)) + self.side / 2

    def points(self, xy: NDArray[np.float32], size: int) -> NDArray[np.float32]:
        """Points (..., 2) xy of the image in pixels of the window of ``size``."""
        corner = np.array((self.x, self.y), np.float32)
        return np.asarray((xy - corner) * (size / self.side) - 0.5, np.float32)

    def pixels(self, image_hw: tuple[int, int]) -> tuple[int, int, int, int]:
        """Image pixels whose centres it covers: first and past-last x, then y."""
        ends = []
        for start, limit in zip((self.x, self.y), image_hw[::-1], strict=True):
            first = min(max(int(np.ceil(start)), 0), limit)
            last = min(max(int(np.floor(start + self.side)) + 1, first), limit)
            ends += [first, last]
        return ends[0], ends[1], ends[2], ends[3]


def cut(image: Picture, windows: Sequence[Window], size: int) -> Tensor:
    """Resample windows of an image, averaging first where they are reduced.

    Parameters
    ----------
    image : Tensor or Picture
        (C, H, W) uint8 or float.
    windows : sequence of Window
        N of them; beyond the image its edge is repeated.
    size : int
        Side of the result.

    Returns
    -------
    Tensor
        (N, C, size, size) float32.
    """
    channels, height, width = image.shape
    parts = []
    for window in windows:
        factor = max(int(window.side / size + 0.25), 1)
        reach = 2 * factor
        x0 = min(max(int(window.x) - reach, 0), width - 1)
        y0 = min(max(int(window.y) - reach, 0), height - 1)
        x1 = max(min(int(window.x + window.side) + reach + 1, width), x0 + 1)
        y1 = max(min(int(window.y + window.side) + reach + 1, height), y0 + 1)
        region = image[:, y0:y1, x0:x1]
        if channels > 1 and region.stride(0) == 0:  # one channel, expanded
            region = region[:1]
        region = region[None].float()
        if factor > 1:
            region = F.avg_pool2d(region, factor, ceil_mode=True)
        place = (torch.arange(size, device=image.device) + 0.5) * (window.side / size)
        columns, rows = region.shape[-1] * factor, region.shape[-2] * factor
        grid_x = (place + (window.x + 0.5 - x0)) * (2 / columns) - 1
        grid_y = (place + (window.y + 0.5 - y0)) * (2 / rows) - 1
        grid = torch.stack(torch.meshgrid(grid_x, grid_y, indexing="xy"), -1)
        parts.append(
            F.grid_sample(
                region, grid[None], padding_mode="border", align_corners=False
            )
        )
    most = max(part.shape[1] for part in parts)
    together = torch.cat([part.expand(-1, most, -1, -1) for part in parts])
    return together.expand(-1, channels, -1, -1)


def paste(
    values: Tensor,
    window: Window,
    image_hw: tuple[int, int],
    canvas: Tensor | None = None,
) -> tuple[Tensor, tuple[slice, slice]]:
    """Values of a window at the pixels of the image that it covers.

    Parameters
    ----------
    values : Tensor
        (C, size, size) float.
    window : Window
        Where they were cut.
    image_hw : tuple of int
        Height and width of the image.
    canvas : Tensor, optional
        (C, H, W) float, the whole image, to be drawn on.

    Returns
    -------
    tuple
        (C, h, w) values, part of the canvas if there is one, and their rows and columns
        in the image.
    """
    x0, x1, y0, y1 = window.pixels(image_hw)
    rows, columns = slice(y0, y1), slice(x0, x1)
    if canvas is None:
        drawn = values.new_empty(len(values), y1 - y0, x1 - x0)
    else:
        drawn = canvas[:, rows, columns]
    grid_x = (torch.arange(x0, x1, device=values.device) - window.x) * (2 / window.side)
    grid_y = (torch.arange(y0, y1, device=values.device) - window.y) * (2 / window.side)
    # A grid takes several times the memory of what is drawn.
    at_once = max(DRAWN_AT_ONCE // max(x1 - x0, 1), 1)
    strips = torch.split(drawn, at_once, 1)
    for strip, down in zip(strips, torch.split(grid_y, at_once), strict=True):
        grid = torch.stack(torch.meshgrid(grid_x - 1, down - 1, indexing="xy"), -1)
        strip[:] = F.grid_sample(
            values[None], grid[None], padding_mode="border", align_corners=False
        )[0]
    return drawn, (rows, columns)
