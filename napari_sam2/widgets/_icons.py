"""Small icons, drawn in the colour of the text so that they suit any theme."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPainterPath, QPen, QPixmap

if TYPE_CHECKING:
    from collections.abc import Sequence

Ink: TypeAlias = tuple[int, int, int]
GREY = (150, 154, 160)
PLAIN, FAINT = 190, 90  # how opaque
SIZE = 32


def dot_icon(color: Sequence[float], square: bool = False) -> QIcon:
    """Icon of one colour (RGBA, 0 to 1): a disc, or a square with round corners."""
    pixmap, painter = _canvas()
    painter.setPen(Qt.NoPen)
    painter.setBrush(QColor.fromRgbF(*(min(1.0, max(0.0, float(c))) for c in color)))
    if square:
        painter.drawRoundedRect(QRectF(2, 2, 28, 28), 6, 6)
    else:
        painter.drawEllipse(QRectF(4, 4, 24, 24))
    painter.end()
    return _icon(pixmap)


@lru_cache(maxsize=8)
def eye_icon(is_open: bool, ink: Ink = GREY) -> QIcon:
    """An eye, or a closed one."""
    pixmap, painter = _canvas()
    color = QColor(*ink, PLAIN if is_open else FAINT)
    painter.setPen(QPen(color, 2.5))
    painter.setBrush(Qt.NoBrush)
    lids = QPainterPath(QPointF(2, 16))
    if is_open:
        lids.quadTo(16, 1, 30, 16)
        lids.quadTo(16, 31, 2, 16)
        painter.drawPath(lids)
        painter.setBrush(color)
        painter.drawEllipse(QPointF(16, 16), 4, 4)
    else:
        lids.quadTo(16, 27, 30, 16)
        painter.drawPath(lids)
    painter.end()
    return _icon(pixmap)


@lru_cache(maxsize=8)
def lock_icon(locked: bool, ink: Ink = GREY) -> QIcon:
    """A padlock, faint and open where nothing is locked."""
    pixmap, painter = _canvas()
    color = QColor(*ink, PLAIN if locked else FAINT)
    painter.setPen(QPen(color, 2.5))
    painter.setBrush(Qt.NoBrush)
    shackle = QRectF(10, 5, 12, 16) if locked else QRectF(14, 3, 12, 16)
    painter.drawArc(shackle, 0, 180 * 16)
    painter.setBrush(color if locked else Qt.NoBrush)
    painter.drawRoundedRect(QRectF(7, 14, 18, 13), 2, 2)
    painter.end()
    return _icon(pixmap)


def _icon(pixmap: QPixmap) -> QIcon:
    """An icon that keeps its colours in selected rows."""
    icon = QIcon(pixmap)
    icon.addPixmap(pixmap, QIcon.Selected)
    return icon


def _canvas() -> tuple[QPixmap, QPainter]:
    pixmap = QPixmap(SIZE, SIZE)
    pixmap.fill(Qt.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.Antialiasing)
    return pixmap, painter
