"""napari's own brush on the labels, with undo and prompts; the model is a fake."""

from __future__ import annotations

import numpy as np
import pytest

STACK = np.zeros((7, 40, 60), np.float32)


@pytest.fixture
def brush(tool):
    """A prompted object, followed through the stack, and a brush in hand."""
    t = tool(STACK)
    t.viewer.dims.set_current_step(0, 3)
    t.add_point((3, 10, 20))
    t.propagate()
    labels = t.stage.labels
    labels.mode = "paint"
    labels.brush_size = 4
    return t


def stroke(t, *position, label=1):
    t.stage.labels.selected_label = label
    t.stage.labels.paint(np.array(position), label)


def test_a_stroke_is_a_step_of_its_own(brush):
    data = brush.stage.labels.data
    before = data.copy()
    stroke(brush, 3, 30, 40, label=8)
    painted = data.copy()
    assert (painted[3] == 8).any()
    assert brush.state.undo_text == "painting"
    assert brush.ledger.places(8) == [(3,)]
    brush.undo()
    np.testing.assert_array_equal(data, before)
    assert brush.ledger.places(8) == []
    brush.redo()
    np.testing.assert_array_equal(data, painted)


def test_painting_on_a_mask_replaces_its_prompts_and_is_followed(brush):
    data = brush.stage.labels.data
    stroke(brush, 3, 30, 40)
    painted = data[3] == 1
    assert painted[30, 40]
    assert len(brush.stage.points.data) == 0
    assert brush.stage.count_prompts(1) == 1
    brush.sync()
    np.testing.assert_array_equal(data[3] == 1, painted)
    brush.propagate()
    np.testing.assert_array_equal(data[4] == 1, np.roll(painted, 1, 1))
    brush.undo()
    brush.undo()
    assert len(brush.stage.points.data) == 1
    assert not data[3, 30, 40]


def test_painting_on_a_followed_frame_makes_it_a_mask_prompt(brush):
    brush.viewer.dims.set_current_step(0, 5)
    stroke(brush, 5, 30, 40)
    assert brush.stage.count_prompts(1) == 2
    brush.propagate()
    assert brush.stage.labels.data[6, 30, 41] == 1


def test_erasing_all_of_an_object_takes_its_prompts(brush):
    labels = brush.stage.labels
    labels.brush_size = 60
    stroke(brush, 3, 10, 20, label=0)
    assert brush.stage.count_prompts(1) == 0
    brush.sync()
    assert not (labels.data[3] == 1).any()


def test_locked_objects_are_not_painted_over(brush):
    before = brush.stage.labels.data == 1
    brush.objects.lock(1, True)
    stroke(brush, 3, 10, 24, label=8)
    data = brush.stage.labels.data
    np.testing.assert_array_equal(data == 1, before)
    assert "Locked" in brush.state.status


def test_prompting_goes_on_while_a_brush_is_in_hand(brush):
    brush.add_point((3, 12, 26), object_id=1)
    stroke(brush, 3, 30, 40, label=8)
    brush.undo()
    assert brush.stage.labels.data[3, 12, 26] == 1
    assert not brush.stage.labels.data[3, 30, 40]


def test_painting_from_a_script_is_counted_and_its_label_is_taken(brush):
    labels = brush.stage.labels
    labels.mode = "pan_zoom"
    labels.paint(np.array((3, 30, 40)), 8)
    assert brush.ledger.places(8) == [(3,)]
    assert brush.next_object() == 9
