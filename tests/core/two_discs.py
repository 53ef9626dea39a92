"""Pictures of a small and a large disc, and what is true of them."""

from __future__ import annotations

import numpy as np

HW = (120, 160)
DISCS = {"small": (30, 40, 5), "large": (100, 60, 30)}  # x, y, radius


def disc(x, y, radius):
    rows, columns = np.mgrid[: HW[0], : HW[1]]
    return (columns - x) ** 2 + (rows - y) ** 2 <= radius**2


def picture(*names):
    image = np.full((*HW, 3), 20, np.uint8)
    for name in names:
        image[disc(*DISCS[name])] = 200
    return image
