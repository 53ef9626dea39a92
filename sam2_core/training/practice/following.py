"""What close-ups are asked when objects are followed through a stack."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sam2_core.closeups.close_following import follow
from sam2_core.closeups.portraits import Portrait
from sam2_core.closeups.questions import window_of_mask
from sam2_core.closeups.redetection import redetected
from sam2_core.prompts import POSITIVE
from sam2_core.training.examples.clicks import first_click
from sam2_core.training.examples.window_batch import FOLLOW
from sam2_core.training.measuring.scores import mask_iou
from sam2_core.training.practice.asked import LARGEST, told

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from sam2_core.closeups.answers import Answer
    from sam2_core.training.examples.clicks import Mask
    from sam2_core.training.practice.asked import Asked, Recorder

GIVEN = 0.5  # share of objects whose mask is given; the others are clicked
FOUND = 0.5  # IoU of a click's answer that is worth following
THERE = 0.3  # probability of presence above which following goes on from a mask
PATIENCE = 3  # frames for which one that was lost is looked for
GHOSTS = 4  # frames for which one that has ended is followed on
# IoU of what is followed with the object, above which it is meant, and below which it
# is something else.
MEANT, ASTRAY = 0.25, 0.1
MOST = 0.5  # of a mask that has gone astray lies on the object that it now shows


def followed(
    frames: Sequence[Recorder],
    labels: npt.NDArray[np.int32],
    number: int,
    rng: np.random.Generator,
) -> Iterator[Asked]:
    """All windows of one object that is followed from the first frame on.

    Parameters
    ----------
    frames : sequence of Recorder
        T of them.
    labels : ndarray
        (T, H, W) int32.
    number : int
        Of the object in the labels; it is on the first frame.
    rng : numpy.random.Generator
    """
    known = _begun(frames[0], labels[0] == number, rng)
    if known is None:
        return
    portrait = Portrait.of(frames[0].image, known, window_of_mask(known, frames[0].hw))
    # Learns what it is to be compared with, which is asked of other windows.
    follow(frames[0], frames[0], [known], [portrait])
    seen_on = ghosts = 0
    for t in range(1, len(frames)):
        if t - seen_on > PATIENCE or ghosts > GHOSTS:
            return
        now = frames[t]
        now.take()
        (answer,) = follow(frames[seen_on], now, [known], [portrait])
        asked = now.take()
        meant = _meant(_drawn(known, now), labels[seen_on], number)
        for window, maps, _ in asked if meant else ():
            if maps.shape[-1] <= LARGEST:
                target = labels[t] == meant
                yield told(window, maps, target, FOLLOW, meant != number)
        (answer,) = redetected(now, [known], [answer])
        if answer.present > THERE and bool((answer.logits > 0).any()):
            known, seen_on = answer, t
            ghosts += not (labels[t] == number).any()


def _begun(close: Recorder, target: Mask, rng: np.random.Generator) -> Answer | None:
    """A mask to begin with; None if it is too wrong."""
    if rng.random() < GIVEN:
        logits = np.where(target, 10, -10).astype(np.float32)
        return close.from_logits(logits[None])
    x, y, _ = first_click(target)
    click = np.array([[x, y]], np.float32), np.array([POSITIVE], np.int32)
    answer = close.answers(*click)[0]
    return answer if mask_iou(_drawn(answer, close), target) >= FOUND else None


def _meant(mask: Mask, labels: npt.NDArray[np.int32], number: int) -> int:
    """Which object a mask on a frame is to be carried on as; 0 if that is unclear."""
    target = labels == number
    overlap = mask_iou(mask, target)
    if overlap > MEANT:
        return number
    under = np.bincount(labels[mask & (labels > 0)], minlength=1)
    other = int(under.argmax())
    if other and overlap < ASTRAY and under[other] >= MOST * np.count_nonzero(mask):
        return other
    return 0 if target.any() else number  # the mask of an object that has ended


def _drawn(answer: Answer, close: Recorder) -> Mask:
    return (close.draw(answer) > 0).numpy()
