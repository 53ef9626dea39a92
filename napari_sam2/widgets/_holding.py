"""A quick mask and the click it answers are drawn together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QCoreApplication, QEvent, QObject, QTimer

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

    from napari_sam2.tasks._tasks import Tasks

LONGEST_MS = 100  # what people do not see as waiting


class Hold:
    """The window is not drawn while a mask is about to come.

    After a click napari draws its window up to four times: the point, the layer list,
    the status bar, the dock. Where no graphics card helps, each takes as long as the
    mask does, and the model has to share the processor with it.

    Parameters
    ----------
    widget : QWidget
        In the window.
    tasks : Tasks
        Say when a mask is asked for, how long the last one took, and when it is there.
    """

    def __init__(self, widget: QWidget, tasks: Tasks) -> None:
        self.widget = widget
        self.state = tasks.state
        self._gate: _Gate | None = None
        tasks.awaited.connect(self._on_awaited)
        tasks.ended.connect(self.end)
        tasks.state.events.click_ms.connect(self.end)

    def end(self, *_: Any) -> None:
        """Draw again."""
        gate, self._gate = self._gate, None
        if gate is not None:
            gate.open()

    def _on_awaited(self, on: bool) -> None:
        took = self.state.click_ms
        self.end()
        if on and took is not None and took <= LONGEST_MS:
            self._gate = _Gate(_outermost(self.widget))


def _outermost(widget: QWidget) -> QWidget:
    """The window of a widget, also if its dock floats."""
    while (above := widget.parentWidget()) is not None:
        widget = above
    return widget


class _Gate(QObject):
    """Keeps back the drawing of a window for a while.

    What has to be drawn is remembered by Qt, which asks the window for it by an event.
    The gate belongs to the window: whatever becomes of the dock, it opens.
    """

    def __init__(self, window: QWidget) -> None:
        super().__init__(window)
        self._is_open = self._asked = False
        window.installEventFilter(self)
        QTimer.singleShot(LONGEST_MS, self.open)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Take away what asks for drawing."""
        if event.type() != QEvent.UpdateRequest:
            return False
        self._asked = True
        return True

    def open(self) -> None:
        """Let the window draw, once."""
        if self._is_open:
            return
        self._is_open = True
        window = self.parent()
        window.removeEventFilter(self)
        if self._asked:
            QCoreApplication.postEvent(window, QEvent(QEvent.UpdateRequest))
        self.deleteLater()
