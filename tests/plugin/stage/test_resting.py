"""The layer of shapes is there when it is needed, and costs nothing when it is not."""

from __future__ import annotations

import numpy as np

STACK = np.zeros((4, 30, 40), np.uint8)
BOX = np.array([[0, 5, 5], [0, 5, 15], [0, 15, 15], [0, 15, 5]], float)


def test_an_empty_layer_is_hidden_until_it_is_in_hand(tool):
    t = tool(STACK)
    shapes = t.stage.shapes
    assert t.viewer.layers.selection.active is not shapes
    assert not shapes.visible
    t.stage.activate("box")
    assert shapes.visible
    assert str(shapes.mode) == "add_rectangle"
    t.stage.activate("point")
    assert not shapes.visible
    t.viewer.layers.selection.active = shapes  # a click in the layer list
    assert shapes.visible


def test_a_layer_with_shapes_is_drawn(tool):
    t = tool(STACK)
    t.add_shapes([BOX[:, 1:]])
    assert t.viewer.layers.selection.active is not t.stage.shapes
    assert t.stage.shapes.visible
    t.undo()
    assert len(t.stage.shapes.data) == 0
    assert not t.stage.shapes.visible
    t.redo()
    assert t.stage.shapes.visible


def test_what_the_user_hides_stays_hidden(tool):
    t = tool(STACK)
    t.add_shapes([BOX[:, 1:]])
    t.stage.shapes.visible = False
    t.add_shapes([BOX[:, 1:] + 12])
    t.stage.activate("point")
    assert not t.stage.shapes.visible


def test_a_layer_that_is_not_looked_after_any_more_comes_back(tool):
    t = tool(STACK)
    shapes = t.stage.shapes
    assert not shapes.visible
    t.stage._resting.use(None)
    assert shapes.visible
    t.viewer.layers.selection.active = shapes
    t.viewer.layers.selection.active = None
    assert shapes.visible
