"""Group of controls: all objects, and what can be done with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QItemSelectionModel, QSize, Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QMenu,
    QPushButton,
    QSizePolicy,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from napari_sam2.dock._keys import hint
from napari_sam2.widgets._object_model import (
    CONFIDENCE,
    FRAMES,
    LOCKED,
    NAME,
    OBJECT,
    PROMPTS,
    VISIBLE,
    ObjectModel,
)
from napari_sam2.widgets._pulse import Drawing

if TYPE_CHECKING:
    from napari_sam2.dock._objects import Objects

FLAT = "QHeaderView::section { border: 0; }"  # as all else in napari's themes
FEWEST_ROWS, MOST_ROWS = 3, 10


class _Table(QTableView):
    """Rows with keys of their own, whichever cell was clicked."""

    rename_pressed = Signal()
    delete_pressed = Signal()

    def keyPressEvent(self, event: Any) -> None:
        """F2 renames; Delete deletes, which is called Backspace on a Mac."""
        if event.key() == Qt.Key_F2:
            self.rename_pressed.emit()
        elif event.key() in (Qt.Key_Delete, Qt.Key_Backspace):
            self.delete_pressed.emit()
        else:
            super().keyPressEvent(event)


class ObjectPanel(QWidget):
    """Table of objects with buttons beneath."""

    requested = Signal(str, tuple)
    """A method of :class:`napari_sam2.dock._objects.Objects`, and its arguments."""

    count_changed = Signal(int)

    def __init__(self, objects: Objects, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._objects = objects
        self._quiet = False
        self.model = ObjectModel(objects.stage.label_color, self)
        self.table = _Table()
        self._set_up_table()
        self.empty = QLabel("No objects yet. Open an image, then click an object.")
        self.empty.setWordWrap(True)
        self.empty.setAlignment(Qt.AlignCenter)
        self.empty.setEnabled(False)
        self.new = QPushButton("New")
        self.new.setToolTip("Start another object" + hint("next"))
        self.merge = QPushButton("Merge")
        self.track = QPushButton("Track all")
        self.track.setToolTip(
            "Take every label of this frame for a mask prompt, and follow them all"
            + hint("track_all")
        )
        self.delete = QPushButton("Delete")
        self.delete.setMenu(self._delete_menu())
        for button in (self.new, self.merge, self.track, self.delete):
            button.setSizePolicy(QSizePolicy.Ignored, QSizePolicy.Fixed)
        self.delete.setToolTip(
            "Delete the selected objects, in all frames (in the table: Delete key)"
        )
        row = QHBoxLayout()
        row.setSpacing(4)
        for button in (self.new, self.merge, self.delete, self.track):
            row.addWidget(button, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self.empty)
        column.addWidget(self.table)
        column.addLayout(row)
        self._connect()
        self.refresh()

    @property
    def selected(self) -> list[int]:
        """Ids of the rows that are selected, ascending."""
        rows = {index.row() for index in self.table.selectionModel().selectedRows()}
        return [self.model.rows[row].object_id for row in sorted(rows)]

    def refresh(self) -> None:
        """Show the objects as they are, once no name is being typed."""
        if self.table.state() == QAbstractItemView.EditingState:
            return
        chosen = self.selected
        self._quiet = True
        self.model.show(self._objects.rows())
        current = self._objects.state.object_id
        self._select(chosen if current in chosen else [current])
        self._quiet = False
        self._show_buttons()
        self.empty.setVisible(not self.model.rows)
        self.table.setVisible(bool(self.model.rows))
        rows = min(max(len(self.model.rows), FEWEST_ROWS), MOST_ROWS)
        height = self.table.verticalHeader().defaultSectionSize()
        self.table.setFixedHeight((rows + 1) * height + 8)
        flat = self._objects.state.image is None or self._objects.state.image.ndim == 2
        self.table.setColumnHidden(FRAMES, flat)
        self.count_changed.emit(len(self.model.rows))

    # -- setting up ---------------------------------------------------------------

    def _set_up_table(self) -> None:
        table = self.table
        table.setModel(self.model)
        table.setSelectionBehavior(QAbstractItemView.SelectRows)
        table.setSelectionMode(QAbstractItemView.ExtendedSelection)
        table.setEditTriggers(QAbstractItemView.NoEditTriggers)  # F2 is for the row
        table.setIconSize(QSize(14, 14))
        table.setShowGrid(False)
        table.setWordWrap(False)
        table.verticalHeader().hide()
        height = table.fontMetrics().height() + 6
        table.verticalHeader().setDefaultSectionSize(height)
        table.verticalHeader().setMinimumSectionSize(height)
        table.setHorizontalScrollBarPolicy(Qt.ScrollBarAlwaysOff)
        header = table.horizontalHeader()
        header.setStyleSheet(FLAT)
        header.setHighlightSections(False)
        header.setMinimumSectionSize(20)
        digit = table.fontMetrics().horizontalAdvance("0")
        widths = {VISIBLE: 22, LOCKED: 22, OBJECT: 26 + 3 * digit}
        for column in (PROMPTS, FRAMES, CONFIDENCE):
            text = self.model.headerData(column, Qt.Horizontal, Qt.DisplayRole)
            advance = table.fontMetrics().horizontalAdvance(text)
            widths[column] = max(advance, 3 * digit) + 10
        for column, width in widths.items():
            header.setSectionResizeMode(column, QHeaderView.Fixed)
            header.resizeSection(column, width)
        header.setSectionResizeMode(NAME, QHeaderView.Stretch)

    def _delete_menu(self) -> QMenu:
        menu = QMenu(self)
        for what, text in (
            ("both", "Mask and prompts"),
            ("mask", "Mask only"),
            ("prompts", "Prompts only"),
        ):
            menu.addAction(text).setData(what)
        menu.triggered.connect(self._on_delete_action)
        return menu

    def _connect(self) -> None:
        self._drawing = Drawing(self)
        self._drawing.due.connect(self.refresh)
        self._objects.changed.connect(self._on_change)
        self._objects.state.events.object_id.connect(self._on_object)
        self.model.rename_requested.connect(self._on_rename)
        self.model.hide_requested.connect(self._on_hide)
        self.model.lock_requested.connect(self._on_lock)
        self.table.clicked.connect(self._on_clicked)
        self.table.doubleClicked.connect(self._on_double)
        self.table.selectionModel().selectionChanged.connect(self._on_selection)
        self.new.clicked.connect(self._on_new)
        self.merge.clicked.connect(self._on_merge)
        self.track.clicked.connect(self._on_track)
        self.table.itemDelegate().closeEditor.connect(self._on_change)
        self.table.rename_pressed.connect(self._on_rename_key)
        self.table.delete_pressed.connect(self._on_delete_key)

    def _select(self, object_ids: list[int]) -> None:
        model = self.table.selectionModel()
        if self.selected == object_ids:
            return
        model.clearSelection()
        for object_id in object_ids:
            row = self.model.row_of(object_id)
            if row >= 0:
                index = self.model.index(row, 0)
                model.select(
                    index, QItemSelectionModel.Select | QItemSelectionModel.Rows
                )
                self.table.scrollTo(index)

    def _show_buttons(self) -> None:
        ready = self._objects.state.image is not None
        chosen = self.selected
        self.new.setEnabled(ready)
        self.delete.setEnabled(ready and bool(chosen))
        self.track.setEnabled(ready and self._objects.state.axis is not None)
        self.merge.setEnabled(len(chosen) > 1)
        self.merge.setToolTip(
            "Make one object of those selected"
            if len(chosen) > 1
            else "Select two or more rows, with Ctrl or Shift, to merge them"
        )

    # -- slots --------------------------------------------------------------------

    def _on_change(self, *_: Any) -> None:
        self._drawing.ask()

    def _on_object(self, object_id: int) -> None:
        """Another object was chosen, here or in the labels layer."""
        if self.model.row_of(object_id) < 0 or object_id not in self.selected:
            self.refresh()

    def _on_clicked(self, index: Any) -> None:
        self.model.click(index)

    def _on_double(self, index: Any) -> None:
        if index.column() not in (VISIBLE, LOCKED):
            object_id = self.model.rows[index.row()].object_id
            self.requested.emit("jump", (object_id,))

    def _on_selection(self, *_: Any) -> None:
        if self._quiet:
            return
        chosen = self.selected
        self._show_buttons()
        current = self.table.currentIndex().row()
        if not chosen or not 0 <= current < len(self.model.rows):
            return
        wanted = self.model.rows[current].object_id
        wanted = wanted if wanted in chosen else chosen[0]
        if wanted != self._objects.state.object_id:
            self.requested.emit("select", (wanted,))

    def _on_new(self) -> None:
        self.requested.emit("new", ())

    def _on_merge(self) -> None:
        self.requested.emit("merge", (self.selected,))

    def _on_track(self) -> None:
        self.requested.emit("track_all", ())

    def _on_delete_action(self, action: Any) -> None:
        self.requested.emit("delete", (self.selected, action.data()))

    def _on_delete_key(self) -> None:
        if self.delete.isEnabled():
            self.requested.emit("delete", (self.selected, "both"))

    def _on_rename_key(self) -> None:
        """Edit the name of the row, whichever of its cells was clicked."""
        if chosen := self.selected:
            current = self.table.currentIndex().row()
            rows = [self.model.row_of(object_id) for object_id in chosen]
            row = current if current in rows else rows[0]
            self.table.edit(self.model.index(row, NAME))

    def _on_rename(self, object_id: int, name: str) -> None:
        self.requested.emit("rename", (object_id, name))

    def _on_hide(self, object_id: int, on: bool) -> None:
        self.requested.emit("hide", (object_id, on))

    def _on_lock(self, object_id: int, on: bool) -> None:
        self.requested.emit("lock", (object_id, on))
