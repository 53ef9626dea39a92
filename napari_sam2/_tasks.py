"""The plugin's background jobs: started, followed, and their results put in place."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_sam2 import _labels, _layers, _replay
from napari_sam2._erasing import erase_at, erase_everywhere
from napari_sam2._history import History, Step
from napari_sam2._jobs import Job, Runs, Stop, Work
from napari_sam2._journal import Entry, count_written, watch
from napari_sam2._messages import Choice, Found, PlaneMasks, Say
from napari_sam2._remedies import remedies
from sam2_core.errors import Cancelled, CheckpointError, OutOfMemoryError, Sam2Error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from napari_sam2._engine import Engine
    from napari_sam2._following import Plan
    from napari_sam2._images import LayerFrames
    from napari_sam2._plan import Group
    from napari_sam2._prompts import Key, ObjectPrompts
    from napari_sam2._stage import Stage
    from napari_sam2._state import SegmentationState


class Tasks:
    """Turns what is to be done into jobs, and their results into labels and status.

    Parameters
    ----------
    state : SegmentationState
        Progress and status are written here.
    stage : Stage
        Holds the labels layer that receives the masks.
    runner : Runs
        Runs the jobs, on a thread of its own.
    engine : Engine
        Does the computing, on that thread.
    """

    failed = Signal(Sam2Error)
    ended = Signal(str)  # kind of a job that is over
    history_changed = Signal()
    remedies_found = Signal(list)  # of Remedy: the device ran out of memory

    def __init__(
        self, state: SegmentationState, stage: Stage, runner: Runs, engine: Engine
    ) -> None:
        self.state = state
        self.stage = stage
        self.runner = runner
        self.engine = engine
        self._history = History()

    @property
    def history(self) -> History:
        """What was written into the labels layer in use."""
        return self._history

    @history.setter
    def history(self, history: History) -> None:
        self._history = history
        self.history_changed.emit()

    @property
    def choice(self) -> Choice:
        """Model and device as chosen."""
        return Choice(self.state.model, self.state.device)

    def forget_prompts(self) -> None:
        """The prompts or the labels are gone: nothing can be undone any more.

        As long as the labels are there, so is what is known of them.
        """
        record = self.history.record if self.stage.labels is not None else None
        if record is not None:
            record.journal.forget()
        self.history = History(record)

    def check_model(self) -> None:
        """CheckpointError if the chosen model is not on this computer."""
        if self.state.model in self.state.missing:
            raise CheckpointError(
                f"{self.state.model} is not on this computer yet; download it first."
            )

    # -- the jobs -----------------------------------------------------------------

    def prepare(self, frames: LayerFrames | None) -> None:
        """Load the model, and encode ``frames`` if it is a single plane."""
        choice = self.choice

        def work(stop: Stop) -> Iterator[Any]:
            return self.engine.prepare(choice, frames, stop)

        self._submit("prepare", work)

    def download(self) -> None:
        """Fetch the chosen model on the user's request, then load it."""
        name = self.state.model

        def work(stop: Stop) -> Iterator[Any]:
            return self.engine.download(name, stop)

        self._submit("download", work, then=lambda: self.prepare(None))

    def predict(self, groups: Sequence[Group], step: Step | None) -> None:
        """Masks for the prompts that changed."""
        choice, keep = self.choice, self.state.keep_labels
        journal, entries = self.history.record.journal, list[Entry]()

        def begin() -> None:
            for g in groups:
                told = (choice, g.frames, g.prompts, g.changed, keep, step)
                entries.append(journal.predict(*told))

        def work(stop: Stop) -> Iterator[Any]:
            for entry, g in zip(entries, groups, strict=True):
                asked = self.engine.predict(
                    choice, g.frames, g.prompts, g.changed, stop
                )
                yield from watch(entry, self.engine, asked)

        self._submit("predict", work, step, begin=begin, entries=entries)

    def propagate(
        self,
        frames: LayerFrames,
        prompts: Mapping[Key, ObjectPrompts],
        plan: Plan,
        total: int,
        step: Step,
    ) -> None:
        """Masks for the about ``total`` frames of a plan."""
        choice, keep = self.choice, self.state.keep_labels
        journal, entries = self.history.record.journal, list[Entry]()

        def begin() -> None:
            told = (choice, frames, prompts, plan, keep, step)
            entries.append(journal.propagate(*told))

        def work(stop: Stop) -> Iterator[Any]:
            asked = self.engine.propagate(choice, frames, prompts, plan, stop)
            return watch(entries[0], self.engine, asked)

        self._submit("propagate", work, step, total=total, begin=begin, entries=entries)

    def clear(self, plane: tuple[int, int], object_id: int, step: Step) -> None:
        """Erase an object from every plane of the labels."""
        labels = self.stage.labels
        if labels is None:
            return
        self.history.record.clear(object_id, plane, step)
        self._submit(
            "clear", lambda stop: erase_everywhere(labels, plane, object_id), step
        )

    def erase(
        self,
        plane: tuple[int, int],
        positions: Sequence[tuple[int, ...]],
        object_id: int,
        step: Step,
    ) -> None:
        """Erase an object from some planes of the labels."""
        labels = self.stage.labels
        if labels is None or not positions:
            return
        shape = tuple(labels.data.shape)
        self.history.record.journal.erase(object_id, plane, positions, step)
        self._submit(
            "clear", lambda stop: erase_at(shape, plane, positions, object_id), step
        )

    def rewrite(self, work: Work, step: Step) -> None:
        """Masks that come from the labels themselves."""
        self._submit("clear", work, step)

    def replay(self, history: History, data: Any, then: Callable[[], None]) -> None:
        """Make the labels of a history that was just read from a session file."""
        journal = history.record.journal
        self.history = history

        def work(stop: Stop) -> Iterator[Any]:
            return _replay.rerun(journal, data, self.engine, stop)

        total = _replay.planes_of(journal)
        self._submit("restore", work, then=then, total=total)

    # -- the status ---------------------------------------------------------------

    def fail(self, error: Sam2Error) -> None:
        """Tell the user."""
        self.state.status = str(error)
        if isinstance(error, OutOfMemoryError):
            choice = self.state.model, self.state.device, self.state.missing
            self.remedies_found.emit(remedies(*choice))
        self.failed.emit(error)

    def rest(self, text: str = "") -> None:
        """Say what to do next, unless something is going on."""
        if not self.state.busy:
            self.state.status = text or self._advice()

    def _advice(self) -> str:
        state, image = self.state, self.stage.image
        if image is None:
            return "Open an image, or a sample from File > Open Sample."
        if state.model in state.missing:
            return f"{state.model} has to be downloaded before it can be used."
        if state.object_id < 1:
            return "Label 0 is the background; choose another label."
        try:
            _layers.current_view(self.stage.viewer, image)
        except Sam2Error as error:
            return str(error)
        number = self.stage.count_prompts(state.object_id)
        if number == 0:
            return f"Click on object {state.object_id} in the image."
        return f"Object {state.object_id}: {number} prompt{'s' if number > 1 else ''}."

    # -- following a job ----------------------------------------------------------

    def _submit(
        self,
        kind: str,
        work: Callable[[Stop], Iterator[Any]],
        step: Step | None = None,
        then: Callable[[], None] | None = None,
        total: int = 0,
        begin: Callable[[], None] = lambda: None,
        entries: Sequence[Entry] = (),
    ) -> None:
        began = 0.0

        def on_start() -> None:
            nonlocal began
            began = time.monotonic()
            begin()
            self.state.update(busy=kind, done=0, total=total, seconds_left=None)

        def on_item(item: Any) -> None:
            self._on_item(item, step)
            if isinstance(item, PlaneMasks):
                count_written(entries)
            if total and isinstance(item, (PlaneMasks, _replay.Redo)):
                done = min(self.state.done + 1, total)
                left = (time.monotonic() - began) / done * (total - done)
                self.state.update(done=done, seconds_left=left)

        def on_end(error: Sam2Error | None) -> None:
            done, seconds = self.state.done, time.monotonic() - began
            self.state.update(busy="", done=0, total=0, seconds_left=None)
            if self.stage.labels is not None and kind != "prepare":
                self.stage.labels.refresh(extent=False, highlight=False)
            if isinstance(error, Cancelled):
                self.rest("Stopped; what is done stays." if done else "")
            elif error is not None:
                self.fail(error)
            else:
                propagated = kind == "propagate" and done
                self.rest(f"{done} frames in {seconds:.1f} s." if propagated else "")
                if then is not None:
                    then()
            self.ended.emit(kind)

        self.runner.submit(Job(kind, work, on_item, on_end, on_start))

    def _on_item(self, item: Any, step: Step | None) -> None:
        if isinstance(item, Say):
            self.state.status = item.text
        elif isinstance(item, Found):
            self.state.update(devices=item.devices, missing=item.missing)
        elif isinstance(item, PlaneMasks):
            labels, keep = self.stage.labels, self.state.keep_labels
            if labels is not None:
                self.history.write(labels, item, step, keep)
                self.history.record.note(item, step)
                self.refresh(item.plane, item.position)
        elif isinstance(item, _replay.Redo):
            if self.stage.labels is not None:
                _replay.apply(item, self.stage.labels, self.history)
                if item.masks is not None:
                    self.refresh(item.masks.plane, item.masks.position)
        else:  # bytes of a download
            done, total = (round(number / 1e6) for number in item)
            self.state.update(total=max(1, total), done=done)
            self.state.status = f"Downloading {self.state.model}: {done} of {total} MB"

    def refresh(self, plane: tuple[int, int], position: tuple[int, ...]) -> None:
        """Redraw the labels if this plane is on display."""
        labels, image = self.stage.labels, self.stage.image
        if labels is None or image is None:
            return
        try:
            view = _layers.current_view(self.stage.viewer, image)
        except Sam2Error:  # 3D display shows every frame
            _labels.refresh(labels)
            return
        if plane != view.plane or position == view.position:
            _labels.refresh(labels)
