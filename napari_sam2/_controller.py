"""Connects layers, engine and labels: what happens when the user does something."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_sam2 import _labels, _layers
from napari_sam2._jobs import LEFT, Runs
from napari_sam2._prompts import Key
from napari_sam2.history import _plan
from napari_sam2.history._ledger import Ledger
from napari_sam2.history._object_notes import ObjectNotes
from napari_sam2.picture._axes import default_axis, missing_axis
from napari_sam2.picture._one_frame import fitting
from napari_sam2.picture._sight import Sight
from napari_sam2.stage import _sharing
from napari_sam2.stage._free_ids import FreeIds
from napari_sam2.stage._stage import Stage
from napari_sam2.tasks._counting import count
from napari_sam2.tasks._painting import Painting
from napari_sam2.tasks._placing import Placing
from napari_sam2.tasks._starts import Starts
from napari_sam2.tasks._steps import Steps
from napari_sam2.tasks._sync import Sync
from napari_sam2.tasks._tasks import Tasks
from sam2_core.errors import PromptError, Sam2Error

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import napari.components
    from napari.layers import Image, Labels

    from napari_sam2._images import LayerFrames
    from napari_sam2._state import SegmentationState
    from napari_sam2.engine._engine import Engine
    from napari_sam2.history._history import History
    from napari_sam2.history._snapshots import Moment


class SegmentController:
    """The whole tool without its widget.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Holds the layers.
    state : SegmentationState
        Choices of the user and progress of the work.
    runner : Runs
        Does the background work.
    engine : Engine
        Does the computing, on the runner's thread.
    """

    def __init__(
        self,
        viewer: napari.components.ViewerModel,
        state: SegmentationState,
        runner: Runs,
        engine: Engine,
    ) -> None:
        self.viewer = viewer
        self.state = state
        self.runner = runner
        self.stage = Stage(viewer)
        self.notes = ObjectNotes()
        self.ledger = Ledger()
        self.tasks = Tasks(state, self.stage, runner, engine, self.notes, self.ledger)
        self.ids = FreeIds(self.stage, self.ledger)
        self.steps = Steps(state, self.stage, self.tasks, self.notes, self.ids)
        self.starts = Starts(self.stage, self.steps)
        self.sight = Sight(viewer, state)
        self.pending = Sync(self.tasks, self.starts, self.sight)
        self.placing = Placing(state, self.stage, self.notes)
        self.painting = Painting(viewer, self.starts, self.steps)
        self.painting.unanswered.connect(self.sync)
        self.ids.settled.connect(self._on_settled)
        self._tag = ""
        self.tasks.downloaded.connect(self.look_again)
        self.stage.prompts_changed.connect(self._on_prompts)
        self.stage.object_selected.connect(self.select_object)
        self.stage.polarity_selected.connect(self.set_polarity)
        self.stage.hand.changed.connect_setattr(state, "tool", maxargs=1)
        self.stage.layer_lost.connect(self._on_layer_lost)
        for name in _layers.DIMS:
            viewer.dims.events[name].connect(self._on_dims)

    @property
    def history(self) -> History:
        """What was written into the labels layer in use."""
        return self.tasks.history

    def choose_image(self, image: Image | None) -> None:
        """Segment this image; creates its prompt and labels layers."""
        if image is self.stage.image:
            return
        self.stage.drawing.end()
        self.ids.settle()
        self.runner.cancel(*LEFT)
        former = self.stage.companions
        former.history = self.history
        _sharing.arrive(self.stage)
        lost = self.stage.set_image(image)
        if self.stage.companions is not former:
            self.use_history(_sharing.find(self.stage))
        if lost:
            self.use_history(self.tasks.without_prompts())
        (self.starts.stay if lost else self.steps.look)()
        self.state.update(image=image, start=None, stop=None, axis=None)
        if image is not None:
            self.state.axis = default_axis(self.viewer, image)
            self._ensure()
            self.prepare()
        (self.sync if self.pending.waiting() and not lost else self.tasks.rest)()

    def choose_labels(self, labels: Labels | None) -> None:
        """Write into this layer, or a new one; Sam2Error if it does not fit."""
        image = self.stage.image
        if labels is not None and labels is self.stage.labels:
            return
        if labels is not None and image is not None:
            labels = fitting(self.viewer, labels, image)
        self.ids.settle()
        self.runner.cancel(*LEFT)
        self.use_history(_sharing.exchange(self.stage, self.history, labels))
        self.steps.look()
        if image is not None:
            self._ensure()
            if self.history.orphans(self.starts.prompts()):  # another dock has them
                self.use_history(self.tasks.without_prompts())
            self.sync()

    def choose_axis(self, axis: int | None) -> None:
        """Propagate along this data axis; None for planes that stand alone."""
        image = self._ensure()[0]
        if axis is not None:
            axis = axis + image.ndim if axis < 0 else axis
            if not 0 <= axis < image.ndim or axis in self._view().plane:
                raise PromptError(f"Axis {axis} is on display or does not exist.")
        self.state.update(axis=axis, start=None, stop=None)
        self.prepare()

    def choose_model(self, name: str | None = None, device: str | None = None) -> None:
        """Work with another model or device from the next prompt on."""
        state = self.state
        state.update(model=name or state.model, device=device or state.device)
        self.look_again()

    def select_object(self, object_id: int) -> None:
        """Make prompts count for this object (PromptError if the id is too large)."""
        labels = self.stage.labels
        if labels is not None:
            _labels.check_id(labels, object_id)
        self.stage.drawing.end(but_for=object_id)
        self.ids.take(object_id)
        self.state.object_id = object_id
        if labels is not None:
            with self.stage.quiet():
                labels.selected_label = object_id
        self._apply_defaults()
        self.tasks.rest()

    def set_polarity(self, positive: bool) -> None:
        """Whether the next points add to the object or take away from it."""
        self.state.positive = positive
        self._apply_defaults()

    def next_object(self) -> int:
        """Be done with this object; returns the id of the next."""
        self.stage.drawing.end()
        following = self.ids.following(self._ensure()[3])
        if following != self.state.object_id:
            self.steps.begin("next object")
            self.select_object(following)
        self.set_polarity(True)
        return following

    def prepare(self) -> None:
        """Load the model in the background, so that the first click is quick."""
        frames, image = None, self.stage.image
        if image is not None and self.state.axis is None:
            try:
                frames = self.sight.ahead(self.frames(), image)
            except Sam2Error as error:
                self.state.status = str(error)
        self.tasks.prepare(frames)

    def look_again(self) -> None:
        """Prepare anew, and answer prompts that may have waited for this change."""
        self.prepare()
        if self.pending.waiting() and self.state.model not in self.state.missing:
            self.sync()

    def add_point(
        self,
        position: Sequence[float],
        positive: bool | None = None,
        object_id: int | None = None,
    ) -> None:
        """Add a point at (row, column) of the plane shown or at nD data coordinates."""
        self._take_object(object_id)
        self.placing.point(position, positive)

    def add_shapes(
        self,
        shapes: Any,
        kind: str = "rectangle",
        object_id: int | None = None,
        positive: bool | None = None,
    ) -> None:
        """Add shapes of such corners; each box is an object, but for ``object_id``."""
        self._take_object(object_id)
        self.placing.shapes(shapes, kind, positive, told=object_id is not None)

    def undo(self) -> None:
        """Take back the last prompt, propagation, deletion or change of object."""
        self._go(self.steps.undo())

    def redo(self) -> None:
        """Do again what was taken back last."""
        self._go(self.steps.redo())

    def _go(self, moment: Moment | None) -> None:
        if moment is not None:
            self.select_object(moment.object_id or self.state.object_id)
            self.sync()

    def cancel(self) -> None:
        """Stop the running work; what is done stays, and deletions go on."""
        self.tasks.stop()

    def sync(self) -> None:
        """Compute the masks of all prompts that the labels do not show yet."""
        if self.ids.held or None in ((s := self.stage).image, s.points, s.shapes):
            return
        image, _, _, labels = self._ensure()
        self.runner.cancel("predict")
        try:
            groups = self.pending.groups(image, labels)
            if not groups:
                self.tasks.rest()
                return
            self.tasks.check_model()
            others = self.pending.others(labels, groups)
        except Sam2Error as error:
            self.tasks.fail(error)
            return
        self.tasks.predict(groups, self.history.last, others)

    def propagate(
        self,
        direction: str | None = None,
        start: int | None = None,
        stop: int | None = None,
        changes: Collection[int] | None = None,
        alone: bool | None = None,
    ) -> None:
        """Carry objects with prompts on this line of frames through the stack.

        What is None comes from the state. ``changes``: what has changed of these will
        do. ``alone``: the current object, and no other.

        Raises
        ------
        Sam2Error
            If there is no stack, no prompt or no model, or the range is empty.
        """
        self._ensure()
        self.ids.count()
        span = _plan.span(self.state, start, stop, direction)
        if self.state.axis is None:
            raise missing_axis(self.stage.image)
        frames = self.frames()
        limits = _plan.check_range(span[0], span[1], len(frames))
        line = Key(frames.plane, frames.position(0), 0)
        prompts = _plan.on_line(self.pending.told(), line, self.state.axis)
        spared = self.pending.touched_up(frames) if alone is None else ()
        alone = self.state.alone if alone is None else alone
        told = self.state, prompts, alone, self.notes.locked, changes, spared
        going = _plan.going(*told)
        self.tasks.check_model()
        some = alone or len(going) < len(prompts)
        given = self.state, frames, going, self.history.record, span
        here = self._view().position
        plan = _plan.propagation(*given, here, some, changes is not None)
        total = _plan.frame_count(plan, going, frames, *limits)
        step = self.steps.begin("propagation")
        self.tasks.propagate(frames, prompts, plan, total, step)

    def use_history(self, history: History) -> None:
        """Undo in another layer from now on, and find out what is in it."""
        self.steps.use(history)
        count(self.tasks)

    def _ensure(self) -> Any:
        """All four layers; new or adopted labels get a free id."""
        ready = self.stage.ensure()
        labels = ready[3]
        if labels is not self.state.labels:
            self.state.labels = labels
            self.steps.look_first()
            following = self.ids.begin()
            if not self.ids.assumed:
                self.select_object(following)
            else:  # the label that a brush paints stays as it is
                self.state.object_id = following
                self._apply_defaults()
        elif self.steps.last is None:
            self.steps.look()
            self._apply_defaults()
        return ready

    def _view(self) -> _layers.View:
        image = self.stage.image or self.stage.ensure()[0]
        return _layers.current_view(self.viewer, image)

    def frames(self) -> LayerFrames:
        """The planes that the one on display belongs to."""
        return self.sight.through(self.stage.image or self.stage.ensure()[0])

    def _take_object(self, object_id: int | None) -> None:
        self._ensure()
        if object_id is not None:
            self.select_object(object_id)

    def _apply_defaults(self) -> None:
        if self.stage.image is None:
            return
        try:
            view = self._view()
            self._tag, self.state.plane = view.tag, view.plane
        except Sam2Error:
            self._tag = ""
        self.stage.set_defaults(self.state.positive, self.state.object_id, self._tag)

    def _on_prompts(self) -> None:
        if refused := self.placing.why_not(self.steps):
            self.steps.put_back()
            self.state.status = refused
            return
        labels = self._ensure()[3]
        if self.steps.wait():
            return
        with self.steps.or_put_back():
            given = self.placing.assign(self.steps.last, self.ids)
            self.placing.reveal(self.steps)
            self.steps.begin("last prompt")
            try:
                self.starts.adopt(labels, self.state.axis)
            except Sam2Error as error:
                self.state.status = str(error)
            self.steps.look()
            if given:
                self.select_object(given[-1])
            self.stage.style(self.state.object_id)
            self.sync()

    def _on_settled(self, assumed: int, held: bool) -> None:
        """All labels are counted: prompts that waited are answered."""
        with self.steps.or_put_back():
            if assumed:
                following = self.ids.unused()
                self.stage.move_prompts([assumed], following)
                self.select_object(following)
            if held:
                self._on_prompts()

    def _on_dims(self, event: Any = None) -> None:
        image = self.stage.image
        if image is None or image not in self.viewer.layers:
            return
        try:
            view = self._view()
        except Sam2Error as error:
            self.tasks.rest(str(error))
            return
        if view.tag != self._tag:
            self._apply_defaults()
            if self.state.axis in view.plane:
                axis = default_axis(self.viewer, image)
                self.state.update(axis=axis, start=None, stop=None)
        if self.state.status.startswith("Switch"):
            self.tasks.rest()

    def _on_layer_lost(self, layer: Any) -> None:
        self.runner.cancel(*LEFT)
        if layer is self.stage.image:
            self.stage.hand.drop()
            self.choose_image(None)
        else:
            if self.stage.labels is None:
                self.history.aside = self.stage.snapshot()  # if the layer comes back
            self.use_history(self.tasks.without_prompts())
            self.starts.stay()
            self.state.labels = self.stage.labels
            self.tasks.rest()  # prompts may not wait for a count any more
