"""Stack tools: marks, frames to look at, corrections that follow by themselves."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_sam2 import _layers
from napari_sam2._labels import read_mask
from napari_sam2._masks import PackedMask
from napari_sam2._prompts import Key, positive_keys
from napari_sam2.dock._carrying import Carrying
from napari_sam2.following._flags import Flag, find_flags
from napari_sam2.following._marks import ABSENT, BEGIN, END, FILL, Mark, index_on
from napari_sam2.following._review import least_certain, least_certain_object
from napari_sam2.picture._axes import may_be_time, missing_axis
from napari_sam2.tasks._clearing import among, erase
from napari_sam2.tasks._spared import tell
from sam2_core.errors import PromptError, Sam2Error

if TYPE_CHECKING:
    from napari_sam2._controller import SegmentController
    from napari_sam2._images import LayerFrames
    from napari_sam2.asking._facts import Facts
    from napari_sam2.history._record import Record

QUICK = 10_000  # masks; beyond, a click does not look through all of them again


class StackTools:
    """What one does with a stack besides prompting and propagating.

    Parameters
    ----------
    controller : SegmentController
        The tool this belongs to.

    Attributes
    ----------
    flags : list of Flag
        What to look at along the line of frames on display.
    in_time : bool
        Whether that line may run through time.
    """

    changed = Signal()  # another line of frames, other facts, marks, or flags
    measured = Signal(int, object)  # frame index on the line, object ids
    moved = Signal()  # another frame is on display, or it was looked at or checked

    def __init__(self, controller: SegmentController) -> None:
        self.controller = controller
        self.flags: list[Flag] = []
        self.in_time = False
        self._record: Record | None = None
        self._frames: LayerFrames | None = None
        self._line: dict[int, dict[int, Facts]] = {}
        self._known: set[int] = set()
        self._carrying = Carrying(controller, self.frames)
        tasks, state = controller.tasks, controller.state
        tasks.history_changed.connect(self._on_record)
        tasks.ended.connect(self._on_ended)
        for name in ("image", "axis", "plane", "labels"):
            state.events[name].connect(self._on_line)
        controller.stage.prompts_changed.connect(self._on_prompts)
        controller.steps.arrived.connect(self.refresh)
        for name in _layers.DIMS:
            controller.viewer.dims.events[name].connect(self._on_dims)
        self._on_record()

    # -- reading ------------------------------------------------------------------

    @property
    def record(self) -> Record:
        """Everything remembered of the labels in use."""
        return self.controller.history.record

    def frames(self) -> LayerFrames | None:
        """The line of frames on display; None where there is none."""
        if self.controller.stage.image is None or self.controller.state.axis is None:
            return None
        try:
            frames = self.controller.frames()
        except Sam2Error:
            return None
        return frames if frames.axis is not None else None

    def here(self) -> int | None:
        """Index of the frame on display."""
        frames = self.frames()
        if frames is None:
            return None
        view = self.controller._view()
        return index_on(frames, view.plane, view.position)

    def line(self) -> dict[int, dict[int, Facts]]:
        """Facts per object and frame along the line on display."""
        return self._line

    def known(self) -> set[int]:
        """Frames of the line of which anything is known."""
        return self._known

    def settled(self) -> tuple[set[int], set[int]]:
        """Frames on the line that were looked at, and those that were checked."""
        frames = self.frames()
        if frames is None or frames.axis is None:
            return set(), set()
        review, line = self.record.review, (frames.plane, frames.fixed, frames.axis)
        return (
            review.frame_indices(review.seen, line),
            review.frame_indices(review.checked, line),
        )

    def marks_here(self) -> set[str]:
        """Kinds of the current object's marks on the frame on display."""
        if self.frames() is None:
            return set()
        view, object_id = self.controller._view(), self.controller.state.object_id
        return {
            mark.kind
            for mark in self.record.marks
            if mark.object_id == object_id
            and (mark.plane, mark.position) == (view.plane, view.position)
        }

    # -- doing --------------------------------------------------------------------

    def toggle_mark(self, kind: str, object_id: int | None = None) -> bool:
        """Say that the object is absent on this frame, or begins or ends here.

        Its pixels there, or beyond, are erased; propagation will not fill them again.
        The same again takes the mark away.

        Raises
        ------
        Sam2Error
            If there is no stack on display, or nothing of the object anywhere.
        """
        controller = self.controller
        controller._take_object(object_id)
        controller.placing.check()
        frames = self.need_frames()
        view, object_id = controller._view(), controller.state.object_id
        if self._is_nothing(object_id):
            raise PromptError(
                f"There is nothing of object {object_id} yet; choose another object, "
                "or click on it first."
            )
        here = index_on(frames, view.plane, view.position)
        assert here is not None
        mark = Mark(object_id, view.plane, view.position, kind)
        if self._confirms(mark):
            return True
        prompted = self._prompted(frames, object_id)
        touched_up = bool(controller.pending.touched_up(frames, {object_id}))
        # Where an end is a beginning; strokes on labels do not say where to look from.
        before = here < min(prompted, default=here) and not touched_up
        denied = [
            key
            for index, key in prompted.items()
            if (kind == ABSENT and index == here)
            or (kind == BEGIN and index < here)
            or (kind == END and index > here and not before)
        ]
        # Masks are painted over or erased, not deleted: this does it as well.
        if controller.starts.prompts(with_masks=False).keys() & denied:
            where = {ABSENT: "on", BEGIN: "before", END: "after"}[kind]
            raise PromptError(
                f"Object {object_id} has prompts {where} this frame; delete them first."
            )
        first: dict[Key, PackedMask] = {}
        if kind == BEGIN and denied and len(denied) == len(prompted) and not touched_up:
            first = self._first_mask(view, object_id)
        step = controller.steps.begin("mark")
        controller.starts.drop(denied, step)
        controller.starts.keep(first, step)
        controller.steps.look()
        said, shown = set(self.record.marks), set(prompted.values()).difference(denied)
        on = self.record.mark(mark, step, shown, frames.axis)
        if on:
            forward = kind != BEGIN and not before
            beyond = range(here + 1, len(frames)) if forward else range(here)
            review, ledger = self.record.review, controller.ledger

            def cut() -> list[tuple[int, ...]]:
                there = [here]
                if kind != ABSENT:
                    there = among(beyond, review, ledger, frames, object_id)
                return [frames.position(index) for index in there]

            gone = said.difference(self.record.marks)
            text = mark.told(controller.notes.name(object_id), frames, beyond, gone)
            then = partial(controller.tasks.rest, text)
            erase(controller.tasks, view.plane, cut, object_id, step, then)
        else:
            controller.state.status = FILL.format("removed")
        return on

    def next_uncertain(self) -> int | None:
        """Go to the least certain frame that was not looked at yet, and its object.

        What the user does next is meant for the object that is to be looked at.
        """
        self.need_frames()
        seen, checked = self.settled()
        flagged = {flag.frame for flag in self.flags}
        index = least_certain(self.line(), seen | checked, flagged)
        if index is None:
            known = bool(self.line())
            self.controller.state.status = (
                "Every frame has been looked at." if known else "Propagate first."
            )
            return None
        name = self.controller.notes.name
        here = [flag for flag in self.flags if flag.frame == index]
        object_id = least_certain_object(self._line, index, {f.object_id for f in here})
        reasons = [f"{name(flag.object_id)} {flag.text}" for flag in here]
        self.visit(index, object_id)
        reasons = reasons or [f"{name(object_id)} is the least certain so far"]
        self.controller.state.status = f"Frame {index}: {', '.join(reasons)}"
        return index

    def visit(self, index: int, object_id: int) -> None:
        """Show a frame of the line, and let what is done next count for an object."""
        self.go_to(index)
        self.controller.select_object(object_id)

    def check(self, on: bool | None = None) -> bool:
        """Mark the frame on display as checked, or not; None switches."""
        self.need_frames()
        view = self.controller._view()
        return self.record.review.check(view.plane, view.position, on)

    def go_to(self, index: int) -> None:
        """Show a frame of the line."""
        frames, image = self.need_frames(), self.controller.stage.image
        assert image is not None
        assert frames.axis is not None
        viewer = self.controller.viewer
        view = self.controller._view()
        full = [0.0] * image.ndim
        others = zip(view.others, frames.position(index), strict=True)
        for axis, position in others:
            full[axis] = float(position)
        world = image.data_to_world(full)[frames.axis]
        dim = frames.axis + viewer.dims.ndim - image.ndim
        viewer.dims.set_point(dim, world * _layers.world_factor(viewer, image, dim))

    def refresh(self) -> None:
        """Find out again what is known of the line, and what to look at."""
        frames = self.frames()
        self._line, self.in_time = {}, False
        if frames is not None:
            self.in_time = may_be_time(self.controller.stage.image, frames.axis)
            review = self.record.review
            self._line = review.line(frames.plane, frames.fixed, frames.axis)
        self._known = {index for row in self._line.values() for index in row}
        self.flags = find_flags(self._line, self.in_time, self.record.divided)
        self.changed.emit()

    def close(self) -> None:
        """The dock is gone: nobody is there to look."""
        self._let_go()
        for name in _layers.DIMS:
            self.controller.viewer.dims.events[name].disconnect(self._on_dims)

    # -- helpers ------------------------------------------------------------------

    def _let_go(self) -> None:
        """Follow the record no longer."""
        if self._record is not None:
            review = self._record.review
            review.measured.disconnect(self._on_measured)
            review.looked.disconnect(self._on_looked)
            review.reset.disconnect(self.refresh)
            self._record.marks.changed.disconnect(self._on_marks)

    def need_frames(self) -> LayerFrames:
        """The line of frames on display; PromptError if there is none."""
        frames = self.frames()
        if frames is None:
            if self.controller.stage.image is not None:
                self.controller._view()  # in 3D display it says what to do
            raise missing_axis(self.controller.stage.image)
        return frames

    def _is_nothing(self, object_id: int) -> bool:
        """Whether an object has neither pixels nor prompts, nor marks to take away."""
        ledger, pending = self.controller.tasks.ledger, self.controller.pending
        if ledger.uncounted or ledger.extent(object_id):
            return False
        said = {thing.object_id for thing in (*pending.prompts(), *self.record.marks)}
        return object_id not in said

    def _confirms(self, mark: Mark) -> bool:
        """Whether a mark only says what erasing the object has said already."""
        denied = self.controller.painting.denied
        confirms = mark in denied and mark in self.record.marks
        denied.discard(mark)
        if confirms:
            name = self.controller.notes.name(mark.object_id)
            self.controller.state.status = f"{name} is marked absent here already."
        return confirms

    def _first_mask(self, view: _layers.View, object_id: int) -> dict[Key, PackedMask]:
        """An object's mask on display, as its prompt instead of all on its line."""
        labels = self.controller.stage.ensure()[3]
        mask = read_mask(labels, view.plane, view.position, object_id)
        if not mask.any():
            raise PromptError(
                f"All prompts of object {object_id} are before this frame; "
                "click on it here first."
            )
        return {Key(view.plane, view.position, object_id): PackedMask.of(mask)}

    def _prompted(self, frames: LayerFrames, object_id: int) -> dict[int, Key]:
        """Frames of the line on which an object has prompts, and these."""
        return {
            index: key
            for key in self.controller.pending.prompts()
            if key.object_id == object_id
            and (index := index_on(frames, key.plane, key.position)) is not None
        }

    # -- events -------------------------------------------------------------------

    def _on_record(self) -> None:
        self._let_go()
        self._record = self.record
        review = self._record.review
        review.measured.connect(self._on_measured)
        review.looked.connect(self._on_looked)
        review.reset.connect(self.refresh)
        self._record.marks.changed.connect(self._on_marks)
        self._on_line()

    def _on_line(self, *_: Any) -> None:
        self.refresh()
        self._on_dims()

    def _on_measured(self, plane: Any, position: Any, objects: Any) -> None:
        frames = self.frames()
        index = None if frames is None else index_on(frames, plane, position)
        if index is not None:
            for object_id in objects:  # one frame, not all of them again
                known = self.record.review.facts[plane].get(object_id, {})
                row = self._line.setdefault(object_id, {})
                if position in known:
                    row[index] = known[position]
                    self._known.add(index)
                else:
                    row.pop(index, None)
            self.measured.emit(index, objects)
            if index == self.here():
                self.record.review.look(plane, position)

    def _on_looked(self) -> None:
        self.moved.emit()

    def _on_marks(self) -> None:
        self.changed.emit()

    def _on_dims(self, event: Any = None) -> None:
        frames = self.frames()
        if frames is not None:
            view = self.controller._view()
            self.record.review.look(view.plane, view.position)
            if frames.fixed != getattr(self._frames, "fixed", None):
                self._frames = frames
                self.refresh()
        self.moved.emit()

    def _on_prompts(self) -> None:
        try:
            prompts = self.controller.pending.prompts()
        except Sam2Error:
            return
        axis, step = self.controller.state.axis, self.controller.history.last
        self.record.contradict(positive_keys(prompts), axis, step)
        self._carrying.corrected()

    def _on_ended(self, kind: str) -> None:
        known = len(self._line) * len(self._known)
        if kind in ("propagate", "clear", "divide", "restore") or (
            kind == "predict" and known < QUICK
        ):
            self.refresh()
        if kind == "propagate" and (frames := self.frames()) is not None:
            pending, alone = self.controller.pending, self.controller.state.alone
            tell(self.controller.tasks, () if alone else pending.touched_up(frames))
        if kind == "propagate" and (number := len(self.record.review.doubted)):
            some = "1 checked frame has changed: look at it again."
            many = f"{number} checked frames have changed: look at them again."
            said = self.controller.state.status
            self.controller.state.status = f"{said} {some if number == 1 else many}"
        self._carrying.on_ended(kind)
