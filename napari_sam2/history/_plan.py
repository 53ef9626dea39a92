"""Which prompts are to be computed together, and on which frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_sam2._images import LayerFrames, split_position
from napari_sam2._state import DIRECTIONS
from napari_sam2.following._following import Plan
from sam2_core.errors import PromptError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from napari.layers import Image

    from napari_sam2._prompts import Key, ObjectPrompts
    from napari_sam2._state import SegmentationState
    from napari_sam2.history._record import Record
    from napari_sam2.picture._sight import Sight


@dataclass(frozen=True)
class Group:
    """Prompts on one line of frames, and those of them to compute."""

    frames: LayerFrames
    prompts: Mapping[Key, ObjectPrompts]
    changed: frozenset[Key]


def line_of(key: Key, axis: int | None) -> tuple[tuple[int, int], tuple[int, ...]]:
    """Plane and fixed position: equal for keys whose frames follow each other."""
    axis = None if axis in key.plane else axis
    return key.plane, split_position(key.plane, key.position, axis)[0]


def usable(
    prompts: Mapping[Key, ObjectPrompts], axis: int | None
) -> dict[Key, ObjectPrompts]:
    """Leave out objects of which nothing says where they are.

    A purely negative correction counts when the same object has a positive prompt in
    another frame along ``axis``.
    """
    seeds = {
        (line_of(key, axis), key.object_id)
        for key, ask in prompts.items()
        if ask.positive
    }
    return {
        key: ask
        for key, ask in prompts.items()
        if (line_of(key, axis), key.object_id) in seeds
    }


def unlocked(
    prompts: Mapping[Key, ObjectPrompts], locked: Collection[int]
) -> dict[Key, ObjectPrompts]:
    """Leave out objects that nothing may change."""
    return {key: ask for key, ask in prompts.items() if key.object_id not in locked}


def on_line(
    prompts: Mapping[Key, ObjectPrompts], key: Key, axis: int | None
) -> dict[Key, ObjectPrompts]:
    """Prompts on the same line of frames as ``key``."""
    line = line_of(key, axis)
    return {k: ask for k, ask in prompts.items() if line_of(k, axis) == line}


def groups(
    image: Image,
    prompts: Mapping[Key, ObjectPrompts],
    changed: Iterable[Key],
    axis: int | None,
    sight: Sight,
) -> list[Group]:
    """Sort the keys to compute by line of frames, and by the part to look at."""
    lines: dict[object, list[Key]] = {}
    for key in changed:
        lines.setdefault(line_of(key, axis), []).append(key)
    result = []
    for keys in lines.values():
        first = keys[0]
        along = None if axis in first.plane else axis
        frames = sight.frames(image, first.plane, first.position, along)
        parts: dict[LayerFrames, list[Key]] = {}
        for key in keys:
            part = sight.part(frames, image, prompts[key])
            parts.setdefault(part, []).append(key)
        line = on_line(prompts, first, axis)
        result += [Group(part, line, frozenset(some)) for part, some in parts.items()]
    return result


def span(
    state: SegmentationState,
    start: int | None,
    stop: int | None,
    direction: str | None,
) -> tuple[int | None, int | None, str]:
    """Start, stop and direction, those that are None as chosen in the state."""
    direction = direction or state.direction
    if direction not in DIRECTIONS:
        raise PromptError(f"The direction must be one of {', '.join(DIRECTIONS)}.")
    start = state.start if start is None else start
    return start, state.stop if stop is None else stop, direction


def going(
    state: SegmentationState,
    prompts: Mapping[Key, ObjectPrompts],
    alone: bool,
    locked: Collection[int],
    only: Collection[int] | None = None,
    spared: Collection[int] = (),
) -> dict[Key, ObjectPrompts]:
    """Prompts of the objects that are to be followed; PromptError without any.

    ``spared``: labels from elsewhere that are only followed alone.
    """
    one = state.object_id
    asked = {
        key: ask
        for key, ask in prompts.items()
        if (key.object_id == one if alone else key.object_id not in spared)
        and (only is None or key.object_id in only)
    }
    found = unlocked(asked, locked)
    if not found and asked:
        what = f"Object {one} is locked; unlock it"
        if not alone:
            what = "All objects with prompts are locked; unlock those"
        raise PromptError(f"{what} to propagate.")
    if not found:
        if spared and not alone:
            what = "a label that you touched up to have it followed, or take all "
            what += "labels of a frame with Track all."
        elif alone:
            what = f"object {one}, or choose another in one of these frames first."
        else:
            what = "an object in one of these frames first, or take all labels of one "
            what += "with Track all."
        raise PromptError(f"Click on {what}")
    return found


def check_range(start: int | None, stop: int | None, length: int) -> tuple[int, int]:
    """First and last frame of a range; PromptError if it is not within the stack."""
    first, last = start or 0, length - 1 if stop is None else stop
    if not 0 <= first <= last < length:
        raise PromptError(
            f"The range {first} to {last} is not within 0 to {length - 1}."
        )
    return first, last


def check_direction(
    span: tuple[int | None, int | None, str], prompted: Collection[int], length: int
) -> None:
    """PromptError if no way from these frames leads into the range."""
    first, last = check_range(span[0], span[1], length)
    said, other = "", "backward"
    if span[2] == "forward" and min(prompted) > last:
        said = f"the first is on frame {min(prompted)}"
    elif span[2] == "backward" and max(prompted) < first:
        said, other = f"the last is on frame {max(prompted)}", "forward"
    if said:
        raise PromptError(
            f"No prompt leads {span[2]} into frames {first} to {last}: {said}; "
            f"propagate {other}, or change the range."
        )


def propagation(
    state: SegmentationState,
    frames: LayerFrames,
    prompts: Mapping[Key, ObjectPrompts],
    record: Record,
    span: tuple[int | None, int | None, str],
    position: tuple[int, ...],
    some: bool,
    changes: bool = False,
) -> Plan:
    """What a propagation over ``span`` (start, stop, direction) is to do.

    ``prompts`` are those of the objects to follow, ``position`` is that of the plane on
    screen. ``some``: only these objects, and no others. ``changes``: what changed will
    do, if the labels show all the rest.
    """
    firsts: dict[int, int] = {}
    for key in prompts:
        index = split_position(key.plane, key.position, frames.axis)[1]
        firsts[key.object_id] = min(index, firsts.get(key.object_id, index))
    here = split_position(frames.plane, position, frames.axis)[1]
    patience = state.patience if state.stop_when_lost else None
    bounds = record.marks.bounds(frames, firsts)
    shown = record.review.shown(frames.plane, frames.fixed, frames.axis)
    only = frozenset(firsts) if some else None
    changes = changes and record.journal.carried(frames, firsts)
    if not changes:
        indices = [split_position(k.plane, k.position, frames.axis)[1] for k in prompts]
        check_direction(span, indices, len(frames))
    return Plan(*span, patience, here, bounds, shown, only, changes)


def frame_count(
    plan: Plan,
    prompts: Mapping[Key, ObjectPrompts],
    frames: LayerFrames,
    first: int,
    last: int,
) -> int:
    """Frames that a propagation of the prompts into ``first`` to ``last`` goes over.

    Frames between the first prompts of two objects are gone over in both directions,
    those between the prompts and the range as well. Back alone, it is from the last
    prompts, and fewer if some are found already. Of changes nobody knows how far they
    go: 0.
    """
    if plan.changes:
        return 0
    start = max if plan.direction == "backward" else min
    starts: dict[int, int] = {}  # of each object
    for key in prompts:
        index = split_position(key.plane, key.position, frames.axis)[1]
        starts[key.object_id] = start(index, starts.get(key.object_id, index))
    low, high = min(starts.values()), max(starts.values())
    forward, backward = max(0, last - low + 1), max(0, high - first + 1)
    if plan.direction == "forward":
        return max(1, forward)
    if plan.direction == "backward":
        return max(1, backward)
    return forward + backward - (first <= high <= last)
