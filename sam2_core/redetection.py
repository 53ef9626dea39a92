"""Objects that were followed with doubt, looked for anew as if they had been clicked.

What is followed is expected about where it was. An object that has moved by its own
width is seen as a doubtful mask; a click on it would find it. So the places where it
may be are clicked, and what is found is taken for the object if it has the same shape.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from sam2_core.closeups import Question
from sam2_core.nn.closeup import SIDE
from sam2_core.prompts import POSITIVE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from sam2_core.answers import Answer
    from sam2_core.closeups import CloseUps

DOUBTFUL = 0.5  # predicted IoU of followed masks below which an object is looked for
DIRECTIONS, STEP = 8, 0.75  # ways in which it may have gone; widths
REACH = 1.5  # widths, how far that is likely
STAYING = 1.4  # what a followed mask is worth more than one found anew


def redetected(
    now: CloseUps, before: Sequence[Answer], found: Sequence[Answer]
) -> list[Answer]:
    """Look for objects anew where they were followed with doubt.

    Parameters
    ----------
    now : CloseUps
        Of the present frame.
    before, found : sequence of Answer
        The objects on the frame before, and as they were followed from there.

    Returns
    -------
    list of Answer
        In the same order; what was followed where nothing better is found.
    """
    results = list(found)
    doubtful = [
        row
        for row, (old, new) in enumerate(zip(before, found, strict=True))
        if new.score < DOUBTFUL and bool((old.seen_in(new.window, SIDE) > 0).any())
    ]
    questions: list[tuple[int, Question]] = []
    for row in doubtful:
        for place in _places(before[row], found[row]):
            window = found[row].window
            xy = place * (window.side / SIDE) + (window.x, window.y)
            label = np.array([POSITIVE], np.int32)
            questions.append((row, Question(window, xy[None], label)))
    answers = now.ask([question for _, question in questions])
    for row in doubtful:
        old, new = before[row], found[row]
        best, worth = new, STAYING * _likeness(old, new)
        for (asked, _), answer in zip(questions, answers, strict=True):
            if asked == row and (value := _likeness(old, answer)) > worth:
                present = max(new.present, value**0.5)
                best, worth = replace(answer, present=present), value
        results[row] = best
    return results


def _places(old: Answer, new: Answer) -> NDArray[np.float32]:
    """Where an object may be, (P, 2) xy in pixels of the window from its corner."""
    middle, radius = _deepest(_inside(old.seen_in(new.window, SIDE)))
    angles = np.arange(DIRECTIONS) * (2 * np.pi / DIRECTIONS)
    around = np.stack((np.cos(angles), np.sin(angles)), 1) * STEP * 2 * radius
    places = [middle[None], middle + around]
    followed = _inside(new.logits)
    if followed.any():
        places.append(_deepest(followed)[0][None])
    at = np.concatenate(places) + 0.5
    return np.asarray(at[((at > 0) & (at < SIDE)).all(1)], np.float32)


def _deepest(mask: NDArray[np.bool_]) -> tuple[NDArray[np.float64], float]:
    """The xy furthest inside a mask, and how far that is."""
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return np.array((x, y), float), float(depth.max())


def _likeness(old: Answer, new: Answer) -> float:
    """How well a mask would do as the next one of an object, 0 to 1."""
    former, mask = _inside(old.seen_in(new.window, SIDE)), _inside(new.logits)
    if not mask.any():
        return 0.0
    move = np.subtract(ndimage.center_of_mass(mask), ndimage.center_of_mass(former))
    moved = ndimage.shift(former.view(np.uint8), np.round(move), order=0) > 0
    shape = np.count_nonzero(moved & mask) / np.count_nonzero(moved | mask)
    width = 2 * _deepest(former)[1]
    nearness = np.exp(-0.5 * (np.hypot(*move) / (REACH * width)) ** 2)
    return float(new.score**0.5 * shape * nearness)


def _inside(logits: Tensor) -> NDArray[np.bool_]:
    return np.asarray((logits > 0).cpu().numpy(), bool)
