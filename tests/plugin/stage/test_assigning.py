"""Boxes that are objects of their own."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import FLAT, STACK, click, disc

SHAPE = FLAT.shape


def box(top, left, bottom, right):
    corners = [(top, left), (top, right), (bottom, right), (bottom, left)]
    return np.array(corners, float)


def filled(*boxes):
    """(H, W) labels 1, 2, ... in these boxes, borders included."""
    labels = np.zeros(SHAPE, int)
    for number, (top, left, bottom, right) in enumerate(boxes, 1):
        labels[top : bottom + 1, left : right + 1] = number
    return labels


def test_a_second_box_is_another_object(tool):
    t = tool(FLAT)
    t.add_shapes([box(5, 6, 12, 16)])
    t.add_shapes([box(20, 30, 35, 50)])
    expected = filled((5, 6, 12, 16), (20, 30, 35, 50))
    np.testing.assert_array_equal(t.stage.labels.data, expected)
    assert t.state.object_id == 2
    assert t.state.status == "Object 2: 1 prompt."
    t.undo()
    np.testing.assert_array_equal(t.stage.labels.data, filled((5, 6, 12, 16)))
    assert t.state.object_id == 1
    assert len(t.stage.shapes.data) == 1


def test_a_box_around_a_clicked_object_is_for_it(tool):
    t = tool(FLAT)
    click(t, 10, 20)
    t.add_shapes([box(5, 6, 12, 16)])
    assert list(t.stage.shapes.features["object_id"]) == [1]


def test_a_box_on_another_frame_is_for_the_same_object(tool):
    t = tool(STACK)
    for frame in (1, 4):
        corners = box(5, 6, 12, 16)
        t.add_shapes([np.insert(corners, 0, frame, axis=1)])
    assert list(t.stage.shapes.features["object_id"]) == [1, 1]


def test_a_script_that_names_the_object_replaces_its_box(tool):
    t = tool(FLAT)
    t.add_shapes([box(5, 6, 12, 16)], object_id=1)
    t.add_shapes([box(20, 30, 35, 50)], object_id=1)
    np.testing.assert_array_equal(t.stage.labels.data, filled((20, 30, 35, 50)))
    assert len(t.stage.shapes.data) == 1
    t.undo()
    np.testing.assert_array_equal(t.stage.labels.data, filled((5, 6, 12, 16)))


def test_negative_rectangles_cut_and_are_no_objects(tool):
    t = tool(FLAT)
    t.add_shapes([box(5, 6, 20, 30)])
    t.add_shapes([box(5, 6, 8, 30)], positive=False)
    t.add_shapes([box(17, 6, 20, 30)], positive=False)
    assert set(np.unique(t.stage.labels.data)) == {0, 1}
    assert list(t.stage.shapes.features["object_id"]) == [1, 1, 1]


@pytest.mark.parametrize("each", [True, False])
def test_an_object_with_a_mask_is_not_taken_for_a_new_one(tool, each):
    """One of somebody else's labels is selected: they stay as they are."""
    t = tool(FLAT)
    data = np.zeros(SHAPE, np.uint8)
    data[5:13, 6:17] = 5
    t.choose_labels(t.viewer.add_labels(data.copy()))
    t.select_object(5)
    t.state.each = each
    if each:
        click(t, 28, 40)
        data[disc(SHAPE, 40, 28)] = 7  # 6 was offered, and is taken
    else:
        t.add_shapes([box(20, 30, 35, 50), box(20, 1, 30, 20)])
        data[20:36, 30:51] = 7
        data[20:31, 1:21] = 8
    np.testing.assert_array_equal(t.stage.labels.data, data)
