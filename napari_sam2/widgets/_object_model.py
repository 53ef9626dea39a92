"""The object table as Qt wants it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QSize, Qt, Signal
from qtpy.QtGui import QPalette
from qtpy.QtWidgets import QWidget

from napari_sam2.widgets._icons import GREY, dot_icon, eye_icon, lock_icon

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qtpy.QtGui import QIcon

    from napari_sam2.dock._objects import ObjectRow
    from napari_sam2.widgets._icons import Ink

VISIBLE, LOCKED, OBJECT, NAME, PROMPTS, FRAMES, CONFIDENCE = range(7)
HEADERS = ("", "", "#", "Name", "Pr.", "Fr.", "Sure")
TIPS = (
    "Whether the object is drawn; click to change",
    "Whether the object is protected from changes; click to change",
    "Label of the object",
    "Name; press F2 to change it",
    "Prompts: points, shapes and masks that you gave, in all frames",
    "Frames in which the object has pixels",
    "Certainty of its least certain mask, in percent",
)


class ObjectModel(QAbstractTableModel):
    """Rows of :class:`napari_sam2.dock._objects.Objects`; changes are only asked for.

    Parameters
    ----------
    label_color : callable
        Colour of a label, RGBA from 0 to 1.
    """

    rename_requested = Signal(int, str)
    hide_requested = Signal(int, bool)
    lock_requested = Signal(int, bool)

    def __init__(
        self, label_color: Callable[[int], Sequence[float]], parent: Any = None
    ) -> None:
        super().__init__(parent)
        self._label_color = label_color
        self._icons: dict[tuple[float, ...], QIcon] = {}
        self.rows: list[ObjectRow] = []

    def show(self, rows: list[ObjectRow]) -> None:
        """Replace the rows; where the objects stay the same, so does the selection."""
        same = [r.object_id for r in rows] == [r.object_id for r in self.rows]
        if same:
            self.rows = rows
            if rows:
                last = self.index(len(rows) - 1, len(HEADERS) - 1)
                self.dataChanged.emit(self.index(0, 0), last)
            return
        self.beginResetModel()
        self.rows = rows
        self.endResetModel()

    def row_of(self, object_id: int) -> int:
        """Number of the row of an object, -1 if it has none."""
        ids = [row.object_id for row in self.rows]
        return ids.index(object_id) if object_id in ids else -1

    # -- Qt's names ---------------------------------------------------------------

    def rowCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008
        """Number of objects."""
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008
        """Number of columns."""
        return 0 if parent.isValid() else len(HEADERS)

    def headerData(self, section: int, orientation: Any, role: int = 0) -> Any:
        """Titles and their tips."""
        if orientation != Qt.Horizontal:
            return None
        if role == Qt.DisplayRole:
            return HEADERS[section]
        if role == Qt.ToolTipRole:
            return TIPS[section]
        return None

    def flags(self, index: QModelIndex) -> Any:
        """Names can be edited."""
        flags = Qt.ItemIsEnabled | Qt.ItemIsSelectable
        return flags | Qt.ItemIsEditable if index.column() == NAME else flags

    def data(self, index: QModelIndex, role: int = 0) -> Any:
        """What a cell shows."""
        row, column = self.rows[index.row()], index.column()
        if role in (Qt.DisplayRole, Qt.EditRole):
            return self._text(row, column)
        if role == Qt.DecorationRole:
            return self._icon(row, column)
        if role == Qt.ToolTipRole:
            return TIPS[column]
        if role == Qt.TextAlignmentRole and column not in (NAME, OBJECT):
            return int(Qt.AlignRight | Qt.AlignVCenter)
        if role == Qt.SizeHintRole and column in (VISIBLE, LOCKED):
            return QSize(20, 20)
        return None

    def setData(self, index: QModelIndex, value: Any, role: int = 0) -> bool:
        """A name was typed."""
        if role != Qt.EditRole or index.column() != NAME:
            return False
        self.rename_requested.emit(self.rows[index.row()].object_id, str(value))
        return True

    def click(self, index: QModelIndex) -> None:
        """A cell was clicked: the first two columns are switches."""
        row = self.rows[index.row()]
        if index.column() == VISIBLE:
            self.hide_requested.emit(row.object_id, row.visible)
        elif index.column() == LOCKED:
            self.lock_requested.emit(row.object_id, not row.locked)

    # -- cells --------------------------------------------------------------------

    @staticmethod
    def _text(row: ObjectRow, column: int) -> str:
        if column == CONFIDENCE:
            sure = row.confidence
            return "" if sure is None else f"{100 * max(0.0, min(1.0, sure)):.0f}"
        texts = {
            OBJECT: str(row.object_id),
            NAME: row.name,
            PROMPTS: str(row.prompts or ""),
            FRAMES: str(row.frames or ""),
        }
        return texts.get(column, "")

    def _icon(self, row: ObjectRow, column: int) -> QIcon | None:
        if column == VISIBLE:
            return eye_icon(row.visible, self._ink())
        if column == LOCKED:
            return lock_icon(row.locked, self._ink())
        if column != OBJECT:
            return None
        color = tuple(float(c) for c in self._label_color(row.object_id))
        if color not in self._icons:
            self._icons[color] = dot_icon(color, square=True)
        return self._icons[color]

    def _ink(self) -> Ink:
        """Colour of the text around the table."""
        panel = self.parent()
        if not isinstance(panel, QWidget):
            return GREY
        color = panel.palette().color(QPalette.WindowText)
        return color.red(), color.green(), color.blue()
