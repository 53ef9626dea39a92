"""Group of controls: where to look for objects, and how closely."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QGroupBox, QPushButton, QSpinBox, QWidget

from napari_sam2._automatic_state import ON_SCREEN, WHOLE
from napari_sam2.widgets._combos import NarrowComboBox
from napari_sam2.widgets._progress import ProgressRow

if TYPE_CHECKING:
    from napari_sam2._automatic_state import AutomaticState

PLACES = {WHOLE: "Whole image", ON_SCREEN: "Part on screen"}
CROPS = ("None", "4", "4 and 16")


class SearchPanel(QGroupBox):
    """Region, points, crops, find."""

    search_requested = Signal()

    def __init__(self, state: AutomaticState, parent: QWidget | None = None) -> None:
        super().__init__("Search", parent)
        self._state = state
        self.where = NarrowComboBox()
        for name, text in PLACES.items():
            self.where.addItem(text, name)
        self.where.setToolTip(
            "Zoom in on a part of a large image to search it in finer detail; objects "
            "at the border of the part are left out"
        )
        self.points = QSpinBox()
        self.points.setRange(2, 128)
        self.points.setToolTip(
            "Official models are asked about so many points along each side: more find "
            "smaller objects and take longer. sam2_nano asks at the centres that it "
            "sees, and at points only where it has missed something."
        )
        self.crops = NarrowComboBox()
        for layers, text in enumerate(CROPS):
            self.crops.addItem(text, layers)
        self.crops.setToolTip(
            "Official models search again in overlapping parts: finds small objects, "
            "takes longer. sam2_nano looks closely by itself."
        )
        self.find = QPushButton("Find objects")
        form = QFormLayout(self)
        form.setContentsMargins(8, 8, 8, 8)
        form.setVerticalSpacing(5)
        form.setFieldGrowthPolicy(QFormLayout.AllNonFixedFieldsGrow)
        form.addRow("Where", self.where)
        form.addRow("Points per side", self.points)
        form.addRow("Crops", self.crops)
        form.addRow(self.find)
        self.where.activated.connect(self._on_where)
        self.points.valueChanged.connect(self._on_points)
        self.crops.activated.connect(self._on_crops)
        self.find.clicked.connect(self._on_find)
        for name in (
            "image",
            "model",
            "missing",
            "busy",
            "where",
            "points_per_side",
            "crop_layers",
        ):
            state.events[name].connect(self.refresh)
        self.refresh()

    def refresh(self, *_: Any) -> None:
        """Show the state."""
        state = self._state
        self.where.setCurrentIndex(self.where.findData(state.where))
        self.crops.setCurrentIndex(self.crops.findData(state.crop_layers))
        if self.points.value() != state.points_per_side:
            self.points.blockSignals(True)
            self.points.setValue(state.points_per_side)
            self.points.blockSignals(False)
        reason = ""
        if state.image is None:
            reason = "Open an image first"
        elif state.model in state.missing:
            reason = "The model has to be downloaded first"
        elif state.busy in ("search", "download"):
            reason = "Busy"
        self.find.setEnabled(not reason)
        self.find.setToolTip(reason or "Look for everything in the plane on display")

    def _on_where(self, index: int) -> None:
        self._state.where = self.where.itemData(index)

    def _on_points(self, value: int) -> None:
        self._state.points_per_side = value

    def _on_crops(self, index: int) -> None:
        self._state.crop_layers = self.crops.itemData(index)

    def _on_find(self) -> None:
        self.search_requested.emit()


class SearchProgress(ProgressRow):
    """How far the search is, and the button to stop it."""

    def refresh(self, *_: Any) -> None:
        """Show the state."""
        super().refresh()
        running = "Stop; candidates found before stay"
        self.stop.setToolTip(running if self._state.busy else "Nothing is running")
