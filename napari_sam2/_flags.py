"""Look here: what changed between two frames in a way that objects rarely do.

Plain functions of numbers; see :class:`napari_sam2._facts.Facts`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from napari_sam2._facts import Facts

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


def find_flags(line: Mapping[int, Mapping[int, Facts]]) -> list[Flag]:
    """Everything suspicious along a line of frames, in the order of frames.

    Parameters
    ----------
    line : dict of int to dict of int to Facts
        Per object id and frame index. Where a frame is missing, nothing is said about
        the step over it. What the user prompted or marked is never flagged.
    """
    found: list[Flag] = []
    for object_id, row in line.items():
        for before, after, frame in _steps(row):
            found += _of_one(object_id, before, after, frame)
            found += _merged(object_id, before, after, frame)
    found += _swaps(line)
    return sorted(found, key=lambda flag: (flag.frame, flag.object_id, flag.kind))


def _steps(row: Mapping[int, Facts]) -> Iterator[tuple[Facts, Facts, int]]:
    for frame in sorted(row):
        before, after = row.get(frame - 1), row[frame]
        if before is not None and not after.prompted:
            yield before, after, frame


def _of_one(object_id: int, before: Facts, after: Facts, frame: int) -> Iterator[Flag]:
    if before.area and not after.area:
        yield Flag(LOST, object_id, frame, "lost")
    elif before.area and after.area:
        factor = after.area / before.area
        if after.parts > 1 and before.parts == 1:
            text = f"in {after.parts} parts: a division?"
            yield Flag(SPLIT, object_id, frame, text)
        elif not 1 / AREA_FACTOR <= factor <= AREA_FACTOR:
            text = f"area x {factor:.1f}" if factor >= 0.1 else "nearly gone"
            yield Flag(AREA, object_id, frame, text)


def _merged(object_id: int, before: Facts, after: Facts, frame: int) -> Iterator[Flag]:
    earlier = dict(before.overlaps)
    for other, share in after.overlaps:
        if share >= OVERLAP > earlier.get(other, 0.0):
            text = f"covers object {other} too: merged?"
            yield Flag(MERGED, object_id, frame, text, other)


def _swaps(line: Mapping[int, Mapping[int, Facts]]) -> Iterator[Flag]:
    """Pairs of objects that each went to where the other one was."""
    ids = sorted(line)
    for number, a in enumerate(ids):
        for b in ids[number + 1 :]:
            for frame in sorted(line[a].keys() & line[b].keys()):
                four = [line[i].get(f) for i in (a, b) for f in (frame - 1, frame)]
                if _swapped(*four):
                    yield Flag(SWAPPED, a, frame, f"swapped with object {b}?", b)
                    yield Flag(SWAPPED, b, frame, f"swapped with object {a}?", a)


def _swapped(
    a_before: Facts | None,
    a_after: Facts | None,
    b_before: Facts | None,
    b_after: Facts | None,
) -> bool:
    if a_before is None or b_before is None or a_after is None or b_after is None:
        return False
    if a_after.prompted or b_after.prompted:
        return False
    a0, a1, b0, b1 = (f.centre for f in (a_before, a_after, b_before, b_after))
    if a0 is None or a1 is None or b0 is None or b1 is None:
        return False
    stayed = math.dist(a0, a1) + math.dist(b0, b1)
    crossed = math.dist(a1, b0) + math.dist(b1, a0)
    radius = math.sqrt(min(a_before.area, b_before.area) / math.pi)
    # Objects that hardly moved are where they were, however close they are.
    return crossed < stayed / 2 and stayed > 2 * radius
