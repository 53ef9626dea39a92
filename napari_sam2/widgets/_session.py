"""Saving and opening sessions, and earlier work that is offered back."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_sam2._session_file import SUFFIX

if TYPE_CHECKING:
    from napari_sam2._keeping import SessionKeeper
    from napari_sam2._state import SegmentationState

FILTER = f"Sessions (*{SUFFIX} *.json)"


class OfferBanner(QFrame):
    """Says that there is unsaved work on this image; not there otherwise."""

    restore_requested = Signal()
    discard_requested = Signal()

    def __init__(self, keeper: SessionKeeper, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._keeper = keeper
        self.setFrameShape(QFrame.StyledPanel)
        self.text = QLabel()
        self.text.setWordWrap(True)
        self.restore = QPushButton("Restore")
        self.restore.setToolTip("Bring the prompts back and compute the masks again")
        self.discard = QPushButton("Discard")
        self.discard.setToolTip("Delete this work for good")
        buttons = QHBoxLayout()
        buttons.setSpacing(4)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 6, 8, 6)
        column.setSpacing(6)
        column.addWidget(self.text)
        column.addLayout(buttons)
        for button in (self.restore, self.discard):
            button.setSizePolicy(QSizePolicy.Ignored, QSizePolicy.Fixed)
            buttons.addWidget(button)
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


class SessionPanel(QWidget):
    """Save and open session files."""

    save_requested = Signal(str)
    open_requested = Signal(str)

    def __init__(self, state: SegmentationState, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._state = state
        self.save = QPushButton("Save session …")
        self.save.setToolTip(
            "Prompts, settings and what was computed, as a readable file. "
            "Work is also saved by itself, and offered back after a crash."
        )
        self.open = QPushButton("Open session …")
        self.open.setToolTip("Bring a saved session back")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        for button in (self.save, self.open):
            button.setSizePolicy(QSizePolicy.Ignored, QSizePolicy.Fixed)
            row.addWidget(button)
        self.save.clicked.connect(self._on_save)
        self.open.clicked.connect(self._on_open)
        state.events.image.connect(self.refresh)
        self.refresh()

    def refresh(self, *_: Any) -> None:
        """Show the state."""
        self.save.setEnabled(self._state.image is not None)

    def _on_save(self) -> None:
        image = self._state.image
        if image is None:
            return
        folder = Path(image.source.path).parent if image.source.path else Path.home()
        start = str(folder / f"{image.name}{SUFFIX}")
        path, _ = QFileDialog.getSaveFileName(self, "Save session", start, FILTER)
        if path:
            self.save_requested.emit(path)

    def _on_open(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open session", "", FILTER)
        if path:
            self.open_requested.emit(path)


def describe(session: Any) -> str:
    """What is in a session, for people: "3 objects, 14 prompts, today 12:31"."""
    objects, prompts = len(session.objects), session.prompt_count
    text = f"{objects} object{'s' * (objects != 1)}, "
    text += f"{prompts} prompt{'s' * (prompts != 1)}"
    try:
        when = datetime.fromisoformat(session.saved)
    except ValueError:
        return text
    day = "" if when.date() == datetime.now().date() else f"{when:%d %b} "
    return f"{text}, {day}{when:%H:%M}"
