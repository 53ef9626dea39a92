"""Label images of made-up objects: blobs, cells, rods, filaments, packed cells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from sam2_core.training.examples.augment import FloatArray, smooth_field

Labels = npt.NDArray[np.int32]
Layout = Callable[[np.random.Generator, int], Labels]

ANGLES = 256


@dataclass(frozen=True)
class Blob:
    """A star-shaped object with a radius for each direction.

    Attributes
    ----------
    centre_yx : (float, float)
        In pixels.
    radii : (256,) float64
        Radius in pixels for evenly spaced directions, from +y towards +x.
    """

    centre_yx: tuple[float, float]
    radii: npt.NDArray[np.float64]


def random_radii(
    rng: np.random.Generator,
    radius: float,
    elongation: float = 1.0,
    wobble: float = 0.08,
    spikes: int = 0,
    heading: float | None = None,
) -> npt.NDArray[np.float64]:
    """Radius by direction of an ellipse with a wavy outline and protrusions.

    Parameters
    ----------
    rng : numpy.random.Generator
    radius : float
        Radius in pixels of the disc of the same size.
    elongation : float
        Long over short axis.
    wobble : float
        Relative strength of the waves.
    spikes : int
        Number of protrusions.
    heading : float, optional
        Direction of the long axis in radians, from +y towards +x; random by default.

    Returns
    -------
    (256,) float64
    """
    angle = np.arange(ANGLES) * (2 * np.pi / ANGLES)
    turned = angle - (rng.uniform(0, np.pi) if heading is None else heading)
    root = np.sqrt(elongation)
    ellipse = np.hypot(np.cos(turned) / root, np.sin(turned) * root)
    shape = 1 / ellipse
    for wave in range(2, 7):
        shape *= 1 + rng.normal(0, wobble / wave**1.2 * 1.6) * np.cos(
            wave * angle + rng.uniform(0, 2 * np.pi)
        )
    for _ in range(spikes):
        sharpness = np.exp(rng.uniform(1.5, 4))
        toward = np.cos(angle - rng.uniform(0, 2 * np.pi)) - 1
        shape += rng.uniform(0.4, 1.6) * np.exp(sharpness * toward)
    return np.asarray(radius * np.clip(shape, 0.15, None))


def blob_mask(
    blob: Blob, size: int
) -> tuple[tuple[slice, slice], npt.NDArray[np.bool_]]:
    """Pixels of a blob.

    Returns
    -------
    window : two slices
        Part of the image that holds the blob; may be empty.
    mask : bool array of the size of the window
    """
    reach = float(blob.radii.max()) + 1
    slices = []
    for centre in blob.centre_yx:
        start = int(np.clip(centre - reach, 0, size))
        slices.append(slice(start, int(np.clip(centre + reach + 1, start, size))))
    window = (slices[0], slices[1])
    y = np.arange(window[0].start, window[0].stop)[:, None] + 0.5 - blob.centre_yx[0]
    x = np.arange(window[1].start, window[1].stop)[None] + 0.5 - blob.centre_yx[1]
    direction = np.arctan2(x, y) * (ANGLES / (2 * np.pi))
    limit = blob.radii[direction.astype(np.int32) % ANGLES]
    return window, y * y + x * x < limit * limit


def paint(labels: Labels, blob: Blob, number: int, overlap: float) -> bool:
    """Add a blob to a label image unless it would cover or lose too much.

    Parameters
    ----------
    labels : (S, S) int32
        Changed in place; existing objects stay on top.
    blob : Blob
    number : int
        Label of the new object.
    overlap : float
        Greatest part of the blob that may be hidden by others.

    Returns
    -------
    bool
        Whether it was added.
    """
    window, mask = blob_mask(blob, len(labels))
    return put(labels, window, mask, number, overlap)


def put(
    labels: Labels,
    window: tuple[slice, slice],
    mask: npt.NDArray[np.bool_],
    number: int,
    overlap: float,
) -> bool:
    """Add the pixels of a window unless too many belong to others; see `paint`."""
    below = labels[window]
    free = mask & (below == 0)
    if free.sum() < max((1 - overlap) * mask.sum(), 12):
        return False
    below[free] = number
    return True


def _scatter(
    rng: np.random.Generator,
    size: int,
    make: Callable[[], npt.NDArray[np.float64]],
    count: int,
    overlap: float,
    clusters: int = 0,
) -> Labels:
    labels = np.zeros((size, size), np.int32)
    middles = rng.uniform(0, size, (max(clusters, 1), 2))
    number = 1
    for _ in range(count):
        if clusters and rng.random() < 0.9:
            centre = rng.normal(middles[rng.integers(clusters)], size * 0.13)
        else:
            centre = rng.uniform(-5, size + 5, 2)
        blob = Blob((float(centre[0]), float(centre[1])), make())
        number += paint(labels, blob, number, overlap)
    return labels


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a number whose logarithm is uniform."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def nuclei(rng: np.random.Generator, size: int) -> Labels:
    """Roundish blobs, from few to packed."""
    radius = log_uniform(rng, 5, 40)
    spread, wobble = rng.uniform(0.05, 0.3), rng.uniform(0.01, 0.16)
    stretch = rng.uniform(1.05, 2.2)

    def make() -> npt.NDArray[np.float64]:
        r = radius * np.exp(rng.normal(0, spread))
        return random_radii(rng, r, rng.uniform(1, stretch), wobble)

    full = size * size / (np.pi * radius**2)
    count = int(np.clip(full * log_uniform(rng, 0.06, 2.5), 3, 350))
    clusters = int(rng.integers(1, 6)) if rng.random() < 0.4 else 0
    return _scatter(rng, size, make, count, rng.choice([0.03, 0.15, 0.4]), clusters)


def cells(rng: np.random.Generator, size: int) -> Labels:
    """Adherent cells with protrusions."""
    radius = log_uniform(rng, 10, 45)
    stretch = log_uniform(rng, 1.2, 4.5)
    most = int(rng.integers(0, 6))

    def make() -> npt.NDArray[np.float64]:
        r = radius * np.exp(rng.normal(0, 0.25))
        spikes = int(rng.integers(0, most + 1))
        return random_radii(rng, r, rng.uniform(1, stretch), 0.15, spikes)

    full = size * size / (np.pi * radius**2)
    count = int(np.clip(full * log_uniform(rng, 0.1, 2), 2, 120))
    return _scatter(rng, size, make, count, rng.choice([0.05, 0.2]))


def rods(rng: np.random.Generator, size: int) -> Labels:
    """Bacteria: single, in chains and in aligned colonies."""
    labels = np.zeros((size, size), np.int32)
    width = log_uniform(rng, 2.5, 12)
    colonies = [(rng.uniform(0, size, 2), rng.uniform(0, np.pi))]
    colonies += [(rng.uniform(0, size, 2), rng.uniform(0, np.pi)) for _ in range(3)]
    order, number = rng.uniform(0.05, 0.6), 1
    crowded = rng.random() < 0.6
    for _ in range(int(rng.integers(8, 130))):
        middle, angle = colonies[rng.integers(len(colonies))]
        if crowded:
            centre = rng.normal(middle, width * 5)
            angle += rng.normal(0, order)
        else:
            centre, angle = rng.uniform(0, size, 2), rng.uniform(0, np.pi)
        length = width * rng.uniform(1.5, 7)
        for _ in range(int(rng.integers(1, 4)) if rng.random() < 0.3 else 1):
            bend = rng.normal(0, 0.15) / length
            steps = np.linspace(-length / 2, length / 2, max(int(length), 3))
            heading = angle + bend * steps
            path = centre + steps[:, None] * np.stack(
                [np.sin(heading), np.cos(heading)], 1
            )
            number += _stroke(labels, path, np.full(len(path), width / 2), number, 0.1)
            move = np.array([np.sin(angle), np.cos(angle)])
            centre = centre + move * (length + width * 1.05)
            angle += rng.normal(0, 0.15)
    return labels


def filaments(rng: np.random.Generator, size: int) -> Labels:
    """Ramified cells: a body with tapering, branching arms."""
    labels = np.zeros((size, size), np.int32)
    body, number = log_uniform(rng, 4, 16), 1
    for _ in range(int(rng.integers(1, 8))):
        centre = rng.uniform(0, size, 2)
        paths, widths = [centre[None]], [np.array([body])]
        arms = [(centre, rng.uniform(0, 2 * np.pi), body * 0.4)] * int(
            rng.integers(2, 8)
        )
        while arms and len(paths) < 18:
            start, angle, width = arms.pop()
            if start is centre:
                angle = rng.uniform(0, 2 * np.pi)
            count = int(body * rng.uniform(1.5, 5))
            heading = angle + np.cumsum(rng.normal(0, 0.13, count))
            path = start + np.cumsum(
                np.stack([np.sin(heading), np.cos(heading)], 1) * 1.5, 0
            )
            paths.append(path)
            widths.append(np.maximum(np.linspace(width, width * 0.5, count), 1.0))
            if width > 1.6 and rng.random() < 0.7:
                turns = rng.normal(0, 0.6, 2)
                arms += [(path[-1], heading[-1] + t, width * 0.6) for t in turns]
        number += _stroke(
            labels, np.concatenate(paths), np.concatenate(widths), number, 0.3
        )
    return labels


def _stroke(
    labels: Labels,
    path_yx: npt.NDArray[np.float64],
    radii: npt.NDArray[np.float64],
    number: int,
    overlap: float,
) -> bool:
    window, mask = stroke_mask(path_yx, radii, len(labels))
    return put(labels, window, mask, number, overlap)


def stroke_mask(
    path_yx: npt.NDArray[np.float64], radii: npt.NDArray[np.float64], size: int
) -> tuple[tuple[slice, slice], npt.NDArray[np.bool_]]:
    """Pixels of discs along a path.

    Parameters
    ----------
    path_yx : (N, 2) float64
    radii : (N,) float64
    size : int
        Side of the image.

    Returns
    -------
    window : two slices
        Part of the image that holds the discs; may be empty.
    mask : bool array of the size of the window
    """
    reach = float(radii.max()) + 1
    low = np.clip(np.floor(path_yx.min(0) - reach), 0, size).astype(int)
    high = np.clip(np.ceil(path_yx.max(0) + reach), low, size).astype(int)
    mask = np.zeros(high - low, bool)
    for (y, x), radius in zip(path_yx - low, radii, strict=True):
        y0, x0 = max(int(y - radius), 0), max(int(x - radius), 0)
        y1, x1 = int(y + radius) + 2, int(x + radius) + 2
        part = mask[y0 : max(y1, 0), x0 : max(x1, 0)]
        rows = np.arange(part.shape[0])[:, None] + (y0 + 0.5 - y)
        columns = np.arange(part.shape[1])[None] + (x0 + 0.5 - x)
        part |= rows * rows + columns * columns < radius * radius
    return (slice(low[0], high[0]), slice(low[1], high[1])), mask


def tessellation(rng: np.random.Generator, size: int) -> Labels:
    """Packed cells without gaps (Voronoi cells with bent borders)."""
    return _voronoi(rng, size, log_uniform(rng, 12, 70), 1, rng.uniform(0.02, 0.25))


def neurites(rng: np.random.Generator, size: int) -> Labels:
    """Packed, winding cross-sections of very different sizes."""
    return _voronoi(rng, size, log_uniform(rng, 8, 26), 2, rng.uniform(0.15, 0.4))


def islands(rng: np.random.Generator, size: int) -> Labels:
    """Packed cells with gaps between groups of them."""
    labels = _voronoi(rng, size, log_uniform(rng, 14, 50), 1, 0.15)
    keep = rng.random(int(labels.max()) + 1) < rng.uniform(0.3, 0.85)
    keep[0] = False
    return (labels * keep[labels]).astype(np.int32)


def _voronoi(
    rng: np.random.Generator, size: int, spacing: float, merge: int, bend: float
) -> Labels:
    wide = size + 32
    count = max(int((wide / spacing) ** 2), 4)
    seeds = np.zeros((wide, wide), np.int32)
    if rng.random() < 0.5:
        grid = np.arange(spacing / 2, wide, spacing)
        sites = np.stack(np.meshgrid(grid, grid, indexing="ij"), -1).reshape(-1, 2)
        sites = sites + rng.normal(0, spacing * 0.25, sites.shape)
        count = len(sites)
    else:
        sites = rng.uniform(0, wide, (count, 2))
    place = np.clip(sites, 0, wide - 1).astype(int)
    owners = np.arange(1, count + 1)
    if merge > 1:
        owners = _merged(rng, sites, max(count // int(rng.integers(2, 7)), 2))
    seeds[place[:, 0], place[:, 1]] = owners
    stretch = (1.0, log_uniform(rng, 0.6, 1.7))
    nearest = ndimage.distance_transform_edt(
        seeds == 0, sampling=stretch, return_distances=False, return_indices=True
    )
    cells_ = seeds[nearest[0], nearest[1]]
    knots = int(size / spacing) + 5
    offset = smooth_field(
        rng.normal(0, 1.6 * bend * spacing, (2, knots, knots)).astype("f4"),
        (size, size),
    )
    base = np.arange(size, dtype=np.float32) + 16
    rows = np.clip(offset[0] + base[:, None], 0, wide - 1).astype(np.int32)
    columns = np.clip(offset[1] + base[None], 0, wide - 1).astype(np.int32)
    return np.asarray(cells_[rows, columns], np.int32)


def _merged(
    rng: np.random.Generator, sites: npt.NDArray[np.float64], groups: int
) -> npt.NDArray[np.int64]:
    from scipy.spatial import cKDTree

    weights = rng.gamma(0.6, 1.0, len(sites))
    heads = rng.choice(len(sites), groups, replace=False, p=weights / weights.sum())
    angle, stretch = rng.uniform(0, np.pi), log_uniform(rng, 1, 3)
    turn = np.array(
        [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
    ) * np.array([[stretch], [1.0]])
    scale = float(np.sqrt(np.ptp(sites, 0).prod() / groups))
    moved = sites @ turn.T + rng.normal(0, 0.12 * scale, sites.shape)
    owners: npt.NDArray[np.int64] = cKDTree(moved[heads]).query(moved)[1] + 1
    return owners


def boundary_distance(labels: Labels) -> FloatArray:
    """Distance of each pixel to the nearest border between two labels, in pixels."""
    edges = np.zeros(labels.shape, bool)
    rows = labels[1:] != labels[:-1]
    columns = labels[:, 1:] != labels[:, :-1]
    edges[1:] |= rows
    edges[:-1] |= rows
    edges[:, 1:] |= columns
    edges[:, :-1] |= columns
    if not edges.any():
        return np.full(labels.shape, max(labels.shape), np.float32)
    distance: FloatArray = ndimage.distance_transform_edt(~edges).astype(np.float32)
    return distance
