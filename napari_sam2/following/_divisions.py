"""Divisions: where one is likely, and what becomes of the labels if it was one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from napari_sam2._labels import combine, read_mask
from napari_sam2._prompts import ObjectPrompts
from napari_sam2.asking._facts import measure
from napari_sam2.asking._messages import PlaneMasks

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_sam2.asking._facts import Facts

Answers: TypeAlias = dict[tuple[int, int, int], tuple[int, ...]]
Halves: TypeAlias = "tuple[NDArray[np.bool_], NDArray[np.bool_]]"

SHRINKS = 0.75  # a mother that goes on as one daughter loses at least a quarter


@dataclass(frozen=True)
class Suspect:
    """A likely division.

    Attributes
    ----------
    parent : int
        The object that divides.
    frame : int
        First frame after the division.
    daughter : int
        An object that appears beside the parent; 0 where the parent's own mask is in
        two parts.
    """

    parent: int
    frame: int
    daughter: int = 0

    @property
    def key(self) -> tuple[int, int, int]:
        """What its answer is kept under: two daughters are two questions."""
        return self.parent, self.frame, self.daughter

    def question(self, name: Callable[[int], str]) -> str:
        """What to ask the user, who calls objects so."""
        parent = name(self.parent)
        if self.daughter:
            return (
                f"{name(self.daughter)} appears beside {parent} in frame {self.frame}. "
                f"Did {parent} divide?"
            )
        return f"{parent} is in two parts from frame {self.frame}. Did it divide?"

    def reply(self, name: Callable[[int], str], daughters: Sequence[int]) -> str:
        """What an answer has led to; without daughters it was "no"."""
        if not daughters:
            return f"{name(self.parent)} did not divide there; it is not asked again."
        if self.daughter:
            return (
                f"{name(self.daughter)} comes from {name(self.parent)} and begins in "
                f"frame {self.frame}."
            )
        names = " and ".join(name(i) for i in daughters)
        return f"{name(self.parent)} is {names} from frame {self.frame} on."


def without(answers: Answers, object_id: int) -> Answers:
    """Answers that stay when an object is deleted: its number may be another's next."""
    left = {}
    for key, daughters in answers.items():
        others = tuple(i for i in daughters if i != object_id)
        if object_id not in (key[0], key[2]) and (others or not daughters):
            left[key] = others
    return left


def joined(answers: Answers, others: Collection[int], first: int) -> Answers:
    """Answers when objects become one, the ``first``: no mother is her own daughter.

    A "no" about a piece of a daughter says nothing about her.
    """
    names = dict.fromkeys(others, first)
    left: dict[tuple[int, int, int], dict[int, None]] = {}
    for (parent, frame, daughter), daughters in answers.items():
        mother, asked = names.get(parent, parent), names.get(daughter, daughter)
        if mother != asked:
            born = left.setdefault((mother, frame, asked), {})
            born.update(dict.fromkeys(names.get(i, i) for i in daughters))
            born.pop(mother, None)
    yes = {(key[0], key[2]) for key, born in left.items() if key[2] and born}
    return {
        key: tuple(born)
        for key, born in left.items()
        if born or (key[0], key[2]) not in yes
    }


def find_suspects(
    line: Mapping[int, Mapping[int, Facts]],
    answers: Mapping[tuple[int, int, int], tuple[int, ...]],
) -> list[Suspect]:
    """Divisions to ask about, by frame.

    Parameters
    ----------
    line : dict of int to dict of int to Facts
        Per object and frame, time going up.
    answers : dict
        Those that were asked already: their keys and daughters.
    """
    asked = set(answers)
    # Daughters that a split gave are known to be daughters.
    asked |= {(p, frame, i) for (p, frame, _), ids in answers.items() for i in ids}
    found = []
    for parent, row in line.items():
        for frame in sorted(row):
            before, after = row.get(frame - 1), row[frame]
            if before is None or before.parts != 1 or after.parts < 2:
                continue
            # One frame in two parts is often a flaw of the mask.
            later = row.get(frame + 1)
            stays = later is None or later.parts > 1
            if stays and Suspect(parent, frame).key not in asked:
                found.append(Suspect(parent, frame))
                break  # the next one is asked about when this is answered
    for daughter, row in line.items():
        first = min((f for f, facts in row.items() if facts.area), default=None)
        if first is not None:
            found += _mothers(line, daughter, first)
    return sorted(
        (s for s in found if s.key not in asked),
        key=lambda s: (s.frame, s.parent, s.daughter),
    )


