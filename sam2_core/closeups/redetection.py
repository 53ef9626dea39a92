"""Objects that were followed with doubt, looked for anew as if they had been clicked.

What is followed is expected about where it was. An object that has moved by its own
width is seen as a doubtful mask; a click on it would find it. So the places where it
may be are clicked, and what is found is taken for the object if it has the same shape.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch.nn.functional as F
from scipy import ndimage

from sam2_core.closeups.questions import Question
from sam2_core.nn.closeup import SIDE
from sam2_core.prompts import POSITIVE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from sam2_core.closeups.answers import Answer
    from sam2_core.closeups.closeups import CloseUps

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
    doubtful: dict[int, _Former] = {}
    questions: dict[int, list[Question]] = {}
    for row, (old, new) in enumerate(zip(before, found, strict=True)):
        if new.score >= DOUBTFUL:
            continue
        mask = _inside(old.seen_in(new.window, SIDE))
        if mask.any():
            doubtful[row] = former = _Former(mask, *_deepest(mask))
            questions[row] = _questions(former, new)
    answers = iter(now.ask([each for asked in questions.values() for each in asked]))
    for row, former in doubtful.items():
        new = found[row]
        worth = STAYING * _likeness(former, new)
        for _ in questions[row]:
            answer = next(answers)
            if (value := _likeness(former, answer)) > worth:
                present = max(new.present, value**0.5)
                results[row], worth = replace(answer, present=present), value
    return results


@dataclass(frozen=True)
class _Former:
    """An object on the frame before, in the window where it is looked for.

    ``mask`` (SIDE, SIDE) bool, ``middle`` (2,) xy furthest inside, ``radius`` its
    distance from the outline, in pixels of the window.
    """

    mask: NDArray[np.bool_]
    middle: NDArray[np.float64]
    radius: float


def _questions(former: _Former, new: Answer) -> list[Question]:
    """Clicks where an object may be."""
    angles = np.arange(DIRECTIONS) * (2 * np.pi / DIRECTIONS)
    around = np.stack((np.cos(angles), np.sin(angles)), 1) * STEP * 2 * former.radius
    places = [former.middle[None], former.middle + around]
    followed = _inside(new.logits)
    if followed.any():
        places.append(_deepest(followed)[0][None])
    at = np.concatenate(places) + 0.5
    window, label = new.window, np.array([POSITIVE], np.int32)
    inside = np.asarray(at[((at > 0) & (at < SIDE)).all(1)], np.float32)
    image_xy = inside * (window.side / SIDE) + (window.x, window.y)
    return [Question(window, xy[None], label) for xy in image_xy]


def _deepest(mask: NDArray[np.bool_]) -> tuple[NDArray[np.float64], float]:
    """The xy furthest inside a mask, and how far that is."""
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return np.array((x, y), float), float(depth.max())


def _likeness(former: _Former, new: Answer) -> float:
    """How well a mask would do as the next one of an object, 0 to 1."""
    mask = _inside(new.logits)
    if not mask.any():
        return 0.0
    centre = ndimage.center_of_mass(former.mask)
    move = np.subtract(ndimage.center_of_mass(mask), centre)
    moved = ndimage.shift(former.mask.view(np.uint8), np.round(move), order=0) > 0
    shape = np.count_nonzero(moved & mask) / np.count_nonzero(moved | mask)
    width = 2 * former.radius
    nearness = np.exp(-0.5 * (np.hypot(*move) / (REACH * width)) ** 2)
    return float(new.score**0.5 * shape * nearness)


def _inside(logits: Tensor) -> NDArray[np.bool_]:
    """The mask, in a window of SIDE."""
    reduced = F.avg_pool2d(logits[None], len(logits) // SIDE)[0]
    return np.asarray((reduced > 0).cpu().numpy(), bool)
