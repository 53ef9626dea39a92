"""Made-up communities of objects: yeasts, bacteria, tissue, microglia, vesicles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sam2_core.training.examples.augment import smooth_field
from sam2_core.training.generator.shapes import (
    Blob,
    blob_mask,
    log_uniform,
    paint,
    put,
    random_radii,
    stroke_mask,
)

if TYPE_CHECKING:
    from sam2_core.training.examples.augment import FloatArray
    from sam2_core.training.generator.shapes import Labels

Vector = npt.NDArray[np.float64]


def ramified(rng: np.random.Generator, size: int) -> Labels:
    """Microglia: small ragged bodies with short, thin, branching arms, some without."""
    labels = np.zeros((size, size), np.int32)
    body, number = log_uniform(rng, 4, 24), 1
    reach, calm = log_uniform(rng, 1.5, 5), rng.uniform(0, 0.4)
    most = int(np.clip(size * size / (25 * body**2), 6, 40))
    for _ in range(int(rng.integers(4, most))):
        r = body * np.exp(rng.normal(0, 0.25))
        centre = rng.uniform(-r, size + r, 2)
        spikes = int(rng.integers(0, 6))
        outline = random_radii(rng, r, rng.uniform(1, 2.2), 0.25, spikes)
        mask = np.zeros((size, size), bool)
        window, part = blob_mask(Blob((centre[0], centre[1]), outline), size)
        mask[window] |= part
        if rng.random() > calm:
            for _ in range(int(rng.integers(2, 8))):
                _grow_arm(rng, mask, centre, r * reach * rng.uniform(0.5, 1.3), r)
        whole = (slice(0, size), slice(0, size))
        number += put(labels, whole, mask, number, 0.25)
    return labels


def _grow_arm(
    rng: np.random.Generator,
    mask: npt.NDArray[np.bool_],
    centre: Vector,
    length: float,
    body: float,
) -> None:
    """Draw a tapering, jagged arm with side branches into a mask."""
    arms = [(centre, rng.uniform(0, 2 * np.pi), length, body * rng.uniform(0.2, 0.5))]
    for _ in range(8):
        if not arms:
            return
        start, angle, length, width = arms.pop()
        count = max(int(length), 4)
        heading = angle + np.cumsum(rng.normal(0, 0.18, count))
        path = start + np.cumsum(np.stack([np.sin(heading), np.cos(heading)], 1), 0)
        end = width * rng.uniform(0.1, 0.9)
        radii = np.maximum(np.linspace(width, end, count), 0.9)
        radii = radii * np.exp(rng.normal(0, 0.12, count))
        window, part = stroke_mask(path, radii, len(mask))
        mask[window] |= part
        for _ in range(int(rng.integers(0, 3))):
            at = int(rng.integers(count // 3, count))
            turn = rng.choice([-1, 1]) * rng.uniform(0.4, 1.3)
            thin = float(radii[at]) * 0.8
            arms.append((path[at], heading[at] + turn, length * 0.4, thin))


def budding(rng: np.random.Generator, size: int) -> Labels:
    """Yeast colonies: round cells that touch, many with a small bud."""
    labels = np.zeros((size, size), np.int32)
    radius, number = log_uniform(rng, 6, 34), 1
    stretch = rng.uniform(1.02, 1.5)
    for _ in range(int(rng.integers(1, 9))):
        cells = [(rng.uniform(0, size, 2), radius)]
        for _ in range(int(rng.integers(0, 22))):
            mother, r = cells[rng.integers(len(cells))]
            bud = r * rng.uniform(0.3, 0.7) if rng.random() < 0.35 else radius
            bud = min(bud * np.exp(rng.normal(0, 0.12)), 1.4 * radius)
            angle = rng.uniform(0, 2 * np.pi)
            apart = (r + bud) * rng.uniform(0.88, 1.02)
            cells.append(
                (mother + apart * np.array([np.cos(angle), np.sin(angle)]), bud)
            )
        for centre, r in cells:
            outline = random_radii(rng, r, rng.uniform(1, stretch), 0.015)
            blob = Blob((float(centre[0]), float(centre[1])), outline)
            number += paint(labels, blob, number, 0.12)
    return labels


def colony(rng: np.random.Generator, size: int) -> Labels:
    """Bacteria side by side in a few bent domains, with narrow gaps."""
    width = log_uniform(rng, 5, 22)
    length = width * log_uniform(rng, 2, 7)
    domains = int(rng.integers(1, 6))
    sites = rng.uniform(0, size, (domains, 2))
    base = np.arange(size, dtype=np.float32) + 0.5
    away = (base[:, None, None] - sites[:, 0]) ** 2
    away = away + (base[None, :, None] - sites[:, 1]) ** 2
    owner = away.argmin(-1)
    bend = _bend(rng, size, width * rng.uniform(0, 2.5))
    thick = rng.uniform(0.72, 0.95)
    pieces = np.zeros((size, size), np.int32)
    for domain in range(domains):
        lanes = _lanes(rng, size, width, length, thick, bend)
        lanes[lanes > 0] += pieces.max()
        pieces[owner == domain] = lanes[owner == domain]
    outline = random_radii(rng, size * rng.uniform(0.15, 0.6), 1.5, 0.2, 2)
    middle = rng.uniform(0.3, 0.7, 2) * size
    window, inside = blob_mask(Blob((middle[0], middle[1]), outline), size)
    full = np.bincount(pieces.ravel())
    within = np.bincount(pieces[window][inside], minlength=len(full))
    # Whole cells only: those mostly in the colony, and not the shreds of domains.
    keep = (within > 0.6 * full) & (full > 0.35 * width * length * thick)
    keep[0] = False
    return (pieces * keep[pieces]).astype(np.int32)


def _bend(rng: np.random.Generator, size: int, strength: float) -> FloatArray:
    """Smooth displacement of an image, (2, S, S) in pixels."""
    return smooth_field(rng.normal(0, strength, (2, 6, 6)).astype("f4"), (size, size))


def _lanes(
    rng: np.random.Generator,
    size: int,
    width: float,
    length: float,
    thick: float,
    bend: FloatArray,
) -> Labels:
    """Fill an image with rows of round-ended rods of one direction."""
    angle = rng.uniform(0, np.pi)
    base = np.arange(size, dtype=np.float32) - size / 2
    rows, columns = base[:, None] + bend[0], base[None] + bend[1]
    along = np.cos(angle) * columns + np.sin(angle) * rows
    across = np.cos(angle) * rows - np.sin(angle) * columns
    lane = np.floor(across / width).astype(np.int64)
    lane -= lane.min()
    offset = np.abs(across / width - np.floor(across / width) - 0.5) * width
    count = int(np.ptp(along) / (0.5 * length)) + 3
    radius = 0.5 * width * thick
    steps = length * rng.uniform(0.6, 1.4, (int(lane.max()) + 1, count))
    ends = np.cumsum(steps, 1) + along.min() - length * rng.random((len(steps), 1))
    labels = np.zeros((size, size), np.int32)
    for k in range(len(ends)):
        here = lane == k
        place = along[here]
        index = np.searchsorted(ends[k], place).clip(1, count - 1)
        gap = np.minimum(place - ends[k][index - 1], ends[k][index] - place)
        cap = np.maximum(radius + 0.5 * (width - 2 * radius) - gap, 0)
        rod = cap**2 + offset[here] ** 2 < radius**2
        labels[here] = np.where(rod, k * count + index + 1, 0)
    return labels


def strands(rng: np.random.Generator, size: int) -> Labels:
    """Long bent bacteria or hyphae, single and in bundles that keep together."""
    labels = np.zeros((size, size), np.int32)
    width, number = log_uniform(rng, 4, 16), 1
    bending, bundling = rng.uniform(0.1, 0.9), rng.choice([0.0, 0.7])
    for _ in range(int(rng.integers(2, 16))):
        count = int(width * log_uniform(rng, 6, 45))
        heading = rng.uniform(0, 2 * np.pi) + _slow_walk(rng, count) * bending
        step = np.stack([np.sin(heading), np.cos(heading)], 1)
        path = rng.uniform(0, size, 2) + np.cumsum(step, 0) - step.sum(0) / 2
        beside = np.stack([step[:, 1], -step[:, 0]], 1) * width * 1.08
        members = int(rng.integers(2, 5)) if rng.random() < bundling else 1
        for member in range(members):
            start, stop = 0, count
            if member:
                start = int(rng.integers(0, count // 2))
                stop = int(rng.integers(count // 2, count)) + 1
            part = (path + member * beside)[start:stop]
            window, mask = stroke_mask(part, np.full(len(part), width / 2), size)
            number += put(labels, window, mask, number, 0.1)
    return labels


def _slow_walk(rng: np.random.Generator, count: int) -> Vector:
    """Angle that changes smoothly along a path of ``count`` pixels."""
    knots = np.cumsum(rng.normal(0, 1, max(count // 30, 1) + 2))
    walk: Vector = np.interp(
        np.linspace(0, len(knots) - 1, count), np.arange(len(knots)), knots
    )
    return walk


def crowd(rng: np.random.Generator, size: int) -> Labels:
    """Nuclei of a tissue: dense, alike, lined up with their neighbours, with clefts."""
    labels = np.zeros((size, size), np.int32)
    radius, number = log_uniform(rng, 4.5, 18), 1
    stretch, order = rng.uniform(1.1, 2.6), rng.uniform(0.1, 0.8)
    turn = smooth_field(rng.normal(0, 2, (6, 6)).astype("f4"), (size, size))
    tissue = smooth_field(rng.normal(0, 1, (7, 7)).astype("f4"), (size, size))
    bare = np.quantile(tissue, rng.choice([0.0, 0.15, 0.5]))
    most = 1.6 * size * size / (np.pi * radius**2)
    for _ in range(int(np.clip(most, 10, 700))):
        y, x = rng.integers(0, size, 2)
        if tissue[y, x] < bare:
            continue
        heading = float(turn[y, x]) + rng.normal(0, order)
        r = radius * np.exp(rng.normal(0, 0.18))
        shape = random_radii(rng, r, rng.uniform(1, stretch), 0.05, heading=heading)
        number += paint(labels, Blob((float(y), float(x)), shape), number, 0.3)
    return labels


def vesicles(rng: np.random.Generator, size: int) -> Labels:
    """Round bodies of very different sizes, in clumps."""
    labels = np.zeros((size, size), np.int32)
    radius, spread, number = log_uniform(rng, 3, 12), rng.uniform(0.3, 0.9), 1
    middles = rng.uniform(0, size, (int(rng.integers(1, 6)), 2))
    clumped, touch = rng.uniform(0, 1), rng.choice([0.02, 0.1])
    for _ in range(int(rng.integers(20, 250))):
        r = float(np.clip(radius * np.exp(rng.normal(0, spread)), 2.5, size / 6))
        centre = rng.uniform(0, size, 2)
        if rng.random() < clumped:
            centre = rng.normal(middles[rng.integers(len(middles))], size * 0.1)
        shape = random_radii(rng, r, rng.uniform(1, 1.15), 0.02)
        blob = Blob((float(centre[0]), float(centre[1])), shape)
        number += paint(labels, blob, number, touch)
    return labels
