"""Where objects may be while they are followed: what marks and patience say."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from napari_sam2.following._births import Births
    from napari_sam2.following._marks import Bounds


class Presence:
    """What one propagation knows of it, in each of its directions.

    Parameters
    ----------
    seeds : collection of (int, int)
        Frames and objects that are prompted.
    bounds : dict of int to Bounds
        What marks say of each object.
    patience : int or None
        An object that is lost on this many frames in a row has ended; None: never.
    births : Births
        Knows of objects that begin later than they were followed back.

    Attributes
    ----------
    gone : dict of bool to set of int
        Objects that are followed no further, backward or not.
    """

    def __init__(
        self,
        seeds: Collection[tuple[int, int]],
        bounds: Mapping[int, Bounds],
        patience: int | None,
        births: Births,
    ) -> None:
        self.bounds = bounds
        self.patience = patience
        self.births = births
        self.gone: dict[bool, set[int]] = {False: set(), True: set()}
        self._prompted: dict[int, list[int]] = {}
        for index, object_id in sorted(seeds):
            self._prompted.setdefault(object_id, []).append(index)
        # Of each object the frames in a row without it, and the last one it was due on.
        self._lost: dict[bool, dict[int, tuple[int, int]]] = {False: {}, True: {}}

    def marked(self, index: int, object_id: int) -> bool:
        """Whether the user has said that an object is not on a frame."""
        bounds = self.bounds.get(object_id)
        return bounds is not None and not bounds.allow(index)

    def denied(self, index: int, object_id: int) -> bool:
        """Whether the user has said so, or is asked about it."""
        begins = self.births.begins.get(object_id, 0)
        return index < begins or self.marked(index, object_id)

    def ended(self, index: int, reverse: bool, object_id: int) -> bool:
        """Whether an object was lost for too long before a frame."""
        if self.patience is None:
            return False
        return self._row(index, reverse, object_id) >= self.patience

    def absent(self, index: int, reverse: bool) -> set[int]:
        """Objects that are not on a frame, whatever the model finds there."""
        return {
            i
            for i in self._prompted
            if self.denied(index, i) or self.ended(index, reverse, i)
        }

    def note(self, index: int, reverse: bool, object_id: int, there: bool) -> None:
        """An object was found on a frame, or was not."""
        row = 0 if there else self._row(index, reverse, object_id)
        if not there and not self.denied(index, object_id):
            row += 1
        self._lost[reverse][object_id] = row, index

    def leave(self, index: int, reverse: bool, objects: Collection[int]) -> set[int]:
        """Let those of the objects go that marks have end on a frame."""
        left = {
            i
            for i in objects
            if (bounds := self.bounds.get(i)) is not None
            and (index <= bounds.low if reverse else index >= bounds.high)
        }
        left -= self.gone[reverse]
        self.gone[reverse] |= left
        return left

    def all_lost(self, index: int, reverse: bool) -> bool:
        """Whether nothing is left to follow: all are lost, and none prompted ahead."""
        gone = self.gone[reverse]
        known = self._lost[reverse].keys() | gone
        ahead = any(
            frames[0] <= index if reverse else frames[-1] >= index
            for frames in self._prompted.values()
        )
        return (
            bool(known)
            and not ahead
            and all(i in gone or self.ended(index, reverse, i) for i in known)
        )

    def _row(self, index: int, reverse: bool, object_id: int) -> int:
        """Frames in a row without an object; a prompt on the way ends the row."""
        row, last = self._lost[reverse].get(object_id, (0, index))
        frames = self._prompted.get(object_id, [])
        low, high = (index, last - 1) if reverse else (last + 1, index)
        passed = bisect_right(frames, high) > bisect_left(frames, low)
        return 0 if passed else row
