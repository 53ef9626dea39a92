"""The tool that a click on the canvas would use."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import FLAT, STACK, click

MODE = {  # of napari, in which a click starts the shape
    "point": "add",
    "box": "add_rectangle",
    "scribble": "add_path",
    "lasso": "add_polygon_lasso",
    "polygon": "add_polygon",
}


def test_a_new_image_is_clicked_on(tool):
    t = tool(FLAT)
    assert t.state.tool == "point"
    assert t.state.status == "Click on object 1 in the image."


@pytest.mark.parametrize("name", ["box", "scribble", "lasso", "polygon", "point"])
def test_a_tool_is_in_hand_until_another_layer_or_mode_is(tool, name):
    t = tool(FLAT)
    t.stage.activate(name)
    assert t.state.tool == name
    layer = t.viewer.layers.selection.active
    t.viewer.layers.selection.active = t.state.image
    assert t.state.tool == ""
    assert "Point" in t.state.status
    t.viewer.layers.selection.active = layer
    assert t.state.tool == name
    layer.mode = "select"
    assert t.state.tool == ""


def test_a_brush_is_none_of_the_tools(tool):
    t = tool(FLAT)
    t.viewer.layers.selection.active = t.stage.labels
    t.stage.labels.mode = "paint"
    assert t.state.tool == ""
    t.viewer.layers.selection.active = None
    assert t.state.tool == ""


def test_napari_s_own_buttons_take_tools(tool):
    t = tool(FLAT)
    t.viewer.layers.selection.active = t.stage.shapes
    t.stage.shapes.mode = "add_polygon_lasso"
    assert t.state.tool == "lasso"


def test_what_was_said_last_is_not_talked_over(tool):
    t = tool(FLAT)
    t.state.status = "Something else."
    t.viewer.layers.selection.active = t.state.image
    assert t.state.status == "Something else."


def test_going_back_to_an_image_takes_the_tool_along(tool):
    t = tool(FLAT)
    t.add_point((10, 20))
    t.add_shapes([[(20, 20), (20, 30), (30, 30), (30, 20)]])
    first, points = t.state.image, t.stage.points
    t.choose_image(t.viewer.add_image(STACK))
    t.add_point((2, 10, 20))
    t.stage.activate("point")
    t.choose_image(first)
    assert t.viewer.layers.selection.active is points
    assert t.state.tool == "point"


@pytest.mark.parametrize("name", ["box", "scribble", "lasso", "polygon", "point"])
@pytest.mark.parametrize("prompted", [True, False])
def test_a_tool_stays_in_hand_from_field_to_field(tool, name, prompted):
    """On first visits, and on later ones, whether layers were dropped or hidden."""
    t = tool(FLAT)
    fields = [t.state.image, t.viewer.add_image(FLAT + 1), t.viewer.add_image(FLAT + 2)]
    t.viewer.layers.selection.active = t.stage.points
    t.stage.activate(name)
    for image in [*fields[1:], *fields]:
        t.choose_image(image)
        layer = t.stage.points if name == "point" else t.stage.shapes
        assert t.viewer.layers.selection.active is layer
        assert layer.mode == MODE[name]
        assert t.state.tool == name
        if prompted:
            t.add_point((10, 20))


def test_a_brush_stays_in_hand_from_field_to_field(tool):
    t = tool(FLAT)
    first, second = t.state.image, t.viewer.add_image(FLAT + 1)
    t.viewer.layers.selection.active = t.stage.labels
    t.stage.labels.mode = "paint"
    for image in (second, first, second):
        t.choose_image(image)
        assert t.viewer.layers.selection.active is t.stage.labels
        assert t.stage.labels.mode == "paint"
        assert t.stage.labels.visible


def test_with_the_image_selected_the_tool_used_last_is_taken(tool):
    """As after opening the next image, which napari selects."""
    t = tool(FLAT)
    t.stage.activate("lasso")
    second = t.viewer.add_image(FLAT + 1)
    t.viewer.layers.selection.active = second
    t.choose_image(second)
    assert t.state.tool == "lasso"
    t.stage.activate("point")
    third = t.viewer.add_image(FLAT + 2)
    t.viewer.layers.selection.active = third
    t.choose_image(third)
    assert t.state.tool == "point"


def test_a_brush_stays_in_hand_when_other_labels_are_chosen(tool):
    t = tool(FLAT)
    own, mine = t.stage.labels, t.viewer.add_labels(np.zeros(FLAT.shape, int))
    t.viewer.layers.selection.active = own
    own.mode = "paint"
    for labels in (mine, None, own):
        t.choose_labels(labels)
        assert t.viewer.layers.selection.active is t.stage.labels
        assert t.stage.labels.mode == "paint"
    t.stage.activate("box")
    t.choose_labels(mine)
    assert t.state.tool == "box"


@pytest.mark.parametrize("name", ["point", "box"])
def test_a_tool_shows_what_alt_and_the_eye_have_hidden(tool, name):
    t = tool(FLAT)
    click(t, 10, 20)
    t.add_shapes([[(20, 20), (20, 30), (30, 30), (30, 20)]])
    for layer in t.viewer.layers:
        layer.visible = layer is t.state.image
    t.stage.activate(name)
    assert t.state.tool == name
    used = t.stage.points if name == "point" else t.stage.shapes
    assert used.visible
    assert t.stage.labels.visible
    t.stage.labels.visible = False  # by itself: the user looks at the image below
    t.stage.activate(name)
    assert not t.stage.labels.visible
