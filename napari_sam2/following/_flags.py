"""Look here: what changed between two frames in a way that objects rarely do.

Plain functions of numbers; see :class:`napari_sam2.asking._facts.Facts`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from napari_sam2.asking._facts import Facts

AREA_FACTOR = 1.6  # between neighbouring frames
OVERLAP = 0.5  # of the smaller of two masks

LOST, AREA, SPLIT, MERGED, SWAPPED = "lost", "area", "split", "merged", "swapped"


@dataclass(frozen=True)
class Flag:
    """One thing to look at.

    Attributes
    ----------
    kind : str
        "lost", "area", "split", "merged" or "swapped".
    object_id, frame : int
        Where.
    text : str
        For the user.
    other : int
        The other object, of "merged" and "swapped".
    """

    kind: str
    object_id: int
    frame: int
    text: str
    other: int = 0


def find_flags(
    line: Mapping[int, Mapping[int, Facts]],
    in_time: bool = True,
    divided: Collection[tuple[int, int]] = (),
) -> list[Flag]:
    """Everything suspicious along a line of frames, in the order of frames.

    Parameters
    ----------
    line : dict of int to dict of int to Facts
        Per object id and frame index. Where a frame is missing, nothing is said about
        the step over it. What the user prompted or marked is never flagged.
    in_time : bool
        Whether the line may run through time: in space nothing divides.
    divided : collection of (int, int)
        Objects, and frames from which on they are daughters: these tell why one shrank.
    """
    found: list[Flag] = []
    for object_id, row in line.items():
        for before, after, frame in _steps(row):
            if (object_id, frame) not in divided:
                found += _of_one(object_id, before, after, frame, in_time)
            found += _merged(object_id, before, after, frame)
    found += _swaps(line)
    return sorted(found, key=lambda flag: (flag.frame, flag.object_id, flag.kind))


def _steps(row: Mapping[int, Facts]) -> Iterator[tuple[Facts, Facts, int]]:
    for frame in sorted(row):
        before, after = row.get(frame - 1), row[frame]
        if before is not None and not after.prompted:
            yield before, after, frame


def _of_one(
    object_id: int, before: Facts, after: Facts, frame: int, in_time: bool
) -> Iterator[Flag]:
    if before.area and not after.area:
        yield Flag(LOST, object_id, frame, "lost")
    elif before.area and after.area:
        factor = after.area / before.area
        if after.parts > 1 and before.parts == 1:
            text = f"in {after.parts} parts" + (": a division?" if in_time else "")
            yield Flag(SPLIT, object_id, frame, text)
        elif not 1 / AREA_FACTOR <= factor <= AREA_FACTOR:
            text = f"area x {factor:.1f}" if factor >= 0.1 else "nearly gone"
            yield Flag(AREA, object_id, frame, text)


def _merged(object_id: int, before: Facts, after: Facts, frame: int) -> Iterator[Flag]:
    earlier = dict(before.overlaps)
    for other, share in after.overlaps:
        if after.area and share >= OVERLAP > earlier.get(other, 0.0):
            text = f"covers object {other} too: merged?"
            yield Flag(MERGED, object_id, frame, text, other)


def _swaps(line: Mapping[int, Mapping[int, Facts]]) -> Iterator[Flag]:
    """Pairs of objects that each went to where the other one was."""
    moved: dict[int, list[tuple[int, Facts, Facts]]] = {}
    for object_id, row in line.items():
        for before, after, frame in _steps(row):
            if _jumped(before, after):
                moved.setdefault(frame, []).append((object_id, before, after))
    for frame, objects in moved.items():
        for (a, a0, a1), (b, b0, b1) in combinations(
            sorted(objects, key=lambda entry: entry[0]), 2
        ):
            if _crossed(a0, a1, b0, b1):
                yield Flag(SWAPPED, a, frame, f"swapped with object {b}?", b)
                yield Flag(SWAPPED, b, frame, f"swapped with object {a}?", a)


def _jumped(before: Facts, after: Facts) -> bool:
    """Whether an object went farther than its own radius."""
    if before.centre is None or after.centre is None:
        return False
    distance = math.dist(before.centre, after.centre)
    return distance > math.sqrt(before.area / math.pi)


def _crossed(a0: Facts, a1: Facts, b0: Facts, b1: Facts) -> bool:
    """Whether two objects are nearer to each other's former places than to theirs."""
    assert a0.centre is not None
    assert a1.centre is not None
    assert b0.centre is not None
    assert b1.centre is not None
    own = math.dist(a0.centre, a1.centre) + math.dist(b0.centre, b1.centre)
    other = math.dist(a1.centre, b0.centre) + math.dist(b1.centre, a0.centre)
    return other < own / 2
