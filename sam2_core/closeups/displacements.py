"""How far objects have moved to another frame, told by the image about them.

The close-ups expect an object about where it was. In a time-lapse it may be a width
away; then a neighbour, or nothing, is where it was. So what was seen on and around the
object is searched for on the other frame, by normalised correlation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from sam2_core.closeups.windows import Window, cut
from sam2_core.nn.closeup import SIDE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from sam2_core.closeups.pictures import Picture

REDUCED = SIDE // 2  # side of a window here; the search is in one of three times that
RIM = 4  # pixels around the object that are searched for with it
PENALTY = 0.2  # of correlation, for a move by the object's size, the root of its area
LEAST, NEAR = 0.1, 0.9  # sizes that matter, and that it may move
# Where nothing near is as much alike as that, it may have gone so many sizes.
UNLIKE, FAR = 0.5, 2.0
GAIN = 0.05  # of correlation, below which it is taken to have stayed
NOISE = 1.0  # grey levels


def moved_windows(
    now: Picture,
    image_hw: tuple[int, int],
    grey: Tensor,
    masks: Tensor,
    windows: Sequence[Window],
) -> list[Window | None]:
    """Windows about the same objects on another frame.

    Parameters
    ----------
    now : Tensor or Picture
        (C, H, W) of the other frame.
    image_hw : tuple of int
        H and W.
    grey, masks : Tensor
        (N, S, S) float grey levels of the windows on the frame where the objects are
        known, and the objects there, above 0.
    windows : sequence of Window
        N of them.

    Returns
    -------
    list of (Window or None)
        None for objects that stay where they are, as far as can be told.
    """
    factor = grey.shape[-1] // REDUCED
    wide = [Window(w.x - w.side, w.y - w.side, 3 * w.side) for w in windows]
    shifts = displacements(
        F.avg_pool2d(grey[:, None], factor)[:, 0],
        F.max_pool2d((masks > 0).float()[:, None], factor)[:, 0] > 0,
        cut(now, wide, 3 * REDUCED).mean(1),
    ).tolist()
    found: list[Window | None] = []
    for (dx, dy), window in zip(shifts, windows, strict=True):
        if not (dx or dy):
            found.append(None)
            continue
        step = window.side / REDUCED
        x, y = window.x + window.side / 2, window.y + window.side / 2
        middle = (x + dx * step, y + dy * step)
        found.append(Window.around(middle, window.side, image_hw))
    return found


def displacements(grey: Tensor, masks: Tensor, around: Tensor) -> Tensor:
    """Where objects of one image lie in others.

    Parameters
    ----------
    grey : Tensor
        (N, S, S) float grey levels.
    masks : Tensor
        (N, S, S) bool, an object in each.
    around : Tensor
        (N, 3 * S, 3 * S) float grey levels of the other images, S more each way.

    Returns
    -------
    Tensor
        (N, 2) int64 xy in pixels, at most S each; 0 where nothing is gained.
    """
    side, reach = around.shape[-1], grey.shape[-1]
    inside = masks.float()
    rim = F.max_pool2d(inside[:, None], 2 * RIM + 1, stride=1, padding=RIM)
    weight = F.pad(rim[:, 0], (reach,) * 4)
    total = weight.sum((1, 2), keepdim=True).clamp(min=1)
    known = F.pad(grey, (reach,) * 4)
    known = weight * (known - (weight * known).sum((1, 2), keepdim=True) / total)
    around = around - around.mean((1, 2), keepdim=True)

    weights = torch.fft.rfft2(weight).conj()
    image, square = torch.fft.rfft2(around), torch.fft.rfft2(around.square())

    def summed(product: Tensor) -> Tensor:
        # The template stays within the wide image, so nothing wraps around.
        sums: Tensor = torch.fft.irfft2(product, s=(side, side))
        return sums.roll((reach, reach), (1, 2))[:, : 2 * reach + 1, : 2 * reach + 1]

    alike = summed(torch.fft.rfft2(known).conj() * image)
    spread = summed(weights * square) - summed(weights * image).square() / total
    noise = NOISE**2 * total
    own = known.square().sum((1, 2), keepdim=True)
    alike = alike / ((spread.clamp(min=0) + noise) * (own + noise)).sqrt()

    at = torch.arange(-reach, reach + 1, device=grey.device)
    away = torch.hypot(at[None, :].float(), at[:, None].float())
    away = away / inside.sum((1, 2), keepdim=True).sqrt().clamp(min=1)
    near = torch.where(away <= NEAR, alike, -1.0).amax((1, 2), keepdim=True)
    within = torch.where(near < UNLIKE, FAR, NEAR)
    likely = torch.where(away <= within, alike - PENALTY * away, -2.0).flatten(1)
    best = likely.argmax(1)

    def chosen(values: Tensor) -> Tensor:
        return values.flatten(1).gather(1, best[:, None])[:, 0]

    gained = chosen(alike) - alike[:, reach, reach] > GAIN
    gained &= chosen(away) >= LEAST
    rows, columns = best // len(at), best % len(at)
    return torch.stack((at[columns], at[rows]), 1) * gained[:, None]
