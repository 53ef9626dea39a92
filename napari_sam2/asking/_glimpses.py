"""The candidate masks of an ambiguous click, small enough to keep and to show."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2._masks import PackedMask

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_sam2._images import LayerFrames
    from napari_sam2._jobs import Stop
    from napari_sam2._prompts import Key, ObjectPrompts
    from napari_sam2.asking._models import Predictor

MARGIN = 0.15  # of the largest candidate, around it in the picture
ALIKE = 0.95  # IoU from which two candidates are one: nobody sees the difference
TRIALS = 3  # clicks that are timed


@dataclass(frozen=True)
class Choices:
    """What one click may mean.

    Attributes
    ----------
    key, prompts
        The click.
    masks : tuple of PackedMask
        Candidates, smallest first.
    scores : tuple of float
        The model's estimate of each one's IoU.
    best : int
        The one that is shown unasked.
    picture : (h, w, 3) uint8
        The image around the candidates.
    corner : (int, int)
        Row and column of the picture's first pixel.
    milliseconds : float
        Time the model took.
    """

    key: Key
    prompts: ObjectPrompts
    masks: tuple[PackedMask, ...]
    scores: tuple[float, ...]
    best: int
    picture: NDArray[np.uint8]
    corner: tuple[int, int]
    milliseconds: float

    def cropped(self, number: int) -> NDArray[np.bool_]:
        """A candidate in the window of the picture, (h, w) bool."""
        (top, left), (height, width) = self.corner, self.picture.shape[:2]
        rows, columns = slice(top, top + height), slice(left, left + width)
        return self.masks[number].within(rows, columns)

    def describe(self, number: int) -> str:
        """Say which candidate this is, for the user."""
        sure = 100 * min(1.0, max(0.0, self.scores[number]))
        return f"Mask {number + 1} of {len(self.masks)}, {sure:.0f} % sure."


@dataclass(frozen=True)
class Glimpse:
    """The mask under the cursor; ``corner`` is where its first pixel is."""

    plane: tuple[int, int]
    position: tuple[int, ...]
    mask: NDArray[np.bool_]
    corner: tuple[int, int] = (0, 0)


def time_click(predictor: Predictor, stop: Stop) -> float | None:
    """Milliseconds of the model for a click, the best of a few on an empty picture.

    The first is always slow, for the user's click it will not be. None when stopped.
    """
    best, side = None, 256
    predictor.set_image(np.zeros((side, side, 3), np.uint8))
    for trial in range(TRIALS):
        if stop():
            return None
        # Elsewhere each time: some models remember what they were asked.
        xy = np.array([(side / 2 + 2 * trial, side / 2)], np.float32)
        began = time.perf_counter()
        predictor.predict(xy, np.array([1], np.int32), multimask_output=True)
        took = 1000 * (time.perf_counter() - began)
        best = took if best is None else min(best, took)
    return best


def is_ambiguous(prompts: ObjectPrompts) -> bool:
    """Whether the prompts are one positive click and nothing else."""
    return (
        prompts.point_labels == (1,)
        and prompts.box_xyxy is None
        and not prompts.polygons_xy
        and not prompts.cuts_xy
        and prompts.start is None
    )


def choices(
    prediction: Any,
    key: Key,
    prompts: ObjectPrompts,
    frames: LayerFrames,
    index: int,
    milliseconds: float,
) -> Choices | None:
    """Sort candidates by size; None if they do not differ.

    Of those that look the same, the one with the best score stands for all.

    Parameters
    ----------
    prediction : Prediction
        Several masks, (C, H, W) bool, and scores, (C,).
    key, prompts
        The click.
    frames, index
        Where it was.
    milliseconds : float
        Time the model took.
    """
    masks, scores = np.asarray(prediction.masks, bool), prediction.scores
    areas = masks.sum((1, 2))
    differing = _differing(masks, scores)
    order = [int(i) for i in np.argsort(areas, kind="stable") if i in differing]
    if len(order) < 2:
        return None
    (row, column), shape = frames.corner, frames.plane_shape
    packed = [PackedMask.of(masks[i], (row, column), shape) for i in order]
    top, bottom, left, right = _window(np.asarray(masks[order].any(0)))
    return Choices(
        key,
        prompts,
        tuple(packed),
        tuple(float(scores[i]) for i in order),
        order.index(int(np.argmax(np.where(areas > 0, scores, -1)))),
        frames.crop(index, slice(top, bottom), slice(left, right)),
        (top + row, left + column),
        milliseconds,
    )


def _differing(masks: NDArray[np.bool_], scores: Any) -> list[int]:
    """Which of the masks, (C, H, W), differ from all that have better scores."""
    found: list[int] = []
    for i in np.argsort(-np.asarray(scores), kind="stable"):
        unlike = (not _alike(masks[i], masks[j]) for j in found)
        if masks[i].any() and all(unlike):
            found.append(int(i))
    return found


def _alike(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> bool:
    return bool((a & b).sum() >= ALIKE * (a | b).sum())


def _window(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Square window around a mask: top, bottom, left, right."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    side = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
    half = int(side * (0.5 + MARGIN)) + 2
    row, column = (rows[0] + rows[-1]) // 2, (columns[0] + columns[-1]) // 2
    height, width = mask.shape
    return (
        int(max(0, row - half)),
        int(min(height, row + half)),
        int(max(0, column - half)),
        int(min(width, column + half)),
    )
