"""Group of controls: how certain each frame is, and what to look at next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_sam2.dock._keys import hint
from napari_sam2.widgets._strip import Strip

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_sam2.dock._lineage import LineageTools
    from napari_sam2.dock._stacking import StackTools
    from napari_sam2.following._divisions import Suspect


class ReviewPanel(QGroupBox):
    """Confidence strip, next uncertain frame, checked frames."""

    next_requested = Signal()
    check_requested = Signal(bool)
    answer_requested = Signal(object, bool)

    def __init__(
        self,
        tools: StackTools,
        lineage: LineageTools,
        label_color: Callable[[int], Sequence[float]],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__("Review", parent)
        self._tools = tools
        self._lineage = lineage
        self._suspect: Suspect | None = None
        self.strip = Strip(tools, label_color)
        self.summary = QLabel()
        self.summary.setWordWrap(True)
        self.next = QPushButton("Next uncertain")
        self.next.setToolTip(
            "Go to the least certain frame that was not looked at, and to the object "
            "to look at there" + hint("uncertain")
        )
        self.checked = QPushButton("Checked")
        self.checked.setCheckable(True)
        self.checked.setToolTip("This frame is right as it is" + hint("check"))
        buttons = QHBoxLayout()
        buttons.setSpacing(4)
        for button in (self.next, self.checked):
            button.setSizePolicy(QSizePolicy.Ignored, QSizePolicy.Fixed)
            buttons.addWidget(button)
        self.question = QLabel()
        self.question.setWordWrap(True)
        self.yes = QPushButton("Divided")
        self.yes.setToolTip("Two daughters, each with a label of its own from here on")
        self.no = QPushButton("No")
        self.no.setToolTip("Not a division; it is not asked again")
        self.show_it = QPushButton("Show")
        self.show_it.setToolTip("Go to that frame, and choose that object")
        answers = QHBoxLayout()
        answers.setSpacing(4)
        for button in (self.show_it, self.yes, self.no):
            button.setSizePolicy(QSizePolicy.Ignored, QSizePolicy.Fixed)
            answers.addWidget(button)
        self.asking = QWidget()
        ask = QVBoxLayout(self.asking)
        ask.setContentsMargins(0, 4, 0, 0)
        ask.setSpacing(4)
        ask.addWidget(self.question)
        ask.addLayout(answers)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 8, 8, 8)
        column.setSpacing(6)
        column.addWidget(self.strip)
        column.addWidget(self.summary)
        column.addLayout(buttons)
        column.addWidget(self.asking)
        self.show_it.clicked.connect(self._on_show)
        self.yes.clicked.connect(self._on_yes)
        self.no.clicked.connect(self._on_no)
        self.next.clicked.connect(self._on_next)
        self.checked.clicked.connect(self._on_checked)
        tools.changed.connect(self._on_changed)
        tools.moved.connect(self.refresh)
        tools.controller.notes.events.names.connect(self._on_changed)
        self._on_changed()

    def refresh(self, *_: Any) -> None:
        """Show what is known."""
        tools = self._tools
        here = tools.here()
        self.setVisible(here is not None)
        if here is None:
            return
        seen, checked = tools.settled()
        known = tools.known()
        flagged = {flag.frame for flag in tools.flags} - seen - checked
        self.checked.setChecked(here in checked)
        self.next.setEnabled(bool(known))
        if not known:
            self.summary.setText("")
            return
        there = [f for f in tools.flags if f.frame == here]
        if there:
            name = tools.controller.notes.name
            reasons = "; ".join(f"{name(f.object_id)} {f.text}" for f in there)
            text = f"Look here: {reasons}"
        elif flagged:
            number = len(flagged)
            text = f"{number} frame{'s' * (number > 1)} to look at"
        else:
            text = f"{len(known & (seen | checked))} of {len(known)} frames looked at"
        if checked:
            text += f" · {len(checked)} checked"
        self.summary.setText(text)

    def _on_changed(self) -> None:
        """Other facts: another question, perhaps."""
        suspects = self._lineage.suspects()
        self._suspect = suspects[0] if suspects else None
        self.asking.setVisible(self._suspect is not None)
        if self._suspect is not None:
            name = self._tools.controller.notes.name
            self.question.setText(self._suspect.question(name))
        self.refresh()

    def _on_show(self) -> None:
        if self._suspect is not None:
            self._tools.visit(self._suspect.frame, self._suspect.parent)

    def _on_yes(self) -> None:
        self.answer_requested.emit(self._suspect, True)

    def _on_no(self) -> None:
        self.answer_requested.emit(self._suspect, False)

    def _on_next(self) -> None:
        self.next_requested.emit()

    def _on_checked(self, on: bool) -> None:
        self.check_requested.emit(on)
