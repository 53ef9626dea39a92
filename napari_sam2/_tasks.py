"""The plugin's background jobs: started, followed, and their results put in place."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_sam2 import _labels, _layers
from napari_sam2._glimpses import Choices
from napari_sam2._history import History, Step
from napari_sam2._jobs import Job, Runs, Stop
from napari_sam2._labels import Rules
from napari_sam2._ledger import count_labels
from napari_sam2._messages import (
    Choice,
    Found,
    Loaded,
    PlaneMasks,
    Relabelled,
    Say,
    Took,
)
from sam2_core.errors import Cancelled, Sam2Error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_sam2._engine import Engine
    from napari_sam2._images import LayerFrames
    from napari_sam2._ledger import Ledger, Place
    from napari_sam2._object_notes import ObjectNotes
    from napari_sam2._plan import Group
    from napari_sam2._prompts import Key, ObjectPrompts
    from napari_sam2._stage import Stage
    from napari_sam2._state import SegmentationState

COUNT_SECONDS = 0.05  # of counting labels, before other work has its turn


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
    """

    failed = Signal(Sam2Error)

    def __init__(
        self,
        state: SegmentationState,
        stage: Stage,
        runner: Runs,
        engine: Engine,
        notes: ObjectNotes,
    ) -> None:
        self.state = state
        self.notes = notes
        self.stage = stage
        self.runner = runner
        self.engine = engine
        self.history = History()

    @property
    def rules(self) -> Rules:
        """What may happen to labels that are there."""
        writing = self.state.writing
        return Rules(writing != "overwrite", writing == "empty", self.notes.locked)

    @property
    def choice(self) -> Choice:
        """Model and device as chosen."""
        return Choice(self.state.model, self.state.device)

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

    def predict(
        self,
        groups: Sequence[Group],
        step: Step | None,
        others: Mapping[Any, NDArray[Any]],
    ) -> None:
        """Masks for the prompts that changed, which do not enter ``others``."""
        choice = self.choice

        def work(stop: Stop) -> Iterator[Any]:
            for group in groups:
                yield from self.engine.predict(
                    choice, group.frames, group.prompts, group.changed, stop, others
                )

        self._submit("predict", work, step)

    def propagate(
        self,
        frames: LayerFrames,
        prompts: Mapping[Key, ObjectPrompts],
        span: tuple[int | None, int | None, str],
        total: int,
        step: Step,
    ) -> None:
        """Masks for the about ``total`` frames of ``span``: start, stop, direction."""
        choice = self.choice

        def work(stop: Stop) -> Iterator[Any]:
            return self.engine.propagate(choice, frames, prompts, *span, stop)

        self._submit("propagate", work, step, total=total)

    def relabel(
        self, places: Sequence[Place], table: dict[int, int], step: Step
    ) -> None:
        """Turn labels into others (0 erases) at these places."""
        labels = self.stage.labels
        if labels is None:
            return
        plane = (labels.ndim - 2, labels.ndim - 1)

        def work(stop: Stop) -> Iterator[Any]:
            for place in places:
                yield Relabelled(plane, place, table)

        self._submit("clear", work, step)

    def count(self, ledger: Ledger) -> None:
        """Find out where every label is, a few planes at a time."""
        labels = self.stage.labels
        ledger.clear()
        if labels is None:
            return
        data: Any = labels.data
        left = dict.fromkeys(np.ndindex(*data.shape[:-2]))

        def work(stop: Stop) -> Iterator[Any]:
            end = time.monotonic() + COUNT_SECONDS
            for place in list(left):
                yield place, count_labels(np.asarray(data[place]))
                if time.monotonic() > end:
                    return

        def on_item(item: tuple[Place, dict[int, int]]) -> None:
            place, counts = item
            left.pop(place, None)
            if place in ledger.touched:  # while it was being counted, perhaps
                counts = count_labels(np.asarray(data[place]))
            if labels is self.stage.labels:
                ledger.count(place, counts)

        def more(_: Sam2Error | None = None) -> None:
            if left and labels is self.stage.labels:
                self.runner.submit(Job("count", work, on_item, more))

        more()

    # -- the status ---------------------------------------------------------------

    def fail(self, error: Sam2Error) -> None:
        """Tell the user."""
        self.state.status = str(error)
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
    ) -> None:
        began = 0.0

        def on_start() -> None:
            nonlocal began
            began = time.monotonic()
            self.state.update(busy=kind, done=0, total=total, seconds_left=None)

        def on_item(item: Any) -> None:
            self._on_item(item, step)
            if kind == "propagate" and isinstance(item, PlaneMasks):
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

        self.runner.submit(Job(kind, work, on_item, on_end, on_start))

    def _on_item(self, item: Any, step: Step | None) -> None:
        if isinstance(item, Say):
            self.state.status = item.text
        elif isinstance(item, Found):
            self.state.update(devices=item.devices, missing=item.missing)
        elif isinstance(item, Loaded):
            self.state.device_used = item.device
        elif isinstance(item, Took):
            self.state.click_ms = item.milliseconds
        elif isinstance(item, Choices):
            self.state.update(
                choices=item, choice=item.best, glimpse_ms=item.milliseconds
            )
        elif isinstance(item, PlaneMasks | Relabelled):
            labels = self.stage.labels
            if labels is not None:
                if isinstance(item, PlaneMasks):
                    self.history.write(labels, item, step, self.rules)
                else:
                    done = _labels.relabel(
                        labels, item.plane, item.position, item.table
                    )
                    self.history.add(done, step)
                self.refresh(item.plane, item.position)
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
