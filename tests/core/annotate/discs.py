"""A picture of two discs."""

from __future__ import annotations

import numpy as np

DISCS = ((15, 12, 6), (40, 25, 9))  # x, y, radius


def discs_image(shape: tuple[int, int] = (40, 60)) -> np.ndarray:
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = np.full(shape, 20, np.uint8)
    for cx, cy, radius in DISCS:
        image[(x - cx) ** 2 + (y - cy) ** 2 <= radius**2] = 200
    return image
