"""What was written into the labels and why, step by step, so that it can be undone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_sam2 import _labels
from napari_sam2._prompts import Key, ObjectPrompts, Snapshot
from napari_sam2._record import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_sam2._labels import Patch
    from napari_sam2._messages import PlaneMasks

MAX_STEPS = 200
MAX_BYTES = 512 * 2**20


@dataclass(frozen=True)
class Written:
    """A mask that the labels show because of prompts.

    Attributes
    ----------
    prompts : ObjectPrompts
        What was asked for.
    before : packed bits or None
        The object's pixels in this plane before its first prompt; they come back when
        the last prompt is deleted. None when there were none.
    """

    prompts: ObjectPrompts
    before: NDArray[np.uint8] | None

    def mask_before(self, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """The object before its first prompt, (H, W) bool."""
        if self.before is None:
            return np.zeros(shape, bool)
        bits = np.unpackbits(self.before, count=shape[0] * shape[1])
        return bits.reshape(shape).astype(bool)


@dataclass(eq=False)
class Step:
    """Something the user did, and the state before it.

    Attributes
    ----------
    text : str
        For the undo button ("last prompt", "propagation", ...).
    prompts : Snapshot or None
        Content of the prompt layers before.
    object_id : int
        Selected object before.
    written : dict
        Masks the labels showed before.
    patches : list of Patch
        Pixels changed since, oldest first.
    """

    text: str
    prompts: Snapshot | None
    object_id: int
    written: dict[Key, Written]
    patches: list[Patch] = field(default_factory=list)

    @property
    def nbytes(self) -> int:
        """Memory of the patches."""
        return sum(patch.nbytes for patch in self.patches)


class History:
    """Everything written into one Labels layer, and the steps that led there.

    The number of steps and their memory are bounded; the oldest are forgotten.
    """

    def __init__(self, record: Record | None = None) -> None:
        self.record = record or Record()
        self.steps: list[Step] = []
        self.written: dict[Key, Written] = {}
        self._nbytes = 0

    @property
    def text(self) -> str:
        """What :meth:`take_back` would undo; "" when there is nothing."""
        return self.steps[-1].text if self.steps else ""

    @property
    def last(self) -> Step | None:
        """The newest step."""
        return self.steps[-1] if self.steps else None

    def begin(self, text: str, prompts: Snapshot | None, object_id: int) -> Step:
        """Start a step; everything written on its behalf is undone with it."""
        step = Step(text, prompts, object_id, dict(self.written))
        self.steps.append(step)
        if len(self.steps) > MAX_STEPS:
            self._nbytes -= self.steps.pop(0).nbytes
        return step

    def stale(self, prompts: Mapping[Key, ObjectPrompts]) -> list[Key]:
        """Keys whose mask is not, or no longer, the answer to these prompts."""
        return [
            key
            for key, ask in prompts.items()
            if key not in self.written or self.written[key].prompts != ask
        ]

    def write(
        self, labels: Labels, masks: PlaneMasks, step: Step | None, keep: bool
    ) -> None:
        """Put the masks of a plane into the labels (in place, without refresh)."""
        plane, position = masks.plane, masks.position
        for object_id, ask in masks.prompts.items():
            if not ask:
                continue  # propagated
            key = Key(plane, position, object_id)
            known = self.written.get(key)
            if known is None:
                own = _labels.read_mask(labels, plane, position, object_id)
                before = np.packbits(own) if own.any() else None
            else:
                before = known.before
            self.written[key] = Written(ask, before)
        self._note(
            step,
            _labels.write_plane(
                labels, plane, position, masks.ids, masks.prompts, keep
            ),
        )

    def write_back(self, labels: Labels, key: Key, step: Step | None) -> None:
        """The prompts of a key are gone: show what was there before them."""
        written = self.written.pop(key)
        shape = tuple(labels.data.shape[i] for i in key.plane)
        ids = written.mask_before(shape).astype(np.uint32) * np.uint32(key.object_id)
        self._note(
            step,
            _labels.write_plane(labels, key.plane, key.position, ids, [key.object_id]),
        )

    def drop(self, object_id: int) -> None:
        """Forget the prompts of an object without touching the labels."""
        self.written = {
            key: written
            for key, written in self.written.items()
            if key.object_id != object_id
        }

    def take_back(self, labels: Labels | None) -> Step | None:
        """Undo the newest step in the labels; returns it, None if there is none."""
        if not self.steps:
            return None
        step = self.steps.pop()
        self._nbytes -= step.nbytes
        self.written = step.written
        self.record.flip(step, undone=True)
        if labels is not None:
            for patch in reversed(step.patches):
                _labels.revert(labels, patch)
        return step

    def _note(self, step: Step | None, patch: Patch | None) -> None:
        if patch is None or step is None or step not in self.steps:
            return
        step.patches.append(patch)
        self._nbytes += patch.nbytes
        while self._nbytes > MAX_BYTES and len(self.steps) > 1:
            self._nbytes -= self.steps.pop(0).nbytes
