"""How objects are carried from frame to frame, both ways or one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from sam2_core.inference import inference
from sam2_core.stacks.sweeps import Route, Sweep, whose_turn

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from sam2_core.memory import Memory
    from sam2_core.nn.sam2 import Sam2
    from sam2_core.stacks.followed import FollowedObject
    from sam2_core.stacks.results import FrameResult
    from sam2_core.stacks.trackers import Tracker


@dataclass(frozen=True)
class Course:
    """Where a propagation goes.

    Attributes
    ----------
    low, high : int
        First and last frame to fill.
    direction : str
        "both", "forward" or "backward".
    around : int, optional
        Frame near which "both" begins; without, forward goes before backward.
    ended : callable, optional
        Asked after each result whether its direction may end there, or which objects
        are not to be followed any further in it.
    absent : callable, optional
        Asked before each frame is drawn, with its index and whether it was come to on
        the way back: objects that are not on it, whatever is found.
    passed : bool
        Whether frames before the range come, too, without masks.
    """

    low: int
    high: int
    direction: str = "both"
    around: int | None = None
    ended: Callable[[FrameResult], bool | Collection[int]] | None = None
    absent: Callable[[int, bool], Collection[int]] | None = None
    passed: bool = False

    @property
    def ways(self) -> tuple[bool, ...]:
        """Whether each direction taken is the reverse one."""
        ways = {"forward": (False,), "backward": (True,)}
        return ways.get(self.direction, (False, True))

    def after(self, sweep: Sweep, result: FrameResult) -> None:
        """End a direction, or the way of some objects in it, if that is wished."""
        over = self.ended(result) if self.ended is not None else False
        if over is True:
            sweep.end()
        elif over:
            sweep.leave(over)


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
        Makes the result of a frame from its index, the objects' memories, and those
        that are not on it.
    """

    def __init__(
        self,
        model: Sam2,
        tracker: Tracker,
        objects: Mapping[int, FollowedObject],
        draw: Callable[[int, dict[int, Memory], Collection[int]], FrameResult],
    ) -> None:
        self.model = model
        self.tracker = tracker
        self.objects = objects
        self.draw = draw

    def everything(self, course: Course) -> Iterator[FrameResult]:
        """Follow all objects from their first prompts."""
        swept = dict(self.objects)
        self._commit(swept)
        sweeps = [self._sweep(swept, reverse, course) for reverse in course.ways]
        # Frames that both directions may come to.
        shared = range(sweeps[0].frames.start, sweeps[-1].frames.start + 1)
        earlier: dict[int, FrameResult] = {}
        while (sweep := whose_turn(sweeps, course.around)) is not None:
            frame_index, found = sweep.step()
            if not course.low <= frame_index <= course.high:
                if course.passed:
                    yield self._draw(frame_index, {}, sweep.reverse, course)
                continue
            result = self._draw(frame_index, found, sweep.reverse, course)
            if frame_index in earlier:
                result = earlier.pop(frame_index).joined(result, self.objects)
            elif len(sweeps) > 1 and frame_index in shared:
                earlier[frame_index] = result
            yield result
            course.after(sweep, result)
        self._settle(swept, course)

    def changes(self, course: Course) -> Iterator[FrameResult]:
        """Carry what was prompted or cleared since the last run outward from there."""
        swept = {
            i: known
            for i, known in self.objects.items()
            if any(known.changed[reverse] for reverse in course.ways)
        }
        if not swept:
            return
        self._commit(swept)
        sweeps = [
            self._sweep(swept, reverse, course, changes=True) for reverse in course.ways
        ]
        # With memories, what goes back from a later change is compared with, and
        # replaces, what comes forward from an earlier one.
        last = -1
        if not self.tracker.nearest:
            several = [r.starts for r in sweeps[0].routes.values() if len(r.starts) > 1]
            last = max(map(max, several), default=-1)
        while (sweep := whose_turn(sweeps, course.around, last)) is not None:
            frame_index, found = sweep.step()
            if not course.low <= frame_index <= course.high:
                if course.passed:
                    yield self._draw(frame_index, {}, sweep.reverse, course)
                continue
            result = self._draw(frame_index, found, sweep.reverse, course)
            yield result
            course.after(sweep, result)
        self._settle(swept, course)

    # ------------------------------------------------------------------ helpers

    def _sweep(
        self,
        swept: Mapping[int, FollowedObject],
        reverse: bool,
        course: Course,
        changes: bool = False,
    ) -> Sweep:
        routes = {
            # A new object goes all of the way, whatever has changed.
            i: self._route(known, reverse, course, changes and bool(known.directions))
            for i, known in swept.items()
        }
        starts = {start for route in routes.values() for start in route.starts}
        if reverse:
            frames = range(max(starts, default=-1), course.low - 1, -1)
        else:
            frames = range(min(starts, default=course.high + 1), course.high + 1)
        return Sweep(self.model, self.tracker, self.objects, routes, frames, reverse)

    def _route(
        self, known: FollowedObject, reverse: bool, course: Course, changes: bool
    ) -> Route:
        make = self._nearest_route if self.tracker.nearest else self._whole_route
        route = make(known, reverse, course.direction, changes)
        if reverse and course.direction == "both":
            # What forward sets out from it finds, too.
            forward = make(known, False, course.direction, changes).starts
            route.skipped |= {t for t in forward if course.low <= t <= course.high}
        route.doubtful = frozenset(known.unsettled)
        return route

    def _whole_route(
        self, known: FollowedObject, reverse: bool, direction: str, changes: bool
    ) -> Route:
        """Away from the first prompt, in the light of all; or from what has changed.

        Back alone, it begins at the last one unless forward finds what is between.
        """
        if not changes:
            last = max(known.prompts)
            before = range(known.first, last)  # the first: forward may have just begun
            left = direction == "backward" and not _forward(known, before)
            return Route(known, {last if left else known.first})
        starts = {
            # A frame whose prompts are gone is found again on the way forward.
            frame - 1 if reverse and frame not in known.bank.conditioning else frame
            for frame in known.changed[reverse]
        }
        return Route(known, starts, until_same=True)

    def _nearest_route(
        self, known: FollowedObject, reverse: bool, direction: str, changes: bool
    ) -> Route:
        """Away from every prompt, part of the way to the next."""
        prompted = set(known.bank.conditioning)
        # A frame from which the object was clicked away says nothing of others.
        telling = {
            t: self.tracker.reach(m)
            for t, m in known.bank.conditioning.items()
            if m.there
        }
        owners = {t: p for t, p in tellers(telling).items() if t not in prompted}
        later = {t for t, prompt in owners.items() if prompt > t}
        skipped: set[int] = set()
        first = min(telling or prompted)
        if reverse:
            skipped = set(range(first, max(prompted))) - later - prompted
            if direction == "backward":
                skipped = _forward(known, skipped)
        elif direction == "both":
            skipped = later
        # Where prompts are gone, their whole surroundings are found again.
        changed = known.changed[reverse]
        if changes and changed <= prompted:
            # Frames that a prompt that did not change has taken over from the next.
            missed = {
                t
                for t, prompt in owners.items()
                if direction == "both"
                and (prompt > t) is reverse
                and prompt not in changed
                and known.directions.get(t) is not None
                and known.directions[t] is not reverse
            }
            starts = changed | {owners[t] for t in missed}
            return Route(known, starts, True, skipped, missed=missed)
        return Route(known, prompted, skipped=skipped)

    def _draw(
        self, frame_index: int, found: dict[int, Memory], reverse: bool, course: Course
    ) -> FrameResult:
        absent = course.absent(frame_index, reverse) if course.absent else ()
        with inference():
            return replace(self.draw(frame_index, found, absent), reverse=reverse)

    def _commit(self, swept: Mapping[int, FollowedObject]) -> None:
        """Remember the prompted frames as their prompts stand."""
        for known in swept.values():
            for frame_index, draft in list(known.drafts.items()):
                with inference():
                    final = self.tracker.final(frame_index, draft)
                known.condition(frame_index, final)
                del known.drafts[frame_index]

    def _settle(self, swept: Mapping[int, FollowedObject], course: Course) -> None:
        """What has been carried is no change any more."""
        for known in swept.values():
            for reverse in course.ways:
                known.settle(reverse)


def _forward(known: FollowedObject, frames: Iterable[int]) -> set[int]:
    """Those of some frames that were found on the way forward."""
    return {t for t in frames if known.directions.get(t) is False}


def tellers(reaches: Mapping[int, float]) -> dict[int, int]:
    """Which prompted frame tells of each of the frames between two of them.

    Parameters
    ----------
    reaches : mapping of int to float
        How far each prompted frame tells of others, above 0, in any unit.

    Returns
    -------
    dict of int to int
        Of each frame between the first and the last that is not prompted.
    """
    return {
        t: earlier if (t - earlier) * far <= (later - t) * near else later
        for (earlier, near), (later, far) in pairwise(sorted(reaches.items()))
        for t in range(earlier + 1, later)
    }
