"""One way over the frames of a stack: which objects are followed where."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sam2_core.inference import inference
from sam2_core.memory import Outline, logits_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from torch import Tensor

    from sam2_core.memory import Memory, MemoryBank
    from sam2_core.nn.sam2 import Sam2
    from sam2_core.stacks.followed import FollowedObject
    from sam2_core.stacks.trackers import Tracker

# A correction has run its course where so many new masks in a row have more than this
# IoU with the masks that were there.
SAME_IOU = 0.99
SAME_FRAMES = 3


@dataclass
class Route:
    """The way of one object in one direction.

    Attributes
    ----------
    known : FollowedObject
        The object.
    starts : set of int
        Frames it sets out from.
    until_same : bool
        Rest where the masks are the same as before, until the next start.
    skipped : set of int
        Frames that are left to the other direction.
    missed : set of int
        Frames whose masks are another prompt's; no rest before they are found anew.
    doubtful : frozenset of int
        Frames whose masks come from a run that was not finished: finding them again
        says nothing of the frames beyond.
    underway : bool
        Whether it is being followed.
    same : int
        Frames in a row that have come out as before.
    """

    known: FollowedObject
    starts: set[int]
    until_same: bool = False
    skipped: set[int] = field(default_factory=set)
    missed: set[int] = field(default_factory=set)
    doubtful: frozenset[int] = frozenset()
    underway: bool = False
    same: int = 0

    def enter(self, frame_index: int) -> None:
        """Set out if this frame is a start."""
        if frame_index in self.starts:
            self.underway, self.same = True, 0

    def compare(
        self, frame_index: int, before: Memory | Outline | None, memory: Memory
    ) -> None:
        """Rest if nothing has changed for a while."""
        self.missed.discard(frame_index)
        if not self.until_same or frame_index in self.starts:
            return
        prompted = frame_index in self.known.bank.conditioning
        same = prompted or (
            before is not None
            and frame_index not in self.doubtful
            and _same(before, memory)
        )
        self.same = self.same + 1 if same else 0
        if self.same >= SAME_FRAMES and not self.missed:
            self.underway = False


class Sweep:
    """All objects over a range of frames in one direction, a frame at a time.

    Each direction reads what it has tracked itself, so that two sweeps of a session may
    take turns.

    Parameters
    ----------
    model : Sam2
        Its configuration says what is remembered.
    tracker : Tracker
        Finds objects on the frames.
    objects : mapping
        The session's objects; those that vanish from it on the way are left alone.
    routes : dict of int to Route
        Way of each object that takes part.
    frames : range
        Frames to go over, in order.
    reverse : bool
        Whether that is back in time.
    """

    def __init__(
        self,
        model: Sam2,
        tracker: Tracker,
        objects: Mapping[int, FollowedObject],
        routes: dict[int, Route],
        frames: range,
        reverse: bool,
    ) -> None:
        self.model = model
        self.tracker = tracker
        self.objects = objects
        self.routes = routes
        self.frames = frames
        self.reverse = reverse
        self._at = 0
        for route in routes.values():
            self._bank(route).restart()

    @property
    def next_frame(self) -> int | None:
        """The next frame on which there is something to do; None at the end."""
        while self._at < len(self.frames):
            frame_index = self.frames[self._at]
            for route in self.routes.values():
                route.enter(frame_index)
            if self._due(frame_index):
                return frame_index
            self._at += 1
        return None

    def end(self) -> None:
        """Go no further."""
        self._at = len(self.frames)

    def leave(self, object_ids: Iterable[int]) -> None:
        """Follow these objects no further."""
        for object_id in object_ids:
            self.routes.pop(object_id, None)

    def step(self) -> tuple[int, dict[int, Memory]]:
        """Do the next frame; what was found of each object on it."""
        frame_index = self.next_frame
        assert frame_index is not None
        with inference():
            found = self._find(self._due(frame_index), frame_index)
        self._at += 1
        return frame_index, found

    # ------------------------------------------------------------------ helpers

    def _bank(self, route: Route) -> MemoryBank:
        return route.known.back if self.reverse else route.known.bank

    def _due(self, frame_index: int) -> dict[int, Route]:
        """Objects to be found on a frame."""
        return {
            object_id: route
            for object_id, route in self.routes.items()
            if route.underway
            and frame_index not in route.skipped
            and self.objects.get(object_id) is route.known
            and route.known.bank.conditioning
        }

    def _find(self, due: dict[int, Route], frame_index: int) -> dict[int, Memory]:
        """All objects on a frame: those not prompted there are followed together."""
        before = {
            object_id: route.known.seen(frame_index)
            for object_id, route in due.items()
            if route.until_same
        }
        moving = [
            route.known
            for route in due.values()
            if frame_index not in route.known.bank.conditioning
        ]
        if moving:
            banks = [known.back if self.reverse else known.bank for known in moving]
            followed = self.tracker.follow(banks, frame_index, self.reverse)
            for known, followed_to in zip(moving, followed, strict=True):
                known.track(frame_index, followed_to, self.reverse)
        found = {}
        for object_id, route in due.items():
            bank = self._bank(route)
            memory = bank.find(frame_index)
            assert memory is not None
            found[object_id] = memory
            route.known.visit(frame_index, self.reverse)
            route.compare(frame_index, before.get(object_id), memory)
            bank.forget(frame_index, self.model.config, self.reverse)
        return found


def whose_turn(
    sweeps: Sequence[Sweep], around: int | None, not_before: int = -1
) -> Sweep | None:
    """The sweep that does the next frame; None where all are at their end.

    Parameters
    ----------
    sweeps : sequence of Sweep
        Forward before backward.
    around : int, optional
        The turn goes to the sweep whose next frame is nearer to this one, to the first
        where both are as near; without, the first goes all of its way.
    not_before : int
        The first sweep must have passed this frame before another has a turn.
    """
    going = [(sweep, at) for sweep in sweeps if (at := sweep.next_frame) is not None]
    if not going:
        return None
    first, at = going[0]
    if around is None or (first is sweeps[0] and at <= not_before):
        return first
    return min(going, key=lambda pair: abs(pair[1] - around))[0]


def _same(before: Memory | Outline, memory: Memory) -> bool:
    """Whether a mask has come out as it was."""
    device = memory.logits.device
    # A packed mask, drawn at another size, has an outline a little different.
    now = memory.outline() if isinstance(before, Outline) else memory
    return _iou(logits_of(before, device), logits_of(now, device)) > SAME_IOU


def _iou(one: Tensor, other: Tensor) -> float:
    """IoU of two masks given as logits; 1 for two empty ones."""
    a, b = one > 0, other > 0
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 1.0
