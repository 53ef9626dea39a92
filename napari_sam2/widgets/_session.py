"""Group of controls: sessions, tracks, where the labels live."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QGridLayout,
    QMessageBox,
    QPushButton,
    QSizePolicy,
    QWidget,
)

from napari_sam2.sessions._session_file import SUFFIX, named
from napari_sam2.tasks._disk_labels import on_disk

if TYPE_CHECKING:
    from napari_sam2._state import SegmentationState

FILTER = f"Sessions (*{SUFFIX} *.json)"


class SessionPanel(QWidget):
    """Save and open session files; tracks; labels on disk."""

    save_requested = Signal(str)
    open_requested = Signal(str)
    tracks_requested = Signal()
    disk_requested = Signal(str)

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
        self.tracks = QPushButton("Make tracks")
        self.tracks.setToolTip(
            "A Tracks layer with the path of every object, and divisions as branches"
        )
        self.disk = QPushButton("Labels on disk …")
        self.disk.setToolTip(
            "Keep the labels in a zarr store that is written through, for stacks that "
            "are too long for the memory"
        )
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(4)
        for place, button in enumerate((self.save, self.open, self.tracks, self.disk)):
            button.setSizePolicy(QSizePolicy.Ignored, QSizePolicy.Fixed)
            grid.addWidget(button, *divmod(place, 2))
        self.tracks.clicked.connect(self._on_tracks)
        self.disk.clicked.connect(self._on_disk)
        self.save.clicked.connect(self._on_save)
        self.open.clicked.connect(self._on_open)
        for name in ("image", "labels", "axis", "busy"):
            state.events[name].connect(self.refresh)
        self.refresh()

    def refresh(self, *_: Any) -> None:
        """Show the state."""
        state = self._state
        self.save.setEnabled(state.image is not None)
        self.tracks.setEnabled(state.axis == 0 and not state.busy)
        in_memory = state.labels is not None and not on_disk(state.labels)
        self.disk.setEnabled(in_memory and not state.busy)

    def _on_save(self) -> None:
        image = self._state.image
        if image is None:
            return
        folder = Path(image.source.path).parent if image.source.path else Path.home()
        start = str(folder / f"{image.name}{SUFFIX}")
        path, _ = QFileDialog.getSaveFileName(self, "Save session", start, FILTER)
        if path and self._may_write(path):
            self.save_requested.emit(path)

    def _may_write(self, path: str) -> bool:
        """Ask about the file that is written if the dialog has asked about another."""
        file = named(path)
        if file == Path(path) or not file.exists():
            return True
        text = f"{file.name} already exists.\nDo you want to replace it?"
        answer = QMessageBox.warning(
            self, "Save session", text, QMessageBox.Yes | QMessageBox.No, QMessageBox.No
        )
        return bool(answer == QMessageBox.Yes)

    def _on_tracks(self) -> None:
        self.tracks_requested.emit()

    def _on_disk(self) -> None:
        image = self._state.image
        if image is None:
            return
        folder = Path(image.source.path).parent if image.source.path else Path.home()
        start = str(folder / f"{image.name}-labels.zarr")
        title, names = "Labels on disk", "Zarr stores (*.zarr)"
        path, _ = QFileDialog.getSaveFileName(self, title, start, names)
        if path:
            self.disk_requested.emit(path)

    def _on_open(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open session", "", FILTER)
        if path:
            self.open_requested.emit(path)
