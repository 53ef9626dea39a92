"""What the user says of where an object is: not on this frame, from here, to here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_sam2._images import split_position

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from napari_sam2._images import LayerFrames
    from napari_sam2._prompts import Key

ABSENT, BEGIN, END = "absent", "begins", "ends"
FILL = "Mark {}; propagate to fill the frames."
BEYOND = {
    ABSENT: "",
    BEGIN: "; it has no masks before",
    END: "; it has no masks beyond",
}


@dataclass(frozen=True, order=True)
class Mark:
    """A word about one object on one frame.

    Attributes
    ----------
    object_id : int
        Which object.
    plane, position
        Where, as in :class:`napari_sam2._prompts.Key`.
    kind : str
        "absent": the object is not on this frame. "begins": this is the first frame
        with it. "ends": this is the last frame with it, seen from its first prompt.
    """

    object_id: int
    plane: tuple[int, int]
    position: tuple[int, ...]
    kind: str

    def told(
        self, name: str, frames: LayerFrames, beyond: range, gone: Iterable[Mark]
    ) -> str:
        """What was said, on which frame, to the user, who calls the object so.

        Its masks ``beyond`` go; if any of the marks that are ``gone`` was nearer, there
        are frames to fill.
        """
        marks = (self, *gone)
        index, *others = (index_on(frames, m.plane, m.position) for m in marks)
        if not {*others} <= {*beyond}:
            return FILL.format("moved")
        said = "is absent" if self.kind == ABSENT else self.kind
        return f"{name} {said} on frame {index}{BEYOND.get(self.kind, '')}."


@dataclass(frozen=True)
class Bounds:
    """Where marks let an object be, along one line of frames.

    Attributes
    ----------
    low, high : int
        First and last frame it may be on.
    absent : frozenset of int
        Frames between them without it.
    """

    low: int
    high: int
    absent: frozenset[int] = frozenset()

    def allow(self, index: int) -> bool:
        """Whether the object may be on a frame."""
        return self.low <= index <= self.high and index not in self.absent


class Marks:
    """All marks of an image; ``changed`` is emitted when they do."""

    changed = Signal()

    def __init__(self, marks: Iterable[Mark] = ()) -> None:
        self._marks = set(marks)

    def __iter__(self) -> Any:
        return iter(sorted(self._marks))

    def __len__(self) -> int:
        return len(self._marks)

    def __contains__(self, mark: object) -> bool:
        return mark in self._marks

    def toggle(self, mark: Mark) -> bool:
        """Set a mark or take it away; returns whether it is set now.

        An object that begins or ends on a frame is on it, so that such a mark and
        "absent" replace each other.
        """
        on = mark not in self._marks
        self._marks = {other for other in self._marks if not _excludes(other, mark)}
        if on:
            self._marks.add(mark)
        self.changed.emit()
        return on

    def replace(self, marks: Iterable[Mark]) -> None:
        """Have these marks and no others."""
        marks = set(marks)
        if marks != self._marks:
            self._marks = marks
            self.changed.emit()

    def drop(self, object_id: int) -> None:
        """Forget what was said about an object."""
        self.replace(mark for mark in self._marks if mark.object_id != object_id)

    def contradict(self, keys: Iterable[Key | Mark], axis: int | None) -> None:
        """A prompt shows the object where a mark denies it: the prompt counts.

        ``axis`` is that along which objects are followed.
        """
        prompted: dict[Any, set[int]] = {}
        for key in keys:
            line, index = _on_line(key, axis)
            prompted.setdefault(line, set()).add(index)

        def holds(mark: Mark) -> bool:
            line, index = _on_line(mark, axis)
            there = prompted.get(line)
            if not there:
                return True
            if mark.kind == ABSENT:
                return index not in there
            if mark.kind == BEGIN:
                return index <= min(there)
            # The end before its first prompt is where an object begins.
            return max(there) <= index or index < min(there)

        self.replace(mark for mark in self._marks if holds(mark))

    def supersede(self, mark: Mark, shown: Iterable[Key], axis: int | None) -> None:
        """A first or last frame is said anew, nearer: those farther out go.

        ``shown`` are prompts of the object; the end before the first is a beginning.
        """
        line, index = _on_line(mark, axis)
        prompted = [i for at, i in (_on_line(key, axis) for key in shown) if at == line]
        back = mark.kind == BEGIN or index < min(prompted, default=index)

        def beyond(other: Mark) -> bool:
            at, there = _on_line(other, axis)
            far = there < index if back else there > index
            return far and at == line and other.kind == mark.kind

        self.replace(other for other in self._marks if not beyond(other))

    def bounds(
        self, frames: LayerFrames, firsts: Mapping[int, int]
    ) -> dict[int, Bounds]:
        """Where each object may be on a line of frames.

        Parameters
        ----------
        frames : LayerFrames
            The line.
        firsts : dict of int to int
            First prompted frame of every object.
        """
        low = dict.fromkeys(firsts, 0)
        high = dict.fromkeys(firsts, len(frames) - 1)
        absent: dict[int, set[int]] = {i: set() for i in firsts}
        for mark in self._marks:
            first = firsts.get(mark.object_id)
            index = index_on(frames, mark.plane, mark.position)
            if first is None or index is None:
                continue
            if mark.kind == ABSENT:
                absent[mark.object_id].add(index)
            elif mark.kind == END and index >= first:
                high[mark.object_id] = min(high[mark.object_id], index)
            else:
                low[mark.object_id] = max(low[mark.object_id], index)
        return {i: Bounds(low[i], high[i], frozenset(absent[i])) for i in firsts}


def index_on(
    frames: LayerFrames, plane: tuple[int, int], position: tuple[int, ...]
) -> int | None:
    """Frame index of a position on a line of frames; None if it lies beside it."""
    if plane != frames.plane:
        return None
    fixed, index = split_position(plane, position, frames.axis)
    return index if fixed == frames.fixed else None


def _excludes(a: Mark, b: Mark) -> bool:
    here = (a.object_id, a.plane, a.position) == (b.object_id, b.plane, b.position)
    return here and (a.kind == b.kind or ABSENT in (a.kind, b.kind))


def _on_line(at: Mark | Key, axis: int | None) -> tuple[Any, int]:
    """Which object on which line of frames, and the frame on it."""
    along = None if axis in at.plane else axis
    fixed, index = split_position(at.plane, at.position, along)
    return (at.object_id, at.plane, fixed), index
