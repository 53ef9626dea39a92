"""What is drawn by hand: outlines as masks, scribbles as points.

Over a pixel the outline that was drawn last counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

Polygon: TypeAlias = tuple[tuple[float, float], ...]
SCRIBBLE_SPACING = 15.0  # pixels between the points that stand for a scribble
SCRIBBLE_POINTS = 6  # at most
BACK = 0.5  # of an outline, at least, lies in what was cut off and is given back


@dataclass(frozen=True)
class Drawn:
    """What outlines of an object in a plane come to.

    Attributes
    ----------
    outlines : list of (H, W) bool
        Those that draw the object, or a part of it.
    denied : (H, W) bool
        What was cut off, and not drawn over since.
    given : (H, W) bool
        What was given back after it was cut off.
    """

    outlines: list[NDArray[np.bool_]]
    denied: NDArray[np.bool_]
    given: NDArray[np.bool_]

    @classmethod
    def of(
        cls,
        outlines: Iterable[tuple[Polygon, bool]],
        shape: tuple[int, int],
        before: Drawn | None = None,
    ) -> Drawn:
        """From outlines, each with whether it is positive, the first drawn first.

        They go on from what others came to ``before``.
        """
        drawn = before or cls([], np.zeros(shape, bool), np.zeros(shape, bool))
        for outline, positive in outlines:
            inside = _pixels(outline, shape)  # few of a large plane
            if not positive:
                drawn.denied[inside], drawn.given[inside] = True, False
                continue
            over = np.count_nonzero(drawn.denied[inside])
            if over and over >= BACK * len(inside[0]):
                drawn.given[inside] = True
            else:
                drawn.outlines.append(rasterise((outline,), shape))
            drawn.denied[inside] = False
        return drawn

    def in_mask(self, mask: NDArray[np.bool_]) -> Drawn:
        """The same as far as a mask agrees, (H, W), that answers all of it."""
        pieces = [outline & mask for outline in self.outlines]
        return Drawn(pieces, self.denied & ~mask, self.given & mask)


def rasterise(
    polygons: tuple[Polygon, ...], shape: tuple[int, int]
) -> NDArray[np.bool_]:
    """Union of polygons as a mask.

    Parameters
    ----------
    polygons : tuple of ((x, y), ...)
        Outlines in pixels; integers are pixel centres. Parts outside are cut off.
    shape : (int, int)
        Height and width.

    Returns
    -------
    (H, W) bool array
    """
    mask = np.zeros(shape, bool)
    for outline in polygons:
        mask[_pixels(outline, shape)] = True
    return mask


@lru_cache(maxsize=4)  # one answer asks a few times
def _pixels(
    outline: Polygon, shape: tuple[int, int]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of the pixels in a polygon."""
    from skimage.draw import polygon

    xy = np.asarray(outline, float)
    rows, columns = polygon(xy[:, 1], xy[:, 0], shape)
    return rows, columns


def ellipse_outline(corners_xy: NDArray[Any], n: int = 64) -> NDArray[np.float64]:
    """Outline of the ellipse inscribed in a (rotated) rectangle of four corners.

    Parameters
    ----------
    corners_xy : (4, 2) array
        In order around the rectangle.
    n : int
        Number of vertices of the outline.

    Returns
    -------
    (n, 2) float array
    """
    centre = corners_xy.mean(0)
    a = (corners_xy[1] - corners_xy[0]) / 2
    b = (corners_xy[3] - corners_xy[0]) / 2
    angle = np.linspace(0, 2 * np.pi, n, endpoint=False)[:, None]
    return np.asarray(centre + np.cos(angle) * a + np.sin(angle) * b)


def scribble_points(path_xy: NDArray[Any]) -> list[tuple[float, float]]:
    """Points that stand for a scribble: a few, evenly spread, not at its very ends.

    Parameters
    ----------
    path_xy : (N, 2) array
        Vertices of a line or path.

    Returns
    -------
    list of (x, y)
        One for a dot, otherwise 3 to 6, more for longer scribbles.
    """
    steps = np.hypot(*np.diff(path_xy, axis=0).T)
    walked = np.concatenate([[0.0], np.cumsum(steps)])
    length = walked[-1]
    if length < 2:
        x, y = path_xy.mean(0)
        return [(float(x), float(y))]
    count = int(np.clip(length / SCRIBBLE_SPACING, 3, SCRIBBLE_POINTS))
    at = np.linspace(0.1, 0.9, count) * length
    x = np.interp(at, walked, path_xy[:, 0])
    y = np.interp(at, walked, path_xy[:, 1])
    return [(float(a), float(b)) for a, b in zip(x, y, strict=True)]
