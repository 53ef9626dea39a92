"""What is known of every mask, what was looked at, and what is settled: evented."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from psygnal import Signal

from napari_sam2._images import split_position
from napari_sam2.asking._facts import Facts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from napari_sam2.asking._messages import PlaneMasks

Plane: TypeAlias = tuple[int, int]
Position: TypeAlias = tuple[int, ...]
Fact: TypeAlias = tuple[Plane, Position, int, Facts | None]


class Review:
    """Facts per object and frame, frames looked at, frames checked.

    Signals are emitted where the methods are called, on the GUI thread.
    """

    measured = Signal(object, object, object)  # plane, position, object ids
    looked = Signal()
    confirmed = Signal()  # a frame was checked, or is not any more
    reset = Signal()

    def __init__(self) -> None:
        self.facts: dict[Plane, dict[int, dict[Position, Facts]]] = {}
        self.seen: set[tuple[Plane, Position]] = set()
        self.checked: set[tuple[Plane, Position]] = set()
        self.doubted: set[tuple[Plane, Position]] = set()  # were checked, and changed

    # -- writing ------------------------------------------------------------------

    def note(self, masks: PlaneMasks) -> list[Fact]:
        """Take over the facts of new masks; returns what was known before."""
        return self.put(
            [
                (masks.plane, masks.position, object_id, facts)
                for object_id, facts in masks.facts.items()
            ]
        )

    def put(self, entries: list[Fact]) -> list[Fact]:
        """Set facts (None: unknown); returns what takes that back.

        The frames are to be looked at again.
        """
        before: list[Fact] = []
        frames: dict[tuple[Plane, Position], list[int]] = {}
        for plane, position, object_id, facts in entries:
            known = self.facts.setdefault(plane, {}).setdefault(object_id, {})
            before.append((plane, position, object_id, known.pop(position, None)))
            if facts is not None:
                known[position] = facts
            frames.setdefault((plane, position), []).append(object_id)
        for (plane, position), objects in frames.items():
            self.seen.discard((plane, position))
            self.measured.emit(plane, position, tuple(objects))
        return before[::-1]

    def forget(self, object_id: int) -> list[Fact]:
        """The object is gone; returns what takes that back."""
        before: list[Fact] = []
        for plane, objects in self.facts.items():
            known = objects.pop(object_id, {})
            before += [(plane, at, object_id, facts) for at, facts in known.items()]
        self.reset.emit()
        return before

    def look(self, plane: Plane, position: Position) -> None:
        """The user sees this frame."""
        if (plane, position) not in self.seen:
            self.seen.add((plane, position))
            self.looked.emit()

    def check(self, plane: Plane, position: Position, on: bool | None = None) -> bool:
        """Mark a frame as checked, or not; None switches. Returns what it is now."""
        frame = plane, position
        on = frame not in self.checked if on is None else on
        (self.checked.add if on else self.checked.discard)(frame)
        self.doubted.discard(frame)
        self.looked.emit()
        self.confirmed.emit()
        return on

    def doubt(self, plane: Plane, position: Position) -> bool:
        """A frame has changed by itself; returns whether it was checked until now."""
        was = (plane, position) in self.checked
        if was:
            self.check(plane, position, False)
            self.doubted.add((plane, position))
        return was

    # -- reading ------------------------------------------------------------------

    def line(
        self, plane: Plane, fixed: Position, axis: int | None
    ) -> dict[int, dict[int, Facts]]:
        """Facts per object and frame index along a line of frames."""
        if axis is None:
            return {}
        result: dict[int, dict[int, Facts]] = {}
        for object_id, known in self.facts.get(plane, {}).items():
            row = {}
            for position, facts in known.items():
                rest, index = split_position(plane, position, axis)
                if rest == fixed:
                    row[index] = facts
            if row:
                result[object_id] = row
        return result

    def shown(
        self, plane: Plane, fixed: Position, axis: int | None
    ) -> dict[int, frozenset[int]]:
        """Frames on which each object has pixels, as far as is known."""
        return {
            object_id: frozenset(i for i, facts in row.items() if facts.area)
            for object_id, row in self.line(plane, fixed, axis).items()
        }

    def there(self, plane: Plane, position: Position) -> set[int]:
        """Objects that have pixels on a plane, as far as is known."""
        return {
            object_id
            for object_id, known in self.facts.get(plane, {}).items()
            if position in known and known[position].area
        }

    def lowest(self, object_id: int) -> float | None:
        """Certainty of an object's least certain mask; None without any."""
        values = [
            facts.certainty
            for objects in self.facts.values()
            for facts in objects.get(object_id, {}).values()
            if facts.area
        ]
        return min(values, default=None)

    def frame_indices(
        self,
        frames: Iterable[tuple[Plane, Position]],
        line: tuple[Plane, Position, int],
    ) -> set[int]:
        """Indices along a line of those frames that lie on it."""
        plane, fixed, axis = line
        found = set()
        for other, position in frames:
            if other == plane:
                rest, index = split_position(plane, position, axis)
                if rest == fixed:
                    found.add(index)
        return found


def least_certain(
    line: Mapping[int, Mapping[int, Facts]], skip: set[int], flagged: set[int]
) -> int | None:
    """Frame to look at next: flagged ones first, then the lowest certainty.

    Parameters
    ----------
    line : dict of int to dict of int to Facts
        Per object and frame index.
    skip : set of int
        Frames looked at or checked.
    flagged : set of int
        Frames with a warning.
    """
    worst: dict[int, float] = {}
    for row in line.values():
        for index, facts in row.items():
            if index not in skip and not facts.prompted:
                worst[index] = min(worst.get(index, 1.0), facts.certainty)
    candidates = [i for i in worst if i in flagged] or list(worst)
    return min(candidates, key=lambda i: (worst[i], i), default=None)


def least_certain_object(
    line: Mapping[int, Mapping[int, Facts]], index: int, flagged: set[int]
) -> int:
    """Object to look at on a frame: one with a warning, or else the least certain.

    Parameters
    ----------
    line : dict of int to dict of int to Facts
        Per object and frame index.
    index : int
        A frame of which something is known.
    flagged : set of int
        Objects with a warning there.
    """
    found = {i: row[index] for i, row in line.items() if index in row}
    # What the user prompted is as it should be.
    some = flagged & found.keys() or {i for i in found if not found[i].prompted}
    return min(some or found, key=lambda i: (found[i].certainty, i))
