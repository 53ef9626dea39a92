"""Runs the iterator of a job on another thread, its results on the GUI thread."""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from napari.qt.threading import create_worker
from qtpy.QtCore import QTimer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DRAWN_MS = 12  # until the window has drawn what came last
# Drawing a canvas takes hundreds of calls of OpenGL, each of which gives Python's lock
# away. A worker that computes in Python keeps it for so many seconds then.
TURN = 0.001
NICE, LAST = 10, 19  # how far long jobs step back where cores are few, and the end
_END = object()


def step_back() -> None:
    """Let the window have a core first, where threads have priorities (Linux).

    It cannot be taken back. The threads that torch starts from this one do the same.
    """
    if sys.platform == "linux":
        thread = os.PRIO_PROCESS, threading.get_native_id()
        os.setpriority(*thread, min(os.getpriority(*thread) + NICE, LAST))


# Of our own, since threads of Qt's pool serve others afterwards.
_behind = ThreadPoolExecutor(thread_name_prefix="sam2", initializer=step_back)


def run_in_thread(
    iterator: Iterator[Any],
    on_item: Callable[[Any], None],
    on_exhausted: Callable[[], None],
    awaited: bool,
) -> None:
    """Start function for :class:`napari_sam2._jobs.JobRunner`.

    Parameters
    ----------
    iterator : iterator
        Consumed in a worker thread; must not raise.
    on_item : callable
        Called with each item on the GUI thread, in order.
    on_exhausted : callable
        Called on the GUI thread when the worker is gone, and the last result drawn:
        what is done at the end of a job need not hold up the mask of a click.
    awaited : bool
        Whether somebody waits for it. What nobody does lets the window go first.
    """
    handed = 0

    def passed_on() -> Iterator[Any]:
        nonlocal handed
        for item in iterator if awaited else _from_behind(iterator):
            handed += 1
            yield item

    def on_finished() -> None:
        # The last item only says how it ended.
        QTimer.singleShot(DRAWN_MS if handed > 1 else 0, on_exhausted)

    sys.setswitchinterval(min(TURN, sys.getswitchinterval()))
    worker = create_worker(passed_on, _ignore_errors=True)
    worker.yielded.connect(on_item)
    worker.finished.connect(on_finished)
    worker.start()


def _from_behind(iterator: Iterator[Any]) -> Iterator[Any]:
    """The same items, made on a thread that has stepped back.

    napari knows the worker that waits here, and asks it to quit when the window closes.
    """
    items: SimpleQueue[Any] = SimpleQueue()
    unwanted = threading.Event()
    _behind.submit(_consume, iterator, items, unwanted)
    try:
        while (item := items.get()) is not _END:
            yield item
    finally:
        unwanted.set()


def _consume(
    iterator: Iterator[Any], items: SimpleQueue[Any], unwanted: threading.Event
) -> None:
    try:
        for item in iterator:
            items.put(item)
            if unwanted.is_set():
                break
    finally:
        items.put(_END)
