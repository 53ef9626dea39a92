"""Simulated prompts: the clicks and boxes a careful (or hasty) user would give.

Two families. The exact ones follow the usual protocol of interactive segmentation and
are deterministic; evaluation uses them. The ``sample_`` ones are random, approximate
and fast; training uses them.
"""

from __future__ import annotations

import math
from functools import reduce
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

if TYPE_CHECKING:
    import torch

Mask: TypeAlias = NDArray[np.bool_]

_MAX_EROSIONS = 8


class Click(NamedTuple):
    """One point prompt: pixel ``(x, y)`` and label (1 positive, 0 negative)."""

    x: int
    y: int
    label: int


def first_click(target: NDArray[Any]) -> Click:
    """Return a positive click on the most interior pixel of an object.

    Parameters
    ----------
    target : (H, W) array
        Non-zero inside the object.

    Returns
    -------
    Click
        The pixel with the largest Euclidean distance to the outside; the image border
        counts as outside. Of equally deep pixels the first in (y, x) order is taken.

    Raises
    ------
    ValueError
        If the object is empty.
    """
    depth, x, y = _deepest(np.asarray(target, dtype=bool))
    if depth == 0:
        raise ValueError("An empty object cannot be clicked.")
    return Click(x, y, 1)


def next_click(target: NDArray[Any], predicted: NDArray[Any]) -> Click | None:
    """Return the corrective click for the worst error of a mask.

    The pixel with the largest Euclidean distance transform over the missed region
    (false negatives) and the excess region (false positives) is clicked: positive on a
    miss, negative on an excess. At equal depth the miss wins.

    Parameters
    ----------
    target, predicted : (H, W) array
        Wanted and current mask, non-zero inside.

    Returns
    -------
    Click or None
        None if the two masks are equal.
    """
    target = np.asarray(target, dtype=bool)
    predicted = np.asarray(predicted, dtype=bool)
    missed, missed_x, missed_y = _deepest(target & ~predicted)
    excess, excess_x, excess_y = _deepest(predicted & ~target)
    if missed == 0 and excess == 0:
        return None
    if missed >= excess:
        return Click(missed_x, missed_y, 1)
    return Click(excess_x, excess_y, 0)


def tight_box(target: NDArray[Any]) -> NDArray[np.float32]:
    """Return the box around an object.

    Parameters
    ----------
    target : (H, W) array
        Non-zero inside the object.

    Returns
    -------
    (4,) float32 array
        ``x0, y0, x1, y1``: the centres of the outermost pixels. An object one pixel
        wide or high gets a box one pixel larger, so that the box has an area.

    Raises
    ------
    ValueError
        If the object is empty.
    """
    bounds = _bounds(np.asarray(target, dtype=bool))
    if bounds is None:
        raise ValueError("An empty object has no box.")
    (y0, y1), (x0, x1) = (
        _widened(part.start, part.stop - 1, size)
        for part, size in zip(bounds, target.shape, strict=True)
    )
    return np.array([x0, y0, x1, y1], dtype=np.float32)


