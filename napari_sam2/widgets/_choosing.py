"""Group of controls: which candidates to show, and to add to the labels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)
from superqt import QLabeledDoubleSlider, QRangeSlider
from superqt.utils import QSignalThrottler

if TYPE_CHECKING:
    from napari_sam2._automatic_state import AutomaticState

THROTTLE_MS = 40
STEPS = 200
SCORES = {
    "min_iou": ("IoU", "At least this IoU, by the model's own estimate"),
    "min_stability": (
        "Stability",
        "At least this stable: how little the outline depends on the threshold",
    ),
    "min_roundness": ("Roundness", "At least this round: 1 is a disc, 0 is a thread"),
}


class SizeSlider(QWidget):
    """Range of areas, on a logarithmic scale, with the numbers beneath."""

    valueChanged = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._ends = (1, 1)
        self.slider = QRangeSlider(Qt.Horizontal)
        self.slider.setRange(0, STEPS)
        self.slider.setValue((0, STEPS))
        self.text = QLabel()
        self.text.setAlignment(Qt.AlignCenter)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.slider)
        column.addWidget(self.text)
        self.slider.valueChanged.connect(self._on_value)
        self._show_text()

    def limits(self) -> tuple[float, float]:
        """Smallest and largest area; 0 and infinity where a handle is at its end."""
        low, high = self.slider.value()
        return (
            self._area(low) if low > 0 else 0.0,
            self._area(high) if high < STEPS else math.inf,
        )

    def set_limits(self, smallest: int, largest: int, limits: Any) -> None:
        """Let the handles run between two areas, and put them at ``limits``."""
        self._ends = (max(1, smallest), max(1, smallest, largest))
        low, high = limits
        if self.limits() != (low, high):
            self.slider.blockSignals(True)
            at_high = STEPS if math.isinf(high) else self._step(high)
            self.slider.setValue((self._step(low), at_high))
            self.slider.blockSignals(False)
        self._show_text()

    def _area(self, step: int) -> float:
        low, high = self._ends
        return float(round(low * (high / low) ** (step / STEPS)))

    def _step(self, area: float) -> int:
        low, high = self._ends
        if area <= low or high == low:
            return 0
        return min(STEPS, round(STEPS * math.log(area / low) / math.log(high / low)))

    def _on_value(self) -> None:
        self._show_text()
        self.valueChanged.emit()

    def _show_text(self) -> None:
        low, high = (round(self._area(step)) for step in self.slider.value())
        self.text.setText(f"{low:,} to {high:,} px".replace(",", "\u2009"))


class ChoicePanel(QGroupBox):
    """Sliders, number shown, add, undo, discard."""

    filter_requested = Signal(dict)
    add_requested = Signal()
    undo_requested = Signal()
    discard_requested = Signal()
    keep_requested = Signal(bool)

    def __init__(self, state: AutomaticState, parent: QWidget | None = None) -> None:
        super().__init__("Candidates", parent)
        self._state = state
        self.count = QLabel()
        self.scores: dict[str, QLabeledDoubleSlider] = {}
        self.size = SizeSlider()
        self.size.setToolTip("Area in pixels, from and to")
        self.add = QPushButton("Add to labels")
        self.undo = QPushButton("Undo")
        self.discard = QPushButton("Discard")
        for button in (self.add, self.undo, self.discard):
            button.setSizePolicy(QSizePolicy.Ignored, QSizePolicy.Fixed)
        self.keep = QCheckBox("Keep existing labels")
        self.keep.setToolTip(
            "Labelled pixels are not overwritten, and objects that are labelled "
            "already are left out"
        )
        form = QFormLayout(self)
        form.setContentsMargins(8, 8, 8, 8)
        form.setVerticalSpacing(6)
        form.setFieldGrowthPolicy(QFormLayout.AllNonFixedFieldsGrow)
        form.addRow(self.count)
        self._throttle = QSignalThrottler(self)
        self._throttle.setTimeout(THROTTLE_MS)
        for name, (text, tip) in SCORES.items():
            slider = QLabeledDoubleSlider(Qt.Horizontal)
            slider.setRange(0, 1)
            slider.setDecimals(2)
            slider.setSingleStep(0.01)
            slider.setToolTip(tip)
            slider.valueChanged.connect(self._throttle.throttle)
            self.scores[name] = slider
            if name == "min_roundness":
                form.addRow("Size", self.size)
            form.addRow(text, slider)
        buttons = QHBoxLayout()
        buttons.setSpacing(4)
        buttons.addWidget(self.add, 5)
        buttons.addWidget(self.undo, 3)
        buttons.addWidget(self.discard, 3)
        form.addRow(self.keep)
        form.addRow(buttons)
        self.size.valueChanged.connect(self._throttle.throttle)
        self._throttle.triggered.connect(self._on_slider)
        self.add.clicked.connect(self._on_add)
        self.undo.clicked.connect(self._on_undo)
        self.discard.clicked.connect(self._on_discard)
        self.keep.toggled.connect(self._on_keep)
        for name in (
            *SCORES,
            "min_area",
            "max_area",
            "smallest",
            "largest",
            "searched",
            "found",
            "shown",
            "undo_text",
            "writing",
        ):
            state.events[name].connect(self.refresh)
        self.refresh()

    def refresh(self, *_: Any) -> None:
        """Show the state."""
        state = self._state
        self.count.setText(
            f"<b>{state.shown}</b> of {state.found} shown"
            if state.searched
            else "Nothing found yet"
        )
        for name, slider in self.scores.items():
            value = getattr(state, name)
            if abs(slider.value() - value) > 0.001:
                slider.blockSignals(True)
                slider.setValue(value)
                slider.blockSignals(False)
        limits = state.min_area, state.max_area
        self.size.set_limits(state.smallest, state.largest, limits)
        self.size.setEnabled(state.largest > state.smallest)
        self.add.setEnabled(state.shown > 0)
        number = "object" if state.shown == 1 else "objects"
        self.add.setToolTip(
            f"Write {state.shown} {number} into the labels layer"
            if state.shown
            else "No candidate to add"
        )
        self.discard.setEnabled(state.searched)
        self.discard.setToolTip("Forget the candidates")
        self.undo.setEnabled(bool(state.undo_text))
        self.undo.setToolTip(
            "Take back the objects added last" if state.undo_text else "Nothing to undo"
        )
        self.keep.blockSignals(True)
        self.keep.setChecked(state.writing != "overwrite")
        self.keep.blockSignals(False)

    def _on_slider(self) -> None:
        limits = {name: slider.value() for name, slider in self.scores.items()}
        limits["min_area"], limits["max_area"] = self.size.limits()
        changed = {k: v for k, v in limits.items() if v != getattr(self._state, k)}
        if changed:
            self.filter_requested.emit(changed)

    def _on_add(self) -> None:
        self.add_requested.emit()

    def _on_undo(self) -> None:
        self.undo_requested.emit()

    def _on_discard(self) -> None:
        self.discard_requested.emit()

    def _on_keep(self, keep: bool) -> None:
        self.keep_requested.emit(keep)
