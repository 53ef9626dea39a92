"""Low-resolution logits drawn at image size, but only where there is something."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from sam2_core import transforms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

# A window is drawn in bands of at most so many pixels.
BAND_PIXELS = 2**22


@dataclass(frozen=True)
class Window:
    """Rows ``top`` to ``bottom`` and columns ``left`` to ``right``, ends excluded."""

    top: int
    bottom: int
    left: int
    right: int


class MaskDrawer:
    """Draws what :func:`sam2_core.transforms.logits_to_image` draws, window by window.

    An object covers a small part of the image as a rule, and most of the work and
    memory of drawing whole masks would go into background.

    Parameters
    ----------
    low_hw : tuple of int
        Height and width of the logits.
    image_hw : tuple of int
        Height and width to draw at.
    device : torch.device
        Where the logits are.
    """

    def __init__(
        self,
        low_hw: tuple[int, int],
        image_hw: tuple[int, int],
        device: torch.device,
    ) -> None:
        self._rows = _Taps(low_hw[0], image_hw[0], device)
        self._columns = _Taps(low_hw[1], image_hw[1], device)

    def windows(self, logits: Tensor, level: float) -> list[Window | None]:
        """The part of the image outside of which logits are at most ``level``.

        Parameters
        ----------
        logits : Tensor
            (N, h, w).
        level : float
            In units of the logits.

        Returns
        -------
        list
            N windows, None where no logit is higher.
        """
        above = logits > level
        in_row, in_column = above.any(2).cpu().numpy(), above.any(1).cpu().numpy()
        found: list[Window | None] = []
        for rows, columns in zip(in_row, in_column, strict=True):
            if not rows.any():
                found.append(None)
                continue
            window = Window(*self._rows.reach(rows), *self._columns.reach(columns))
            empty = window.top >= window.bottom or window.left >= window.right
            found.append(None if empty else window)
        return found

    def bands(self, logits: Tensor, window: Window) -> Iterator[tuple[slice, Tensor]]:
        """Draw a window, a few rows at a time.

        Parameters
        ----------
        logits : Tensor
            (h, w) float32.
        window : Window
            In pixels of the image.

        Yields
        ------
        rows : slice
            Rows of the window, from 0.
        drawn : Tensor
            (rows, columns) float32 logits.
        """
        step = max(1, BAND_PIXELS // (window.right - window.left))
        along_x = self._columns.between(logits, 1, window.left, window.right)
        for top in range(window.top, window.bottom, step):
            bottom = min(top + step, window.bottom)
            drawn = self._rows.between(along_x, 0, top, bottom)
            yield slice(top - window.top, bottom - window.top), drawn


class _Taps:
    """Which two logits each pixel of one axis lies between, and where between them."""

    def __init__(self, source: int, target: int, device: torch.device) -> None:
        # Places are the numbers that an enlarged ramp has.
        ramp = torch.arange(source, dtype=torch.float32)[None, None, :, None]
        place = transforms.logits_to_image(ramp, (target, 1))[0, 0, :, 0]
        first = place.floor().long().clamp(0, source - 1)
        second = (first + 1).clamp(max=source - 1)
        self._first, self._second = first.to(device), second.to(device)
        self._fraction = (place - first).to(device)
        self._lowest, self._highest = first.numpy(), second.numpy()

    def reach(self, used: NDArray[np.bool_]) -> tuple[int, int]:
        """Range of the pixels that lie next to any of the logits used."""
        index = np.flatnonzero(used)
        start = np.searchsorted(self._highest, index[0], "left")
        stop = np.searchsorted(self._lowest, index[-1], "right")
        return int(start), int(stop)

    def between(self, values: Tensor, axis: int, start: int, stop: int) -> Tensor:
        """Interpolated ``values`` (2D) for pixels start to stop of an axis."""
        fraction = self._fraction[start:stop]
        return torch.lerp(
            values.index_select(axis, self._first[start:stop]),
            values.index_select(axis, self._second[start:stop]),
            fraction if axis == 1 else fraction[:, None],
        )
