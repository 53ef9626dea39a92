"""The middle mouse button with every tool in hand, in a real window."""

from __future__ import annotations

import numpy as np
import pytest
from canvas import press
from fakes import disc
from qtpy.QtCore import Qt

pytestmark = pytest.mark.display

SHAPE = (40, 60)
PLACES = [(8, 10), (8, 25), (8, 40), (28, 10), (28, 25), (28, 40)]


def middle(qtbot, viewer, dock, place, modifier=Qt.NoModifier):
    press(qtbot, viewer, place, Qt.MiddleButton, modifier)
    dock.wait(30)


def adds_one_disc(qtbot, viewer, dock, place):
    """Click for a new object: that gives its point and disc, and nothing else."""
    points, shapes = dock.controller.stage.points, dock.controller.stage.shapes
    number = dock.next_object()
    wanted, prompts, drawn = dock.labels.data.copy(), len(points.data), len(shapes.data)
    middle(qtbot, viewer, dock, place)
    assert len(points.data) == prompts + 1
    assert len(shapes.data) == drawn
    np.testing.assert_allclose(points.data[-1], place, atol=0.3)
    y, x = points.data[-1]
    wanted[disc(SHAPE, x, y)] = number
    np.testing.assert_array_equal(dock.labels.data, wanted)


def test_it_adds_one_point_with_every_tool_of_the_dock(opened, qtbot):
    viewer, dock = opened
    tools = "point", "box", "scribble", "polygon", "lasso"
    for tool, place in zip(tools, PLACES, strict=False):
        dock.take_tool(tool)
        adds_one_disc(qtbot, viewer, dock, place)
        assert dock.state.tool == tool
    dock.take_tool("point")
    middle(qtbot, viewer, dock, PLACES[-1], Qt.ControlModifier)
    polarities = dock.controller.stage.points.features["polarity"].tolist()
    assert polarities == 5 * ["positive"] + ["negative"]


def test_the_tool_goes_on_with_the_left_button(opened, qtbot):
    viewer, dock = opened
    dock.take_tool("point")
    middle(qtbot, viewer, dock, PLACES[0])
    press(qtbot, viewer, PLACES[1])
    dock.wait(30)
    assert len(dock.controller.stage.points.data) == 2


def test_nothing_is_painted_in_the_labels_in_use(opened, qtbot):
    viewer, dock = opened
    for mode, place in zip(("paint", "erase", "fill"), PLACES, strict=False):
        viewer.layers.selection.active = dock.labels
        dock.labels.mode = mode
        adds_one_disc(qtbot, viewer, dock, place)
        assert str(dock.labels.mode) == mode


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("labels", "paint"),
        ("labels", "fill"),
        ("points", "add"),
        ("shapes", "add_polygon"),
        ("shapes", "add_rectangle"),
    ],
)
def test_nothing_is_drawn_on_layers_of_the_user_s(opened, qtbot, kind, mode):
    viewer, dock = opened
    mine = {
        "labels": lambda: viewer.add_labels(np.zeros(SHAPE, np.uint8)),
        "points": lambda: viewer.add_points(ndim=2),
        "shapes": lambda: viewer.add_shapes(ndim=2),
    }[kind]()
    mine.mode = mode
    adds_one_disc(qtbot, viewer, dock, PLACES[0])
    assert not np.any(mine.data)
    assert viewer.layers.selection.active is mine
    assert str(mine.mode) == mode
