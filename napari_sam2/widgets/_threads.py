"""Runs the iterator of a job on a thread of Qt's pool, results on the GUI thread."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from napari.qt.threading import create_worker
from qtpy.QtCore import QTimer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DRAWN_MS = 12  # until the window has drawn what came last
# Drawing a canvas takes hundreds of calls of OpenGL, each of which gives Python's lock
# away. A worker that computes in Python keeps it for so many seconds then.
TURN = 0.001


def run_in_thread(
    iterator: Iterator[Any],
    on_item: Callable[[Any], None],
    on_exhausted: Callable[[], None],
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
    """
    handed = 0

    def consume() -> Iterator[Any]:
        nonlocal handed
        for item in iterator:
            handed += 1
            yield item

    def on_finished() -> None:
        # The last item only says how it ended.
        QTimer.singleShot(DRAWN_MS if handed > 1 else 0, on_exhausted)

    sys.setswitchinterval(min(TURN, sys.getswitchinterval()))
    worker = create_worker(consume, _ignore_errors=True)
    worker.yielded.connect(on_item)
    worker.finished.connect(on_finished)
    worker.start()
