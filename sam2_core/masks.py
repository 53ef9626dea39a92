"""Mask clean-up: plain functions on logits and masks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

NO_OVERLAP_LOGIT = -10.0
_EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)


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
    planes = mask.flatten(0, -3).cpu().numpy()
    small = np.stack([small_components(plane, max_area) for plane in planes])
    if not small.any():
        return logits
    where = torch.from_numpy(small).to(logits.device).reshape(logits.shape)
    return torch.where(where, logits.new_tensor(value), logits)
