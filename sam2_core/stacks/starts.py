"""What the prompts of a frame work on: the mask that is there before them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sam2_core.stacks.followed import Start

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sam2_core.memory import Memory, Outline
    from sam2_core.stacks.followed import FollowedObject
    from sam2_core.stacks.trackers import Tracker

SHOWN_IOU = 0.9  # of masks that are the same but for what neighbours have taken


def start_of(
    tracker: Tracker,
    known: FollowedObject,
    frame_index: int,
    shown: NDArray[np.bool_] | None = None,
) -> Start:
    """What an object's prompts on a frame work on.

    Parameters
    ----------
    tracker : Tracker
        Makes masks of what is remembered, and the other way round.
    known : FollowedObject
        The object, as far as it is known.
    frame_index : int
        Which frame.
    shown : (H, W) bool array, optional
        The mask that the object is shown with there. What propagation found is more
        than its pixels, and so counts if it looks like that.
    """
    start = known.starts.get(frame_index)
    if start is None and frame_index in known.directions:
        start = Start(known.seen(frame_index), known.directions[frame_index])
    start = start or Start()
    if shown is None or _looks(tracker, start.seen, shown):
        return start
    if not shown.any():
        return Start()
    given = tracker.prompted(known, frame_index, shown, Start(), None)
    return Start(given.outline(), start.reverse)


def _looks(
    tracker: Tracker, seen: Memory | Outline | None, shown: NDArray[np.bool_]
) -> bool:
    """Whether a mask that is remembered is the one that is shown."""
    if seen is None:
        return not shown.any()
    mask = tracker.draw({1: seen})[1]
    union = np.count_nonzero(mask | shown)
    return bool(np.count_nonzero(mask & shown) >= SHOWN_IOU * union)
