"""Group of controls: the tools, the polarity, and the object they are for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSize, Signal
from qtpy.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QGridLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QWidget,
)

from napari_sam2._keys import hint
from napari_sam2._layers import GREEN, RED
from napari_sam2.widgets._icons import dot_icon

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_sam2._state import SegmentationState

TOOLS = {
    "point": ("Point", "Click on the object; Shift+click on what does not belong"),
    "box": ("Box", "Drag a rectangle around the object"),
    "polygon": ("Polygon", "Outline the object click by click; Enter finishes"),
    "lasso": ("Lasso", "Outline the object with a stroke"),
}


class PromptPanel(QGroupBox):
    """Tools, polarity, object, undo."""

    tool_requested = Signal(str)
    polarity_requested = Signal(bool)
    next_requested = Signal()
    undo_requested = Signal()
    clear_requested = Signal()
    keep_requested = Signal(bool)

    def __init__(
        self,
        state: SegmentationState,
        label_color: Callable[[int], Sequence[float]],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__("Prompts", parent)
        self._state = state
        self._label_color = label_color
        self.tools: dict[str, QPushButton] = {}
        tools = QHBoxLayout()
        tools.setSpacing(4)
        for name, (text, tip) in TOOLS.items():
            button = QPushButton(text)
            button.setToolTip(tip)
            button.clicked.connect(self._on_tool)
            button.setObjectName(name)
            button.setSizePolicy(QSizePolicy.Ignored, QSizePolicy.Fixed)
            self.tools[name] = button
            tools.addWidget(button)

        self.positive = QPushButton(dot_icon(GREEN), " Positive")
        self.negative = QPushButton(dot_icon(RED), " Negative")
        self._polarity = QButtonGroup(self)
        for button in (self.positive, self.negative):
            button.setCheckable(True)
            button.setIconSize(QSize(12, 12))
            button.setSizePolicy(QSizePolicy.Ignored, QSizePolicy.Fixed)
            self._polarity.addButton(button)
        self.positive.setToolTip("The next points are on the object" + hint("polarity"))
        self.negative.setToolTip(
            "The next points are not on the object" + hint("polarity")
        )
        self.swatch = QLabel()
        self.name = QLabel()
        self.next = QPushButton("Next object")
        self.next.setToolTip("Keep this mask and start the next object" + hint("next"))
        self.undo = QPushButton("Undo")
        self.clear = QPushButton("Clear object")
        self.clear.setToolTip(
            "Delete the object's prompts and its pixels in all frames" + hint("clear")
        )
        for button in (self.next, self.undo, self.clear):
            button.setSizePolicy(QSizePolicy.Ignored, QSizePolicy.Fixed)
        self.keep = QCheckBox("Keep other labels")
        self.keep.setToolTip("Pixels that carry another label are not overwritten")

        polarity = QHBoxLayout()
        polarity.setSpacing(4)
        polarity.addWidget(self.positive)
        polarity.addWidget(self.negative)
        who = QHBoxLayout()
        who.setSpacing(6)
        who.addWidget(self.swatch)
        who.addWidget(self.name, 1)
        grid = QGridLayout(self)
        grid.setContentsMargins(8, 8, 8, 8)
        grid.setVerticalSpacing(6)
        grid.setHorizontalSpacing(4)
        grid.setColumnStretch(0, 1)
        grid.setColumnStretch(1, 1)
        grid.addLayout(tools, 0, 0, 1, 2)
        grid.addLayout(polarity, 1, 0, 1, 2)
        grid.addLayout(who, 2, 0)
        grid.addWidget(self.next, 2, 1)
        grid.addWidget(self.undo, 3, 0)
        grid.addWidget(self.clear, 3, 1)
        grid.addWidget(self.keep, 4, 0, 1, 2)

        self._polarity.buttonClicked.connect(self._on_polarity)
        self.next.clicked.connect(self._on_next)
        self.undo.clicked.connect(self._on_undo)
        self.clear.clicked.connect(self._on_clear)
        self.keep.toggled.connect(self.keep_requested)
        for name in (
            "image",
            "labels",
            "positive",
            "object_id",
            "undo_text",
            "writing",
        ):
            state.events[name].connect(self.refresh)
        self.refresh()

    def refresh(self, *_: Any) -> None:
        """Show the state."""
        state = self._state
        ready = state.image is not None
        for widget in (*self.tools.values(), self.next, self.clear):
            widget.setEnabled(ready)
        (self.positive if state.positive else self.negative).setChecked(True)
        color = self._label_color(state.object_id)
        self.swatch.setPixmap(dot_icon(color, square=True).pixmap(16, 16))
        self.name.setText(f"Object {state.object_id}")
        self.name.setToolTip("The selected label of the labels layer")
        self.undo.setEnabled(bool(state.undo_text))
        what = state.undo_text or "nothing yet"
        self.undo.setToolTip(f"Take back: {what}" + hint("undo"))
        self.keep.setChecked(state.writing != "overwrite")

    def _on_tool(self) -> None:
        self.tool_requested.emit(self.sender().objectName())

    def _on_polarity(self, button: Any) -> None:
        self.polarity_requested.emit(button is self.positive)

    def _on_next(self) -> None:
        self.next_requested.emit()

    def _on_undo(self) -> None:
        self.undo_requested.emit()

    def _on_clear(self) -> None:
        self.clear_requested.emit()
