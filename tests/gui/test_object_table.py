"""The object table: rows, clicks, buttons; without a window."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QItemSelectionModel, Qt
from qtpy.QtWidgets import QLineEdit

from napari_sam2.widgets import _object_model as columns

STACK = np.zeros((7, 40, 60), np.float32)


@pytest.fixture
def three(segment):
    w = segment(STACK)
    for row, column in ((10, 20), (30, 30), (20, 45)):
        w.add_point((3, row, column))
        w.next_object()
    w.choose_object(3)
    w.table.refresh()
    return w


def cell(w, row, column):
    return w.table.model.index(row, column)


def text(w, row, column):
    return w.table.model.data(cell(w, row, column), Qt.DisplayRole)


def click(w, qtbot, row, column, double=False, modifier=Qt.NoModifier):
    table = w.table.table
    where = table.visualRect(cell(w, row, column)).center()
    qtbot.mouseClick(table.viewport(), Qt.LeftButton, modifier, where)
    if double:
        qtbot.mouseDClick(table.viewport(), Qt.LeftButton, modifier, where)


def test_rows(three):
    w = three
    assert w.table.model.rowCount() == 3
    shown = [text(w, i, columns.NAME) for i in range(3)]
    assert shown == ["Object 1", "Object 2", "Object 3"]
    assert [text(w, i, columns.PROMPTS) for i in range(3)] == ["1", "1", "1"]
    assert [text(w, i, columns.FRAMES) for i in range(3)] == ["1", "1", "1"]
    assert w.table.selected == [3]
    assert w.folds["objects"].header.text() == "Objects (3)"
    w.next_object()
    assert text(w, 3, columns.PROMPTS) == ""
    assert w.table.selected == [4]


def test_click_selects_and_double_click_jumps(three, qtbot):
    w = three
    w.show()
    click(w, qtbot, 1, columns.NAME)
    assert w.object_id == w.labels.selected_label == 2
    w.labels.selected_label = 1
    assert w.table.selected == [1]
    w.viewer_model.dims.set_current_step(0, 0)
    click(w, qtbot, 2, columns.NAME, double=True)
    assert w.viewer_model.dims.current_step[0] == 3
    assert w.object_id == 3


def test_eye_and_lock_are_switches(three, qtbot):
    w = three
    w.show()
    click(w, qtbot, 0, columns.LOCKED)
    click(w, qtbot, 1, columns.VISIBLE)
    assert w.controller.notes.locked == {1}
    assert w.controller.notes.hidden == {2}
    w.table.refresh()
    click(w, qtbot, 0, columns.LOCKED)
    click(w, qtbot, 1, columns.VISIBLE)
    assert not w.controller.notes.locked
    assert not w.controller.notes.hidden


def test_rename_in_place(three):
    w = three
    assert w.table.model.setData(cell(w, 1, columns.NAME), "nucleus", Qt.EditRole)
    w.table.refresh()
    assert text(w, 1, columns.NAME) == "nucleus"


@pytest.mark.parametrize("column", [columns.OBJECT, columns.NAME, columns.PROMPTS])
def test_f2_edits_the_name_whichever_cell_was_clicked(three, qtbot, column):
    w, table = three, three.table.table
    w.show()
    click(w, qtbot, 1, column)
    qtbot.keyClick(table, Qt.Key_F2)
    (editor,) = table.findChildren(QLineEdit)
    qtbot.keyClick(editor, Qt.Key_Delete)  # is for the text, all of which is selected
    qtbot.keyClicks(editor, "spindle")
    qtbot.keyClick(editor, Qt.Key_Return)
    qtbot.waitUntil(lambda: w.controller.notes.names == {2: "spindle"})
    assert set(np.unique(w.labels.data)) == {0, 1, 2, 3}


def test_f2_is_for_the_object_that_is_selected_not_the_cell_clicked_before(
    three, qtbot
):
    w, table = three, three.table.table
    w.show()
    click(w, qtbot, 0, columns.NAME)
    w.labels.selected_label = 3
    qtbot.keyClick(table, Qt.Key_F2)
    (editor,) = table.findChildren(QLineEdit)
    assert editor.text() == "Object 3"


@pytest.mark.parametrize("key", [Qt.Key_Delete, Qt.Key_Backspace])
def test_the_delete_key_deletes_and_is_undone(three, qtbot, key):
    w, table = three, three.table.table
    w.show()
    before = w.labels.data.copy()
    click(w, qtbot, 0, columns.OBJECT)
    click(w, qtbot, 1, columns.OBJECT, modifier=Qt.ControlModifier)
    qtbot.keyClick(table, key)
    np.testing.assert_array_equal(w.labels.data, np.where(before == 3, 3, 0))
    assert [w.controller.stage.count_prompts(i) for i in (1, 2, 3)] == [0, 0, 1]
    w.undo()
    np.testing.assert_array_equal(w.labels.data, before)
    assert [w.controller.stage.count_prompts(i) for i in (1, 2, 3)] == [1, 1, 1]


def test_merge_and_delete_with_the_buttons(three, qtbot):
    w = three
    w.show()
    assert not w.table.merge.isEnabled()
    click(w, qtbot, 0, columns.NAME)
    model = w.table.table.selectionModel()
    flags = QItemSelectionModel.Select | QItemSelectionModel.Rows
    model.select(cell(w, 1, 0), flags)
    assert w.table.merge.isEnabled()
    qtbot.mouseClick(w.table.merge, Qt.LeftButton)
    assert set(np.unique(w.labels.data)) == {0, 1, 3}
    w.table.refresh()
    click(w, qtbot, 1, columns.NAME)
    assert w.table.selected == [3]
    both, mask_only, _ = w.table.delete.menu().actions()
    mask_only.trigger()
    assert set(np.unique(w.labels.data)) == {0, 1}
    assert w.controller.stage.count_prompts(3) == 1
    both.trigger()
    assert w.controller.stage.count_prompts(3) == 0


def test_without_objects_it_says_what_to_do(segment):
    w = segment()
    w.show()
    assert w.table.empty.isVisible()
    assert not w.table.table.isVisible()
    w.viewer_model.add_image(STACK)
    w.table.refresh()
    assert not w.table.empty.isVisible()
    assert w.table.table.isVisible()


def test_frames_are_not_shown_for_a_single_plane(segment):
    w = segment(STACK[0])
    assert w.table.table.isColumnHidden(columns.FRAMES)


def test_folding(three):
    w = three
    w.show()
    fold = w.folds["objects"]
    assert w.table.isVisible()
    fold.header.click()
    assert not w.table.isVisible()
    assert not fold.is_open


def test_a_name_that_is_typed_outlasts_what_happens_meanwhile(three, qtbot):
    w = three
    w.show()
    table = w.table.table
    click(w, qtbot, 1, columns.NAME)
    qtbot.keyClick(table, Qt.Key_F2)
    editor = table.findChild(QLineEdit)
    qtbot.keyClicks(editor, "moth")
    w.add_point((5, 30, 30))  # frames that come in
    w.table.refresh()
    w.add_point((1, 5, 5), object_id=7)  # an object more
    w.table.refresh()
    assert table.findChild(QLineEdit) is editor
    qtbot.keyClicks(editor, "er")
    qtbot.keyClick(editor, Qt.Key_Return)
    qtbot.waitUntil(lambda: w.controller.notes.name(2) == "mother")
    qtbot.waitUntil(lambda: w.table.model.rowCount() == 4)
    assert text(w, 1, columns.NAME) == "mother"
    assert text(w, 1, columns.FRAMES) == "2"
