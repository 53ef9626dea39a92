"""Notes on top of the dock that offer a choice, and are not there otherwise."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from qtpy.QtCore import QRectF, Qt, Signal
from qtpy.QtGui import QColor, QPainter
from qtpy.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtGui import QPaintEvent

    from napari_sam2.asking._remedies import Remedy
    from napari_sam2.sessions._keeping import SessionKeeper
    from napari_sam2.sessions._session_file import SessionFile


BAR = QColor(230, 160, 20)
TINT = QColor(230, 160, 20, 40)


class Banner(QFrame):
    """A sentence and a row of buttons."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.text = QLabel()
        self.text.setWordWrap(True)
        self._row = QHBoxLayout()
        self._row.setSpacing(4)
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 6, 8, 8)
        column.setSpacing(6)
        column.addWidget(self.text)
        column.addLayout(self._row)

    def paintEvent(self, event: QPaintEvent) -> None:
        """A tint and a bar, which stand out in any theme."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.Antialiasing)
        painter.setPen(Qt.NoPen)
        painter.setBrush(TINT)
        painter.drawRoundedRect(self.rect(), 3, 3)
        painter.setBrush(BAR)
        painter.drawRoundedRect(QRectF(0, 0, 4, self.height()), 2, 2)
        painter.end()

    def add_button(self, text: str, tip: str) -> QPushButton:
        """Append a button; all share the width."""
        button = QPushButton(text)
        button.setToolTip(tip)
        button.setSizePolicy(QSizePolicy.Ignored, QSizePolicy.Fixed)
        self._row.addWidget(button)
        return button


class OfferBanner(Banner):
    """Says that there is unsaved work on this image."""

    restore_requested = Signal()
    discard_requested = Signal()

    def __init__(self, keeper: SessionKeeper, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._keeper = keeper
        self.restore = self.add_button(
            "Restore", "Bring the prompts back and compute the masks again"
        )
        self.discard = self.add_button("Discard", "Delete this work for good")
        self.restore.clicked.connect(self._on_restore)
        self.discard.clicked.connect(self._on_discard)
        keeper.offered.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show or hide."""
        offer = self._keeper.offer
        self.setVisible(offer is not None)
        if offer is not None:
            self.text.setText(f"Unsaved work on this image: {describe(offer.session)}")

    def _on_restore(self) -> None:
        self.restore_requested.emit()

    def _on_discard(self) -> None:
        self.discard_requested.emit()


class RemedyBanner(Banner):
    """Offers what needs less memory after the device ran out of it."""

    chosen = Signal(object)  # the remedy

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.buttons = [self.add_button("", "") for _ in range(3)]
        self._remedies: Sequence[Remedy] = ()
        for button in self.buttons:
            button.clicked.connect(self._on_clicked)
        self.hide()

    def show_remedies(self, remedies: Sequence[Remedy]) -> None:
        """Offer these, at most three; hide without any."""
        self._remedies = remedies[: len(self.buttons)]
        text = "Not enough memory on the device. What is done is kept."
        if remedies:
            text += f" Go on with {_named(remedies[0])}?"
        self.text.setText(text)
        for button in self.buttons:
            button.hide()
        pairs = zip(self.buttons, self._remedies, strict=False)
        for place, (button, remedy) in enumerate(pairs):
            button.setText(remedy.text)
            # In a narrow dock there is room for all three, if none takes too much.
            self._row.setStretch(place, button.sizeHint().width())
            button.setToolTip(f"Go on with {_named(remedy)}")
            button.show()
        self.setVisible(bool(remedies))

    def _on_clicked(self) -> None:
        remedy = self._remedies[self.buttons.index(self.sender())]
        self.hide()
        self.chosen.emit(remedy)


def _named(remedy: Remedy) -> str:
    text = f"{remedy.model} on {remedy.device}"
    return f"{text}, preset {remedy.preset}" if remedy.preset else text


def describe(session: SessionFile) -> str:
    """What is in a session, for people: "3 objects, 14 prompts, 12:31"."""
    objects, prompts = len(session.objects), session.prompt_count
    text = f"{objects} object{'s' * (objects != 1)}, "
    text += f"{prompts} prompt{'s' * (prompts != 1)}"
    try:
        when = datetime.fromisoformat(session.saved)
    except ValueError:
        return text
    day = "" if when.date() == datetime.now().date() else f"{when:%d %b} "
    return f"{text}, {day}{when:%H:%M}"
