"""What was written into the labels and why, step by step, so that it can be undone."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol
from weakref import ReferenceType, ref

import numpy as np
from psygnal import Signal

from napari_sam2 import _labels
from napari_sam2._layers import plane_index
from napari_sam2._masks import PackedMask, drawn_into
from napari_sam2._prompts import Key, ObjectPrompts
from napari_sam2.following import _births
from napari_sam2.history._record import Record
from napari_sam2.history._snapshots import Moment
from napari_sam2.history._written import Written

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_sam2._labels import Patch, Rules
    from napari_sam2.asking._messages import PlaneMasks, Relabelled
    from napari_sam2.history._object_notes import ObjectNotes
    from napari_sam2.history._snapshots import Snapshot

MAX_STEPS = 200
MAX_BYTES = 512 * 2**20


@dataclass(eq=False)
class Step:
    """Something the user did, in differences.

    Attributes
    ----------
    text : str
        For the undo button ("last prompt", "propagation", ...).
    before, after : Moment
        Without the labels; ``after`` is known once the step has been taken back.
    written : dict
        For keys whose entry in :attr:`History.written` changed, the entry at the other
        end of the step: before it, or after it while it is taken back.
    patches : list of Patch
        Pixels changed, oldest first.
    late : set of Key
        Whose older prompts were answered while the step was taken back.
    began : float
        When, by the monotonic clock.
    """

    text: str
    before: Moment
    after: Moment = field(default_factory=Moment)
    written: dict[Key, Written | None] = field(default_factory=dict)
    patches: list[Patch] = field(default_factory=list)
    late: set[Key] = field(default_factory=set)
    began: float = field(default_factory=time.monotonic)

    @property
    def nbytes(self) -> int:
        """Memory of the patches."""
        return sum(patch.nbytes for patch in self.patches)


class Witness(Protocol):
    """Whoever knows what there is beside the labels."""

    notes: ObjectNotes

    def now(self) -> Moment: ...


class History:
    """Everything written into one Labels layer, and the steps that led there.

    The number of steps and their memory are bounded; the oldest are forgotten.

    Parameters
    ----------
    record : Record, optional
        What is remembered beside the pixels; goes back and forth with the steps.
    """

    patched = Signal(object)  # Patch: pixels of the labels that have just changed
    changed = Signal()  # there is something else to undo, or to do again
    added = Signal()  # another dock than the witness has added objects, or taken them

    def __init__(self, record: Record | None = None) -> None:
        self.record = record or Record()
        self.steps: list[Step] = []
        self.undone: list[Step] = []
        self.written: dict[Key, Written] = {}
        self.aside: Snapshot | None = None  # prompts, while other labels are in use
        self._nbytes = 0
        self._witness: ReferenceType[Witness] | None = None

    @property
    def text(self) -> str:
        """What :meth:`take_back` would undo; "" when there is nothing."""
        return self.steps[-1].text if self.steps else ""

    @property
    def redo_text(self) -> str:
        """What :meth:`redo` would do again; "" when there is nothing."""
        return self.undone[-1].text if self.undone else ""

    @property
    def last(self) -> Step | None:
        """The newest step."""
        return self.steps[-1] if self.steps else None

    @property
    def nbytes(self) -> int:
        """Memory of all changed pixels that can be undone or done again."""
        return self._nbytes

    def attend(self, witness: Witness | None) -> None:
        """Say who works with these labels; it is held weakly."""
        self._witness = None if witness is None else ref(witness)

    @property
    def witness(self) -> Witness | None:
        """Who works with these labels, if anybody does."""
        return None if self._witness is None else self._witness()

    def now(self) -> Moment:
        """What there is beside the labels, as the witness sees it."""
        witness = self.witness
        return Moment() if witness is None else witness.now()

    @property
    def locked(self) -> frozenset[int]:
        """Objects that nothing may change."""
        return (self.witness or self.record).notes.locked

    def begin(self, text: str, before: Moment) -> Step:
        """Start a step; everything written on its behalf is undone with it."""
        self._nbytes -= sum(step.nbytes for step in self.undone)
        self.undone.clear()
        step = Step(text, before)
        self.steps.append(step)
        if len(self.steps) > MAX_STEPS:
            self._nbytes -= self.steps.pop(0).nbytes
        self.changed.emit()
        return step

    def stale(self, prompts: Mapping[Key, ObjectPrompts]) -> list[Key]:
        """Keys whose mask is not, or no longer, the answer to these prompts."""
        return [
            key
            for key, ask in prompts.items()
            if key not in self.written or self.written[key].prompts != ask
        ]

    def orphans(self, prompts: Mapping[Key, ObjectPrompts]) -> list[Key]:
        """Keys whose mask answers prompts that are gone."""
        return [
            key
            for key, written in self.written.items()
            if written.prompts and key not in prompts
        ]

    # -- writing ------------------------------------------------------------------

    def write(
        self, labels: Labels, masks: PlaneMasks, step: Step | None, rules: Rules
    ) -> bool:
        """Put masks into a plane of the labels, without refresh; whether it changes."""
        plane, position, corner = masks.plane, masks.position, masks.corner
        if masks.early is not None:
            known = self.record.review.there(plane, position)
            kept = known if rules.keep_others else known & rules.locked
            current = np.asarray(labels.data[plane_index(plane, position)])
            masks = _births.apart(masks, current, kept)
        objects = {i: ask for i, ask in masks.prompts.items() if i not in rules.locked}
        ids = masks.ids
        if len(objects) < len(masks.prompts):
            ids = np.where(np.isin(ids, list(rules.locked)), np.uint32(0), ids)
        new = ids
        for object_id, ask in objects.items():
            key = Key(plane, position, object_id)
            entry = self._entry(labels, key, ask)
            own = entry.foreign
            by_model = bool(replace(entry.prompts, start=None))
            if rules.parts and not (rules.only_empty or by_model) and own:
                own = _labels.untouched(labels, plane, position, object_id, own, new)
                entry = replace(entry, foreign=own)
            elif not rules.only_empty:
                own = None
            self._set(key, entry, step)
            if own is not None:
                ids, corner = drawn_into(ids, corner, own, object_id)
        news = self._put(labels, plane, position, ids, objects, step, rules, corner)
        self.record.note(masks, objects, step)
        return news

    def relabel(self, labels: Labels, change: Relabelled, step: Step | None) -> None:
        """Turn labels of a plane into others."""
        plane, position = change.plane, change.position
        patch = _labels.relabel(labels, plane, position, change.table)
        if patch is None:
            return
        self.add(patch, step)
        left = {
            new: _labels.read_mask(labels, plane, position, new)
            for new in change.table.values()
            if new
        }
        self.record.relabelled(change, left, step)

    def note(self, key: Key, prompts: ObjectPrompts, step: Step | None) -> None:
        """The labels show the answer to these prompts already."""
        mask = None if prompts.start is None else prompts.start.mask
        known = self.written.get(key, Written(prompts, mask, mask))
        self._set(key, Written(prompts, known.before, known.foreign), step)
        if mask is not None:
            self.record.drawn(key, mask.unpack(), step)

    def forget(self, key: Key, step: Step | None) -> None:
        """The labels show nothing that was asked for here."""
        self._set(key, None, step)
        self.record.drawn(key, None, step)

    def write_back(self, labels: Labels, key: Key, step: Step | None) -> None:
        """The prompts of a key are gone: show what was there before them."""
        before = self.written[key].before
        shape = tuple(labels.data.shape[i] for i in key.plane)
        mask = np.zeros(shape, bool) if before is None else before.unpack()
        ids = mask * np.uint32(key.object_id)
        self._set(key, None, step)
        where, rules = (key.plane, key.position), _labels.Rules()
        self._put(labels, *where, ids, [key.object_id], step, rules)

    def clear(self, object_id: int, what: str, into: int, step: Step | None) -> None:
        """Forget of an object its "mask", "prompts" or "both"; its pixels stay.

        ``into`` is the object that it becomes part of, 0 for none.
        """
        if what != "mask":
            for key in [key for key in self.written if key.object_id == object_id]:
                self._set(key, None, step)
        if into:
            self.record.unite(object_id, into, step)
        self.record.clear(object_id, what, step)

    def add(self, patch: Patch | None, step: Step | None) -> None:
        """Somebody else changed pixels, on behalf of a step."""
        if patch is None:
            return
        self.record.sums.take(patch, step)
        self.patched.emit(patch)
        if step is None or step not in self.steps:
            return
        step.patches.append(patch)
        self._nbytes += patch.nbytes
        while self._nbytes > MAX_BYTES and len(self.steps) > 1:
            self._nbytes -= self.steps.pop(0).nbytes

    def drop_empty(self, step: Step) -> None:
        """A step on whose behalf nothing was written is none."""
        if step in self.steps and not (step.patches or step.written):
            self.steps.remove(step)
            self.changed.emit()

    # -- back and forth -----------------------------------------------------------

    def take_back(
        self, labels: Labels | None, now: Moment | None = None
    ) -> Step | None:
        """Undo the newest step in the labels; returns it, None if there is none.

        ``now`` is what :meth:`redo` will lead back to.
        """
        if not self.steps:
            return None
        step = self.steps.pop()
        step.after = now or Moment()
        self.undone.append(step)
        self._swap(step, undone=True)
        self._replay(labels, step, True)
        return step

    def redo(self, labels: Labels | None) -> Step | None:
        """Do the step again that was taken back last; None if there is none."""
        if not self.undone:
            return None
        step = self.undone.pop()
        self.steps.append(step)
        self._swap(step, undone=False)
        for key in step.late:  # its patches know nothing of that answer: ask again
            older, now = step.written[key], self.written.get(key)
            if older is not None and now is not None:
                self.written[key] = replace(now, prompts=older.prompts)
        step.late.clear()
        self._replay(labels, step, False)
        return step

    def withdraw(self, undone: list[Step]) -> None:
        """Forget the step that was taken back last; ``undone`` are those before it."""
        self.undone = undone
        self._nbytes = sum(step.nbytes for step in (*self.steps, *self.undone))
        self.changed.emit()

    def locked_in(self, step: Step) -> int:
        """First locked object whose pixels or prompts a step has changed; 0 if none."""
        locked = self.locked
        found = {key.object_id for key in step.written} & locked
        for patch in step.patches if locked else ():
            values = np.union1d(patch.old, patch.new)
            found |= locked.intersection(values.tolist())
        return min(found, default=0)

    def _replay(self, labels: Labels | None, step: Step, back: bool) -> None:
        patches = step.patches[::-1] if back else step.patches
        made = []
        for patch in patches if labels is not None else ():
            done = _labels.replay(labels, patch, back)
            if done is not None:
                made.append(done)
                self.record.sums.take(done, step)
                self.patched.emit(done)
        if labels is not None and not back:  # what was so already is not the step's
            self._nbytes -= step.nbytes
            step.patches = made
            self._nbytes += step.nbytes
        self.changed.emit()

    def _swap(self, step: Step, undone: bool) -> None:
        self.record.flip(step, undone)
        for key, other in step.written.items():
            step.written[key] = self.written.get(key)
            if other is None:
                self.written.pop(key, None)
            else:
                self.written[key] = other

    def _set(self, key: Key, entry: Written | None, step: Step | None) -> None:
        if step is not None and step in self.steps:
            step.written.setdefault(key, self.written.get(key))
        for later in self.undone[::-1]:
            if key in later.written:
                later.late.add(key)
                break
        if entry is None:
            self.written.pop(key, None)
        else:
            self.written[key] = entry

    def _entry(self, labels: Labels, key: Key, ask: ObjectPrompts) -> Written:
        """What there is to know about a mask that is about to be written."""
        known = self.written.get(key)
        if known is not None and (known.prompts or not ask):
            return Written(ask or known.prompts, known.before, known.foreign)
        mask = _labels.read_mask(labels, key.plane, key.position, key.object_id)
        own = PackedMask.of(mask) if mask.any() else None
        return Written(ask, own, own if known is None else known.foreign)

    def _put(
        self,
        labels: Labels,
        plane: tuple[int, int],
        position: tuple[int, ...],
        ids: NDArray[Any],
        objects: Any,
        step: Step | None,
        rules: Rules,
        corner: tuple[int, int] = (0, 0),
    ) -> bool:
        patch = _labels.write_plane(
            labels,
            plane,
            position,
            ids,
            objects,
            keep_others=rules.keep_others,
            locked=rules.locked,
            corner=corner,
        )
        self.add(patch, step)
        return patch is not None
