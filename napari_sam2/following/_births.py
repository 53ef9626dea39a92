"""Births: objects that, followed back in time, run into those they came from.

Whoever clicks a daughter after a division and propagates both ways would have her
followed into her mother, and take the mother's pixels. So on frames before its first
prompt, an object most of whose mask lies in another is not that object yet: it begins
on the last frame on which it was apart.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2.asking._facts import Facts

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from numpy.typing import NDArray

    from napari_sam2.asking._messages import PlaneMasks

INSIDE = 0.5  # of a mask; neighbours that touch share less


class Births:
    """Those among the objects of one propagation.

    Parameters
    ----------
    firsts : dict of int to int
        First prompted frame of every object that is followed.
    shown : dict of int to frozenset of int
        Frames on which each object was before: who was there first is the mother.

    Attributes
    ----------
    begins : dict of int to int
        First frame of each object that ran into another.
    """

    def __init__(
        self, firsts: Mapping[int, int], shown: Mapping[int, frozenset[int]]
    ) -> None:
        self.firsts = firsts
        self.shown = shown
        self.begins: dict[int, int] = {}

    def early(self, index: int, objects: Collection[int]) -> frozenset[int]:
        """Objects that a frame precedes the first prompt of."""
        return frozenset(i for i in objects if index < self.firsts.get(i, index))

    def find(
        self,
        index: int,
        masks: dict[int, NDArray[np.bool_]],
        lost: Mapping[tuple[int, int], int],
    ) -> dict[int, tuple[int, float]]:
        """Objects that run into another on a frame, into which, and how far (0 to 1).

        Parameters
        ----------
        masks : dict of int to (H, W) bool
            All that is known of the frame. A mother gets back what the model, where it
            keeps masks apart, gave her daughter.
        lost : dict
            Pixels that one object would have had, had they not gone to another.
        """
        early = self.early(index, masks)
        if not early or len(masks) < 2:
            return {}
        born: dict[int, tuple[int, float]] = {}
        owner = np.zeros(next(iter(masks.values())).shape, np.int64)
        before: set[int] = set()
        for object_id in sorted(masks, key=lambda i: self._rank(index, i)):
            mask = masks[object_id]
            if index < self.begins.get(object_id, 0):
                continue
            if object_id in early and before:
                ids, counts = np.unique(owner[mask], return_counts=True)
                common = dict(zip(ids.tolist(), counts.tolist(), strict=True))
                area = int(mask.sum())
                for (loser, winner), pixels in lost.items():
                    area += pixels * (loser == object_id)
                    if object_id in (loser, winner):
                        other = winner if loser == object_id else loser
                        common[other] = common.get(other, 0) + pixels
                mother = max(before, key=lambda i: common.get(i, 0))
                share = common.get(mother, 0) / max(area, 1)
                if share > INSIDE:
                    born[object_id] = mother, min(share, 1.0)
                    self.begins[object_id] = index + 1
                    if lost.get((mother, object_id)):
                        masks[mother] = masks[mother] | mask
                    continue
            before.add(object_id)
            owner[mask & (owner == 0)] = object_id
        return born

    def _rank(self, index: int, object_id: int) -> tuple[bool, bool, int, int]:
        """Order in which objects have a right to a frame."""
        first = self.firsts.get(object_id, index)
        here = index in self.shown.get(object_id, ())
        return index < first, not here, first, object_id


def within(mother: int, share: float) -> Facts:
    """Facts of an object that is nowhere but in its mother."""
    return Facts(1.0, 1.0, 0, None, 0, ((mother, round(share, 3)),))


def apart(
    masks: PlaneMasks, current: NDArray[Any], kept: Collection[int]
) -> PlaneMasks:
    """Take objects out of a plane that run into those that are there and not followed.

    Parameters
    ----------
    masks : PlaneMasks
        Some of whose objects are there before their first prompt.
    current : (H, W) integers
        The plane so far.
    kept : collection of int
        Objects on it that keep their pixels.
    """
    early = masks.early
    if early is None:
        return masks
    others = set(kept) - early.followed - masks.prompts.keys()
    ids, facts = masks.ids, dict(masks.facts)
    for object_id in sorted(early.objects):
        mine = ids == object_id
        there, counts = np.unique(current[mine], return_counts=True)
        common = dict(zip(there.tolist(), counts.tolist(), strict=True))
        mother = max(others, key=lambda i: common.get(i, 0), default=0)
        share = common.get(mother, 0) / max(int(mine.sum()), 1)
        inside = mother in others and share > INSIDE
        if inside:
            early.over.add(object_id)
            facts[object_id] = within(mother, share)
        elif object_id in early.over:
            facts[object_id] = Facts(1.0, 1.0, 0, None, 0)
        if object_id in early.over:
            ids = np.where(mine, np.uint32(0), ids)
    return replace(masks, ids=ids, facts=facts)
