"""Keys in a real window: beside napari's own on layers, and in the dock."""

from __future__ import annotations

import numpy as np
import pytest
from mouse import click
from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QApplication, QLineEdit

from napari_sam2.dock._keys import SHORTCUTS
from napari_sam2.widgets._object_model import NAME
from napari_sam2.widgets.segment import SegmentWidget

pytestmark = pytest.mark.display

STACK = np.zeros((5, 40, 60))


@pytest.fixture
def opened(make_napari_viewer, backend):
    """A window with a stack and the dock, which notes what its keys call."""
    viewer = make_napari_viewer(show=True)
    viewer.add_image(STACK)
    dock = SegmentWidget(viewer, backend=backend)
    viewer.window.add_dock_widget(dock, name="Segment")
    dock.wait(30)
    dock.called = []
    run = dock._try

    def note(method, *args, **kwargs):
        dock.called.append(method)
        run(method, *args, **kwargs)

    dock._try = note
    return viewer, dock


def press(qtbot, widget, shortcut):
    """Press a key of the table as Qt writes it."""
    combination = QKeySequence(shortcut.text)[0]
    qtbot.keyClick(widget, combination.key(), combination.keyboardModifiers())


def called(qtbot, viewer, dock, layer, shortcut, mode=""):
    """What a key calls with a layer selected, pressed on the canvas."""
    viewer.layers.selection.active = layer
    if mode:
        layer.mode = mode
    dock.called.clear()
    press(qtbot, viewer.window._qt_viewer.canvas.native, shortcut)
    return list(dock.called)


def own_layers(viewer):
    triangle = np.array([[0, 0, 0], [0, 5, 5], [0, 5, 0]])
    return {
        "labels": viewer.add_labels(np.zeros(STACK.shape, np.uint8)),
        "points": viewer.add_points(np.zeros((1, 3))),
        "shapes": viewer.add_shapes(triangle, shape_type="polygon"),
    }


NAPARI = {  # keys that napari has itself, by what they are to the plugin
    "labels": {"point", "box", "lasso", "next"},
    "points": {"point", "track_all"},
    "shapes": {"point", "box", "scribble", "lasso", "polarity"},
}


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("labels", "paint"), ("points", "add"), ("shapes", "add_rectangle")],
)
def test_own_layers_have_napari_s_keys_only_while_they_are_drawn_on(
    opened, qtbot, kind, mode
):
    viewer, dock = opened
    layer = own_layers(viewer)[kind]
    undo = {"undo", "redo"} if kind == "labels" else set()  # see test_other_strokes.py
    for name in set(SHORTCUTS) - undo:
        shortcut = SHORTCUTS[name]
        at_rest = called(qtbot, viewer, dock, layer, shortcut, "pan_zoom")
        assert at_rest == [shortcut.method], name
        drawing = called(qtbot, viewer, dock, layer, shortcut, mode)
        assert drawing == ([] if name in NAPARI[kind] else [shortcut.method]), name
    called(qtbot, viewer, dock, layer, SHORTCUTS["point"], mode)
    napari_s = {"labels": "paint", "points": "add", "shapes": "add_polygon"}
    assert str(layer.mode) == napari_s[kind]


def test_the_brush_keeps_its_letters_on_the_labels_in_use(opened, qtbot):
    viewer, dock = opened
    labels = dock.labels
    for name in ("point", "box", "lasso"):
        shortcut = SHORTCUTS[name]
        assert called(qtbot, viewer, dock, labels, shortcut, "erase") == []
        for mode in ("pan_zoom", "pick"):  # napari's picker draws nothing
            at_rest = called(qtbot, viewer, dock, labels, shortcut, mode)
            assert at_rest == [shortcut.method]
    assert called(qtbot, viewer, dock, labels, SHORTCUTS["next"], "erase") == [
        "next_object"
    ]


def test_the_outline_of_the_region_takes_no_keys(opened, qtbot):
    from napari_sam2.picture._outline import NAME as REGION

    viewer, dock = opened
    layer = viewer.add_shapes(ndim=3, name=REGION)
    for shortcut in SHORTCUTS.values():
        found = called(qtbot, viewer, dock, layer, shortcut)
        assert found == [shortcut.method]


def test_escape_cancels_whatever_is_in_hand_but_ends_a_shape_first(
    opened, backend, qtbot
):
    viewer, dock = opened
    dock.add_point((0, 20, 30))
    dock.wait(30)
    backend.delay = 0.4  # all frames take longer than anybody waits below
    shapes, labels = dock.controller.stage.shapes, dock.labels
    hands = ((shapes, "add_rectangle"), (labels, "polygon"), (labels, "paint"))
    for layer, mode in hands:
        dock.propagate()
        assert dock.runner.busy
        called(qtbot, viewer, dock, layer, SHORTCUTS["cancel"], mode)
        qtbot.waitUntil(lambda: not dock.runner.busy, timeout=1400)
    viewer.layers.selection.active = shapes
    shapes.mode = "add_polygon"
    click(shapes, (0, 5, 5), viewer)
    assert shapes._is_creating
    assert called(qtbot, viewer, dock, shapes, SHORTCUTS["cancel"]) == []
    assert not shapes._is_creating
    assert called(qtbot, viewer, dock, shapes, SHORTCUTS["cancel"]) == ["cancel"]
    dock.wait(30)
    viewer.layers.selection.active = labels
    labels.mode = "polygon"
    labels._overlays["polygon"].points = [(0, 1, 1), (0, 5, 5)]
    assert called(qtbot, viewer, dock, labels, SHORTCUTS["cancel"]) == []
    assert labels._overlays["polygon"].points == []
    assert called(qtbot, viewer, dock, labels, SHORTCUTS["cancel"]) == ["cancel"]


