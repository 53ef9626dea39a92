"""Labels that were touched up by hand, and what of them is followed."""

from __future__ import annotations

import numpy as np
import pytest
from painting import STACK, stroke

from napari_sam2.dock._stacking import StackTools
from sam2_core.errors import PromptError


def from_elsewhere(t, *ids):
    """Labels of another program on all frames, each 10 pixels high and wide."""
    found = np.zeros(STACK.shape, np.uint16)
    for n, object_id in enumerate(ids):
        found[:, 10:20, 5 + 15 * n : 15 + 15 * n] = object_id
    t.choose_labels(t.viewer.add_labels(found))
    t.ids.count()
    t.stage.labels.brush_size = 4
    return t.stage.labels.data


@pytest.mark.parametrize("label", [1, 0])
def test_a_touched_up_label_from_elsewhere_is_not_followed_unasked(tool, label):
    t = tool(STACK)
    t.tools = StackTools(t)
    data = from_elsewhere(t, 1, 2)
    stroke(t, 6, 10, 6, label=label)
    before = data.copy()
    with pytest.raises(PromptError, match="touched up"):
        t.propagate()
    t.add_point((0, 32, 40), object_id=4)
    t.propagate()
    for i in (1, 2):
        np.testing.assert_array_equal(data == i, before == i)
    assert (data == 4).any((1, 2)).all()
    assert "Object 1 was only touched up by hand" in t.state.status
    t.select_object(1)
    t.propagate(alone=True)
    moved = np.roll(before[6] == 1, -1, 1)
    np.testing.assert_array_equal(data[5] == 1, moved)
    np.testing.assert_array_equal(data[6] == 1, before[6] == 1)
    stroke(t, 3, 30, 20, label=1)
    t.propagate()  # it has been followed, so it goes on
    assert (data[2] == 1)[30, 19]


def test_a_correction_is_not_for_another_cell_of_the_same_number(tool):
    """Labels made frame by frame: on odd frames 1 is another cell, too."""
    t = tool(STACK)
    data = np.zeros(STACK.shape, np.uint16)
    data[0, 5:15, 10:20] = 1
    data[1::2, 25:35, 40:50] = 1
    t.choose_labels(t.viewer.add_labels(data))
    t.ids.count()
    t.stage.labels.brush_size = 4
    data, other = t.stage.labels.data, data[1] == 1
    t.viewer.dims.set_current_step(0, 0)
    t.add_point((0, 10, 15), object_id=1)
    t.propagate()
    t.viewer.dims.set_current_step(0, 3)
    mask = data[3] == 1
    row, column = np.argwhere(mask & ~other)[0]
    stroke(t, 3, row - 1, column)
    painted = data[3] == 1
    assert (painted & ~mask).any()
    (ask,) = [a for key, a in t.starts.prompts().items() if key.position == (3,)]
    np.testing.assert_array_equal(ask.start.mask.unpack(), painted & ~other)
    t.propagate()
    for frame in (1, 3, 5):
        assert (data[frame] == 1)[other].all()
    np.testing.assert_array_equal(data[3] == 1, painted)
    np.testing.assert_array_equal(
        (data[4] == 1) & ~other, np.roll(painted & ~other, 1, 1) & ~other
    )


def test_what_was_followed_goes_on_without_its_first_prompts(brush):
    data = brush.stage.labels.data
    brush.objects.delete([1], "prompts")
    stroke(brush, 3, 10, 28)
    painted = data[3] == 1
    brush.propagate()
    np.testing.assert_array_equal(data[4] == 1, np.roll(painted, 1, 1))


def test_track_all_follows_what_was_touched_up(tool):
    t = tool(STACK)
    data = from_elsewhere(t, 1)
    stroke(t, 6, 10, 6, label=0)
    trimmed = data[6] == 1
    t.viewer.dims.set_current_step(0, 0)
    t.objects.track_all()
    square = np.zeros((40, 60), bool)
    square[10:20, 5:15] = True
    np.testing.assert_array_equal(data[3] == 1, np.roll(square, 3, 1))
    np.testing.assert_array_equal(data[6] == 1, trimmed)
