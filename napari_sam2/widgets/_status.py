"""The line that says what runs where, how fast, and what it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_sam2.widgets._pulse import Drawing

if TYPE_CHECKING:
    from napari_sam2._state import SegmentationState

SHOWN = "status", "model", "missing", "device_used", "device", "click_ms", "busy"
DOING = {
    "predict": "segmenting",
    "propagate": "propagating",
    "download": "downloading",
    "prepare": "loading",
    "clear": "changing labels",
    "divide": "dividing",
    "restore": "restoring",
    "tracks": "making tracks",
    "copy": "copying labels",
}


class StatusLine(QWidget):
    """Model, device, milliseconds of the last click; beneath, what to do next."""

    def __init__(self, state: SegmentationState, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._state = state
        self.model = QLabel()
        self.model.setEnabled(False)  # less conspicuous, in any theme
        self.model.setToolTip("Model, device, time of the last click, what it is doing")
        self.message = QLabel()
        self.message.setWordWrap(True)
        self.message.setAlignment(Qt.AlignLeft | Qt.AlignTop)
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 0, 4, 2)
        column.setSpacing(1)
        for label in (self.model, self.message):
            label.setIndent(0)  # else Qt leaves as much room above as beside the text
            column.addWidget(label)
        self._spacing = 0
        self._drawing = Drawing(self)
        self._drawing.due.connect(self.refresh)
        for name in SHOWN:
            state.events[name].connect(self._on_change)
        self.refresh()

    def refresh(self, *_: Any) -> None:
        """Show the state."""
        state = self._state
        device = state.device_used or state.device
        parts = [state.model, device.upper() if device == "cpu" else device]
        if state.click_ms is not None:
            parts.append(span(state.click_ms))
        rest = "not downloaded" if state.model in state.missing else "ready"
        parts.append(DOING.get(state.busy, rest))
        self.model.setText("  ·  ".join(parts))
        self._make_room()
        self.message.setText(state.status)

    def _make_room(self) -> None:
        """Room for two lines, as napari's theme has them by now: nothing jumps."""
        spacing = self.message.fontMetrics().lineSpacing()
        if spacing != self._spacing:
            self._spacing = spacing
            self.message.setMinimumHeight(0)
            self.message.setText("\n")
            self.message.setMinimumHeight(self.message.sizeHint().height())

    def _on_change(self, *_: Any) -> None:
        if self._state.busy:  # it changes all the time
            self._drawing.ask()
        else:
            self.refresh()


def span(milliseconds: float) -> str:
    """A span of time for people: "34 ms", "1.2 s"."""
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    return f"{milliseconds / 1000:.1f} s"
