"""Which windows of an image the bundled model looks at for a prompt.

A click does not say how large an object is, so it is asked at several scales. A box, or
an earlier mask, says the scale by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sam2_core.closeups.windows import Window
from sam2_core.nn.closeup import SIDE
from sam2_core.prompts import BOX_BOTTOM_RIGHT, BOX_TOP_LEFT, NEGATIVE, POSITIVE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sam2_core.closeups.answers import Answer

SMALLEST, LADDER = 20.0, 2.0  # image pixels; factor between scales a click is asked at
NEARBY = 1280.0  # side of the largest window that is read for a click unasked
BOX_SHARES = (0.45, 0.6)  # of a window, for the longer side of a box
MASK_SHARE = 0.5
MIN_SIDE, MAX_OF_IMAGE = 14.0, 1.2  # of windows: pixels, times the image
# For windows so many times larger than they are shown.
FINE_SIDE, FINEST_SIDE, FINE_FROM = 2 * SIDE, 4 * SIDE, 1.25
INTRICATE = 0.5  # circularity below which large objects are followed finer


@dataclass(frozen=True)
class Question:
    """What is asked of one window.

    ``xy`` (P, 2) float32 and ``labels`` (P,) int32 are prompts in image pixels,
    ``size`` is the side of the window as the network sees it.
    """

    window: Window
    xy: NDArray[np.float32]
    labels: NDArray[np.int32]
    earlier: Answer | None = None
    size: int = SIDE


def first_questions(
    xy: NDArray[np.float32],
    labels: NDArray[np.int32],
    image_hw: tuple[int, int],
    nearby: bool = False,
) -> list[Question]:
    """A first prompt: a box at two scales, a click at all, or at the smaller ones.

    Parameters
    ----------
    xy, labels : ndarray
        (P, 2) float32 and (P,) int32, a box or a positive click first.
    image_hw : tuple of int
        Height and width of the image.
    nearby : bool
        Leave out scales of a click for which much of the image has to be read.
    """
    if BOX_TOP_LEFT in labels:
        corner = xy[labels == BOX_TOP_LEFT][0]
        last = xy[labels == BOX_BOTTOM_RIGHT][0]
        sides = [(float((last - corner).max()) + 1) / share for share in BOX_SHARES]
        centre = (corner + last) / 2
    else:
        sides = [side for side in _ladder(image_hw) if side <= NEARBY or not nearby]
        centre = xy[0]
    return [Question(fitting(side, centre, image_hw), xy, labels) for side in sides]


def farther_questions(
    best: Answer,
    xy: NDArray[np.float32],
    labels: NDArray[np.int32],
    image_hw: tuple[int, int],
) -> list[Question]:
    """The scales of a click that were left out, if the object seems to need them."""
    if BOX_TOP_LEFT in labels:
        return []
    beyond = best.cut_off(image_hw) and best.window.side * LADDER >= NEARBY
    if best.area and not beyond:
        return []
    sides = [side for side in _ladder(image_hw) if side > NEARBY]
    return [Question(fitting(side, xy[0], image_hw), xy, labels) for side in sides]


def closer_look(
    earlier: Answer,
    xy: NDArray[np.float32],
    labels: NDArray[np.int32],
    image_hw: tuple[int, int],
) -> Question:
    """A mask so far, with all prompts, where it and all that is said to be object lie.

    Large ones are shown finer, where pixels would be lost, and twice as fine again
    where they are corrected; a first click is to be answered at once.
    """
    step = earlier.window.side / len(earlier.logits)
    both = np.concatenate((xy[labels > NEGATIVE], earlier.corners()))
    low, high = both.min(0), both.max(0)
    side = float((high - low).max() + step) / MASK_SHARE
    window = fitting(side, ((low + high) / 2).astype(np.float32), image_hw)
    corrected = POSITIVE in labels and len(labels) > 1
    size = finest(window, FINEST_SIDE if corrected else FINE_SIDE)
    return Question(window, xy, labels, earlier, size)


def window_of_mask(answer: Answer, image_hw: tuple[int, int]) -> Window:
    """The window in which a mask has the size it is followed at."""
    if not bool((answer.logits > 0).any()):
        return answer.window
    nothing = np.zeros((0, 2), np.float32), np.zeros(0, np.int32)
    return closer_look(answer, *nothing, image_hw).window


def size_to_follow(answer: Answer, window: Window) -> int:
    """Side of the window as the network sees it, for an object followed in it.

    Of large ones only those are worth four times the work that have branches or hang
    by a thread: in cells and rods nothing is gained.
    """
    size = finest(window, FINE_SIDE)
    return SIDE if size > SIDE and answer.circularity >= INTRICATE else size


def finest(window: Window, limit: int = FINEST_SIDE) -> int:
    """Side at which a window is shown: doubled while pixels would be lost."""
    size = SIDE
    while size < limit and window.side > FINE_FROM * size:
        size *= 2
    return size


def fitting(
    side: float, centre_xy: NDArray[np.float32], image_hw: tuple[int, int]
) -> Window:
    """A window about a place, neither too small nor much larger than the image."""
    side = max(min(side, MAX_OF_IMAGE * max(image_hw)), MIN_SIDE)
    return Window.around((float(centre_xy[0]), float(centre_xy[1])), side, image_hw)


def _ladder(image_hw: tuple[int, int]) -> list[float]:
    """Sides of the windows that a click is asked in."""
    sides = [SMALLEST]
    while sides[-1] * LADDER < MAX_OF_IMAGE * max(image_hw):
        sides.append(sides[-1] * LADDER)
    return sides
