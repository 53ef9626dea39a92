"""Masks as polygons of YOLO: one ring per object."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray


def outline(patch: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Polygon through the pixels at the border of the largest part of a mask.

    Drawn with its border included, as programs for YOLO do, it gives this part back
    pixel by pixel, with holes filled.

    Parameters
    ----------
    patch : ndarray
        (H, W) bool with at least one True pixel.

    Returns
    -------
    ndarray
        (N, 2) x, y of pixels, at least 3 of them (tiny objects repeat points), corners
        only, the first not repeated at the end.
    """
    from skimage.measure import find_contours

    parts, count = ndimage.label(patch, np.ones((3, 3)))
    if count > 1:
        patch = parts == np.bincount(parts.ravel())[1:].argmax() + 1
    solid = np.pad(ndimage.binary_fill_holes(patch), 1)
    contours = find_contours(solid.astype(float), 0.5, fully_connected="high")
    line = max(contours, key=len)[:-1]
    # Each vertex lies halfway between a pixel inside and one outside.
    low, high = np.floor(line).astype(int), np.ceil(line).astype(int)
    inside = solid[low[:, 0], low[:, 1]]
    pixels = np.where(inside[:, None], low, high)[:, ::-1] - 1
    pixels = pixels[(pixels != np.roll(pixels, 1, axis=0)).any(1)]
    if len(pixels) > 2:
        before = pixels - np.roll(pixels, 1, axis=0)
        after = np.roll(pixels, -1, axis=0) - pixels
        pixels = pixels[(before != after).any(1)]
    if len(pixels) == 0:  # a single pixel
        pixels = np.argwhere(patch)[:1, ::-1]
    return np.resize(pixels, (max(len(pixels), 3), 2))
