"""What the user did, step by step, and the way back and forth between the steps."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from psygnal import Signal

from napari_sam2 import _labels
from napari_sam2.history._snapshots import Moment, same_prompts
from napari_sam2.stage._sharing import share
from sam2_core.errors import PromptError, Sam2Error

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from napari.layers import Labels

    from napari_sam2._state import SegmentationState
    from napari_sam2.history._history import History, Step
    from napari_sam2.history._object_notes import ObjectNotes
    from napari_sam2.history._snapshots import Snapshot
    from napari_sam2.stage._free_ids import FreeIds
    from napari_sam2.stage._stage import Stage
    from napari_sam2.tasks._tasks import Tasks


WAITS = "Your prompt is answered once the labels are counted."


class Steps:
    """Begins the steps of a history, takes them back and does them again.

    Parameters
    ----------
    state : SegmentationState
        Says what can be undone.
    stage : Stage
        Holds the layers.
    tasks : Tasks
        Writes into the history in use.
    notes : ObjectNotes
        Names, which go back and forth with the steps.
    ids : FreeIds
        Knows of prompts that wait for an id; they are no step yet.
    """

    arrived = Signal(Moment)  # a step was taken back or done again

    def __init__(
        self,
        state: SegmentationState,
        stage: Stage,
        tasks: Tasks,
        notes: ObjectNotes,
        ids: FreeIds,
    ) -> None:
        self.state = state
        self.stage = stage
        self.tasks = tasks
        self.notes = notes
        self.ids = ids
        self.last: Snapshot | None = None
        state.events.labels.connect(self._on_labels)

    @property
    def history(self) -> History:
        """What was written into the labels layer in use."""
        return self.tasks.history

    def use(self, history: History) -> None:
        """Go on with another history; its objects' names come with it."""
        if history is not self.history and history.record is self.history.record:
            known = {k: w.prompts for k, w in history.written.items() if w.prompts}
            history.record.journal.go_on(known)
        self.leave()
        self.tasks.history = history
        self.notes.replace(history.record.notes)
        share(self.stage.labels, history)
        history.attend(self)
        history.changed.connect(self._show)
        history.patched.connect(self.tasks.ledger.take)
        self._show()

    def leave(self) -> None:
        """Somebody else goes on with the history, perhaps; the names stay with it."""
        self.history.record.notes = self.notes.all
        self.history.attend(None)
        self.history.changed.disconnect(self._show, missing_ok=True)
        self.history.patched.disconnect(self.tasks.ledger.take, missing_ok=True)

    def look(self) -> None:
        """Take the prompts as they are now for the state before the next step."""
        self.last = self.stage.snapshot()

    def look_first(self) -> None:
        """Likewise, where it is not known, as of layers that were made anew."""
        self.last = self.last or self.stage.snapshot()

    def take_tool(self, tool: str) -> None:
        """Take a tool in hand; prompt layers that were deleted are made anew."""
        self.stage.activate(tool)
        self.look_first()

    def touched(self, object_ids: Collection[int]) -> int:
        """First of these objects whose prompts have changed since; 0 if none."""
        now = self.stage.snapshot() if object_ids else None
        return _differing(self.last, now, object_ids)

    def put_back(self) -> None:
        """Have the prompts as they were before the newest change."""
        if (saved := self.ids.standing(self.last)) is not None:
            self.stage.restore(saved)

    @contextmanager
    def or_put_back(self) -> Iterator[None]:
        """Put prompts back that cannot be taken, and say why."""
        try:
            yield
        except PromptError as error:
            self.put_back()
            self.tasks.fail(error)

    def wait(self) -> bool:
        """Whether new prompts have to wait until the labels are counted."""
        if waits := self.ids.hold():
            self.state.status = WAITS
            self._show()
        return waits

    def begin(self, text: str) -> Step:
        """Start a step; what is written on its behalf is undone with it."""
        return self.history.begin(text, self.now())

    @contextmanager
    def attempt(self, text: str) -> Iterator[Step]:
        """Start a step that leaves nothing behind, here or in redo, if it fails."""
        undone = self.history.undone.copy()
        step = self.begin(text)
        try:
            yield step
        except Sam2Error:
            self.undo()
            self.history.withdraw(undone)
            raise

    def now(self) -> Moment:
        """What there was beside the labels when it was last looked at."""
        return Moment(self.last, self.state.object_id, self.notes.names)

    def undo(self) -> Moment | None:
        """Take back the newest step; returns where that leads, or None.

        A shape that is being drawn goes first, then prompts that wait, one by one.
        """
        if self.stage.drawing.drop():
            return None
        if self.ids.held:
            self.ids.drop()
            self.put_back()
            self._show()
            self.tasks.rest(WAITS if self.ids.held else "")
            return None
        history = self.history
        step = history.last
        if step is None:
            self.state.status = "Nothing to undo."
            return None
        if self._refuses(step, step.before, "undo"):
            return None
        now = Moment(self.stage.snapshot(), self.state.object_id, self.notes.names)
        history.take_back(self.stage.labels, now)
        # A division that is stopped takes its own step back, if that is the last.
        self.tasks.runner.cancel("predict")
        if self.tasks.runner.abandon(step):
            history.withdraw([])  # it was done in part only, and would be again
        return self._arrive(step.before)

    def redo(self) -> Moment | None:
        """Do the step again that was taken back last; returns where that leads."""
        self.ids.settle()  # prompts that wait are newer: nothing comes after them
        history = self.history
        if not history.undone:
            self.state.status = "Nothing to do again."
            return None
        step = history.undone[-1]
        if self._refuses(step, step.after, "redo"):
            return None
        self.tasks.runner.cancel("predict")
        history.redo(self.stage.labels)
        return self._arrive(step.after)

    def _refuses(self, step: Step, there: Moment, move: str) -> bool:
        """Whether a locked object stands in the way; the user is told."""
        locked = self.notes.locked
        now = self.stage.snapshot() if locked else None
        found = self.history.locked_in(step) or _differing(now, there.prompts, locked)
        if found:
            name = self.notes.name(found)
            self.state.status = f"{name} is locked; unlock it to {move} this step."
        return bool(found)

    def _arrive(self, moment: Moment) -> Moment:
        if self.stage.labels is not None:
            _labels.refresh(self.stage.labels)
        if moment.prompts is not None:
            self.stage.restore(moment.prompts)
        self.notes.names = moment.names
        self.look()
        self._show()
        self.arrived.emit(moment)
        return moment

    def _on_labels(self, labels: Labels | None) -> None:
        share(labels, self.history)

    def _show(self) -> None:
        """Say what can be undone and done again."""
        text, redo_text = self.history.text, self.history.redo_text
        if self.ids.held:
            text, redo_text = "last prompt", ""
        self.state.update(undo_text=text, redo_text=redo_text)


def _differing(
    before: Snapshot | None, after: Snapshot | None, object_ids: Collection[int]
) -> int:
    """First of the objects whose prompts differ between two moments; 0 if none."""
    if before is None or after is None:
        return 0
    for object_id in sorted(object_ids):
        if not same_prompts(before, after, object_id):
            return object_id
    return 0
