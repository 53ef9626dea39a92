"""Group of controls: propagation through z or time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QWidget,
)

from napari_sam2._keys import hint
from napari_sam2._layers import axis_name, image_shape
from napari_sam2.widgets._combos import NarrowComboBox

if TYPE_CHECKING:
    from napari_sam2._state import SegmentationState

DIRECTION_NAMES = {
    "both": "Both ways",
    "forward": "Forward",
    "backward": "Backward",
}
FLAT = "This image has a single plane; there is nothing to propagate through"


class StackPanel(QGroupBox):
    """Axis, range, direction, propagate."""

    axis_requested = Signal(object)
    range_requested = Signal(object, object)
    direction_requested = Signal(str)
    propagate_requested = Signal()

    def __init__(self, state: SegmentationState, parent: QWidget | None = None) -> None:
        super().__init__("Stack", parent)
        self._state = state
        self._axes: tuple[Any, ...] = ()
        self.axis = NarrowComboBox()
        self.start = QSpinBox()
        self.stop = QSpinBox()
        self.direction = NarrowComboBox()
        for name, text in DIRECTION_NAMES.items():
            self.direction.addItem(text, name)
        self.propagate = QPushButton("Propagate")
        for box in (self.start, self.stop):
            box.setSizePolicy(QSizePolicy.Ignored, QSizePolicy.Fixed)
        frames = QHBoxLayout()
        frames.setSpacing(4)
        frames.addWidget(self.start, 1)
        frames.addWidget(QLabel("to"))
        frames.addWidget(self.stop, 1)
        form = QFormLayout(self)
        form.setContentsMargins(8, 8, 8, 8)
        form.setVerticalSpacing(5)
        form.setFieldGrowthPolicy(QFormLayout.AllNonFixedFieldsGrow)
        form.addRow("Along", self.axis)
        form.addRow("Frames", frames)
        form.addRow("Direction", self.direction)
        form.addRow(self.propagate)
        self.axis.activated.connect(self._on_axis)
        self.start.valueChanged.connect(self._on_range)
        self.stop.valueChanged.connect(self._on_range)
        self.direction.activated.connect(self._on_direction)
        self.propagate.clicked.connect(self._on_propagate)
        for name in ("image", "plane", "axis", "start", "stop", "direction", "busy"):
            state.events[name].connect(self.refresh)
        self.refresh()

    def refresh(self, *_: Any) -> None:
        """Show the state."""
        state, image = self._state, self._state.image
        stack = image is not None and image.ndim > 2
        self._fill_axes()
        self.axis.setCurrentIndex(max(0, self.axis.findData(state.axis)))
        last = 0
        if image is not None and state.axis is not None:
            last = image_shape(image)[state.axis] - 1
        for box, value in ((self.start, state.start), (self.stop, state.stop)):
            box.blockSignals(True)
            box.setRange(0, last)
            at_end = last if box is self.stop else 0
            box.setValue(at_end if value is None else value)
            box.blockSignals(False)
        self.direction.setCurrentIndex(self.direction.findData(state.direction))
        along = stack and state.axis is not None
        running = state.busy == "propagate"
        self.axis.setEnabled(stack and not running)
        for widget in (self.start, self.stop, self.direction, self.propagate):
            widget.setEnabled(along and not running)
        tips = {
            self.axis: "The axis that plays the part of time",
            self.start: "First frame to fill",
            self.stop: "Last frame to fill",
            self.direction: "From the prompted frames to the end, the start, or both",
            self.propagate: "Follow all prompted objects through the frames"
            + hint("propagate"),
        }
        for widget, tip in tips.items():
            widget.setToolTip(tip if stack else FLAT)

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

    def _on_range(self) -> None:
        first, last = self.start.value(), self.stop.value()
        self.range_requested.emit(
            first or None, None if last == self.stop.maximum() else last
        )

    def _on_direction(self, index: int) -> None:
        self.direction_requested.emit(self.direction.itemData(index))

    def _on_propagate(self) -> None:
        self.propagate_requested.emit()