def _mothers(
    line: Mapping[int, Mapping[int, Facts]], daughter: int, first: int
) -> Iterator[Suspect]:
    born, earlier = line[daughter][first].centre, line[daughter].get(first - 1)
    if earlier is not None and earlier.overlaps:  # followed back, she ran into her
        for parent, _ in earlier.overlaps:
            yield Suspect(parent, first, daughter)
        return
    for parent, row in line.items():
        before, after = row.get(first - 1), row.get(first)
        if parent == daughter or before is None or not before.area or born is None:
            continue
        assert before.centre is not None
        radius = math.sqrt(before.area / math.pi)
        near = math.dist(born, before.centre) < 2 * radius
        left = 0 if after is None else after.area
        if near and left < SHRINKS * before.area:
            yield Suspect(parent, first, daughter)


def divide(
    labels: Any,
    plane: tuple[int, int],
    positions: Sequence[tuple[int, ...]],
    parent: int,
    daughters: tuple[int, int],
    lines: int = 1,
) -> Iterator[PlaneMasks]:
    """Give the two parts of an object labels of their own, frame after frame.

    Goes on after frames that are divided already. What the object has on other lines of
    frames goes to the daughter that is nearer on the first one.

    Parameters
    ----------
    labels : napari.layers.Labels
        Or anything with the array ``data``.
    plane, positions
        Frames from the division on, in order of time, one line after the other.
    parent : int
        The object that is in two parts on the first of these frames.
    daughters : (int, int)
        New ids.
    lines : int
        How many, equally long.

    Yields
    ------
    PlaneMasks
        Of each line from the first frame with the parent up to the next without her.
    """
    seen: Halves | None = None  # where the division was seen first
    length = max(1, len(positions) // lines)
    for begin in range(0, len(positions), length):
        former, begun = seen, False
        for position in positions[begin : begin + length]:
            mask = read_mask(labels, plane, tuple(position), parent)
            if not mask.any():
                if begun:
                    break
                one, other = (
                    read_mask(labels, plane, tuple(position), i) for i in daughters
                )
                if one.any() or other.any():
                    former = one, other
                continue
            begun, before, former = True, former, _part(mask, former)
            masks = {parent: np.zeros_like(mask)} | dict(
                zip(daughters, former, strict=True)
            )
            objects = {object_id: ObjectPrompts() for object_id in masks}
            facts = measure(masks, {}, {}, prompted={parent})
            yield PlaneMasks(plane, tuple(position), combine(masks), objects, facts)
            if begin and before is not None:  # one may come to this line later
                one, other = (
                    now if now.any() else was
                    for now, was in zip(former, before, strict=True)
                )
                former = one, other
            seen = seen or former


def _part(mask: NDArray[np.bool_], former: Halves | None) -> Halves:
    """Share the pixels of a mask between two daughters."""
    from scipy.ndimage import label

    pieces, count = label(mask)
    sizes = np.bincount(pieces.ravel())[1:]
    if former is None and count >= 2:
        first, second = np.argsort(-sizes, kind="stable")[:2] + 1
        centres = [_centre(pieces == first), _centre(pieces == second)]
    elif former is None:
        return mask, np.zeros_like(mask)
    else:
        if not former[0].any() or not former[1].any():
            alive = 0 if former[0].any() else 1
            rest = np.zeros_like(mask)
            return (mask, rest) if alive == 0 else (rest, mask)
        centres = [_centre(former[0]), _centre(former[1])]
    rows, columns = np.nonzero(mask)
    own = _nearer(rows, columns, centres)
    if count >= 2:  # whole pieces stay whole
        piece = pieces[rows, columns]
        votes = np.bincount(piece, own, count + 1) * 2 > np.bincount(
            piece, minlength=count + 1
        )
        own = votes[piece]
    one, other = np.zeros_like(mask), np.zeros_like(mask)
    one[rows[~own], columns[~own]] = True
    other[rows[own], columns[own]] = True
    return one, other


def _centre(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.array([axis.mean() for axis in np.nonzero(mask)])


def _nearer(
    rows: NDArray[Any], columns: NDArray[Any], centres: list[NDArray[np.float64]]
) -> NDArray[np.bool_]:
    """Whether pixels are nearer to the second centre than to the first."""
    (a, b), (c, d) = centres
    first = (rows - a) ** 2 + (columns - b) ** 2
    return np.asarray((rows - c) ** 2 + (columns - d) ** 2 < first)
