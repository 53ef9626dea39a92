"""Mask clean-up: plain functions on logits and masks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

NO_OVERLAP_LOGIT = -10.0
_EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)
# Components of at most so many pixels are found on a GPU, one step for each pixel;
# larger ones by labelling on the CPU, which takes about a millisecond a mask.
_FEW_PIXELS = 16


def small_components(mask: NDArray[np.bool_], max_area: float) -> NDArray[np.bool_]:
    """Pixels of 8-connected components of at most ``max_area`` pixels.

    Parameters
    ----------
    mask : ndarray
        (H, W) bool.
    max_area : float
        Largest area, in pixels, that counts as small.

    Returns
    -------
    ndarray
        (H, W) bool.
    """
    labels, count = ndimage.label(mask, structure=_EIGHT_NEIGHBOURS)
    if count == 0:
        return np.zeros_like(mask, dtype=bool)
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    small = areas <= max_area
    small[0] = False
    return np.asarray(small[labels])


def few_pixels(masks: Tensor, max_area: int) -> Tensor:
    """The same as :func:`small_components` in steps that suit a GPU.

    Parameters
    ----------
    masks : Tensor
        (N, H, W) bool, up to 4096 x 4096 pixels.
    max_area : int
        Largest area that counts as small; it takes as many steps.

    Returns
    -------
    Tensor
        (N, H, W) bool.
    """
    count, height, width = masks.shape
    inside = masks.float()
    last = height * width + 1
    # Every pixel takes the highest number in its neighbourhood, so often that a small
    # component has one number in the end.
    names = torch.arange(1, last, device=masks.device, dtype=torch.float32)
    names = inside * names.view(height, width)
    for _ in range(max_area - 1):
        names = _highest_around(names) * inside
    # Parts of larger components may be small, too, but have neighbours of other names.
    lowest = last - _highest_around(torch.where(masks, last - names, 0.0))
    torn = (_highest_around(names) != names) | (lowest != names)
    place = names.flatten(1).long()
    pixels = torch.where(torn.flatten(1), max_area + 1.0, 1.0)
    areas = pixels.new_zeros(count, last).scatter_add_(1, place, pixels)
    return masks & (areas.gather(1, place) <= max_area).view_as(masks)


def _highest_around(x: Tensor) -> Tensor:
    """Maximum over 3 x 3 pixels of (N, H, W)."""
    return F.max_pool2d(x[:, None], 3, stride=1, padding=1)[:, 0]


def fill_holes(
    logits: Tensor, max_area: float, threshold: float = 0.0, value: float = 0.1
) -> Tensor:
    """Raise small background components of mask logits to foreground.

    Parameters
    ----------
    logits : Tensor
        (..., H, W) mask logits.
    max_area : float
        Largest hole, in pixels of ``logits``; 0 fills nothing.
    threshold : float
        Logit above which a pixel belongs to the mask.
    value : float
        Logit of filled pixels.

    Returns
    -------
    Tensor
        A new tensor of the same shape, or ``logits`` itself if nothing was filled.
    """
    return _replace_small(logits, logits <= threshold, max_area, value)


def remove_specks(
    logits: Tensor, max_area: float, threshold: float = 0.0, value: float = -0.1
) -> Tensor:
    """Lower small foreground components to background; see :func:`fill_holes`."""
    return _replace_small(logits, logits > threshold, max_area, value)


def without_overlaps(logits: Tensor) -> Tensor:
    """Leave each pixel to the object with the highest logit.

    Parameters
    ----------
    logits : Tensor
        (N, 1, H, W), one row per object.

    Returns
    -------
    Tensor
        (N, 1, H, W); where another object wins, logits are at most -10.
    """
    if logits.shape[0] < 2:
        return logits
    winner = logits.argmax(dim=0, keepdim=True)
    index = torch.arange(logits.shape[0], device=logits.device)[:, None, None, None]
    return torch.where(index == winner, logits, logits.clamp(max=NO_OVERLAP_LOGIT))


def _replace_small(
    logits: Tensor, mask: Tensor, max_area: float, value: float
) -> Tensor:
    if max_area <= 0:
        return logits
    planes = mask.flatten(0, -3)
    if logits.device.type != "cpu" and max_area <= _FEW_PIXELS:
        where = few_pixels(planes, int(max_area)).reshape(logits.shape)
        return torch.where(where, logits.new_tensor(value), logits)
    small = np.stack(
        [small_components(plane, max_area) for plane in planes.cpu().numpy()]
    )
    if not small.any():
        return logits
    where = torch.from_numpy(small).to(logits.device).reshape(logits.shape)
    return torch.where(where, logits.new_tensor(value), logits)


def highest(maps: Tensor, size: int) -> Tensor:
    """The highest value of each of size x size cells, (C, H, W) to (C, size, size)."""
    count, height, width = maps.shape
    if height % size or width % size or maps.is_cuda:
        return F.adaptive_max_pool2d(maps, (size, size))
    # Row by row, a seventh of the time on CPUs.
    rows = maps.view(count, size, height // size, width).amax(2)
    return rows.view(count, size, size, width // size).amax(3)
