"""Outlines that are left half drawn, with a real mouse and keyboard."""

from __future__ import annotations

import numpy as np
import pytest
from canvas import point_of, press
from fakes import disc
from napari.utils._test_utils import read_only_mouse_event
from napari.utils.interactions import (
    mouse_move_callbacks,
    mouse_press_callbacks,
    mouse_release_callbacks,
)
from qtpy.QtCore import Qt

pytestmark = pytest.mark.display

SHAPE = (40, 60)
SQUARE = (20, 30), (20, 50), (36, 50), (36, 30)


def draw(viewer, shapes, corners):
    """Click by click, as napari tells the layer of it."""
    for corner in corners:
        for kind, told in (
            ("mouse_move", mouse_move_callbacks),
            ("mouse_press", mouse_press_callbacks),
            ("mouse_release", mouse_release_callbacks),
        ):
            where = {"pos": 10.0 * np.array(corner), "position": corner}
            shown = {"dims_displayed": list(viewer.dims.displayed)}
            told(
                shapes,
                read_only_mouse_event(type=kind, is_dragging=False, **where, **shown),
            )


def press_key(qtbot, viewer, dock, key, modifier=Qt.NoModifier):
    qtbot.keyClick(viewer.window._qt_viewer.canvas.native, key, modifier)
    dock.wait(30)


def outlined(dock, object_id):
    """Whether an object is the square, but for a pixel about its edge."""
    mask = dock.labels.data == object_id
    return mask[22:35, 32:49].all() and not mask[:18].any() and not mask[:, :28].any()


def test_ctrl_z_drops_the_outline_and_the_next_one_works(opened, qtbot):
    viewer, dock = opened
    press(qtbot, viewer, (10, 20))
    dock.wait(30)
    before = dock.labels.data.copy()
    press_key(qtbot, viewer, dock, Qt.Key_M)
    dock.take_tool("polygon")
    draw(viewer, dock.controller.stage.shapes, SQUARE[:3])
    assert dock.state.status == "Enter or a double click finishes the outline."
    press_key(qtbot, viewer, dock, Qt.Key_Z, Qt.ControlModifier)
    assert len(dock.controller.stage.shapes.data) == 0
    np.testing.assert_array_equal(dock.labels.data, before)
    assert dock.state.object_id == 2
    draw(viewer, dock.controller.stage.shapes, SQUARE)
    press_key(qtbot, viewer, dock, Qt.Key_Return)
    assert outlined(dock, 2)


@pytest.mark.parametrize(("key", "current"), [(Qt.Key_P, 1), (Qt.Key_M, 2)])
def test_an_outline_is_finished_by_what_comes_next(opened, qtbot, key, current):
    viewer, dock = opened
    dock.take_tool("polygon")
    draw(viewer, dock.controller.stage.shapes, SQUARE)
    press_key(qtbot, viewer, dock, key)
    assert outlined(dock, 1)
    assert dock.state.object_id == current


def test_ctrl_z_while_the_button_of_a_lasso_is_held(opened, qtbot):
    viewer, dock = opened
    dock.take_tool("lasso")
    canvas = viewer.window._qt_viewer.canvas.native
    spots = [point_of(viewer, corner) for corner in SQUARE]
    qtbot.mouseMove(canvas, spots[0])
    qtbot.mousePress(canvas, Qt.LeftButton, Qt.NoModifier, spots[0])
    for spot in spots[1:3]:
        qtbot.mouseMove(canvas, spot)
        qtbot.wait(20)
    press_key(qtbot, viewer, dock, Qt.Key_Z, Qt.ControlModifier)
    qtbot.mouseMove(canvas, spots[3])
    qtbot.mouseRelease(canvas, Qt.LeftButton, Qt.NoModifier, spots[3])
    dock.wait(30)
    assert len(dock.controller.stage.shapes.data) == 0
    assert dock.state.undo_text == ""


def test_a_click_with_scribble_is_a_dot(opened, qtbot):
    viewer, dock = opened
    dock.take_tool("scribble")
    press(qtbot, viewer, (10, 20))
    dock.wait(30)
    found = dock.labels.data == 1
    assert (found ^ disc(SHAPE, 20, 10)).sum() < 0.3 * found.sum()
    press_key(qtbot, viewer, dock, Qt.Key_Z, Qt.ControlModifier)
    assert not dock.labels.data.any()
    assert len(dock.controller.stage.shapes.data) == 0
