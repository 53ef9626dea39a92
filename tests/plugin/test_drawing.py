"""Shapes that are still being drawn when something else begins; the model is a fake."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import FLAT, click, disc, plane
from napari.layers import Labels
from napari.utils._test_utils import read_only_mouse_event
from napari.utils.interactions import (
    mouse_move_callbacks,
    mouse_press_callbacks,
    mouse_release_callbacks,
)

from napari_sam2._layers import add_aside

SHAPE = FLAT.shape
SQUARE = (20, 30), (20, 50), (36, 50), (36, 30)
STROKE = [(20.0, x) for x in range(20, 50, 3)]


def mouse(t, kind, position, held=True):
    shown = {
        "pos": 10.0 * np.array(position),
        "position": position,
        "dims_displayed": list(t.viewer.dims.displayed),
        "is_dragging": held and kind == "mouse_move",
    }
    told = {
        "mouse_press": mouse_press_callbacks,
        "mouse_move": mouse_move_callbacks,
        "mouse_release": mouse_release_callbacks,
    }
    told[kind](t.stage.shapes, read_only_mouse_event(type=kind, **shown))


def corners(t, *positions):
    for position in positions:
        mouse(t, "mouse_move", position, held=False)
        mouse(t, "mouse_press", position)
        mouse(t, "mouse_release", position)


def drag(t, path, meanwhile=lambda: None):
    mouse(t, "mouse_press", path[0])
    for number, position in enumerate(path[1:]):
        if number == len(path) // 2:
            meanwhile()
        mouse(t, "mouse_move", position)
    mouse(t, "mouse_release", path[-1])


def finish(t):
    t.stage.shapes._finish_drawing()  # what Enter does


def outlined(t, object_id):
    """Whether an object is about as large as the square, and in it."""
    found, whole = plane(t) == object_id, np.zeros(SHAPE, bool)
    whole[20:37, 30:51] = True
    return (found & ~whole).sum() < 80 and (found & whole).sum() > 0.8 * whole.sum()


def state_of(t):
    now = t.stage.snapshot()
    drawn = now.points.tolist(), [v.tolist() for v in now.shapes]
    return plane(t).tolist(), drawn, t.state.object_id, t.state.undo_text


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_undo_drops_an_outline_and_nothing_else(tool, number):
    t = tool(FLAT)
    click(t, 10, 20)
    t.next_object()
    t.stage.activate("polygon")
    before = state_of(t)
    corners(t, *SQUARE[:number])
    assert t.state.status == "Enter or a double click finishes the outline."
    t.undo()
    assert state_of(t) == before
    assert len(t.stage.shapes.data) == len(t.stage.shapes.features) == 0
    assert t.state.status == "Outline object 2 click by click."
    corners(t, *SQUARE)
    finish(t)
    assert outlined(t, 2)
    for _ in range(3):  # the outline, the change of object, the click
        t.undo()
    assert state_of(t) == ([[0] * SHAPE[1]] * SHAPE[0], ([], []), 1, "")


@pytest.mark.parametrize("name", ["lasso", "scribble", "box"])
def test_undo_with_the_button_still_held(tool, name):
    t = tool(FLAT)
    click(t, 10, 20)
    t.stage.activate(name)
    before = state_of(t)
    path = [SQUARE[0], (24, 40), *SQUARE[1:]]
    drag(t, path, t.undo)
    assert state_of(t) == before
    drag(t, path)
    assert len(t.stage.shapes.data) == 1
    t.undo()
    assert state_of(t) == before


OTHERWISE = {
    "point": lambda t: t.stage.activate("point"),
    "box": lambda t: t.stage.activate("box"),
    "hand": lambda t: setattr(t.stage.shapes, "mode", "pan_zoom"),
    "image": lambda t: setattr(t.viewer.layers.selection, "active", t.state.image),
    "next": lambda t: t.next_object(),
    "other": lambda t: t.select_object(7),
}


@pytest.mark.parametrize("name", OTHERWISE)
def test_an_outline_is_answered_before_anything_else_begins(tool, name):
    t = tool(FLAT)
    t.stage.activate("polygon")
    corners(t, *SQUARE)
    assert not plane(t).any()
    OTHERWISE[name](t)
    assert outlined(t, 1)
    assert t.stage.count_prompts(1) == 1
    assert t.state.object_id == {"next": 2, "other": 7}.get(name, 1)
    t.undo()
    if name == "next":
        t.undo()
    assert not plane(t).any()
    assert t.state.object_id == 1
    assert t.errors == []


@pytest.mark.parametrize("name", OTHERWISE)
@pytest.mark.parametrize("number", [1, 2])
def test_an_outline_of_too_few_corners_is_no_prompt(tool, name, number):
    t = tool(FLAT)
    t.stage.activate("polygon")
    corners(t, *SQUARE[:number])
    OTHERWISE[name](t)
    assert len(t.stage.shapes.data) == len(t.stage.shapes.features) == 0
    assert t.state.undo_text == ("next object" if name == "next" else "")
    t.stage.activate("point")
    click(t, 10, 20)
    object_id = t.state.object_id
    np.testing.assert_array_equal(plane(t) == object_id, disc(SHAPE, 20, 10))


def test_enter_after_two_corners_is_no_step(tool):
    t = tool(FLAT)
    t.stage.activate("polygon")
    corners(t, *SQUARE[:2])
    finish(t)
    assert t.state.undo_text == ""
    assert t.state.status == "Outline object 1 click by click."


def test_an_outline_is_no_prompt_before_it_is_finished(tool):
    t = tool(FLAT)
    t.stage.activate("polygon")
    corners(t, *SQUARE)
    assert t.stage.count_prompts(1) == 0
    assert t.stage.snapshot().shapes == ()
    assert [row.prompts for row in t.objects.rows()] == [0]
    t.add_point((10, 20))  # as the middle button does
    np.testing.assert_array_equal(plane(t) == 1, disc(SHAPE, 20, 10))
    assert [row.prompts for row in t.objects.rows()] == [1]
    finish(t)
    assert t.stage.count_prompts(1) == 2
    assert plane(t)[28, 40] == 1


def test_an_outline_goes_on_while_its_object_stays(tool):
    t = tool(FLAT)
    t.stage.activate("polygon")
    corners(t, *SQUARE[:3])
    t.set_polarity(False)
    t.set_polarity(True)
    t.select_object(1)
    corners(t, SQUARE[3])
    finish(t)
    assert outlined(t, 1)


def test_an_outline_goes_on_when_labels_turn_out_to_have_objects(tool):
    """The id it was begun for is another's: it goes along to the free one."""
    t = tool(FLAT)
    t.stage.activate("polygon")
    corners(t, *SQUARE[:3])
    t.ids.settled.emit(1, False)
    assert t.state.object_id == 2
    corners(t, SQUARE[3])
    finish(t)
    assert outlined(t, 2)


