"""Ids that no object has: handed out at once, settled when all labels are counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from psygnal import Signal

from napari_sam2._labels import LARGEST_ID, check_new
from napari_sam2.history._ledger import count_plane

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_sam2.history._ledger import Ledger
    from napari_sam2.history._snapshots import Snapshot
    from napari_sam2.stage._stage import Stage


class FreeIds:
    """Which id the next object gets, while the labels are still being counted too.

    Counting large labels takes seconds and is done in the background. Until then an id
    is only assumed to be free, and prompts wait, so that none is answered with the id
    of another object.

    Parameters
    ----------
    stage : Stage
        Holds the labels and the prompts.
    ledger : Ledger
        Counts the labels.

    Attributes
    ----------
    highest : int
        Largest id that any object had, as far as is known. Labels above those that
        masks can have do not count.
    assumed : int
        Id in use that may turn out to be another object's; 0 if there is none.
    """

    settled = Signal(int, bool)  # what was assumed, and whether prompts were held

    def __init__(self, stage: Stage, ledger: Ledger) -> None:
        self.stage = stage
        self.ledger = ledger
        self.highest = 0
        self.assumed = 0
        self._waiting: list[Snapshot | None] = []  # after each prompt that waits
        self._reserved: set[int] = set()
        self._following, self._highest_then = 0, 0  # handed out for the next object
        ledger.completed.connect(self._on_completed)

    @property
    def held(self) -> bool:
        """Whether prompts wait."""
        return bool(self._waiting)

    def begin(self) -> int:
        """Other labels are in use: an id for the first object."""
        self.highest = max(self._counted(), max(self._prompted(), default=0))
        self.assumed = 0
        self._waiting.clear()
        self._reserved.clear()
        self._following = 0
        if self.ledger.uncounted:
            self.assumed = 1 + self.highest
        return self.assumed or self.unused()

    def hold(self) -> bool:
        """Whether prompts have to wait; they are told of by :attr:`settled`."""
        if self.ledger.uncounted:
            self._waiting.append(self.stage.snapshot())
        return self.held

    def drop(self) -> None:
        """Let the newest prompt that waits wait no longer."""
        self._waiting.pop()

    def standing(self, answered: Snapshot | None) -> Snapshot | None:
        """The prompts with those that wait; ``answered`` are those without."""
        return self._waiting[-1] if self._waiting else answered

    def take(self, object_id: int) -> None:
        """An object is chosen, or made: its id is not free."""
        self.settle()
        self.assumed = 0
        if object_id <= LARGEST_ID:
            self.highest = max(self.highest, object_id)

    def first(self) -> int:
        """The first id that no object had so far."""
        self.count()
        return 1 + max(self.highest, self._counted())

    def unused(self, count: int = 1) -> int:
        """The first of so many ids that follow each other.

        Where the labels hold no more, the lowest without an object.
        """
        first, labels = self.first(), self.stage.labels
        if labels is None:
            return first
        most = min(LARGEST_ID, np.iinfo(labels.data.dtype).max)
        if first + count - 1 <= most:
            return first
        used = self._prompted().union(self.ledger.ids, self._reserved)
        before = 0
        for object_id in sorted(i for i in used if i > 0):
            if object_id - before > count:
                return before + 1
            before = object_id
        return before + 1

    def reserve(self, count: int, labels: Labels) -> int:
        """The first of so many ids; PromptError if the labels cannot hold them."""
        first = self.unused(count)
        check_new(labels, first + count - 1)
        self.take(first + count - 1)
        self._reserved.update(range(first, first + count))
        return first

    def following(self, labels: Labels) -> int:
        """The id of the next object: the last one again as long as nothing has it.

        PromptError as of :meth:`reserve`.
        """
        self.count()
        spent = *self.ledger.ids, *self._prompted()
        if self._following in (0, *spent) or self.highest != self._highest_then:
            self._following = self.reserve(1, labels)
            self._highest_then = self.highest
        return self._following

    def settle(self) -> None:
        """Something else begins: let no prompts wait any longer."""
        if self.held:
            self.count()

    def count(self) -> None:
        """Count what is left now, for those who cannot wait."""
        data = getattr(self.stage.labels, "data", None)
        for place in list(self.ledger.uncounted):
            self.ledger.count(place, count_plane(data, place))

    def _counted(self) -> int:
        """Largest label so far of those that masks can have."""
        return max((i for i in self.ledger.ids if i <= LARGEST_ID), default=0)

    def _prompted(self) -> set[int]:
        """Ids that prompts are for."""
        layers = self.stage.points, self.stage.shapes
        drawn = [layer.features["object_id"] for layer in layers if layer is not None]
        ids = {int(i) for column in drawn for i in column}
        return ids.union(key.object_id for key in self.stage.masks)

    def _on_completed(self) -> None:
        assumed, held = self.assumed, self.held
        self.assumed = 0
        self._waiting.clear()
        if assumed or held:
            self.settled.emit(assumed, held)
