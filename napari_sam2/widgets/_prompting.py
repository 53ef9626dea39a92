"""Group of controls: the tools, the polarity, and the object they are for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSize, Signal
from qtpy.QtWidgets import (
    QButtonGroup,
    QGridLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QWidget,
)

from napari_sam2._layers import GREEN, RED
from napari_sam2.dock._keys import SHORTCUTS, hint
from napari_sam2.widgets._candidates import CandidateRow
from napari_sam2.widgets._icons import dot_icon

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_sam2._state import SegmentationState
    from napari_sam2.history._object_notes import ObjectNotes

TOOLS = {
    "point": ("Point", "Click on the object; Shift+click on what does not belong"),
    "box": ("Box", "Drag a rectangle around the object, another around the next"),
    "scribble": ("Scribble", "Drag along the object, or along what does not belong"),
    "lasso": ("Lasso", "Outline the object with a stroke; negative cuts it off"),
    "polygon": ("Outline", "Outline the object click by click; Enter finishes"),
}
WIDTHS = {"point": 9, "box": 7, "scribble": 12, "lasso": 9, "polygon": 11}


class PromptPanel(QGroupBox):
    """Tools, polarity, object, undo, candidates."""

    requested = Signal(str, tuple)
    """A method of the dock, and its arguments."""

    def __init__(
        self,
        state: SegmentationState,
        notes: ObjectNotes,
        label_color: Callable[[int], Sequence[float]],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__("Prompts", parent)
        self._state = state
        self._notes = notes
        self._label_color = label_color
        self._make_buttons()
        self.swatch = QLabel()
        self.name = QLabel()
        self.name.setToolTip("The selected label of the labels layer")
        self.candidates = CandidateRow(state, label_color)
        self._lay_out()
        self._polarity.buttonClicked.connect(self._on_polarity)
        self.next.clicked.connect(self._on_next)
        self.undo.clicked.connect(self._on_undo)
        self.redo.clicked.connect(self._on_redo)
        self.clear.clicked.connect(self._on_clear)
        self.candidates.chosen.connect(self._on_candidate)
        for name in (
            "image",
            "labels",
            "positive",
            "object_id",
            "undo_text",
            "redo_text",
            "tool",
        ):
            state.events[name].connect(self.refresh)
        notes.events.names.connect(self.refresh)
        self.refresh()

    def refresh(self, *_: Any) -> None:
        """Show the state."""
        state = self._state
        ready = state.image is not None
        for name, button in self.tools.items():
            button.setEnabled(ready)
            button.setChecked(ready and name == state.tool)
        for button in (self.positive, self.negative, self.next, self.clear):
            button.setEnabled(ready)
        (self.positive if state.positive else self.negative).setChecked(True)
        color = self._label_color(state.object_id)
        self.swatch.setPixmap(dot_icon(color, square=True).pixmap(16, 16))
        self.swatch.setVisible(ready)
        self.name.setText(
            self._notes.name(state.object_id) if ready else "No image yet"
        )
        self.undo.setEnabled(bool(state.undo_text))
        self.redo.setEnabled(bool(state.redo_text))
        what = state.undo_text or "nothing yet"
        self.undo.setToolTip(f"Take back: {what}" + hint("undo"))
        what = state.redo_text or "nothing"
        self.redo.setToolTip(f"Do again: {what}" + hint("redo"))

    # -- setting up ---------------------------------------------------------------

    def _make_buttons(self) -> None:
        self.tools: dict[str, QPushButton] = {}
        for name, (text, tip) in TOOLS.items():
            button = QPushButton(text)
            button.setCheckable(True)
            button.setToolTip(tip + (hint(name) if name in SHORTCUTS else ""))
            button.clicked.connect(self._on_tool)
            button.setObjectName(name)
            self.tools[name] = button
        self.positive = QPushButton(dot_icon(GREEN), " Positive")
        self.negative = QPushButton(dot_icon(RED), " Negative")
        self._polarity = QButtonGroup(self)
        for button in (self.positive, self.negative):
            button.setCheckable(True)
            button.setIconSize(QSize(12, 12))
            self._polarity.addButton(button)
        self.positive.setToolTip("The next prompts are the object" + hint("polarity"))
        self.negative.setToolTip(
            "The next prompts are not the object" + hint("polarity")
        )
        self.next = QPushButton("Next object")
        self.next.setToolTip("Keep this mask and start the next object" + hint("next"))
        self.undo = QPushButton("Undo")
        self.redo = QPushButton("Redo")
        self.clear = QPushButton("Delete")
        self.clear.setToolTip(
            "Delete the object's prompts and its pixels in all frames" + hint("clear")
        )
        buttons = (self.positive, self.negative, self.next, self.undo, self.redo)
        for button in (*self.tools.values(), *buttons, self.clear):
            button.setSizePolicy(QSizePolicy.Ignored, QSizePolicy.Fixed)

    def _lay_out(self) -> None:
        who = QHBoxLayout()
        who.setSpacing(6)
        who.addWidget(self.swatch)
        who.addWidget(self.name, 1)
        grid = QGridLayout(self)
        grid.setContentsMargins(8, 8, 8, 8)
        grid.setVerticalSpacing(6)
        grid.setHorizontalSpacing(4)
        for column in range(6):
            grid.setColumnStretch(column, 1)
        tools = QHBoxLayout()
        tools.setSpacing(3)
        for name, button in self.tools.items():
            tools.addWidget(button, WIDTHS[name])
        grid.addLayout(tools, 0, 0, 1, 6)
        grid.addWidget(self.positive, 1, 0, 1, 3)
        grid.addWidget(self.negative, 1, 3, 1, 3)
        grid.addLayout(who, 2, 0, 1, 3)
        grid.addWidget(self.next, 2, 3, 1, 3)
        grid.addWidget(self.undo, 3, 0, 1, 2)
        grid.addWidget(self.redo, 3, 2, 1, 2)
        grid.addWidget(self.clear, 3, 4, 1, 2)
        grid.addWidget(self.candidates, 4, 0, 1, 6)

    # -- slots --------------------------------------------------------------------

    def _on_tool(self) -> None:
        self.requested.emit("take_tool", (self.sender().objectName(),))
        self.refresh()

    def _on_polarity(self, button: Any) -> None:
        self.requested.emit("set_polarity", (button is self.positive,))

    def _on_next(self) -> None:
        self.requested.emit("next_object", ())

    def _on_undo(self) -> None:
        self.requested.emit("undo", ())

    def _on_redo(self) -> None:
        self.requested.emit("redo", ())

    def _on_clear(self) -> None:
        self.requested.emit("clear_object", ())

    def _on_candidate(self, number: int) -> None:
        self.requested.emit("choose_candidate", (number,))
