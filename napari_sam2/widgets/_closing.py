"""What is to be done when a dock is gone, however it went."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QObject, QTimer

from napari_sam2.stage._sharing import leave

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtWidgets import QWidget

    from napari_sam2._controller import SegmentController
    from napari_sam2._jobs import JobRunner
    from napari_sam2.automatic._automatic import AutomaticController
    from napari_sam2.automatic._search import SearchEngine
    from napari_sam2.sessions._keeping import SessionKeeper


def when_gone(widget: QWidget, function: Callable[..., None], *args: Any) -> None:
    """Call a function once, as soon as a widget is of no use any more.

    A dock closed by its cross is taken out of the window, and Python may drop it much
    later; a closed window takes its widgets along while a script may still hold them.
    Background work that went on would write to what is not there any more.

    Parameters
    ----------
    widget : QWidget
        Whose end is awaited.
    function, args
        What to call; must not refer to the widget.
    """
    end = weakref.finalize(widget, function, *args)
    widget.destroyed.connect(end)
    widget.installEventFilter(_Watch(widget, end))


def close_automatic(
    runner: JobRunner, controller: AutomaticController, engine: SearchEngine
) -> None:
    """The dock is gone: stop working. The engine goes with the last job."""
    runner.close()
    if not runner.busy:
        engine.close()
    if not _window_is_gone(controller.viewer):
        controller.close()


def close_segment(
    runner: JobRunner,
    controller: SegmentController,
    keeper: SessionKeeper,
    *others: Any,
) -> None:
    """The dock is gone: stop working. The engine goes with the last job."""
    controller.tasks.close()
    keeper.finish()
    for other in others:
        other.close()
    if not runner.busy:
        controller.tasks.engine.close()
    if not _window_is_gone(controller.viewer):  # layers would draw on what is no more
        controller.steps.leave()
        leave(controller.stage, controller.history)
    keeper.close()


def _window_is_gone(viewer: Any) -> bool:
    """Whether Qt has deleted the window of a viewer that had one."""
    window = getattr(viewer, "window", None)
    if window is None:
        return False
    try:
        window._qt_window.isVisible()
    except (AttributeError, RuntimeError):  # napari has let go of it, or Qt has
        return True
    return False


class _Watch(QObject):
    """Notices that a widget was taken out of its window, and not put elsewhere."""

    def __init__(self, widget: QWidget, end: Callable[[], Any]) -> None:
        super().__init__(widget)
        self._end = end

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Look at it once it has had the time to find a new place."""
        if event.type() == QEvent.ParentChange and watched.parent() is None:
            QTimer.singleShot(0, self._check)
        return False

    def _check(self) -> None:
        widget = self.parent()
        if widget.parent() is None and not widget.isVisible():
            self._end()
