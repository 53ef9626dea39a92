"""A quick mask and the click it answers are drawn together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

    from napari_sam2._tasks import Tasks

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
        self._timer: QTimer | None = None
        tasks.awaited.connect(self._on_awaited)
        tasks.ended.connect(self.end)
        tasks.state.events.click_ms.connect(self.end)

    def end(self, *_: Any) -> None:
        """Draw again."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.stop()
            timer.parent().setUpdatesEnabled(True)
            timer.deleteLater()

    def _on_awaited(self, on: bool) -> None:
        took = self.state.click_ms
        if not on:
            self.end()
        elif self._timer is not None:
            self._timer.start()
        elif took is not None and took <= LONGEST_MS:
            self._begin()

    def _begin(self) -> None:
        window = self.widget
        while (above := window.parentWidget()) is not None:  # also of a floating dock
            window = above
        window.setUpdatesEnabled(False)
        # It belongs to the window: whatever becomes of the dock, that is drawn again.
        timer = self._timer = QTimer(window)
        timer.setSingleShot(True)
        timer.timeout.connect(lambda: self.end())
        timer.setInterval(LONGEST_MS)
        timer.start()
