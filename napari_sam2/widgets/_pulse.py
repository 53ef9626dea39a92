"""A common beat, so that widgets that change all the time are drawn together."""

from __future__ import annotations

import time
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtWidgets import QApplication

SOON, APART = 30, 200  # ms until the first beat after a pause, and between beats


class Pulse(QObject):
    """Beats a few times a second while somebody asks it to.

    Beside a canvas that draws with OpenGL, whatever draws itself makes Qt put the whole
    window together again, which takes as long for a label as for all of a dock. Widgets
    that follow a running job therefore wait for the same beat.
    """

    beat = Signal()

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._last = 0.0
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._on_timeout)

    def ask(self) -> None:
        """Have a beat as soon as it may be."""
        if not self._timer.isActive():
            since = round(1000 * (time.monotonic() - self._last))
            self._timer.start(max(SOON, APART - since))

    def _on_timeout(self) -> None:
        self._last = time.monotonic()
        self.beat.emit()


def common_pulse() -> Pulse:
    """The one of this application."""
    application = QApplication.instance()
    assert application is not None
    found = application.findChild(Pulse)
    return Pulse(application) if found is None else found


class Drawing(QObject):
    """Does something at the next beat of the common pulse, once for all who asked.

    Parameters
    ----------
    parent : QObject
        With it, the drawing ends.
    """

    due = Signal()

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._asked = False
        self._pulse = common_pulse()
        self._pulse.beat.connect(self._on_beat)

    def ask(self, *_: Any) -> None:
        """Something has changed."""
        self._asked = True
        self._pulse.ask()

    def _on_beat(self) -> None:
        if self._asked:
            self._asked = False
            self.due.emit()
