"""What close-ups are asked when objects of an image are prompted and corrected."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sam2_core.prompts import BOX_BOTTOM_RIGHT, BOX_TOP_LEFT
from sam2_core.training.examples.batches import jittered_box
from sam2_core.training.examples.clicks import (
    Click,
    clicks_to_prompt,
    first_click,
    next_click,
    sample_click,
    sample_error_click,
)
from sam2_core.training.examples.window_batch import BOX, CLICK
from sam2_core.training.practice.asked import LARGEST, told

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from sam2_core.training.examples.clicks import Mask
    from sam2_core.training.practice.asked import Asked, Recorder

CAREFUL = 0.7  # share of clicks in the very middle of what is meant, or is wrong
CLICKS = 5  # of an object
BOXED = 0.1  # share of objects that are corrected after a box
MIN_PIXELS = 6  # of the object in a window that is kept
LEAST_SEEN = 0.08  # of the object; windows with less say nothing of it
COARSE = 128  # side of the logits that are handed out and come back


def first_looks(
    close: Recorder, target: Mask, rng: np.random.Generator
) -> Iterator[Asked]:
    """All windows of the first answers to a click and to a box.

    Parameters
    ----------
    close : Recorder
        Of the image.
    target : ndarray
        (H, W) bool, the object.
    rng : numpy.random.Generator
    """
    for prompt, kind in ((_clicked(target, rng), CLICK), (_boxed(target, rng), BOX)):
        close.take()
        close.first([prompt])
        for window, maps, _ in close.take():
            if maps.shape[-1] > LARGEST:
                continue
            asked = told(window, maps, target, kind)
            seen = np.count_nonzero(asked.target)
            if seen >= max(MIN_PIXELS, LEAST_SEEN * asked.area):
                yield asked


def corrections(
    close: Recorder, target: Mask, rng: np.random.Generator
) -> Iterator[Asked]:
    """The window of each correction of an object.

    Parameters
    ----------
    close, target, rng
        See :func:`first_looks`.
    """
    kind = BOX if rng.random() < BOXED else CLICK
    xy, labels = (_boxed if kind == BOX else _clicked)(target, rng)
    earlier = None
    for _ in range(CLICKS):
        close.take()
        answer = close.answers(xy, labels, earlier)[0]
        for window, maps, first in close.take():
            if not first and maps.shape[-1] <= LARGEST:
                yield told(window, maps, target, kind)
        drawn, coarse = close.hand_out(answer, COARSE)
        earlier = coarse[None]
        correction = _correction(target, (drawn > 0).numpy(), rng)
        if correction is None:
            return
        xy = np.concatenate((xy, np.array([correction[:2]], np.float32)))
        labels = np.append(labels, np.int32(correction.label))


def _clicked(
    target: Mask, rng: np.random.Generator
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    if rng.random() < CAREFUL:
        return clicks_to_prompt([first_click(target)])
    at = sample_error_click(rng, target)
    assert at is not None
    return clicks_to_prompt([Click(*at, 1)])


def _boxed(
    target: Mask, rng: np.random.Generator
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    corners = np.array([BOX_TOP_LEFT, BOX_BOTTOM_RIGHT], np.int32)
    return jittered_box(rng, target).reshape(2, 2), corners


def _correction(target: Mask, found: Mask, rng: np.random.Generator) -> Click | None:
    if rng.random() < CAREFUL:
        return next_click(target, found)
    return sample_click(rng, target, found)
