"""How objects are carried from frame to frame, and when that may stop."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from sam2_core.inference import inference

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from torch import Tensor

    from sam2_core.followed import FollowedObject
    from sam2_core.memory import Memory
    from sam2_core.nn.sam2 import Sam2
    from sam2_core.results import FrameResult
    from sam2_core.trackers import Tracker

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
    underway : bool
        Whether it is being followed.
    skipped : set of int
        Frames that are left to the other direction.
    same : int
        Frames in a row that have come out as before.
    """

    known: FollowedObject
    starts: set[int]
    until_same: bool = False
    skipped: set[int] = field(default_factory=set)
    underway: bool = False
    same: int = 0

    def enter(self, frame_index: int) -> None:
        """Set out if this frame is a start."""
        if frame_index in self.starts:
            self.underway, self.same = True, 0

    def compare(self, frame_index: int, before: Tensor | None, memory: Memory) -> None:
        """Rest if nothing has changed for a while."""
        if not self.until_same or frame_index in self.starts:
            return
        prompted = frame_index in self.known.bank.conditioning
        same = prompted or (
            before is not None and _iou(before, memory.logits) > SAME_IOU
        )
        self.same = self.same + 1 if same else 0
        if self.same >= SAME_FRAMES:
            self.underway = False


class Propagation:
    """One run over the frames of a session.

    Parameters
    ----------
    model : Sam2
        Its configuration says what is remembered.
    tracker : Tracker
        Finds objects on the frames.
    objects : dict
        The session's objects; those that vanish from it on the way are left alone.
    draw : callable
        Makes the result of a frame from its index and the objects' memories.
    """

    def __init__(
        self,
        model: Sam2,
        tracker: Tracker,
        objects: Mapping[int, FollowedObject],
        draw: Callable[[int, dict[int, Memory]], FrameResult],
    ) -> None:
        self.model = model
        self.tracker = tracker
        self.objects = objects
        self.draw = draw

    def everything(self, low: int, high: int, direction: str) -> Iterator[FrameResult]:
        """Follow all objects from their first prompts over the frames low to high."""
        swept = dict(self.objects)
        self._commit(swept)
        seen: dict[int, FrameResult] = {}
        if direction != "backward":
            forward = self._routes(swept, False, direction)
            last_start = max(max(route.starts) for route in forward.values())
            first = min(min(route.starts) for route in forward.values())
            for frame_index, found in self._sweep(
                forward, range(first, high + 1), False
            ):
                if frame_index >= low:
                    result = self._draw(frame_index, found)
                    if frame_index <= last_start:
                        seen[frame_index] = result
                    yield result
        if direction != "forward":
            backward = self._routes(swept, True, direction)
            last = max(max(route.starts) for route in backward.values())
            for frame_index, found in self._sweep(
                backward, range(last, low - 1, -1), True, seen
            ):
                earlier = seen.pop(frame_index, None)
                if frame_index <= high:
                    result = self._draw(frame_index, found)
                    if earlier is not None:
                        result = earlier.joined(result, self.objects)
                    yield result
        self._settle(swept, direction)

    def changes(self, low: int, high: int, direction: str) -> Iterator[FrameResult]:
        """Carry what was prompted or cleared since the last run outward from there."""
        swept = {i: known for i, known in self.objects.items() if known.changed}
        if not swept:
            return
        self._commit(swept)
        if direction != "backward":
            routes = self._routes(swept, False, direction, changes=True)
            first = min(min(route.starts) for route in routes.values())
            for frame_index, found in self._sweep(
                routes, range(first, high + 1), False
            ):
                if frame_index >= low:
                    yield self._draw(frame_index, found)
        if direction != "forward":
            routes = self._routes(swept, True, direction, changes=True)
            last = max(max(route.starts) for route in routes.values())
            for frame_index, found in self._sweep(
                routes, range(last, low - 1, -1), True
            ):
                news = {
                    i: memory
                    for i, memory in found.items()
                    # Forward has begun with these.
                    if direction == "backward" or frame_index not in routes[i].starts
                }
                if news and frame_index <= high:
                    yield self._draw(frame_index, news)
        self._settle(swept, direction)

    # ------------------------------------------------------------------ one direction

    def _sweep(
        self,
        routes: dict[int, Route],
        frames: range,
        reverse: bool,
        seen: Mapping[int, FrameResult] | None = None,
    ) -> Iterator[tuple[int, dict[int, Memory]]]:
        """Frames on which objects were followed, with what was found.

        Objects in the result that ``seen`` holds of a frame are passed over there:
        what the forward sweep began with need not be found again.
        """
        for route in routes.values():
            route.known.bank.restart()
        for frame_index in frames:
            for route in routes.values():
                route.enter(frame_index)
            earlier = (seen or {}).get(frame_index)
            due = {
                object_id: route
                for object_id, route in routes.items()
                if route.underway
                and frame_index not in route.skipped
                and self.objects.get(object_id) is route.known
                and route.known.bank.conditioning
                and (earlier is None or object_id not in earlier.masks)
            }
            if due:
                with inference():
                    found = self._step(due, frame_index, reverse)
                yield frame_index, found

    def _step(
        self, due: dict[int, Route], frame_index: int, reverse: bool
    ) -> dict[int, Memory]:
        """All objects on a frame: those not prompted there are followed together."""
        config, device = self.model.config, self.model.device
        before = {
            object_id: route.known.bank.logits(frame_index, device)
            for object_id, route in due.items()
            if route.until_same
        }
        moving = [
            route.known.bank
            for route in due.values()
            if frame_index not in route.known.bank.conditioning
        ]
        if moving:
            followed = self.tracker.follow(moving, frame_index, reverse)
            for bank, followed_to in zip(moving, followed, strict=True):
                bank.track(frame_index, followed_to)
        found = {}
        for object_id, route in due.items():
            known = route.known
            known.directions[frame_index] = reverse
            memory = known.bank.find(frame_index)
            assert memory is not None
            found[object_id] = memory
            route.compare(frame_index, before.get(object_id), memory)
            known.bank.forget(frame_index, config, reverse)
        return found

    # ------------------------------------------------------------------ helpers

    def _routes(
        self,
        swept: Mapping[int, FollowedObject],
        reverse: bool,
        direction: str,
        changes: bool = False,
    ) -> dict[int, Route]:
        route = self._nearest_route if self.tracker.nearest else self._whole_route
        return {
            # A new object goes all of the way, whatever has changed.
            i: route(known, reverse, direction, changes and bool(known.directions))
            for i, known in swept.items()
        }

    def _whole_route(
        self, known: FollowedObject, reverse: bool, direction: str, changes: bool
    ) -> Route:
        """Away from the first prompt, in the light of all; or from what has changed."""
        if not changes:
            return Route(known, {known.first})
        starts = {
            # A frame whose prompts are gone is found again on the way forward.
            frame - 1 if reverse and frame not in known.bank.conditioning else frame
            for frame in known.changed
        }
        return Route(known, starts, until_same=True)

    def _nearest_route(
        self, known: FollowedObject, reverse: bool, direction: str, changes: bool
    ) -> Route:
        """Away from every prompt, half of the way to the next."""
        prompted = set(known.bank.conditioning)
        # A frame from which the object was clicked away says nothing of others.
        telling = {t for t, m in known.bank.conditioning.items() if m.there}
        halves = later_halves(telling) - prompted
        skipped: set[int] = set()
        first = min(telling or prompted)
        if reverse:
            skipped = set(range(first, max(prompted))) - halves - prompted
        elif direction == "both":
            skipped = halves
        # Where prompts are gone, their whole surroundings are found again.
        if changes and known.changed <= prompted:
            return Route(known, set(known.changed), True, skipped)
        return Route(known, prompted, skipped=skipped)

    def _draw(self, frame_index: int, found: dict[int, Memory]) -> FrameResult:
        with inference():
            return self.draw(frame_index, found)

    def _commit(self, swept: Mapping[int, FollowedObject]) -> None:
        """Remember the prompted frames as their prompts stand."""
        for known in swept.values():
            for frame_index, draft in list(known.drafts.items()):
                with inference():
                    final = self.tracker.final(frame_index, draft)
                known.bank.condition(frame_index, final)
                del known.drafts[frame_index]

    def _settle(self, swept: Mapping[int, FollowedObject], direction: str) -> None:
        """What has been carried both ways is no change any more."""
        if direction == "both":
            for known in swept.values():
                # Prompts that came on the way have not been committed.
                known.changed &= set(known.drafts)


def later_halves(prompted: Collection[int]) -> set[int]:
    """Frames between two prompted ones that are nearer to the later of them."""
    halves: set[int] = set()
    for earlier, later in pairwise(sorted(prompted)):
        halves.update(range((earlier + later) // 2 + 1, later))
    return halves


def _iou(one: Tensor, other: Tensor) -> float:
    """IoU of two masks given as logits; 1 for two empty ones."""
    a, b = one > 0, other > 0
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 1.0
