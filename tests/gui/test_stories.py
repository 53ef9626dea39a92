"""What annotators do, in a real window: from mouse and key events to label pixels."""

from __future__ import annotations

import json

import numpy as np
import pytest
from dock import close_and_forget
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


def test_an_eraser_stops_a_propagation_and_the_keys_undo_both(
    open_window, backend, qtbot
):
    viewer, _, dock = open_window(np.zeros((12, *SHAPE)))
    click(viewer, dock.controller.stage.points, (0, 20, 20))
    dock.wait(30)
    dock.propagate("both")
    dock.wait(30)
    labels = dock.labels
    before = labels.data.copy()
    backend.delay = 0.1
    dock.propagate("both")
    qtbot.waitUntil(lambda: dock.state.done >= 2, timeout=10000)
    viewer.dims.set_current_step(0, 10)
    viewer.layers.selection.active = labels
    labels.mode, labels.brush_size = "erase", 8
    drag(viewer, labels, (10, 16, 26), (10, 16, 30), (10, 16, 34))
    erased = labels.data[10].copy()
    dock.wait(30)
    assert 0 < (erased == 1).sum() < (before[10] == 1).sum()
    np.testing.assert_array_equal(labels.data[10], erased)
    assert "stroke has stopped the propagation" in dock.state.status
    backend.delay = 0
    for text in ("painting", "propagation"):
        assert dock.state.undo_text == text
        press_key(qtbot, viewer, Qt.Key_Z, Qt.ControlModifier)
        dock.wait(30)
        np.testing.assert_array_equal(labels.data, before)


def test_a_3d_stroke_spares_locked_objects_and_is_undone_with_the_key(
    open_window, qtbot
):
    viewer, _, dock = open_window(np.zeros((5, *SHAPE)))
    viewer.dims.set_current_step(0, 2)
    click(viewer, dock.controller.stage.points, (2, 20, 26))
    dock.wait(30)
    dock.propagate("both")
    dock.wait(30)
    labels = dock.labels
    before = labels.data.copy()
    dock.objects.lock(1, True)
    viewer.layers.selection.active = labels
    labels.mode, labels.brush_size, labels.selected_label = "paint", 10, 7
    labels.n_edit_dimensions = 3
    drag(viewer, labels, (2, 20, 20), (2, 20, 26), (2, 20, 40))
    assert all((plane == 7).any() for plane in labels.data)
    np.testing.assert_array_equal(labels.data == 1, before == 1)
    press_key(qtbot, viewer, Qt.Key_Z, Qt.ControlModifier)
    dock.wait(30)
    np.testing.assert_array_equal(labels.data, before)
    press_key(qtbot, viewer, Qt.Key_Z, Qt.ControlModifier)
    dock.wait(30)
    np.testing.assert_array_equal(labels.data, before)
    assert "locked; unlock it to undo" in dock.state.status


def test_strokes_and_checked_frames_are_saved_by_themselves(open_window, qtbot):
    viewer, _, dock = open_window(np.zeros((5, *SHAPE)))
    labels, keeper = dock.labels, dock.keeper
    earlier = set(keeper.folder.glob("*.json"))

    def saved():
        found = set(keeper.folder.glob("*.json")) - earlier
        return json.loads(found.pop().read_text()) if found else {"steps": []}

    def wait_for(done):
        qtbot.waitUntil(lambda: [s["do"] for s in saved()["steps"]] == done)

    viewer.layers.selection.active = labels
    labels.mode, labels.brush_size, labels.selected_label = "paint", 10, 7
    for frame in (1, 2, 3):
        viewer.dims.set_current_step(0, frame)
        drag(viewer, labels, (frame, 20, 20), (frame, 20, 26))
        wait_for(["paint"] * frame)
    press_key(qtbot, viewer, Qt.Key_K)
    checked = [{"plane": [1, 2], "position": [3]}]
    qtbot.waitUntil(lambda: saved()["checked"] == checked)


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


