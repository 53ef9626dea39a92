"""Where the guide of the bundled model sees centres of objects.

Every pixel that the guide takes for foreground points to the centre of its object.
Where many of these votes meet, everything mode asks about that place: one question for
each object, however small, instead of hundreds on a grid that may miss all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from sam2_core.nn.guide import CENTRE_UNIT, FOREGROUND, OFFSET

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

STRIDE = 4  # input pixels per cell of the guide
FINE = 2  # places per cell along each side; votes are more precise than cells
BLUR = 1.0  # in places
FEWEST_VOTES = 1.0  # cells of foreground that must agree on a centre
MOST = 768


def seeds(guide: Tensor) -> NDArray[np.float64]:
    """Centres of objects, those with most votes first.

    Parameters
    ----------
    guide : Tensor
        (1, C, g, g) from :class:`sam2_core.nn.guide.Guide`.

    Returns
    -------
    ndarray
        (N, 2) xy as parts of the image's width and height, at most 768.
    """
    clues = guide[0].float().cpu().numpy()
    side = clues.shape[-1]
    weight = 1 / (1 + np.exp(-clues[FOREGROUND].clip(-30, 30)))
    weight[weight < 0.5] = 0
    rows, columns = np.mgrid[:side, :side] + 0.5
    offset = clues[OFFSET] * (CENTRE_UNIT / STRIDE)
    y = np.floor((rows + offset[0]) * FINE).astype(int)
    x = np.floor((columns + offset[1]) * FINE).astype(int)
    inside = (y >= 0) & (x >= 0) & (y < side * FINE) & (x < side * FINE)
    places = np.bincount(
        (y * side * FINE + x)[inside], weight[inside], (side * FINE) ** 2
    )
    votes = ndimage.gaussian_filter(
        places.reshape(side * FINE, side * FINE), BLUR, mode="constant"
    )
    # What one vote leaves at its own place, and a few votes around it add up to.
    lone = 1 / (2 * np.pi * BLUR**2)
    peak = (votes == ndimage.maximum_filter(votes, 3)) & (votes > FEWEST_VOTES * lone)
    found = np.argwhere(peak)
    best = np.argsort(-votes[peak], kind="stable")[:MOST]
    return np.asarray((found[best][:, ::-1] + 0.5) / (side * FINE), np.float64)
