"""What the user paints with napari's own brush: undone, counted, taken seriously."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal
from scipy.ndimage import label

from napari_sam2 import _labels, _layers
from napari_sam2._jobs import ASKING
from napari_sam2._masks import PackedMask
from napari_sam2._prompts import Key
from napari_sam2.following._marks import ABSENT, Mark
from napari_sam2.stage._strokes import before_and_after, touched
from sam2_core.errors import Sam2Error

if TYPE_CHECKING:
    import napari.components
    from napari.layers import Image, Labels
    from numpy.typing import NDArray

    from napari_sam2._labels import Patch
    from napari_sam2.history._history import Step
    from napari_sam2.stage._strokes import Touched
    from napari_sam2.tasks._starts import Starts
    from napari_sam2.tasks._steps import Steps

DRAWN = ("set_data", "labels_update")  # events of a layer whose pixels are new
ABSENT_NOW = "Object {} is marked absent on this frame; paint it there to undo that."
NO_PROMPT = (
    "A session is being restored, so your stroke is no prompt; paint once more when "
    "all masks are there to have it kept and followed."
)
STOPPED = (
    "Your stroke has stopped the propagation; what is done stays. Propagate again to "
    "go on."
)


class Painting:
    """Turns strokes into steps, and painted objects into mask prompts.

    A stroke may go through several planes: napari's brush and bucket can work in 3D.
    Masks that are on their way would be written over it, so they are called off.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Shows the plane.
    starts : Starts
        Makes the mask prompts.
    steps : Steps
        Remembers the strokes.
    """

    unanswered = Signal()  # a stroke is over that called off the answer to prompts
    prompted = Signal()  # a stroke has made prompts, or taken some away

    def __init__(
        self, viewer: napari.components.ViewerModel, starts: Starts, steps: Steps
    ) -> None:
        self.viewer = viewer
        self.starts = starts
        self.steps = steps
        self._labels: Labels | None = None
        self._told: list[Any] = []  # of napari's atoms: what is about to be written
        self._called_off: set[str] = set()  # kinds of jobs
        self.denied: set[Mark] = set()  # by erasing, which nobody has confirmed
        steps.state.events.labels.connect(self._on_labels)
        steps.tasks.ended.connect(self._on_ended)

    def _on_labels(self, labels: Labels | None) -> None:
        if self._labels is not None:
            self._labels.events.labels_update.disconnect(self._call_off)
            self._labels.events.paint.disconnect(self._on_paint)
            for name in DRAWN:
                self._labels.events[name].disconnect(self._on_drawn)
        self._labels, self._told = labels, []
        if labels is not None:
            labels.events.labels_update.connect(self._call_off)
            labels.events.paint.connect(self._on_paint)
            for name in DRAWN:
                labels.events[name].connect(self._on_drawn)

    def _on_drawn(self, event: Any = None) -> None:
        if self._told:
            self._on_paint()

    def _on_paint(self, event: Any = None) -> None:
        """A stroke has ended, or begins: one that a script makes is told first."""
        atoms = [*self._told, *(() if event is None else event.value)]
        self._told = []
        image = self.steps.stage.image
        if not atoms or self._labels is None or image is None:
            return
        plane = self._plane(image)
        self._call_off()
        if not self._is_written(atoms[-1], plane, self._labels):
            self._told = [atoms.pop()]
        self._take(atoms, plane, self._labels)
        if "predict" in self._called_off and not self._told:
            self._called_off.discard("predict")
            self.unanswered.emit()

    def _call_off(self, event: Any = None) -> None:
        """A stroke goes on, and is told at its end: nothing else writes meanwhile."""
        runner = self.steps.tasks.runner
        kinds = {kind for kind in ASKING if runner.awaits(kind)}
        self._called_off |= kinds
        if kinds:
            runner.cancel(*kinds)
        runner.finish()  # what was deleted before a stroke is not of it

    def _on_ended(self, kind: str) -> None:
        if kind == "propagate" and kind in self._called_off:
            self._called_off.discard(kind)
            self.steps.state.status = STOPPED

    def _plane(self, image: Image) -> tuple[int, int]:
        """Axes of the planes that a stroke is told in: those on display."""
        try:
            return _layers.current_view(self.viewer, image).plane
        except Sam2Error:  # 3D display
            return image.ndim - 2, image.ndim - 1

    @staticmethod
    def _is_written(atom: Any, plane: tuple[int, int], labels: Labels) -> bool:
        for part in touched(atom, plane):
            before, now, *_ = before_and_after(labels.data, plane, [part])
            if (before != now).any():
                return True
        return False

    def _take(self, atoms: list[Any], plane: tuple[int, int], labels: Labels) -> None:
        """Make a step of what was painted, and give locked objects their pixels."""
        parts: dict[tuple[int, ...], list[Touched]] = {}
        for atom in reversed(atoms):
            for part in touched(atom, plane):
                parts.setdefault(part.position, []).append(part)
        patches = []
        protected = False
        for position, there in sorted(parts.items()):
            before, now, rows, columns = before_and_after(labels.data, plane, there)
            if self._protect(before, now):
                index = _labels.box_index(plane, position, rows, columns)
                labels.data[index] = now
                protected = True
            corner = rows.start, columns.start
            patch = _labels.difference(plane, position, before, now, corner)
            if patch is not None:
                patches.append(patch)
        if protected:
            _labels.refresh(labels)
        remark = "Locked objects cannot be painted over." if protected else ""
        if not patches:
            self._say(remark)
            return
        self.steps.look()
        step = self.steps.begin("painting")
        for patch in patches:
            self.steps.history.add(patch, step)
            self.steps.history.record.journal.paint(patch, step)
            for object_id in self.steps.notes.hidden.intersection(np.unique(patch.new)):
                self.steps.notes.hide(object_id, False)  # else nothing is seen of it
        self._prompt(labels, patches, step, remark)

    def _say(self, remark: str) -> None:
        """Tell of a stroke, or what to do next: what was said before is over."""
        if remark:
            self.steps.state.status = remark
        else:
            self.steps.tasks.rest()

    def _protect(self, before: NDArray[Any], now: NDArray[Any]) -> bool:
        """Give locked objects their pixels back in ``now``; whether any were gone."""
        locked = list(self.steps.notes.locked)
        kept = np.isin(before, locked) | np.isin(now, locked)
        kept &= now != before
        now[kept] = before[kept]
        return bool(kept.any())

    def _prompt(
        self, labels: Labels, patches: list[Patch], step: Step, remark: str
    ) -> None:
        """What was painted or erased replaces the prompts of its objects in a plane.

        In a stack these are all that the brush was meant for, so that they are followed
        from there; in planes that stand alone, those with masks of the plugin's. While
        a session is being restored, planes are not whole yet, so they are no prompts.
        """
        if self.steps.tasks.runner.awaits("restore"):
            self._say(NO_PROMPT)
            return
        prompted = {**self.steps.history.written, **self.starts.prompts()}
        masks, emptied = {}, []
        for patch in patches:
            ids = {*np.unique(patch.old).tolist(), *np.unique(patch.new).tolist()}
            meant, followed = set[int](), self._is_followed(patch.plane)
            if followed:  # but not what was painted over
                erased = patch.old[patch.new <= 0]
                meant = {*np.unique(patch.new).tolist(), *np.unique(erased).tolist()}
            keys = {i: Key(patch.plane, patch.position, i) for i in sorted(ids)}
            keys = {
                i: key
                for i, key in keys.items()
                if 0 < i <= _labels.LARGEST_ID and (i in meant or key in prompted)
            }
            if not keys:
                continue
            index = _layers.plane_index(patch.plane, patch.position)
            now = np.asarray(labels.data[index])
            for i, key in keys.items():
                here = self._without_parts(key, now == i)
                masks[key] = PackedMask.of(here)
                if followed and not here.any():
                    emptied.append(key)
        if masks:
            self.starts.replace(masks, step)
            remark = self._deny(emptied, step) or remark
            self.steps.stage.style(self.steps.state.object_id)
        self._say(remark)
        if masks:
            self.prompted.emit()

    def _without_parts(self, key: Key, here: NDArray[Any]) -> NDArray[Any]:
        """A followed object without what others drew of its label: other objects."""
        known = self.steps.history.written.get(key)
        if known is None or known.prompts or known.foreign is None:
            return here
        parts = label(here)[0]
        rest = here & np.isin(parts, np.unique(parts[~known.foreign.unpack()]))
        return rest if rest.any() else here

    def _is_followed(self, plane: tuple[int, int]) -> bool:
        """Whether objects are followed from such planes to others."""
        axis = self.steps.state.axis
        return axis is not None and axis not in plane

    def _deny(self, keys: list[Key], step: Step) -> str:
        """Objects that were erased from a frame are absent there, unless all is gone.

        Else they would be back with the next propagation. Returns what to say of it.
        """
        remark = ""
        ledger, record = self.steps.tasks.ledger, self.steps.history.record
        for key in keys:
            mark = Mark(key.object_id, key.plane, key.position, ABSENT)
            there = ledger.extent(key.object_id) or ledger.uncounted
            if there and mark not in record.marks:
                record.mark(mark, step)
                self.denied.add(mark)
                remark = ABSENT_NOW.format(key.object_id)
        return remark
