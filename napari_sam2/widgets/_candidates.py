"""Pictures of the masks that one click may mean, to choose from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QIcon, QImage, QPainter, QPen, QPixmap
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QToolButton, QWidget

from napari_sam2.dock._keys import hint

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from napari_sam2._state import SegmentationState
    from napari_sam2.asking._glimpses import Choices

MOST = 3
SIDE = 60
FRAME = 6  # around the one that is shown, in pixels of the picture


class CandidateRow(QWidget):
    """Up to three thumbnails; hidden where there is nothing to choose."""

    chosen = Signal(int)

    def __init__(
        self,
        state: SegmentationState,
        label_color: Callable[[int], Sequence[float]],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._state = state
        self._label_color = label_color
        self._shown: Choices | None = None
        self._pictures: list[QPixmap] = []
        self.text = QLabel("Or" + hint("candidates").replace(" (", "\n("))
        self.text.setSizePolicy(QSizePolicy.Fixed, QSizePolicy.Preferred)
        self.text.setToolTip("Other masks that the click may mean" + hint("candidates"))
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        row.addWidget(self.text)
        self.buttons = []
        for number in range(MOST):
            button = QToolButton()
            button.setCheckable(True)
            button.setIconSize(QSize(SIDE, SIDE))
            button.setSizePolicy(QSizePolicy.Ignored, QSizePolicy.Fixed)
            button.setMinimumWidth(SIDE)
            button.setObjectName(str(number))
            button.clicked.connect(self._on_clicked)
            row.addWidget(button)
            self.buttons.append(button)
        for name in ("choices", "choice"):
            state.events[name].connect(self.refresh)
        self.refresh()

    def refresh(self, *_: Any) -> None:
        """Show the candidates of the last click."""
        found: Choices | None = self._state.choices
        self.setVisible(found is not None)
        if found is None:
            return
        if found is not self._shown:
            self._shown = found
            color = self._label_color(found.key.object_id)
            self._pictures = [
                picture(found.picture, found.cropped(number), color)
                for number in range(min(MOST, len(found.masks)))
            ]
            for number, button in enumerate(self.buttons):
                button.setVisible(number < len(found.masks))
                if number < len(found.masks):
                    mask = found.cropped(number)
                    sure = 100 * min(1.0, max(0.0, found.scores[number]))
                    button.setToolTip(
                        f"{mask.sum()} pixels, {sure:.0f} % sure" + hint("candidates")
                    )
        for number, button in enumerate(self.buttons):
            button.setChecked(number == self._state.choice)
            if number < len(self._pictures):
                button.setIcon(self._framed(number))

    def _framed(self, number: int) -> QIcon:
        """A picture, in a frame if it is the mask that the labels show."""
        pixmap = QPixmap(self._pictures[number])
        if number == self._state.choice:
            painter = QPainter(pixmap)
            painter.setPen(QPen(self.palette().highlight().color(), 2 * FRAME))
            painter.drawRect(pixmap.rect())
            painter.end()
        return QIcon(pixmap)

    def _on_clicked(self) -> None:
        self.chosen.emit(int(self.sender().objectName()))
        self.refresh()


def picture(
    rgb: NDArray[np.uint8], mask: NDArray[np.bool_], color: Sequence[float]
) -> QPixmap:
    """An (h, w, 3) image with an (h, w) mask over it in a colour."""
    tint = 255 * np.asarray(color[:3], float)
    mixed = rgb.astype(float)
    mixed[mask] = 0.45 * mixed[mask] + 0.55 * tint
    inner = mask.copy()
    inner[1:-1, 1:-1] &= (
        mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
    )
    mixed[mask & ~inner] = tint
    pixels = np.ascontiguousarray(mixed.clip(0, 255).astype(np.uint8))
    height, width = pixels.shape[:2]
    image = QImage(pixels.data, width, height, 3 * width, QImage.Format_RGB888)
    # Twice as large as it is shown, for screens with small pixels.
    side = 2 * SIDE
    return QPixmap.fromImage(image.copy()).scaled(
        side, side, Qt.KeepAspectRatio, Qt.SmoothTransformation
    )
