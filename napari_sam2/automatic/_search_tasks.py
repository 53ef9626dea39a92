"""The Automatic dock's background jobs: started, followed, and told about."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_sam2._jobs import Job
from napari_sam2.asking._messages import Choice, Found, Say
from napari_sam2.asking._remedies import TO_DOWNLOAD
from napari_sam2.automatic._search import Candidates, Progress
from sam2_core.errors import Cancelled, Sam2Error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_sam2._automatic_state import AutomaticState
    from napari_sam2._images import LayerFrames
    from napari_sam2._jobs import Runs, Stop
    from napari_sam2.automatic._search import SearchEngine, SearchOptions


class SearchTasks:
    """Turns what is to be done into jobs; progress and status go into the state.

    Parameters
    ----------
    state : AutomaticState
        Says which model and device, and shows how far the work is.
    runner : Runs
        Runs the jobs, on a thread of its own.
    engine : SearchEngine
        Does the computing, on that thread.
    """

    failed = Signal(Sam2Error)

    def __init__(
        self, state: AutomaticState, runner: Runs, engine: SearchEngine
    ) -> None:
        self.state = state
        self.runner = runner
        self.engine = engine

    # -- the jobs -----------------------------------------------------------------

    def survey(self) -> None:
        """Find out in the background which devices and models there are."""
        self._submit("prepare", lambda stop: self.engine.survey())

    def download(self) -> None:
        """Fetch the chosen model on the user's request."""
        name = self.state.model
        self._submit("download", lambda stop: self.engine.download(name, stop))

    def search(
        self,
        frames: LayerFrames,
        options: SearchOptions,
        found: Callable[[Candidates], str],
    ) -> None:
        """Look for everything in a plane.

        ``found`` is called with the candidates and returns what is to be said about
        them.
        """
        choice = Choice(self.state.model, self.state.device)
        self.runner.cancel("search")

        def work(stop: Stop) -> Iterator[Any]:
            return self.engine.search(choice, frames, options, stop)

        self._submit("search", work, found)

    # -- the status ---------------------------------------------------------------

    def rest(self, text: str = "") -> None:
        """Say what to do next, unless something is going on."""
        if not self.state.busy:
            self.state.status = text or self._advice()

    def fail(self, error: Sam2Error) -> None:
        """Tell the user."""
        self.state.status = str(error)
        self.failed.emit(error)

    def _advice(self) -> str:
        state = self.state
        if state.image is None:
            return "Open an image, or a sample from File > Open Sample."
        if state.model in state.missing:
            return TO_DOWNLOAD.format(state.model)
        if not state.searched:
            return "Find objects, then choose among them with the sliders."
        if not state.found:
            return "Nothing was found; try more points or another part of the image."
        return "Move the sliders until the preview is right, then add to the labels."

    # -- following a job ----------------------------------------------------------

    def _submit(
        self,
        kind: str,
        work: Callable[[Stop], Iterator[Any]],
        found: Callable[[Candidates], str] | None = None,
    ) -> None:
        began, remark = 0.0, ""
        first: tuple[int, float] | None = None

        def on_start() -> None:
            nonlocal began
            began = time.monotonic()
            self.state.update(busy=kind, done=0, total=0, seconds_left=None)

        def on_item(item: Any) -> None:
            nonlocal first, remark
            if isinstance(item, Progress):
                first = first or (item.done, time.monotonic())
                self._advance(item, *first)
            elif isinstance(item, Candidates) and found is not None:
                remark = found(item)
            else:
                self._on_item(item)

        def on_end(error: Sam2Error | None) -> None:
            seconds = time.monotonic() - began
            self.state.update(busy="", done=0, total=0, seconds_left=None)
            if isinstance(error, Cancelled):
                self.rest("Stopped." if kind == "search" else "")
            elif error is not None:
                self.fail(error)
            elif kind == "search" and self.state.found:
                self.rest(f"{remark} ({seconds:.1f} s)")
            else:
                self.rest()

        self.runner.submit(Job(kind, work, on_item, on_end, on_start))

    def _advance(self, item: Progress, done_first: int, began: float) -> None:
        left = None
        if item.done > done_first:
            pace = (time.monotonic() - began) / (item.done - done_first)
            left = pace * (item.total - item.done)
        self.state.update(total=item.total, done=item.done, seconds_left=left)

    def _on_item(self, item: Any) -> None:
        if isinstance(item, Say):
            self.state.status = item.text
        elif isinstance(item, Found):
            self.state.update(devices=item.devices, missing=item.missing)
        elif isinstance(item, tuple):  # bytes of a download
            done, total = (round(number / 1e6) for number in item)
            self.state.update(total=max(1, total), done=done)
            self.state.status = f"Downloading {self.state.model}: {done} of {total} MB"
