"""Where a crop is taken: scale, place, orientation, and what is left in view."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sam2_core.training.examples.augment import (
    Warp,
    orthogonal_matrix,
    random_bend,
    rotation_matrix,
)

if TYPE_CHECKING:
    from sam2_core.training.dataset import ObjectTable

FRAME_SIZE = 512
MIN_SCALE, MAX_SCALE = 0.25, 4.0
MIN_DIAMETER = 10.0
MAX_SHARE = 0.6  # of the side of the crop, for the diameter of the chosen object
MIN_VISIBLE_PIXELS, MIN_VISIBLE_FRACTION = 12, 0.25


def random_window(rng: np.random.Generator, size: int) -> tuple[int, int, int]:
    """Place of a crop in the virtual model input, in steps of 32 pixels."""
    places = max(FRAME_SIZE - size, 0) // 32 + 1
    x0, y0 = rng.integers(places, size=2) * 32
    return int(x0), int(y0), FRAME_SIZE


def random_warp(
    rng: np.random.Generator,
    shape_hw: tuple[int, ...],
    table: ObjectTable,
    size: int,
    native_fraction: float,
) -> Warp:
    """Choose an object, a scale that suits it and a place near it.

    Parameters
    ----------
    rng : numpy.random.Generator
    shape_hw : (H, W)
        Size of the source.
    table : ObjectTable
        At least one object.
    size : int
        Side of the output.
    native_fraction : float
        Chance to take the scale at which the whole source fills the model input.

    Returns
    -------
    Warp
        Wholly inside the source, elastic displacement apart.
    """
    height, width = shape_hw
    odds = table.areas.astype(float) ** 0.25
    chosen = rng.choice(len(table), p=odds / odds.sum())
    scale_yx = _random_scale(rng, shape_hw, table.areas[chosen], size, native_fraction)
    matrix = np.diag(1 / scale_yx) @ orthogonal_matrix(
        int(rng.integers(4)), bool(rng.integers(2))
    )
    if rng.random() < 0.25:
        turned = matrix @ rotation_matrix(rng.uniform(-0.8, 0.8))
        half = np.abs(turned).sum(1) * size / 2
        if half[0] * 2 <= height and half[1] * 2 <= width:
            matrix = turned
    half = np.abs(matrix).sum(1) * size / 2
    y0, x0, y1, x1 = table.boxes_yxyx[chosen]
    target = np.array([rng.uniform(y0, y1), rng.uniform(x0, x1)])
    centre = target + rng.uniform(-0.85, 0.85, 2) * half
    for axis, limit in enumerate((height, width)):
        low, high = half[axis], limit - half[axis]
        centre[axis] = np.clip(centre[axis], low, high) if low < high else limit / 2
    bend = None
    if rng.random() < 0.2:
        step = float(1 / scale_yx.max())
        bend = random_bend(rng, size, rng.uniform(1, 5) * size / 256 * step)
    return Warp((float(centre[0]), float(centre[1])), matrix, size, bend)


def _random_scale(
    rng: np.random.Generator,
    shape_hw: tuple[int, ...],
    area: float,
    size: int,
    native_fraction: float,
) -> npt.NDArray[np.float64]:
    sides = np.array(shape_hw[:2], float)
    if rng.random() < native_fraction:
        native: npt.NDArray[np.float64] = np.clip(FRAME_SIZE / sides, size / sides, 8.0)
        return native
    wanted = np.exp(rng.uniform(np.log(MIN_DIAMETER), np.log(MAX_SHARE * size)))
    diameter = 2 * np.sqrt(area / np.pi)
    scale = float(np.clip(wanted / diameter, MIN_SCALE, MAX_SCALE))
    stretch = np.exp(rng.normal(0, 0.12)) if rng.random() < 0.4 else 1.0
    scale_yx = scale * np.array([stretch, 1 / stretch])
    return np.maximum(scale_yx, size / sides)


def wanted_fraction(attempt: int) -> float:
    """Part of an object that must be in view, given up after many attempts."""
    return MIN_VISIBLE_FRACTION if attempt < 20 else 0.0


def visible_objects(
    labels: npt.NDArray[np.int32],
    table: ObjectTable,
    warp: Warp,
    min_fraction: float = MIN_VISIBLE_FRACTION,
) -> npt.NDArray[np.int64]:
    """Labels of which enough is left to be prompted.

    Parameters
    ----------
    labels : (S, S) int32
        Warped labels.
    table : ObjectTable
        Objects of the source.
    warp : Warp
        The warp between them.
    min_fraction : float
        Part of the object that must be in view.

    Returns
    -------
    (N,) int64
        Labels with at least 12 pixels and enough of the object in view.
    """
    if not len(table):
        return table.ids
    counts = np.bincount(labels.ravel(), minlength=int(table.ids[-1]) + 1)
    areas = counts[table.ids]
    expected = table.areas / abs(float(np.linalg.det(warp.matrix)))
    enough = (areas >= MIN_VISIBLE_PIXELS) & (areas >= min_fraction * expected)
    return table.ids[enough]