def clicks_to_prompt(
    clicks: list[Click],
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Return ``point_coords`` (N, 2) xy float32 and ``point_labels`` (N,) int32."""
    table = np.array(clicks, dtype=np.int32).reshape(-1, 3)
    return table[:, :2].astype(np.float32), table[:, 2]


def sample_error_click(
    rng: np.random.Generator, error_mask: NDArray[Any]
) -> tuple[int, int] | None:
    """Return a random pixel away from the edge of a region, quickly.

    The region is eroded in proportion to its size (at most 8 pixels, never until it is
    empty) and a pixel is drawn uniformly from what is left.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    error_mask : (H, W) array
        Non-zero where a click may fall: an object or an error region.

    Returns
    -------
    (x, y) or None
        None if the region is empty.
    """
    mask = np.asarray(error_mask, dtype=bool)
    bounds = _bounds(mask)
    if bounds is None:
        return None
    core = np.pad(mask[bounds], 1)
    steps = min(_MAX_EROSIONS, int(0.15 * math.sqrt(np.count_nonzero(core))))
    for _ in range(steps):
        smaller = _eroded(core)
        if not smaller.any():
            break
        core = smaller
    inside = np.flatnonzero(core)
    y, x = divmod(int(inside[rng.integers(len(inside))]), core.shape[1])
    return x - 1 + bounds[1].start, y - 1 + bounds[0].start


def sample_click(
    rng: np.random.Generator, target: NDArray[Any], predicted: NDArray[Any]
) -> Click | None:
    """Return a random corrective click, quickly.

    The miss or the excess is chosen with a probability in proportion to its area, then
    `sample_error_click` picks the pixel.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    target, predicted : (H, W) array
        Wanted and current mask, non-zero inside.

    Returns
    -------
    Click or None
        None if the two masks are equal.
    """
    target = np.asarray(target, dtype=bool)
    error = target ^ np.asarray(predicted, dtype=bool)
    missed = error & target
    n_error = np.count_nonzero(error)
    if n_error == 0:
        return None
    positive = rng.integers(n_error) < np.count_nonzero(missed)
    point = sample_error_click(rng, missed if positive else error & ~target)
    return None if point is None else Click(*point, int(positive))


def sample_error_clicks(
    target: torch.Tensor,
    predicted: torch.Tensor,
    generator: torch.Generator | None = None,
    margin: int = 1,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return one random corrective click per mask of a batch, on the masks' device.

    No data leaves the device and there is no Python loop. Pixels whose surroundings up
    to `margin` lie in the same error region are preferred.

    Parameters
    ----------
    target, predicted : (B, H, W) bool tensor
        Wanted and current masks.
    generator : torch.Generator, optional
        Source of randomness, on the masks' device.
    margin : int, default 1
        Wanted distance from the edge of the error region, pixels.

    Returns
    -------
    point_coords : (B, 1, 2) float32 tensor
        ``x, y`` in pixels.
    point_labels : (B, 1) int32 tensor
        1 on a miss, 0 on an excess, -1 (a padding point) where the masks are equal.
    """
    import torch
    from torch.nn.functional import pad

    target, predicted = target.bool(), predicted.bool()
    error = target ^ predicted
    # An error pixel is deep if no pixel near it is right, or wrong the other way.
    deep = torch.zeros_like(error)
    for kind in (target & error, ~target & error):
        inside = pad(kind, [margin] * 4)
        for dim in (1, 2):
            length = inside.shape[dim] - 2 * margin
            shifts = [inside.narrow(dim, k, length) for k in range(2 * margin + 1)]
            inside = reduce(torch.logical_and, shifts)
        deep |= inside
    noise = torch.rand(
        error.shape, generator=generator, device=error.device, dtype=torch.float32
    )
    order = (noise + deep).masked_fill(~error, -1.0).flatten(1)
    best = order.argmax(dim=1, keepdim=True)
    width = error.shape[-1]
    coords = torch.stack(
        [best % width, best.div(width, rounding_mode="floor")], dim=-1
    ).float()
    labels = target.flatten(1).gather(1, best).to(torch.int32)
    return coords, labels.masked_fill(order.gather(1, best) < 0, -1)


def _deepest(mask: Mask) -> tuple[float, int, int]:
    """Return depth, x and y of the most interior pixel; depth 0 if there is none."""
    bounds = _bounds(mask)
    if bounds is None:
        return 0.0, 0, 0
    depth = ndimage.distance_transform_edt(np.pad(mask[bounds], 1))
    y, x = divmod(int(depth.argmax()), depth.shape[1])
    return float(depth[y, x]), x - 1 + bounds[1].start, y - 1 + bounds[0].start


def _bounds(mask: Mask) -> tuple[slice, slice] | None:
    """Return the slices of the tight bounding box, None if nothing is set."""
    rows = np.flatnonzero(mask.any(axis=1))
    if len(rows) == 0:
        return None
    rows_part = slice(int(rows[0]), int(rows[-1]) + 1)
    columns = np.flatnonzero(mask[rows_part].any(axis=0))
    return rows_part, slice(int(columns[0]), int(columns[-1]) + 1)


def _widened(low: int, high: int, size: int) -> tuple[int, int]:
    if low < high:
        return low, high
    return (low, high + 1) if high + 1 < size else (max(low - 1, 0), high)


def _eroded(mask: Mask) -> Mask:
    """Erode by one pixel (4-neighbours); the array's border is already False."""
    smaller = np.zeros_like(mask)
    smaller[1:-1, 1:-1] = (
        mask[1:-1, 1:-1]
        & mask[:-2, 1:-1]
        & mask[2:, 1:-1]
        & mask[1:-1, :-2]
        & mask[1:-1, 2:]
    )
    return smaller
