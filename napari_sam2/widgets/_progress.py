"""The running job: how far it is, how long it will take, and how to stop it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QWidget

from napari_sam2.dock._keys import hint
from napari_sam2.widgets._pulse import Drawing

if TYPE_CHECKING:
    from napari_sam2._state import SegmentationState


LATE_MS = 250  # what takes no longer, such as a click, shows no bar


class ProgressRow(QWidget):
    """Progress bar with the time left, and a button to cancel; empty at rest."""

    cancel_requested = Signal()

    def __init__(self, state: SegmentationState, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._state = state
        self.bar = QProgressBar()
        self.stop = QPushButton("Cancel")
        row = QHBoxLayout(self)
        row.setContentsMargins(4, 0, 4, 0)
        row.addWidget(self.bar, 1)
        row.addWidget(self.stop)
        self.stop.clicked.connect(self._on_stop)
        for part in (self.bar, self.stop):
            policy = part.sizePolicy()
            policy.setRetainSizeWhenHidden(True)  # so that nothing moves
            part.setSizePolicy(policy)
            part.hide()
        self._late = QTimer(self)
        self._late.setSingleShot(True)
        self._late.setInterval(LATE_MS)
        self._late.timeout.connect(self._appear)
        drawing = Drawing(self)
        drawing.due.connect(self.refresh)
        self._drawing = drawing
        state.events.busy.connect(self._on_busy)
        for name in ("done", "total", "seconds_left"):
            state.events[name].connect(self._on_progress)
        self.refresh()

    def refresh(self, *_: Any) -> None:
        """Show the state."""
        state = self._state
        known = state.total > 0
        # No bar that moves by itself: it would redraw the window all the time.
        text = f"{state.done} / {state.total}" if known else "…" * bool(state.busy)
        if state.done and not known:
            text = f"{state.done} …"
        if known and state.seconds_left is not None:
            text += f"  ·  {duration(state.seconds_left)} left"
        maximum = state.total if known else 1
        value = state.done if known else 0
        shown = self.bar.maximum(), self.bar.value(), self.bar.format()
        if shown != (maximum, value, text):
            self.bar.setUpdatesEnabled(False)
            self.bar.setRange(0, maximum)
            self.bar.setValue(value)
            self.bar.setFormat(text)
            self.bar.setUpdatesEnabled(True)
        self.stop.setEnabled(bool(state.busy))
        self.stop.setToolTip(
            "Stop; what is done stays" + hint("cancel")
            if state.busy
            else "Nothing is running"
        )
        if not state.busy:
            self._late.stop()
            self.bar.hide()
            self.stop.hide()
        elif self.bar.isHidden() and not self._late.isActive():
            self._late.start()

    def _appear(self) -> None:
        if self._state.busy:
            self.bar.show()
            self.stop.show()

    def _on_busy(self, busy: str) -> None:
        """Who clicks "Cancel" finds it there; all else may wait."""
        for widget in (self.bar, self.stop):
            widget.setEnabled(bool(busy))
        self._drawing.ask()

    def _on_progress(self, *_: Any) -> None:
        self._drawing.ask()

    def _on_stop(self) -> None:
        self.cancel_requested.emit()


def duration(seconds: float) -> str:
    """A duration for people: "8 s", "3 min"."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
