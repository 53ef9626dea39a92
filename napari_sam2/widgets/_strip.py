"""The confidence strip: object x frame, coloured by how certain the model was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QImage, QPainter, QPalette, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from napari_sam2.widgets._pulse import Drawing

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from numpy.typing import NDArray

    from napari_sam2.asking._facts import Facts
    from napari_sam2.dock._stacking import StackTools

LOW, HIGH = (206, 72, 48), (36, 92, 168)  # orange against blue, also for colour-blind
CERTAINTIES = 0.6, 0.75, 0.85, 0.91, 0.97  # most masks are between the last three
COLORS = LOW, (238, 140, 70), (250, 214, 130), (142, 190, 220), HIGH
GUTTER, FOOT, MIN_ROW, MAX_ROW = 14, 8, 4, 14
ROOM = 8  # height of rows with triangles of their own; else they are above all rows
UNKNOWN, EMPTY = np.nan, -1.0


def colors(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """RGBA of certainties, (..., 4) uint8.

    Parameters
    ----------
    values : array
        0 to 1; -1 where the object is not in the frame, NaN where nothing is known.
    """
    known = np.nan_to_num(values)
    channels = zip(*COLORS, strict=True)
    rgb = np.stack([np.interp(known, CERTAINTIES, c) for c in channels], axis=-1)
    alpha = np.full((*values.shape, 1), 255.0)
    alpha[np.isnan(values)] = 0
    alpha[values == EMPTY] = 28
    rgb[values == EMPTY] = 128
    return np.concatenate([rgb, alpha], axis=-1).round().astype(np.uint8)


def squeeze(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Fewer columns where there are more frames than pixels; the worst one shows.

    Parameters
    ----------
    values : (objects, frames) array
        As for :func:`colors`.
    width : int
        Most columns wanted.
    """
    frames = values.shape[1]
    if frames <= width or width < 1:
        return values
    edges = np.linspace(0, frames, width + 1).astype(int)[:-1]
    # Absent and unknown frames give way to those that say something.
    ranked = np.where(np.isnan(values), 3.0, np.where(values == EMPTY, 2.0, values))
    worst = np.minimum.reduceat(ranked, edges, axis=1)
    return np.where(worst == 3.0, UNKNOWN, np.where(worst == 2.0, EMPTY, worst))


