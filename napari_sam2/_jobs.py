"""Background work: one job at a time, newest preview wins, errors as sentences."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeAlias

from sam2_core.errors import (
    Cancelled,
    InferenceError,
    OutOfMemoryError,
    Sam2Error,
)

log = logging.getLogger(__name__)

Stop: TypeAlias = Callable[[], bool]
Work: TypeAlias = Callable[[Stop], Iterator[Any]]


ASKING = ("predict", "propagate")  # the model, about the prompts of the labels in use
LEFT = (*ASKING, "restore")  # stopped when others are next
QUEUED = ("clear", "divide")  # each of these jobs counts, and needs no model
KEPT = ("clear",)  # a stop does not mean these; doing a part of them twice is no harm
WRITING = (*LEFT, "copy", *QUEUED)  # in this order only
AWAITED = ("predict", "hover")  # these answer the mouse


@dataclass(eq=False)
class Job:
    """A piece of work and what happens with its results.

    Attributes
    ----------
    kind : str
        "predict", "propagate", "download" or "prepare". A waiting job gives way to a
        newer one of the same kind, except for those in :data:`QUEUED`.
    step : object
        What the user did that this is a part of, None for nothing.
    work : callable
        Called in the worker with a function that says whether to stop; its iterator's
        items are handed to ``on_item``, in order.
    on_item, on_end, on_start : callables
        Called on the GUI thread. ``on_end`` gets None, or the error that ended the job
        (:class:`sam2_core.errors.Cancelled` if it was stopped).
    """

    kind: str
    work: Work
    on_item: Callable[[Any], None]
    on_end: Callable[[Sam2Error | None], None]
    on_start: Callable[[], None] = lambda: None
    step: Any = None
    stopped: threading.Event = field(default_factory=threading.Event)
    ended: tuple[Sam2Error | None, bool] = (None, False)


Start: TypeAlias = Callable[
    [Iterator[Any], Callable[[Any], None], Callable[[], None], bool], None
]


class Runs(Protocol):
    """What the controller needs of a runner."""

    @property
    def busy(self) -> bool:
        """Whether anything is running or waiting."""

    def awaits(self, kind: str) -> bool:
        """Whether a job of this kind waits, or is running and not told to stop."""

    def submit(self, job: Job) -> None:
        """Run a job, now or as soon as the running one has ended."""

    def cancel(self, *kinds: str) -> None:
        """Stop the running job and drop the waiting ones, if of these kinds.

        Without kinds, all but those in :data:`KEPT`.
        """

    def abandon(self, step: Any) -> bool:
        """Stop the jobs of a step; returns whether one in :data:`QUEUED` was among."""

    def finish(self) -> None:
        """Do what is in :data:`KEPT` at once, unless others have to come first."""

    def close(self) -> None:
        """Stop and accept nothing more; what needs no model is done, nobody is told."""


@dataclass(frozen=True)
class _End:
    """Last item of every worker: how the job ended."""

    error: Sam2Error | None


def guarded(job: Job) -> Iterator[Any]:
    """Iterate over a job's work; the last item says how it ended, nothing is raised.

    Qt's generator workers swallow every RuntimeError, torch's among them, so no
    exception may leave the generator.
    """
    try:
        for item in job.work(job.stopped.is_set):
            if job.stopped.is_set():
                break
            yield item
        yield _End(Cancelled("Stopped.") if job.stopped.is_set() else None)
    except Sam2Error as error:
        yield _End(error)
    except MemoryError:
        yield _End(OutOfMemoryError("Out of memory; try a smaller model or image."))
    except Exception as error:
        log.exception("A %s job failed", job.kind)
        yield _End(describe(error))


def describe(error: Exception) -> InferenceError:
    """One sentence for an error that is not ours."""
    lines = str(error).strip().splitlines()
    reason = lines[0].rstrip(".") if lines else type(error).__name__
    if "out of memory" in reason.lower():
        return OutOfMemoryError(
            "The device ran out of memory: use a lower preset, a smaller model or "
            "the CPU."
        )
    return InferenceError(f"The model could not run: {reason}.")


class JobRunner:
    """Runs jobs one after the other on a thread that ``start`` provides.

    Parameters
    ----------
    start : callable
        ``start(iterator, on_item, on_exhausted, awaited)`` consumes the iterator on
        another thread and calls the two functions on the GUI thread. What is not
        ``awaited`` may take its time.
    """

    def __init__(self, start: Start) -> None:
        self._start = start
        self._running: Job | None = None
        self._waiting: list[Job] = []
        self._closed = False

    @property
    def busy(self) -> bool:
        """Whether anything is running or waiting."""
        return self._running is not None or bool(self._waiting)

    def awaits(self, kind: str) -> bool:
        """Whether a job of this kind waits, or is running and not told to stop."""
        running = self._running
        going = [] if running is None or running.stopped.is_set() else [running]
        return any(job.kind == kind for job in (*self._waiting, *going))

    def submit(self, job: Job) -> None:
        """Run a job, now or as soon as the running one has ended.

        A waiting job of the same kind is dropped, a running one of kind "predict" is
        asked to stop: its answer is out of date. So is one of kind "identify", which
        can wait.
        """
        if self._closed:
            return
        replaced = []
        if job.kind not in QUEUED:
            replaced = [other for other in self._waiting if other.kind == job.kind]
        self._waiting = [other for other in self._waiting if other not in replaced]
        self._waiting.append(job)
        running = "" if self._running is None else self._running.kind
        outdated = job.kind == "predict" and running in AWAITED
        if self._running and (outdated or (running == "identify" != job.kind)):
            self._running.stopped.set()
        for other in replaced:
            if other.kind == "propagate":  # it has begun a step
                other.on_end(Cancelled("Stopped."))
        self._next()

    def cancel(self, *kinds: str) -> None:
        """Stop the running job and drop the waiting ones, if of these kinds.

        Without kinds, all but those in :data:`KEPT`.
        """
        self._stop(lambda job: job.kind in kinds if kinds else job.kind not in KEPT)

    def abandon(self, step: Any) -> bool:
        """Stop the jobs of a step; returns whether one in :data:`QUEUED` was among."""
        stopped = self._stop(lambda job: job.step is step)
        return any(job.kind in QUEUED for job in stopped)

    def finish(self) -> None:
        """Do what is in :data:`KEPT` at once, unless others have to come first."""
        for job in self._due(KEPT):
            self._do(job)
            if job is self._running:
                job.ended = None, True
            else:
                job.on_end(None)

    def close(self) -> None:
        """Stop and accept nothing more; what needs no model is done, nobody is told."""
        if self._running and self._running.kind not in QUEUED:
            self._running.stopped.set()
        for job in self._due(QUEUED):
            self._do(job)
        self._closed = True
        self._waiting.clear()
        if self._running:
            self._running.stopped.set()

    def _stop(self, which: Callable[[Job], bool]) -> list[Job]:
        """Stop the running job and drop the waiting ones that are meant."""
        dropped = [job for job in self._waiting if which(job)]
        self._waiting = [job for job in self._waiting if job not in dropped]
        for job in dropped:
            job.on_end(Cancelled("Stopped."))
        running = self._running
        if running is None or running.ended[1] or not which(running):
            return dropped
        running.stopped.set()
        return [*dropped, running]

    def _due(self, kinds: tuple[str, ...]) -> Iterator[Job]:
        """The jobs of these kinds that nothing has to come before, taken out."""
        running = self._running
        if running and running.kind in WRITING and not running.stopped.is_set():
            if running.kind not in kinds:
                return
            if not running.ended[1]:
                yield running
        for job in list(self._waiting):
            if job.kind in kinds:
                self._waiting.remove(job)
                yield job
            elif job.kind in WRITING:
                return

    def _do(self, job: Job) -> None:
        """Do all of a job here; of one that runs, what it has not done yet."""
        if job is not self._running:
            job.on_start()
        for item in job.work(lambda: False):
            job.on_item(item)

    def _next(self) -> None:
        if self._running or not self._waiting:
            return
        job = self._running = self._waiting.pop(0)
        job.on_start()
        self._start(
            guarded(job),
            partial(self._item, job),
            partial(self._exhausted, job),
            job.kind in AWAITED,
        )

    def _item(self, job: Job, item: Any) -> None:
        if self._closed or job is not self._running or job.ended[1]:
            return
        if isinstance(item, _End):
            job.ended = item.error, True
        elif not job.stopped.is_set():
            job.on_item(item)

    def _exhausted(self, job: Job) -> None:
        """The thread is done; without a last word if the window is closing."""
        if self._closed or job is not self._running:
            return
        error, said = job.ended
        self._finish(job, error if said else Cancelled("Stopped."))

    def _finish(self, job: Job, error: Sam2Error | None) -> None:
        self._running = None
        try:
            job.on_end(error)
        finally:
            self._next()


def run_inline(
    iterator: Iterator[Any],
    on_item: Callable[[Any], None],
    on_exhausted: Callable[[], None],
    awaited: bool = True,
) -> None:
    """Start function for :class:`JobRunner` that does the work at once, here."""
    for item in iterator:
        on_item(item)
    on_exhausted()
