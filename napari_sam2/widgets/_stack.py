"""Group of controls: propagation through z or time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)
from superqt import QRangeSlider

from napari_sam2._layers import image_shape
from napari_sam2.dock._keys import hint
from napari_sam2.following._marks import ABSENT, BEGIN, END
from napari_sam2.picture._axes import FLAT, axis_name
from napari_sam2.widgets._combos import NarrowComboBox
from napari_sam2.widgets._fold import Fold

if TYPE_CHECKING:
    from napari_sam2._state import SegmentationState

DIRECTION_NAMES = {
    "both": "Both ways",
    "forward": "Forward",
    "backward": "Backward",
}
NARROW = "QSpinBox { min-width: 0; padding: 1px 4px; }"  # napari's themes: 90 pixels


class StackPanel(QGroupBox):
    """Range, direction, propagate; marks; the rest folds away."""

    axis_requested = Signal(object)
    range_requested = Signal(object, object)
    direction_requested = Signal(str)
    propagate_requested = Signal()
    mark_requested = Signal(str)
    patience_requested = Signal(bool, int)
    follow_requested = Signal(bool)
    alone_requested = Signal(bool)

    def __init__(self, state: SegmentationState, parent: QWidget | None = None) -> None:
        super().__init__("Stack", parent)
        self._state = state
        self._axes: tuple[Any, ...] = ()
        self.propagate = QPushButton("Propagate")
        self.direction = NarrowComboBox()
        for name, text in DIRECTION_NAMES.items():
            self.direction.addItem(text, name)
        self.range = QRangeSlider(Qt.Horizontal)
        self.start = QSpinBox()
        self.stop = QSpinBox()
        self.absent = QPushButton("Absent here")
        self.begins = QPushButton("Begins here")
        self.ends = QPushButton("Ends here")
        self.axis = NarrowComboBox()
        self.lost = QCheckBox("Stop when lost for")
        self.patience = QSpinBox()
        self.patience.setRange(1, 999)
        self.patience.setSuffix(" frames")
        self.follow = QCheckBox("Propagate corrections by themselves")
        self.alone = QCheckBox("Propagate the selected object alone")
        self._lay_out()
        self._connect()
        for name in (
            "image",
            "plane",
            "axis",
            "start",
            "stop",
            "direction",
            "busy",
            "stop_when_lost",
            "patience",
            "alone",
            "object_id",
            "follow_corrections",
        ):
            state.events[name].connect(self.refresh)
        self.refresh()

    def _lay_out(self) -> None:
        for widget in (self.propagate, self.absent, self.begins, self.ends):
            widget.setSizePolicy(QSizePolicy.Ignored, QSizePolicy.Fixed)
        for box in (self.start, self.stop):
            box.setButtonSymbols(QSpinBox.NoButtons)
            box.setAlignment(Qt.AlignCenter)
            box.setStyleSheet(NARROW)
            box.setFixedWidth(box.fontMetrics().horizontalAdvance("00000") + 14)
        for button in (self.absent, self.begins, self.ends):
            button.setCheckable(True)
        go, frames, marks, lost = (QHBoxLayout() for _ in range(4))
        for row, parts in (
            (go, ((self.propagate, 1), (self.direction, 1))),
            (frames, ((self.start, 0), (self.range, 1), (self.stop, 0))),
            (marks, ((self.absent, 1), (self.begins, 1), (self.ends, 1))),
            (lost, ((self.lost, 1), (self.patience, 0))),
        ):
            row.setSpacing(4)
            for widget, stretch in parts:
                row.addWidget(widget, stretch)
        more = QWidget()
        form = QFormLayout(more)
        form.setContentsMargins(4, 0, 0, 0)
        form.setVerticalSpacing(5)
        form.setFieldGrowthPolicy(QFormLayout.AllNonFixedFieldsGrow)
        form.addRow("Along", self.axis)
        form.addRow(lost)
        form.addRow(self.follow)
        form.addRow(self.alone)
        self.more = Fold("More", more, is_open=False)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 8, 8, 8)
        column.setSpacing(6)
        for row in (go, frames, marks):
            column.addLayout(row)
        column.addWidget(self.more)

    def _connect(self) -> None:
        self.axis.activated.connect(self._on_axis)
        self.range.valueChanged.connect(self._on_slider)
        self.start.valueChanged.connect(self._on_range)
        self.stop.valueChanged.connect(self._on_range)
        self.direction.activated.connect(self._on_direction)
        self.propagate.clicked.connect(self._on_propagate)
        self.absent.clicked.connect(self._on_absent)
        self.begins.clicked.connect(self._on_begins)
        self.ends.clicked.connect(self._on_ends)
        self.lost.clicked.connect(self._on_patience)
        self.patience.valueChanged.connect(self._on_patience)
        self.follow.clicked.connect(self._on_follow)
        self.alone.clicked.connect(self.alone_requested)

    def refresh(self, *_: Any) -> None:
        """Show the state."""
        state, image = self._state, self._state.image
        stack = image is not None and image.ndim > 2
        self.setVisible(stack)
        self._fill_axes()
        self.axis.setCurrentIndex(max(0, self.axis.findData(state.axis)))
        last = 0
        if image is not None and state.axis is not None:
            last = image_shape(image)[state.axis] - 1
        first = 0 if state.start is None else state.start
        final = last if state.stop is None else state.stop
        quiet = (self.start, self.stop, self.range, self.patience)
        for widget in quiet:
            widget.blockSignals(True)
        for box, value in ((self.start, first), (self.stop, final)):
            box.setRange(0, last)
            box.setValue(value)
        self.range.setRange(0, max(1, last))
        self.range.setValue((min(first, final), max(first, final)))
        self.patience.setValue(state.patience)
        for widget in quiet:
            widget.blockSignals(False)
        self.direction.setCurrentIndex(self.direction.findData(state.direction))
        self.lost.setChecked(state.stop_when_lost)
        self.follow.setChecked(state.follow_corrections)
        self.alone.setChecked(state.alone)
        one = f"Propagate {state.object_id}" if state.alone else "Propagate"
        self.propagate.setText(one)
        along = stack and state.axis is not None
        running = state.busy == "propagate"
        self.axis.setEnabled(stack and not running)
        busy = (self.start, self.stop, self.range, self.direction, self.propagate)
        for widget in busy:
            widget.setEnabled(along and not running)
        marks = (self.absent, self.begins, self.ends)
        for widget in (*marks, self.lost, self.follow, self.alone):
            widget.setEnabled(along)
        self.patience.setEnabled(along and state.stop_when_lost)
        for widget, tip in self._tips().items():
            widget.setToolTip(tip if stack else FLAT)

    def show_marks(self, kinds: set[str]) -> None:
        """Marks of the object on the frame on display."""
        self.absent.setChecked(ABSENT in kinds)
        self.begins.setChecked(BEGIN in kinds)
        self.ends.setChecked(END in kinds)

    def _tips(self) -> dict[Any, str]:
        return {
            self.axis: "The axis that plays the part of time",
            self.start: "First frame to fill",
            self.stop: "Last frame to fill",
            self.range: "Frames to fill",
            self.direction: "From the prompted frames to the end, the start, or both",
            self.propagate: "Follow all prompted objects through the frames"
            + hint("propagate"),
            self.absent: "The object is not on this frame" + hint("absent"),
            self.begins: "This is the first frame with the object" + hint("begins"),
            self.ends: "This is the last frame with the object" + hint("ends"),
            self.lost: "An object that is lost for so many frames in a row has ended",
            self.patience: "Frames in a row without the object",
            self.alone: "Follow only the object that is selected; all others stay as "
            "they are",
            self.follow: "A correction on a propagated stack is propagated at once",
        }

    def _fill_axes(self) -> None:
        image = self._state.image
        axes: tuple[Any, ...] = ()
        if image is not None and image.ndim > 2:
            shown = self._state.plane or ()
            names = [
                (axis_name(image, i), i) for i in range(image.ndim) if i not in shown
            ]
            axes = (*names, ("no axis, each plane by itself", None))
        if axes == self._axes and self.axis.count():
            return
        self._axes = axes
        self.axis.clear()
        for name, axis in axes or (("single plane", None),):
            self.axis.addItem(name, axis)

    def _on_axis(self, index: int) -> None:
        self.axis_requested.emit(self.axis.itemData(index))

    def _on_slider(self, values: tuple[int, int]) -> None:
        self._ask(round(values[0]), round(values[1]))

    def _on_range(self) -> None:
        self._ask(self.start.value(), self.stop.value())

    def _ask(self, first: int, last: int) -> None:
        end = None if last == self.stop.maximum() else last
        self.range_requested.emit(first or None, end)

    def _on_direction(self, index: int) -> None:
        self.direction_requested.emit(self.direction.itemData(index))

    def _on_propagate(self) -> None:
        self.propagate_requested.emit()

    def _on_absent(self) -> None:
        self.mark_requested.emit(ABSENT)

    def _on_begins(self) -> None:
        self.mark_requested.emit(BEGIN)

    def _on_ends(self) -> None:
        self.mark_requested.emit(END)

    def _on_patience(self, *_: Any) -> None:
        self.patience_requested.emit(self.lost.isChecked(), self.patience.value())

    def _on_follow(self, on: bool) -> None:
        self.follow_requested.emit(on)