def focus(qtbot, dock, widget):
    dock.activateWindow()
    widget.setFocus()
    qtbot.waitUntil(lambda: QApplication.focusWidget() is widget, timeout=5000)


def test_keys_work_after_a_click_in_the_dock(opened, qtbot):
    _, dock = opened
    dock.add_point((0, 20, 30))
    dock.wait(30)
    dock.next_object()
    dock.add_point((0, 10, 10))
    dock.wait(30)
    qtbot.waitUntil(lambda: len(dock.table.model.rows) == 2, timeout=5000)
    table = dock.table.table
    where = table.visualRect(dock.table.model.index(0, NAME)).center()
    qtbot.mouseClick(table.viewport(), Qt.LeftButton, Qt.NoModifier, where)
    assert dock.object_id == 1
    boxes = dock.stack.start, dock.stack.stop
    buttons = dock.stack.direction, dock.prompts.next, dock.options.each
    for widget in (table, *boxes, *buttons):
        if widget is dock.options.each:
            dock.folds["options"].header.setChecked(True)
        focus(qtbot, dock, widget)
        for shortcut in SHORTCUTS.values():
            dock.called.clear()
            press(qtbot, widget, shortcut)
            assert dock.called == [shortcut.method], (widget, shortcut)
            dock.wait(30)
            focus(qtbot, dock, widget)


def test_text_fields_of_the_dock_still_type(opened, qtbot):
    _, dock = opened
    dock.add_point((0, 20, 30))
    dock.wait(30)
    qtbot.waitUntil(lambda: len(dock.table.model.rows) == 1, timeout=5000)
    table = dock.table.table
    focus(qtbot, dock, table)
    table.setCurrentIndex(dock.table.model.index(0, NAME))
    dock.called.clear()
    qtbot.keyClick(table, Qt.Key_F2)
    editor = table.findChild(QLineEdit)
    qtbot.waitUntil(lambda: QApplication.focusWidget() is editor, timeout=5000)
    qtbot.keyClicks(editor, "TN")
    qtbot.keyClick(editor, Qt.Key_Z, Qt.ControlModifier)
    qtbot.keyClicks(editor, "MKT")
    qtbot.keyClick(editor, Qt.Key_Return)
    qtbot.waitUntil(lambda: dock.called == ["rename"], timeout=5000)
    assert dock.controller.notes.names[1].endswith("MKT")


def test_fields_for_numbers_type_numbers_and_pass_keys_on(opened, qtbot):
    _, dock = opened
    stop = dock.stack.stop
    focus(qtbot, dock, stop)
    stop.selectAll()
    qtbot.keyClicks(stop, "3T")
    assert stop.value() == dock.state.stop == 3
    assert dock.called == ["toggle_polarity"]
    qtbot.keyClick(stop, Qt.Key_Backspace)
    qtbot.keyClicks(stop, "2")
    press(qtbot, stop, SHORTCUTS["propagate"])
    assert dock.state.stop == 2
    assert dock.called == ["toggle_polarity", "propagate"]


@pytest.mark.parametrize(("tool", "mode"), [("point", "add"), ("box", "add_rectangle")])
def test_keys_of_other_tools_leave_the_tool_in_hand(opened, qtbot, tool, mode):
    viewer, dock = opened
    dock.add_point((2, 10, 10))
    dock.wait(30)
    dock.take_tool(tool)
    layer = viewer.layers.selection.active
    canvas = viewer.window._qt_viewer.canvas.native
    qtbot.keyClick(canvas, Qt.Key_S)
    assert (str(layer.mode), dock.state.tool) == (mode, tool)
    told = "Object 1: 1 prompt. Masks come by themselves; Scribble is D."
    assert dock.state.status == told
    qtbot.keyClick(canvas, Qt.Key_V)
    assert not dock.labels.visible
    assert layer.visible
    assert (str(layer.mode), dock.state.tool) == (mode, tool)
    assert "hidden" in dock.state.status
    qtbot.keyClick(canvas, Qt.Key_V)
    assert dock.labels.visible
    assert dock.state.status == "Object 1: 1 prompt."
    image = dock.state.image
    viewer.layers.selection.active = image
    qtbot.keyClick(canvas, Qt.Key_V)  # napari's own
    assert (image.visible, dock.labels.visible) == (False, True)
