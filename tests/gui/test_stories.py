"""What annotators do, in a real window: from mouse and key events to label pixels."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import disc
from napari.utils._test_utils import read_only_mouse_event
from napari.utils.interactions import (
    mouse_move_callbacks,
    mouse_press_callbacks,
    mouse_release_callbacks,
)
from qtpy.QtCore import Qt

from napari_sam2.widgets.segment import SegmentWidget

pytestmark = pytest.mark.display

SHAPE = (40, 60)


def event(viewer, kind, world, **more):
    """A mouse event at world coordinates."""
    return read_only_mouse_event(
        type=kind,
        pos=10.0 * np.asarray(world)[-2:],
        position=tuple(world),
        button=1,
        dims_displayed=list(viewer.dims.displayed),
        **more,
    )


def click(viewer, layer, world, **more):
    mouse_press_callbacks(layer, event(viewer, "mouse_press", world, **more))
    mouse_release_callbacks(layer, event(viewer, "mouse_release", world, **more))


def drag(viewer, layer, *path):
    """Press, move along world coordinates, release."""
    mouse_press_callbacks(layer, event(viewer, "mouse_press", path[0]))
    for world in path[1:]:
        moved = event(viewer, "mouse_move", world, is_dragging=True)
        mouse_move_callbacks(layer, moved)
    mouse_release_callbacks(layer, event(viewer, "mouse_release", path[-1]))


@pytest.fixture
def open_window(make_napari_viewer, backend):
    def make(data, **place):
        viewer = make_napari_viewer(show=True)
        image = viewer.add_image(data, **place)
        dock = SegmentWidget(viewer, backend=backend)
        viewer.window.add_dock_widget(dock, name="Segment")
        dock.wait(30)
        return viewer, image, dock

    return make


def press_key(qtbot, viewer, key, modifier=Qt.NoModifier):
    qtbot.keyClick(viewer.window._qt_viewer.canvas.native, key, modifier)


def test_keys_work_whichever_layer_is_selected(open_window, qtbot):
    viewer, image, dock = open_window(np.zeros(SHAPE))
    stage = dock.controller.stage
    for layer in (image, stage.labels, stage.shapes, stage.points):
        viewer.layers.selection.active = layer
        before = dock.state.positive
        press_key(qtbot, viewer, Qt.Key_T)
        assert dock.state.positive is not before, layer.name
        press_key(qtbot, viewer, Qt.Key_T)
    click(viewer, stage.points, (10, 20))
    dock.wait(30)
    viewer.layers.selection.active = stage.labels
    press_key(qtbot, viewer, Qt.Key_Z, Qt.ControlModifier)
    dock.wait(30)
    assert not dock.labels.data.any()
    press_key(qtbot, viewer, Qt.Key_Z, Qt.ControlModifier | Qt.ShiftModifier)
    dock.wait(30)
    assert dock.labels.data[10, 20] == 1
    press_key(qtbot, viewer, Qt.Key_M)
    assert dock.object_id == dock.labels.selected_label == 2
    press_key(qtbot, viewer, Qt.Key_2)
    press_key(qtbot, viewer, Qt.Key_B)
    assert viewer.layers.selection.active is stage.labels  # the brush keeps its keys
    press_key(qtbot, viewer, Qt.Key_6)
    press_key(qtbot, viewer, Qt.Key_B)
    assert viewer.layers.selection.active is stage.shapes
    assert dock.prompts.tools["box"].isChecked()


def test_ambiguous_click_cycled_with_the_key_and_by_its_picture(open_window, qtbot):
    viewer, _, dock = open_window(np.zeros(SHAPE))
    click(viewer, dock.controller.stage.points, (20, 30))
    dock.wait(30)
    row = dock.prompts.candidates
    assert row.isVisible()
    assert [button.isChecked() for button in row.buttons] == [False, True, False]
    press_key(qtbot, viewer, Qt.Key_Q)
    dock.wait(30)
    np.testing.assert_array_equal(dock.labels.data == 1, disc(SHAPE, 30, 20, 11))
    qtbot.mouseClick(row.buttons[0], Qt.LeftButton)
    dock.wait(30)
    np.testing.assert_array_equal(dock.labels.data == 1, disc(SHAPE, 30, 20, 3))
    click(viewer, dock.controller.stage.points, (20, 31))
    dock.wait(30)
    assert not row.isVisible()


def test_a_scribble_and_a_negative_one(open_window, qtbot):
    viewer, image, dock = open_window(np.zeros(SHAPE))
    viewer.layers.selection.active = image
    press_key(qtbot, viewer, Qt.Key_D)
    shapes = dock.controller.stage.shapes
    assert str(shapes.mode) == "add_path"
    drag(viewer, shapes, *[(20, x) for x in range(8, 53, 2)])
    dock.wait(30)
    assert dock.labels.data[20, [12, 30, 48]].tolist() == [1, 1, 1]
    press_key(qtbot, viewer, Qt.Key_T)
    drag(viewer, shapes, *[(20, x) for x in range(40, 59, 2)])
    dock.wait(30)
    assert list(shapes.features["polarity"]) == ["positive", "negative"]
    assert dock.labels.data[20, 12] == 1
    assert dock.labels.data[20, 50] == 0


def test_a_shape_of_too_few_corners_leaves_nothing_behind(open_window, qtbot):
    viewer, _, dock = open_window(np.zeros(SHAPE))
    shapes = dock.controller.stage.shapes
    dock.add_box((2, 2), (8, 8))
    dock.wait(30)
    dock.take_tool("lasso")
    drag(viewer, shapes, (20, 30), (21, 30))
    dock.take_tool("polygon")
    for corner in ((30, 20), (35, 20)):
        click(viewer, shapes, corner)
    press_key(qtbot, viewer, Qt.Key_Escape)
    dock.wait(30)
    assert len(shapes.data) == len(shapes.features) == 1
    dock.set_polarity(False)
    dock.take_scribble()
    drag(viewer, shapes, *[(5, x) for x in range(5, 40, 2)])
    dock.wait(30)
    assert list(shapes.features["polarity"]) == ["positive", "negative"]
    assert dock.labels.data[2, 2] == 1
    assert dock.labels.data[5, 8] == 0


def test_painting_is_undone_with_the_key_and_followed(open_window, qtbot):
    viewer, _, dock = open_window(np.zeros((5, *SHAPE)))
    viewer.dims.set_current_step(0, 2)
    labels = dock.labels
    viewer.layers.selection.active = labels
    labels.mode, labels.brush_size, labels.selected_label = "paint", 10, 7
    drag(viewer, labels, (2, 20, 20), (2, 20, 26), (2, 20, 30))
    painted = labels.data[2] == 7
    assert painted[20, 20:31].all()
    assert dock.state.undo_text == "painting"
    dock.track_all()
    dock.wait(30)
    np.testing.assert_array_equal(labels.data[3] == 7, np.roll(painted, 1, 1))
    for _ in range(3):
        press_key(qtbot, viewer, Qt.Key_Z, Qt.ControlModifier)
        dock.wait(30)
    assert not labels.data.any()


def test_preview_under_the_cursor_before_the_click(open_window):
    viewer, _, dock = open_window(np.zeros(SHAPE))
    dock.choose_option("hover", True)
    points = dock.controller.stage.points
    viewer.layers.selection.active = points
    mouse_move_callbacks(viewer, event(viewer, "mouse_move", (20, 30)))
    dock.wait(30)
    preview = viewer.layers["SAM2 preview"]
    np.testing.assert_array_equal(preview.data > 0, disc(SHAPE, 30, 20))
    assert viewer.layers.selection.active is points
    click(viewer, points, (20, 30))
    dock.wait(30)
    assert not preview.visible
    np.testing.assert_array_equal(dock.labels.data == 1, disc(SHAPE, 30, 20))


def test_several_cells_and_their_table(open_window, qtbot):
    viewer, _, dock = open_window(np.zeros(SHAPE))
    dock.choose_option("each", True)
    points = dock.controller.stage.points
    for row, column in ((10, 10), (10, 40), (30, 25)):
        click(viewer, points, (row, column))
        dock.wait(30)
    assert [dock.labels.data[r, c] for r, c in ((10, 10), (10, 40), (30, 25))] == [
        1,
        2,
        3,
    ]
    qtbot.waitUntil(lambda: len(dock.table.model.rows) == 3, timeout=5000)
    dock.objects.merge([1, 2])
    dock.wait(30)
    assert set(np.unique(dock.labels.data)) == {0, 1, 3}
