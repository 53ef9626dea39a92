"""The objects of a labels layer as a table, and what can be done with them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_sam2 import _labels, _layers
from napari_sam2._drawing import finished_rows
from napari_sam2._images import split_position
from napari_sam2._jobs import ASKING
from napari_sam2._masks import PackedMask
from napari_sam2._prompts import Key
from napari_sam2.picture import _screen
from napari_sam2.picture._axes import missing_axis
from napari_sam2.stage._visibility import Visibility
from napari_sam2.tasks._clearing import relabel
from sam2_core.errors import PromptError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from napari_sam2._controller import SegmentController
    from napari_sam2._prompts import MaskPrompt

WHAT = ("both", "mask", "prompts")
PATIENCE = 1.0  # seconds between looks at every mask's score
STOPPED = (
    "{} has stopped the propagation; what is done stays. Propagate again to go on."
)


@dataclass(frozen=True)
class ObjectRow:
    """One object in the table.

    Attributes
    ----------
    object_id, name
        Its label and what the user calls it.
    prompts : int
        Number of points, shapes and masks that were given, in all frames.
    frames : int
        Number of planes in which it has pixels.
    confidence : float or None
        Certainty of its least certain mask: the IoU that the model expects, times the
        probability that the object is there.
    visible, locked : bool
        Whether it is drawn, and protected.
    """

    object_id: int
    name: str
    prompts: int
    frames: int
    confidence: float | None
    visible: bool
    locked: bool


class Objects:
    """What the object table shows and does.

    Parameters
    ----------
    controller : SegmentController
        Does the work.
    """

    changed = Signal()
    """Rows may be different now. Comes often; whoever draws waits a little."""

    def __init__(self, controller: SegmentController) -> None:
        self.controller = controller
        self.state = controller.state
        self.stage = controller.stage
        self.notes = controller.notes
        self.ledger = controller.ledger
        self._lowest: tuple[float, dict[int, float | None]] = (0.0, {})
        self._stopped = ""  # what is to be said once that has ended
        self._visibility = Visibility(self.stage, self.notes, self.ledger)
        self.ledger.changed.connect(self._on_change)
        self.notes.events.connect(self._on_change)
        for name in ("object_id", "undo_text", "redo_text", "labels", "busy"):
            self.state.events[name].connect(self._on_change)
        controller.tasks.ended.connect(self._on_ended)

    # -- the table ----------------------------------------------------------------

    def rows(self) -> list[ObjectRow]:
        """All objects that have pixels or prompts, and the current one."""
        prompts = self._prompt_counts()
        ids = {*self.ledger.ids, *prompts}
        if self.state.image is not None and self.state.object_id > 0:
            ids.add(self.state.object_id)
        confidence = self._confidence(ids)
        return [
            ObjectRow(
                object_id,
                self.notes.name(object_id),
                prompts.get(object_id, 0),
                self.ledger.extent(object_id),
                confidence.get(object_id),
                object_id not in self.notes.hidden,
                object_id in self.notes.locked,
            )
            for object_id in sorted(ids)
        ]

    def _prompt_counts(self) -> dict[int, int]:
        counts: dict[int, int] = {}
        for key, start in self.stage.masks.items():
            counts[key.object_id] = counts.get(key.object_id, 0) + start.given
        for layer in (self.stage.points, self.stage.shapes):
            if layer is None or len(layer.data) == 0:
                continue
            ids = finished_rows(layer)["object_id"]
            found, many = np.unique(ids, return_counts=True)
            for object_id, n in zip(found, many, strict=True):
                counts[int(object_id)] = counts.get(int(object_id), 0) + int(n)
        return {object_id: n for object_id, n in counts.items() if object_id > 0}

    def _confidence(self, ids: set[int]) -> dict[int, float | None]:
        """Certainty of each object; now and then while frames stream in."""
        now, (before, lowest) = time.monotonic(), self._lowest
        if self.state.busy == "propagate" and now - before < PATIENCE:
            return lowest
        review = self.controller.history.record.review
        lowest = {object_id: review.lowest(object_id) for object_id in ids}
        self._lowest = now, lowest
        return lowest

    # -- choosing -----------------------------------------------------------------

    def new(self) -> int:
        """Be done with this object and start another; returns its id."""
        return self.controller.next_object()

    def select(self, object_id: int) -> None:
        """Make this object the current one: its prompts can be changed."""
        self.controller.select_object(object_id)

    def jump(self, object_id: int) -> None:
        """Select an object and show its first prompt, or where it is first."""
        self.select(object_id)
        image, points, shapes, labels = self.stage.ensure()
        where = _first_prompt(points, shapes, self.stage.masks, object_id)
        if where is None:
            places = self.ledger.places(object_id)
            if not places:
                self.state.status = f"{self.notes.name(object_id)} is nowhere yet."
                return
            rows, columns = np.nonzero(np.asarray(labels.data[places[0]]) == object_id)
            where = np.array([*places[0], rows.mean(), columns.mean()])
        _screen.show_point(self.controller.viewer, image, where)

    # -- changing -----------------------------------------------------------------

    def rename(self, object_id: int, name: str) -> None:
        """Give an object a name; an empty one takes it back."""
        if name.strip() != self.notes.name(object_id):
            self.controller.steps.begin("renaming")
            self.notes.rename(object_id, name)
            self.controller.tasks.renew()

    def lock(self, object_id: int, on: bool) -> None:
        """Protect an object from every change, or allow changes again."""
        self.notes.lock(object_id, on)
        if not on:
            self.controller.sync()

    def hide(self, object_id: int, on: bool) -> None:
        """Do not draw an object, or draw it again."""
        self.notes.hide(object_id, on)

    def delete(self, object_ids: Iterable[int], what: str = "both") -> None:
        """Delete objects.

        Parameters
        ----------
        object_ids : iterable of int
            Which.
        what : {"both", "mask", "prompts"}
            Pixels in all frames, prompts in all frames, or both.

        Raises
        ------
        PromptError
            If one of them is locked.
        """
        ids = self._changeable(object_ids)
        if what not in WHAT:
            raise PromptError(f"Delete one of {', '.join(WHAT)}, not {what!r}.")
        self._stop_asking("Deleting")
        step = self.controller.steps.begin("deletion")
        for object_id in ids:
            if what != "mask":
                self.stage.remove_prompts(object_id)
            self._forget(object_id, what, 0, step)
        self.controller.steps.look()
        if what == "both":
            for object_id in ids:
                self.notes.forget(object_id)
        if what != "prompts":
            relabel(self.controller.tasks, dict.fromkeys(ids, 0), step)
        self.controller.sync()  # prompts of others were not answered yet, perhaps

    def merge(self, object_ids: Iterable[int]) -> int:
        """Make one object of several: the one with the lowest id takes the others.

        Its prompts are those of all, and where one without any begins; masks stay as
        they are until it is prompted again.

        Returns
        -------
        int
            The object that remains.
        """
        self._refuse_parts("merge objects")
        ids = self._changeable(object_ids)
        if len(ids) < 2:
            raise PromptError("Select two or more objects to merge.")
        self._stop_asking("Merging")
        self.controller.runner.finish()  # what was deleted is not merged
        first, *others = ids
        step = self.controller.steps.begin("merging")
        united = self._united(ids)
        self.stage.move_prompts(others, first)
        self._unsay(ids, united, step)
        for object_id in others:
            self._forget(object_id, "both", first, step)
            self.notes.forget(object_id)
        self.notes.hide(first, False)
        self.controller.starts.keep(united, step)
        relabel(self.controller.tasks, dict.fromkeys(others, first), step)
        self.select(first)
        self.controller.sync()
        return first

    def track_all(self) -> list[int]:
        """Take every label of the plane on display for a mask prompt, and propagate.

        All of them are followed, also where otherwise the current object is alone.

        Returns
        -------
        list of int
            The labels.

        Raises
        ------
        Sam2Error
            If there is no stack, or no label in the plane that is not locked.
        """
        image, _, _, labels = self.stage.ensure()
        view = _layers.current_view(self.controller.viewer, image)
        if self.state.axis is None:
            raise missing_axis(image)
        self._refuse_parts("track all labels")
        with self.controller.steps.attempt("tracking all labels") as step:
            ids = self.controller.starts.adopt_plane(labels, view, step)
            self.controller.propagate(alone=False)
        return ids

    # -- helpers ------------------------------------------------------------------

    def _refuse_parts(self, what: str) -> None:
        """No mask prompts of labels that are only there in part."""
        if self.controller.runner.awaits("restore"):
            raise PromptError(
                f"A session is being restored; {what} when its masks are there."
            )

    def _stop_asking(self, what: str) -> None:
        """Nothing more of the model for prompts that are about to be others."""
        runner = self.controller.runner
        self._stopped = STOPPED.format(what) if runner.awaits("propagate") else ""
        runner.cancel(*ASKING)

    def _on_ended(self, kind: str) -> None:
        if self._stopped and kind in ("propagate", "clear"):
            self.state.status = self._stopped
            if not self.controller.runner.awaits("clear"):
                self._stopped = ""

    def _united(self, ids: list[int]) -> dict[Key, Any]:
        """What the merged object will look like where it has prompts from now on."""
        first, labels = ids[0], self.stage.ensure()[3]
        masks = {}
        prompted = [k for k in self.controller.starts.prompts() if k.object_id in ids]
        there = {key.place for key in prompted}
        if prompted:  # what has no prompts would be lost as soon as these are followed
            for object_id in {*ids} - {key.object_id for key in prompted}:
                there |= self._beginnings(object_id)
        for place in there:
            mask = np.isin(np.asarray(labels.data[_layers.plane_index(*place)]), ids)
            masks[Key(*place, first)] = PackedMask.of(mask)
        return masks

    def _beginnings(self, object_id: int) -> set[tuple[Any, Any]]:
        """Plane and position of an object's first mask on each line of frames."""
        ndim = self.stage.ensure()[3].ndim
        plane, axis = (ndim - 2, ndim - 1), self.state.axis
        if axis is None or axis in plane:  # nothing is followed from plane to plane
            return set()
        firsts: dict[Any, tuple[int, ...]] = {}
        for place in self.ledger.places(object_id):  # in order
            firsts.setdefault(split_position(plane, place, axis)[0], place)
        return {(plane, place) for place in firsts.values()}

    def _unsay(self, ids: list[int], prompted: Iterable[Key], step: Any) -> None:
        """What denies that merged objects are one, where they are, does not hold."""
        (first, *others), labels = ids, self.stage.ensure()[3]
        record = self.controller.history.record
        plane = labels.ndim - 2, labels.ndim - 1
        places = {place for each in ids for place in self.ledger.places(each)}
        there = [Key(plane, place, first) for place in places]
        record.join(others, first, step)
        record.contradict([*prompted, *there], self.state.axis, step)

    def _forget(self, object_id: int, what: str, into: int, step: Any) -> None:
        history = self.controller.history
        history.record.journal.clear(object_id, what, into, step)
        history.clear(object_id, what, into, step)

    def _changeable(self, object_ids: Iterable[int]) -> list[int]:
        self.controller.ids.settle()  # ids of prompts that wait are only assumed
        ids = sorted(set(object_ids))
        for object_id in ids:
            if object_id in self.notes.locked:
                raise PromptError(self.notes.refusal(object_id))
        if 0 in ids or not ids:
            raise PromptError("Select an object first.")
        _labels.check_id(self.stage.ensure()[3], ids[-1])
        return ids

    def _on_change(self, *_: Any) -> None:
        self.changed.emit()


def _first_prompt(
    points: Any, shapes: Any, masks: Mapping[Key, MaskPrompt], object_id: int
) -> Any:
    """Data coordinates of an object's first prompt, in order of frames; or None."""
    found = []
    for layer in (points, shapes):
        ids = layer.features["object_id"].to_numpy()
        for i in np.flatnonzero(ids == object_id):
            found.append(np.atleast_2d(layer.data[i]).mean(0))
    for key, start in masks.items():
        bounds = start.mask.bounds() if key.object_id == object_id else None
        if bounds is not None:
            x0, y0, x1, y1 = bounds
            index = _layers.plane_index(key.plane, key.position)
            middle = iter(((y0 + y1) / 2, (x0 + x1) / 2))
            found.append(
                np.array([next(middle) if i == slice(None) else i for i in index])
            )
    return min(found, key=tuple, default=None)
