"""Where everything mode looks: points on a regular grid, in the image and in crops."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from sam2_core.errors import PromptError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Crop:
    """A part of the image that the model looks at by itself.

    Attributes
    ----------
    box : tuple of int
        x0, y0, x1, y1 in pixels; x1 and y1 are outside.
    layer : int
        0 for the whole, 1 for its quarters, 2 for sixteenths ...
    """

    box: Box
    layer: int

    @property
    def hw(self) -> tuple[int, int]:
        """Height and width."""
        x0, y0, x1, y1 = self.box
        return y1 - y0, x1 - x0

    def is_cut(self, box: Box, image_hw: tuple[int, int], tolerance: int) -> bool:
        """Whether a mask ends at a border of the crop which is not the image's.

        Parameters
        ----------
        box : tuple of int
            x0, y0, x1, y1 of the mask's first and last columns and rows.
        image_hw : tuple of int
            Height and width of the image.
        tolerance : int
            Pixels between two borders that count as the same.
        """
        height, width = image_hw
        return any(
            abs(mask - crop) <= tolerance < abs(mask - image)
            for mask, crop, image in zip(
                box, self.box, (0, 0, width, height), strict=True
            )
        )


def make_crops(box: Box, layers: int, overlap_ratio: float) -> list[Crop]:
    """A region as a whole, then in ever smaller overlapping parts.

    Parameters
    ----------
    box : tuple of int
        The region, x0, y0, x1, y1 in pixels.
    layers : int
        How many times more to divide: layer ``i`` has ``2**i`` crops along each side.
    overlap_ratio : float
        Overlap of neighbours in layer 1, as part of the shorter side; half as much in
        the next layer, and so on.

    Returns
    -------
    list of Crop
        The whole first; crops without pixels (of tiny images) are left out.
    """
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    crops = [Crop(box, 0)]
    for layer in range(1, layers + 1):
        count = 2**layer
        overlap = int(overlap_ratio * min(width, height) * 2 / count)
        side_x = math.ceil((overlap * (count - 1) + width) / count)
        side_y = math.ceil((overlap * (count - 1) + height) / count)
        steps = range(count)
        for i, j in product(steps, steps):
            x, y = (side_x - overlap) * i, (side_y - overlap) * j
            far_x, far_y = min(x + side_x, width), min(y + side_y, height)
            if far_x > x and far_y > y:
                corners = (left + x, top + y, left + far_x, top + far_y)
                crops.append(Crop(corners, layer))
    return crops


def point_grid(per_side: int) -> NDArray[np.float64]:
    """Centres of a division of the unit square into equal squares.

    Parameters
    ----------
    per_side : int
        Squares along each side.

    Returns
    -------
    ndarray
        (per_side**2, 2) xy in (0, 1), row by row.
    """
    places = np.linspace(0.5 / per_side, 1 - 0.5 / per_side, per_side)
    x, y = np.meshgrid(places, places)
    return np.stack([x.ravel(), y.ravel()], axis=1)


def layer_grids(
    per_side: int, layers: int, downscale: int
) -> list[NDArray[np.float64]]:
    """One grid per layer of crops; each layer has fewer points per crop.

    Raises
    ------
    PromptError
        If a layer would have no point.
    """
    sides = [int(per_side / downscale**layer) for layer in range(layers + 1)]
    if min(sides) < 1:
        raise PromptError(
            f"points_per_side {per_side} leaves no point in crop layer "
            f"{sides.index(0)}: raise it, or lower crop_n_points_downscale_factor."
        )
    return [point_grid(side) for side in sides]


def check_grids(grids: Sequence[ArrayLike], layers: int) -> list[NDArray[np.float64]]:
    """Grids a user made, one per layer.

    Raises
    ------
    PromptError
        If their number or shapes are wrong or a point is outside the unit square.
    """
    if len(grids) != layers + 1:
        raise PromptError(
            f"point_grids has {len(grids)} grids for {layers + 1} layers of crops: "
            "give one for the image and one for each of crop_n_layers."
        )
    checked = []
    for grid in grids:
        try:
            points = np.asarray(grid, np.float64)
        except (TypeError, ValueError):
            points = np.zeros(0)
        inside = points.ndim == 2 and points.shape[1:] == (2,) and len(points)
        if not inside or not ((points >= 0) & (points <= 1)).all():
            raise PromptError(
                "Each of point_grids must be (N, 2), x and y as parts of the image's "
                "width and height from 0 to 1."
            )
        checked.append(points)
    return checked
