"""Parts of labelled images and stacks, as another microscope would have shown them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sam2_core.training.examples.augment import (
    Warp,
    augment_intensity,
    orthogonal_matrix,
    warp_images,
    warp_labels,
)

if TYPE_CHECKING:
    from sam2_core.training.dataset import ObjectTable

SIDES = 192, 640  # pixels of a view
LARGER, SMALLEST_SOURCE = 0.35, 64  # spread of the log of its scale; source pixels
FRAMES = 6, 14  # of a part of a stack
SKIPPING = 0.15  # share of them that leave out every other frame


class View(NamedTuple):
    """``images`` (T, S, S, 3) uint8 and ``labels`` (T, S, S) int32."""

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int32]


def random_view(
    rng: np.random.Generator,
    images: npt.NDArray[np.uint8],
    labels: npt.NDArray[Any],
    objects: ObjectTable,
) -> View:
    """A square with one of the objects of the first frame in it.

    Parameters
    ----------
    rng : numpy.random.Generator
    images : ndarray
        (T, H, W) or (T, H, W, 3) uint8.
    labels : ndarray
        (T, H, W) int.
    objects : ObjectTable
        Of the first frame, not empty.

    Returns
    -------
    View
        All frames in the same square, turned or mirrored, larger or smaller.
    """
    shape = labels.shape[1:]
    step = float(np.exp(rng.normal(0, LARGER)))
    step = min(step, min(shape) / SMALLEST_SOURCE)
    side = min(int(rng.integers(*SIDES)), int(min(shape) / step))
    y0, x0, y1, x1 = objects.boxes_yxyx[rng.integers(len(objects))]
    centre = []
    for middle, limit in zip(((y0 + y1) / 2, (x0 + x1) / 2), shape, strict=True):
        half = side * step / 2
        place = middle + rng.uniform(-half, half)
        centre.append(float(np.clip(place, half, max(limit - half, half))))
    matrix = step * orthogonal_matrix(int(rng.integers(4)), bool(rng.integers(2)))
    warp = Warp((centre[0], centre[1]), matrix, side)
    return View(
        augment_intensity(warp_images(images, warp), rng), warp_labels(labels, warp)
    )


def some_frames(rng: np.random.Generator, length: int) -> npt.NDArray[np.int64]:
    """Frames of a part of a stack of that length, in the order they are followed in."""
    count = min(int(rng.integers(*FRAMES)), length)
    start = int(rng.integers(length - count + 1))
    frames = np.arange(start, start + count)
    if rng.random() < SKIPPING:
        frames = frames[::2]
    return frames if rng.random() < 0.5 else frames[::-1]