def test_the_dock_first_then_an_image_then_a_click(make_napari_viewer, backend, qtbot):
    """With events of Qt: napari makes the new image the active layer."""
    viewer = make_napari_viewer(show=True)
    dock = SegmentWidget(viewer, backend=backend)
    viewer.window.add_dock_widget(dock, name="Segment")
    qtbot.waitUntil(lambda: not dock.runner.busy)
    viewer.open_sample("napari-sam2", "cells")
    qtbot.wait(100)
    dock.wait(30)
    assert dock.prompts.tools["point"].isChecked()
    canvas = viewer.window._qt_viewer.canvas.native
    middle = canvas.rect().center()
    qtbot.mouseMove(canvas, middle)
    qtbot.mouseClick(canvas, Qt.LeftButton, pos=middle)
    qtbot.wait(100)
    dock.wait(30)
    (where,) = dock.controller.stage.points.data
    assert dock.labels.data[tuple(np.round(where).astype(int))] == 1


def test_prompts_of_other_objects_are_grabbed_at_once(open_window, qtbot):
    viewer, _, dock = open_window(np.zeros(SHAPE))
    points = dock.controller.stage.points
    click(viewer, points, (20, 20))
    dock.wait(30)
    click(viewer, points, (24, 24), modifiers=["Shift"])
    dock.wait(30)
    dock.next_object()
    click(viewer, points, (35, 50))
    dock.wait(30)
    viewer.layers.selection.active = points
    points.mode = "select"
    drag(viewer, points, (20, 20), (20, 21), (8, 21))
    dock.wait(30)
    assert points.data[0].tolist() == [8, 21]
    assert dock.object_id == 1
    drag(viewer, points, (24, 24), (24, 25), (30, 25))
    dock.wait(30)
    assert points.data[1].tolist() == [30, 25]
    np.testing.assert_array_equal(dock.labels.data == 1, disc(SHAPE, 21, 8))
    click(viewer, points, (35, 50))
    press_key(qtbot, viewer, Qt.Key_Delete)
    dock.wait(30)
    assert set(np.unique(dock.labels.data)) == {0, 1}


def test_boxes_drawn_one_after_another_are_objects(open_window, qtbot):
    viewer, image, dock = open_window(np.zeros(SHAPE))
    viewer.layers.selection.active = image
    press_key(qtbot, viewer, Qt.Key_B)
    shapes = dock.controller.stage.shapes
    for top, left in ((5, 5), (22, 30)):
        drag(viewer, shapes, (top, left), (top + 5, left + 5), (top + 10, left + 12))
        dock.wait(30)
        click(viewer, shapes, (top + 15, left + 20))  # no box, and no object
        dock.wait(30)
        assert "drag" in dock.status.text()
        assert len(shapes.data) == 1 + (top > 5)
    labels = dock.labels.data
    assert (labels[5:16, 5:18] == 1).all()
    assert (labels[22:33, 30:43] == 2).all()
    assert dock.object_id == 2
    shapes.mode = "select"
    click(viewer, shapes, (5, 10))
    assert dock.object_id == 1
    press_key(qtbot, viewer, Qt.Key_Delete)
    dock.wait(30)
    assert set(np.unique(labels)) == {0, 2}


def test_boxes_are_drawn_in_one_field_after_another(open_window):
    viewer, image, dock = open_window(np.zeros(SHAPE), name="one")
    other = viewer.add_image(np.ones(SHAPE), name="two")
    dock.take_tool("box")
    inside = np.zeros(SHAPE, bool)
    inside[10:21, 10:31] = True
    for field in (image, other):
        dock.choose_image(field)
        other.visible = field is other
        drag(viewer, viewer.layers.selection.active, (10, 10), (15, 20), (20, 30))
        dock.wait(30)
        np.testing.assert_array_equal(dock.labels.data > 0, inside)
    for field in (image, other):
        dock.choose_image(field)
        assert dock.prompts.tools["box"].isChecked()
        assert dock.labels.visible


def test_a_dock_opened_again_shows_the_work_on_every_field(open_window, backend, qtbot):
    viewer, image, dock = open_window(np.zeros(SHAPE), name="one")
    click(viewer, dock.controller.stage.points, (20, 20))
    dock.wait(30)
    other = viewer.add_image(np.ones(SHAPE), name="two")
    labels = dock.labels
    dock.choose_image(other)
    docks = [dock]
    del dock
    viewer.window.remove_dock_widget("all")
    close_and_forget(docks, backend, qtbot)
    viewer.layers.selection.active = other
    again = SegmentWidget(viewer, backend=backend)
    viewer.window.add_dock_widget(again, name="Segment")
    again.wait(30)
    assert again.state.image is other
    assert not labels.visible
    again.choose_image(image)
    assert again.labels is labels
    assert labels.visible
    np.testing.assert_array_equal(labels.data == 1, disc(SHAPE, 20, 20))