class Strip(QWidget):
    """One row per object, one column per frame.

    White marks are prompts, triangles ask to look there, a line at the foot says that a
    frame was checked. The current object's row has a frame. A click goes to the frame,
    and to the object of the row.

    Parameters
    ----------
    tools : StackTools
        Where all of this comes from.
    label_color : callable
        Colour of an object, RGBA from 0 to 1.
    """

    frame_requested = Signal(int)
    object_requested = Signal(int)

    def __init__(
        self,
        tools: StackTools,
        label_color: Callable[[int], Sequence[float]],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._tools = tools
        self._label_color = label_color
        self.ids: list[int] = []
        self.values = np.zeros((0, 0))
        self._prompted: set[tuple[int, int]] = set()
        self._image: QImage | None = None
        self._drawing = Drawing(self)  # many frames arrive; a few pictures a second do
        self._drawing.due.connect(self._redraw)
        self.setSizePolicy(QSizePolicy.Expanding, QSizePolicy.Fixed)
        self.setMouseTracking(True)
        tools.changed.connect(self.refresh)
        tools.measured.connect(self._on_measured)
        tools.moved.connect(self._on_moved)
        tools.controller.state.events.object_id.connect(self._on_moved)
        self.refresh()

    def refresh(self) -> None:
        """Take everything over afresh."""
        line, frames = self._tools.line(), self._tools.frames()
        self.ids = sorted(i for i, row in line.items() if row)
        length = 0 if frames is None else len(frames)
        self.values = np.full((len(self.ids), length), UNKNOWN)
        self._prompted = set()
        for row, object_id in enumerate(self.ids):
            for index, facts in line[object_id].items():
                self._set(row, index, facts)
        self.setFixedHeight(self._height())
        self._redraw()

    def frame_at(self, x: float) -> int | None:
        """Frame index at a horizontal position; None outside."""
        length = self.values.shape[1]
        if length == 0 or x < GUTTER or x >= self.width():
            return None
        return min(length - 1, int((x - GUTTER) / self._column()))

    def object_at(self, y: float) -> int | None:
        """Object id at a vertical position; None outside."""
        row = int((y - FOOT) // self._row())
        return self.ids[row] if 0 <= row < len(self.ids) else None

    # -- drawing ------------------------------------------------------------------

    def sizeHint(self) -> QSize:
        """As wide as possible."""
        return QSize(240, self._height())

    def paintEvent(self, event: Any) -> None:
        """Draw the picture, and what moves on top of it."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.Antialiasing)
        text = self.palette().color(QPalette.WindowText)
        if self._image is None:
            painter.setPen(text)
            nothing = "Propagate to see how certain each frame is."
            painter.drawText(self.rect(), Qt.AlignCenter | Qt.TextWordWrap, nothing)
            return
        row, column = self._row(), self._column()
        area = QRectF(GUTTER, FOOT, self.width() - GUTTER, row * len(self.ids))
        track = QColor(text)
        track.setAlpha(18)
        painter.fillRect(area, track)  # where nothing is known yet
        painter.drawImage(area, self._image)
        current = self._tools.controller.state.object_id
        for number, object_id in enumerate(self.ids):
            wide = GUTTER if object_id == current else GUTTER - 6
            swatch = QRectF(1, FOOT + number * row + 1, wide - 1, max(2, row - 2))
            painter.fillRect(swatch, _qcolor(self._label_color(object_id)))
        painter.setPen(QPen(QColor(0, 0, 0, 150), 1))  # they are on pale colours, too
        painter.setBrush(QColor(255, 255, 255, 230))
        for number, index in self._prompted:
            x = GUTTER + (index + 0.5) * column
            y = FOOT + (number + 0.5) * row
            size = min(5.0, row - 2)
            painter.drawEllipse(QPointF(x, y), size / 2, size / 2)
        _, checked = self._tools.settled()
        self._draw_flags(painter, checked)
        painter.setPen(Qt.NoPen)
        painter.setBrush(QColor(60, 170, 90))
        foot = FOOT + row * len(self.ids) + 3
        for index in checked:
            painter.drawRect(QRectF(GUTTER + index * column, foot, max(1, column), 3))
        here = self._tools.here()
        painter.setBrush(Qt.NoBrush)
        if current in self.ids:
            painter.setPen(QPen(text, 1))
            top = FOOT + self.ids.index(current) * row
            painter.drawRect(QRectF(0.5, top, self.width() - 1, row))
        if here is not None:
            painter.setPen(QPen(text, 1.5))
            left, width = GUTTER + here * column, max(3.0, column)
            painter.drawRect(
                QRectF(left - 0.5, FOOT - 1, width + 1, row * len(self.ids) + 2)
            )

    def _draw_flags(self, painter: QPainter, checked: Collection[int]) -> None:
        """A triangle for each warning, but for frames that the user has checked."""
        row, column = self._row(), self._column()
        current = self._tools.controller.state.object_id
        flags = {(flag.object_id == current, flag) for flag in self._tools.flags}
        # Those of the current object come last, on top.
        for own, flag in sorted(flags, key=lambda entry: entry[0]):
            if flag.frame in checked or flag.object_id not in self.ids:
                continue
            roomy, color = row >= ROOM, QColor(*LOW)
            top = FOOT + self.ids.index(flag.object_id) * row + 1 if roomy else 0.5
            color.setAlpha(255 if own or roomy else 130)
            painter.setBrush(color)
            painter.setPen(QPen(QColor(255, 255, 255), 1) if roomy else Qt.NoPen)
            x, tip = GUTTER + (flag.frame + 0.5) * column, min(7.0, row - 2)
            corners = [(x - 4, top), (x + 4, top), (x, top + tip if roomy else 6)]
            painter.drawPolygon(QPolygonF([QPointF(*corner) for corner in corners]))

    def _redraw(self) -> None:
        self._image = None
        if self.values.size:
            squeezed = squeeze(self.values, max(1, self.width() - GUTTER))
            rgba = np.ascontiguousarray(colors(squeezed))
            height, width = rgba.shape[:2]
            image = QImage(rgba.data, width, height, 4 * width, QImage.Format_RGBA8888)
            self._image = image.copy()
        self.update()

    def _set(self, row: int, index: int, facts: Facts) -> None:
        self.values[row, index] = facts.certainty if facts.area else EMPTY
        key = row, index
        drawn = facts.prompted and facts.area > 0  # marks of absence are prompts too
        (self._prompted.add if drawn else self._prompted.discard)(key)

    def _height(self) -> int:
        rows = max(3, len(self.ids))
        return round(2 * FOOT + rows * self._row() if self.ids else 48)

    def _row(self) -> float:
        return max(MIN_ROW, min(MAX_ROW, 140 / max(1, len(self.ids))))

    def _column(self) -> float:
        return float(self.width() - GUTTER) / max(1, self.values.shape[1])

    # -- events -------------------------------------------------------------------

    def _on_measured(self, index: int, objects: Any) -> None:
        line = self._tools.line()
        for object_id in objects:
            if object_id not in self.ids:
                self.refresh()
                return
            facts = line.get(object_id, {}).get(index)
            row = self.ids.index(object_id)
            if facts is None:
                self.values[row, index] = UNKNOWN
            else:
                self._set(row, index, facts)
        self._drawing.ask()

    def _on_moved(self) -> None:
        self.update()

    def resizeEvent(self, event: Any) -> None:
        """Another width: other columns."""
        self._redraw()

    def mousePressEvent(self, event: Any) -> None:
        """Go there."""
        self._go(event.position(), choose=True)

    def mouseMoveEvent(self, event: Any) -> None:
        """Scrub with the button held."""
        if event.buttons() & Qt.LeftButton:
            self._go(event.position(), choose=False)

    def _go(self, at: QPointF, choose: bool) -> None:
        index, object_id = self.frame_at(at.x()), self.object_at(at.y())
        if choose and object_id is not None:
            self.object_requested.emit(object_id)
        if index is not None:
            self.frame_requested.emit(index)

    def event(self, event: Any) -> bool:
        """Tooltips say what is under the pointer."""
        if event.type() == QEvent.ToolTip:
            text = self.explain(event.pos().x(), event.pos().y())
            QToolTip.showText(event.globalPos(), text, self)
            return True
        return bool(super().event(event))

    def explain(self, x: float, y: float) -> str:
        """What is known of the place under the pointer."""
        index, object_id = self.frame_at(x), self.object_at(y)
        if index is None or object_id is None:
            return ""
        facts = self._tools.line().get(object_id, {}).get(index)
        name = self._tools.controller.notes.name(object_id)
        text = f"{name}, frame {index}"
        if facts is None:
            return text
        if facts.area:
            text += f": IoU {facts.iou:.2f}, present {facts.object_score:.2f}, "
            text += f"{facts.area} px"
        else:
            text += ": not in this frame"
        reasons = [
            flag.text
            for flag in self._tools.flags
            if (flag.object_id, flag.frame) == (object_id, index)
        ]
        return "\n".join([text, *reasons])


def _qcolor(color: Sequence[float]) -> QColor:
    return QColor.fromRgbF(*(min(1.0, max(0.0, float(c))) for c in color))