def test_an_object_is_deleted_while_it_is_outlined(tool):
    t = tool(FLAT)
    click(t, 10, 20)
    t.stage.activate("polygon")
    corners(t, *SQUARE)
    t.objects.delete([1])
    assert not plane(t).any()
    assert t.stage.count_prompts(1) == len(t.stage.shapes.data) == 0
    corners(t, *SQUARE)
    finish(t)
    assert outlined(t, 1)


def test_an_object_is_locked_while_it_is_outlined(tool):
    t = tool(FLAT)
    click(t, 10, 20)
    t.stage.activate("polygon")
    corners(t, *SQUARE)
    t.objects.lock(1, True)
    finish(t)
    assert len(t.stage.shapes.data) == 0
    np.testing.assert_array_equal(plane(t) == 1, disc(SHAPE, 20, 10))
    assert "locked" in t.state.status
    t.next_object()
    corners(t, *SQUARE)
    finish(t)
    assert outlined(t, 2)


def test_another_image_is_chosen_while_one_outlines(tool):
    t = tool(FLAT)
    first = t.state.image
    t.stage.activate("polygon")
    corners(t, *SQUARE)
    second = t.viewer.add_image(FLAT + 1, visible=False)
    t.choose_image(second)
    assert not plane(t).any()
    second.visible = True
    corners(t, *SQUARE)
    finish(t)
    assert outlined(t, 1)
    second.visible = False
    t.choose_image(first)
    assert outlined(t, 1)


