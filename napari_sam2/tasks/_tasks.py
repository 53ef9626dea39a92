"""The plugin's background jobs: started, followed, and their results put in place."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_sam2 import _labels, _layers
from napari_sam2._jobs import ASKING, Job, Runs, Stop
from napari_sam2._settings import usable
from napari_sam2.asking._glimpses import Choices
from napari_sam2.asking._messages import (
    Choice,
    Found,
    Loaded,
    Passed,
    PlaneMasks,
    Relabelled,
    Say,
    Took,
)
from napari_sam2.asking._remedies import TO_DOWNLOAD, remedies
from napari_sam2.history import _replay
from napari_sam2.history._entry import Entry, count_written, watch
from napari_sam2.history._history import History, Step
from napari_sam2.stage._advice import advice
from napari_sam2.tasks._shortfall import shortfall
from napari_sam2.tasks._starts import shown
from sam2_core.errors import Cancelled, CheckpointError, OutOfMemoryError, Sam2Error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_sam2._images import LayerFrames
    from napari_sam2._masks import PackedMask
    from napari_sam2._prompts import Key, ObjectPrompts
    from napari_sam2._state import SegmentationState
    from napari_sam2.engine._engine import Engine
    from napari_sam2.following._following import Plan
    from napari_sam2.history._ledger import Ledger
    from napari_sam2.history._object_notes import ObjectNotes
    from napari_sam2.history._plan import Group
    from napari_sam2.stage._stage import Stage

LATER = {"propagate": "the propagation is done", "restore": "the session is restored"}
LONG = ("propagate", "restore", "copy", "divide", "tracks")  # kinds of jobs
IDLE = "No prompt leads into that range; change it, the direction or the marks."


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
    notes : ObjectNotes
        Says which objects are locked.
    ledger : Ledger
        Counts the labels.
    """

    failed = Signal(Sam2Error)
    awaited = Signal(bool)  # whether the mask of a prompt is about to come
    asking = Signal()  # prompts are to be answered next
    downloaded = Signal()
    ended = Signal(str)  # kind of a job that is over
    history_changed = Signal()
    remedies_found = Signal(list)  # of Remedy: the device ran out of memory

    def __init__(
        self,
        state: SegmentationState,
        stage: Stage,
        runner: Runs,
        engine: Engine,
        notes: ObjectNotes,
        ledger: Ledger,
    ) -> None:
        self.state = state
        self.notes = notes
        self.ledger = ledger
        self.stage = stage
        self.runner = runner
        self.engine = engine
        self._history = History()
        self._unfinished: list[Callable[[], None]] = []  # sessions that are restored
        self._advised = ""
        state.events.tool.connect(self.renew)
        stage.drawing.changed.connect(self.rest)

    @property
    def history(self) -> History:
        """What was written into the labels layer in use."""
        return self._history

    @history.setter
    def history(self, history: History) -> None:
        self._history = history
        self.history_changed.emit()

    @property
    def rules(self) -> _labels.Rules:
        """What may happen to labels that are there."""
        state = self.state
        return _labels.Rules.chosen(state.writing, state.neighbours, self.notes.locked)

    @property
    def choice(self) -> Choice:
        """Model, device and preset as chosen."""
        state = self.state
        return Choice(state.model, state.device, usable(state.model, state.preset))

    def without_prompts(self) -> History:
        """A history to go on with when prompts or labels are gone: nothing to undo.

        As long as the labels are there, so is what is known of them.
        """
        record = self.history.record if self.stage.labels is not None else None
        if record is not None:
            record.journal.forget()
        return History(record)

    def check_model(self) -> None:
        """CheckpointError if the chosen model is not on this computer."""
        if self.state.model in self.state.missing:
            raise CheckpointError(TO_DOWNLOAD.format(self.state.model))

    # -- the jobs -----------------------------------------------------------------

    def prepare(self, frames: LayerFrames | None) -> None:
        """Load the model, and encode ``frames`` if it is a single plane."""
        choice, ahead = self.choice, self.engine.prepare
        self.submit("prepare", lambda stop: ahead(choice, frames, stop))

    def download(self) -> None:
        """Fetch the chosen model on the user's request."""
        name, fetch, then = self.state.model, self.engine.download, self.downloaded.emit
        self.submit("download", lambda stop: fetch(name, stop), then=then)

    def predict(
        self,
        groups: Sequence[Group],
        step: Step | None,
        others: Mapping[Any, NDArray[Any]],
    ) -> None:
        """Masks for the prompts that changed, which do not enter ``others``."""
        told = [(self.choice, g.frames, g.prompts, g.changed) for g in groups]
        journal, entries = self.history.record.journal, list[Entry]()
        before: list[Mapping[Key, PackedMask]] = []

        def begin() -> None:
            for g in told:
                known = shown(self.stage.labels, self.history, g[1], g[2])
                before.append(known)
                entries.append(journal.predict(*g, others, step, known))

        def work(stop: Stop) -> Iterator[Any]:
            for entry, g, known in zip(entries, told, before, strict=True):
                asked = self.engine.predict(*g, stop, others, known)
                yield from watch(entry, self.engine, asked, stop)

        self.awaited.emit(True)
        self.asking.emit()
        self.submit("predict", work, step, begin=begin, entries=entries)
        if (busy := self.state.busy) in LATER and self.runner.awaits(busy):
            self.state.status = (
                f"Your prompt is answered once {LATER[busy]}; Esc stops that."
            )

    def propagate(
        self,
        frames: LayerFrames,
        prompts: Mapping[Key, ObjectPrompts],
        plan: Plan,
        total: int,
        step: Step,
    ) -> None:
        """Masks for the about ``total`` frames of a plan."""
        journal, entries = self.history.record.journal, list[Entry]()
        told = self.choice, frames, prompts, plan
        before: dict[Key, PackedMask] = {}

        def begin() -> None:
            known = shown(self.stage.labels, self.history, frames, prompts)
            before.update(known)
            entries.append(journal.propagate(*told, step, before))

        def work(stop: Stop) -> Iterator[Any]:
            asked = self.engine.propagate(*told, stop, before)
            return watch(entries[0], self.engine, asked, stop)

        self.submit("propagate", work, step, total=total, begin=begin, entries=entries)

    def replay(
        self,
        data: Any,
        repeat: _replay.Repeat,
        then: Callable[[], None],
        failed: Callable[[Sam2Error], None],
    ) -> None:
        """Make the labels of a history that was just read from a session file."""
        labels, history, journal = self.stage.labels, self.history, repeat.journal

        def work(stop: Stop) -> Iterator[Any]:
            return _replay.rerun(journal, data, self.engine, stop, repeat=repeat)

        def halt() -> None:
            repeat.stop(labels, self._current(history))

        def finished() -> None:
            if repeat.taken < repeat.given:  # stopped when all was made
                stopped(Cancelled("Stopped."))
                return
            self._unfinished.remove(halt)
            then()

        def stopped(error: Sam2Error) -> None:
            self._unfinished.remove(halt)
            halt()
            if labels is not None:
                _labels.refresh(labels)
            failed(error)

        self._unfinished.append(halt)
        total = _replay.planes_of(journal)
        self.submit("restore", work, then=finished, total=total, failed=stopped)

    def stop(self) -> None:
        """Stop what the model does; prompts that wait for that are answered now."""
        self.runner.cancel(*LONG if self.state.busy in LATER else ())

    def close(self) -> None:
        """Nobody looks any more: stop, when deletions that wait are done."""
        events, review = self.state.events, self.history.record.review
        with ExitStack() as quiet:
            for each in (self.history.patched, review.measured, review.reset, events):
                quiet.enter_context(each.blocked())
            self.runner.close()
            for halt in self._unfinished:
                halt()

    # -- the status ---------------------------------------------------------------

    def fail(self, error: Sam2Error) -> None:
        """Tell the user."""
        self.state.status = str(error)
        if isinstance(error, OutOfMemoryError):
            following = self.state.axis is not None
            offered = remedies(self.choice, self.state.missing, following)
            self.remedies_found.emit(offered)
        self.failed.emit(error)

    def rest(self, text: str = "") -> None:
        """Say what to do next, unless something is going on."""
        if not self.state.busy:
            known = self.stage.image is not None
            given = self.state, self.stage, self.ledger, self.history, self.notes
            self._advised = advice(*given)
            self.state.status = (known and text) or self._advised

    def renew(self, *_: Any) -> None:
        """Say anew what to do next, if nothing else has been said since."""
        if self.state.status == self._advised:
            self.rest()

    # -- following a job ----------------------------------------------------------

    def submit(
        self,
        kind: str,
        work: Callable[[Stop], Iterator[Any]],
        step: Step | None = None,
        then: Callable[[], None] = lambda: None,
        total: int = 0,
        begin: Callable[[], None] = lambda: None,
        entries: Sequence[Entry] = (),
        failed: Callable[[Sam2Error], None] = lambda _: None,
    ) -> None:
        """Run a job; ``then`` is called if it comes to its end, else ``failed``.

        It writes into the labels in use now, also if others are when results come.
        """
        began, asks, short = 0.0, kind in ASKING, ""
        labels, history = self.stage.labels, self.history

        def on_start() -> None:
            nonlocal began
            began = time.monotonic()
            begin()
            self.state.update(busy=kind, done=0, total=total, seconds_left=None)

        def on_item(item: Any) -> None:
            nonlocal short
            # What the user erases or divides goes; masks of the model are careful.
            rules = self.rules if asks else _labels.Rules()
            rules = replace(rules, parts=kind == "propagate" and rules.keep_others)
            self._on_item(item, step, rules, labels, history)
            if isinstance(item, PlaneMasks | Relabelled):
                count_written(entries, rules)
            if kind == "predict" and isinstance(item, PlaneMasks) and not short:
                short = shortfall(labels, item, self.notes, self.state, history.written)
            counted = isinstance(item, PlaneMasks | Passed | _replay.Redo)
            if counted and (total or kind == "propagate"):
                done = self.state.done + (not total or self.state.done < total)
                left = (time.monotonic() - began) / done * (total - done)
                self.state.update(done=done, seconds_left=left if total else None)

        def on_end(error: Sam2Error | None) -> None:
            done, seconds = 0, time.monotonic() - began
            if began:  # else it has only waited, perhaps for another that goes on
                done = self.state.done
                self.state.update(busy="", done=0, total=0, seconds_left=None)
                if labels is not None and kind != "prepare":
                    labels.refresh(extent=False, highlight=False)
            stays = done and (step is None or step in history.steps)
            if step is not None and kind == "propagate":
                history.drop_empty(step)
            if isinstance(error, Cancelled):
                self.rest("Stopped; what is done stays." if stays else "")
            elif error is not None:
                self.fail(error)
            else:
                said = f"{done} frames in {seconds:.1f} s." if done else IDLE
                self.rest(said if kind == "propagate" and (done or total) else short)
                then()
            if error is not None:
                failed(error)
            self.ended.emit(kind)

        self.runner.submit(Job(kind, work, on_item, on_end, on_start, step))

    def _on_item(
        self,
        item: Any,
        step: Step | None,
        rules: _labels.Rules,
        labels: Labels | None,
        history: History,
    ) -> None:
        history = self._current(history)
        if isinstance(item, Say):
            self.state.status = item.text
        elif isinstance(item, Found):
            self.state.update(devices=item.devices, missing=item.missing)
        elif isinstance(item, Loaded):
            self.state.update(device_used=item.device, glimpse_ms=item.glimpse_ms)
            self.state.close_ups[item.model] = item.closeups
        elif isinstance(item, Took):
            self.state.update(click_ms=item.milliseconds, looked=item.looked)
        elif isinstance(item, Choices):
            self.state.update(
                choices=item, choice=item.best, glimpse_ms=item.milliseconds
            )
        elif isinstance(item, PlaneMasks | Relabelled):
            if labels is not None:
                if isinstance(item, PlaneMasks):
                    news = history.write(labels, item, step, rules)
                    if news and self.state.busy == "propagate":
                        history.record.doubt(item.plane, item.position, step)
                else:
                    history.relabel(labels, item, step)
                if labels is self.stage.labels:
                    self.refresh(item.plane, item.position)
        elif isinstance(item, _replay.Redo):
            if labels is not None:
                _replay.apply(item, labels, history)
                if item.masks is not None and labels is self.stage.labels:
                    self.refresh(item.masks.plane, item.masks.position)
        elif not isinstance(item, Passed):  # bytes of a download
            done, total = (round(number / 1e6) for number in item)
            self.state.update(total=max(1, total), done=done)
            self.state.status = f"Downloading {self.state.model}: {done} of {total} MB"

    def _current(self, history: History) -> History:
        """What has taken its place: its prompts may have gone meanwhile."""
        return self.history if self.history.record is history.record else history

    def refresh(self, plane: tuple[int, int], position: tuple[int, ...]) -> None:
        """Redraw the labels if this plane is on display."""
        labels, image = self.stage.labels, self.stage.image
        if labels is None or image is None:
            return
        if not _layers.hidden(self.stage.viewer, image, plane, position):
            _labels.refresh(labels)
