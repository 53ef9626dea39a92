"""Masks of several parts as one polygon."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage, spatial

from sam2_core.annotate.polygons import outline as outline_of_part

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def outline(mask: ArrayLike) -> NDArray[np.float32]:
    """One closed polygon through the pixels at the border of a mask.

    Drawn with its border included it gives the mask back, with holes filled. Separate
    parts are joined by bridges, there and back.

    Parameters
    ----------
    mask : array_like
        (H, W) bool.

    Returns
    -------
    ndarray
        (N, 2) float32 x, y of pixels; the first point is not repeated at the end.
        (0, 2) for an empty mask.
    """
    labels, _ = ndimage.label(np.asarray(mask, dtype=bool), np.ones((3, 3)))
    parts = []
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        polygon = outline_of_part(labels[rows, columns] == number)
        parts.append(np.add(polygon, (columns.start, rows.start)))
    if not parts:
        return np.zeros((0, 2), np.float32)
    return _joined(parts).astype(np.float32)


def _joined(parts: list[NDArray[np.intp]]) -> NDArray[np.intp]:
    whole, *others = sorted(parts, key=len, reverse=True)
    for part in others:
        distances, nearest = spatial.cKDTree(whole).query(part)
        here = int(distances.argmin())
        there = int(nearest[here])
        detour = np.roll(part, -here, axis=0)
        whole = np.concatenate(
            (whole[: there + 1], detour, detour[:1], whole[there:]), axis=0
        )
    return whole