def test_a_box_of_a_script_while_one_outlines(tool):
    t = tool(FLAT)
    t.stage.activate("polygon")
    corners(t, *SQUARE)
    t.add_shapes([[(2, 2), (2, 9), (8, 9), (8, 2)]], object_id=2)
    assert outlined(t, 1)
    assert (plane(t) == 2).sum() == 7 * 8


def test_a_click_is_a_dot_with_the_tool_for_scribbles(tool):
    t = tool(FLAT)
    t.stage.activate("scribble")
    corners(t, (10, 20))
    np.testing.assert_array_equal(plane(t) == 1, disc(SHAPE, 20, 10))
    t.next_object()
    drag(t, STROKE)
    first, second = t.stage.shapes.data
    assert np.ptp(first, axis=0).max() <= 1
    assert second.min(0).tolist() == [20, 20]  # it begins where the button was pressed
    assert list(t.stage.shapes.features["object_id"]) == [1, 2]
    np.testing.assert_array_equal(plane(t) == 1, disc(SHAPE, 20, 10) & (plane(t) != 2))


def test_a_negative_dot_and_its_undo(tool):
    t = tool(FLAT)
    click(t, 10, 20)
    before = state_of(t)
    t.set_polarity(False)
    t.stage.activate("scribble")
    corners(t, (10, 24))
    expected = disc(SHAPE, 20, 10) & ~disc(SHAPE, 24, 10)
    np.testing.assert_array_equal(plane(t) == 1, expected)
    t.undo()
    assert state_of(t)[:2] == before[:2]


def test_an_outline_goes_on_when_layers_of_ours_are_added(tool):
    t = tool(FLAT)
    t.stage.activate("polygon")
    corners(t, *SQUARE[:3])
    active = t.viewer.layers.selection.active
    add_aside(t.viewer, Labels(np.zeros(SHAPE, np.uint8)))
    assert t.viewer.layers.selection.active is active
    assert t.stage.drawing.outlining
    assert not plane(t).any()
    corners(t, SQUARE[3])
    finish(t)
    assert outlined(t, 1)


def test_an_outline_is_not_begun_on_an_image_that_is_covered(tool):
    t = tool(FLAT, name="A")
    held = t.viewer.layers.selection.active
    above = t.viewer.add_image(FLAT + 1, name="B")
    t.viewer.layers.selection.active = held
    t.stage.activate("polygon")
    corners(t, SQUARE[0])
    assert len(t.stage.shapes.data) == 0
    assert t.state.status.startswith("B covers A")
    above.visible = False
    corners(t, *SQUARE)
    above.visible = True  # what was begun while the image was seen is kept
    finish(t)
    assert outlined(t, 1)
    t.next_object()
    corners(t, SQUARE[0])
    assert len(t.stage.shapes.data) == 1


def test_an_image_that_is_opened_does_not_cost_an_outline(tool):
    t = tool(FLAT, name="A")
    t.stage.activate("polygon")
    corners(t, *SQUARE)
    t.viewer.add_image(FLAT + 1, name="B")
    assert outlined(t, 1)


def test_a_click_with_the_box_tool_is_none_at_any_scale(tool):
    t = tool(FLAT, affine=np.diag([100.0, 100, 1]))
    t.stage.activate("box")
    drag(t, [(1000.0, 2000.0)])
    assert len(t.stage.shapes.data) == 0
    assert t.state.status.startswith("That was a click")
    drag(t, [(1000.0, 2000.0), (1500.0, 2500.0), (2000.0, 3000.0)])
    assert len(t.stage.shapes.data) == 1
    # One that another way than the mouse brings is not taken for a click.
    drag(t, [(1000.0, 2000.0)])
    t.stage.shapes.add([[22, 2], [22, 9], [30, 9], [30, 2]])
    assert len(t.stage.shapes.data) == 2


def test_an_outline_in_a_new_layer_is_for_the_object_in_use(tool):
    t = tool(FLAT)
    click(t, 10, 20)
    t.next_object()
    t.viewer.layers.remove(t.stage.shapes)
    t.stage.activate("polygon")
    corners(t, *SQUARE)
    finish(t)
    assert t.state.object_id == 2
    assert outlined(t, 2)
