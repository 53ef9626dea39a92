"""What is drawn beside the image goes back."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import FLAT, STACK, click

from napari_sam2.picture._screen import camera_of
from sam2_core import PromptError

BESIDE = [(-3, 20), (10, -0.6), (40, 20), (10, 59.5)]


@pytest.mark.parametrize("where", BESIDE)
def test_a_click_outside_is_refused_with_a_sentence(tool, backend, where):
    t = tool(FLAT)
    click(t, *where)
    assert len(t.stage.points.data) == 0
    assert "outside the image" in t.state.status
    assert t.state.undo_text == ""
    assert backend.answers == 0
    click(t, 39.4, -0.4)
    assert len(t.stage.points.data) == 1
    assert t.stage.labels.data.any()


def test_the_refusal_has_plain_numbers(tool):
    t = tool(FLAT)
    words = r"^\(34133\.5, 12\.0\) lies outside the image \(40, 60\)\.$"
    with pytest.raises(PromptError, match=words):
        t.add_point(np.array([34133.46, 12]))


def test_a_click_beyond_the_last_frame_is_refused(tool):
    t = tool(STACK)
    click(t, 7, 10, 20)
    assert len(t.stage.points.data) == 0


def test_a_point_cannot_be_dragged_outside(tool):
    t = tool(FLAT)
    click(t, 10, 20)
    before = t.stage.labels.data.copy()
    t.stage.points.data = np.array([(10.0, 80.0)])
    assert t.stage.points.data.tolist() == [[10, 20]]
    np.testing.assert_array_equal(t.stage.labels.data, before)


def test_a_box_may_reach_over_the_edge_but_not_lie_beside(tool):
    t = tool(FLAT)
    corners = np.array([(-5, -5), (-5, 9), (9, 9), (9, -5)], float)
    t.stage.add_shapes([corners], "rectangle")
    assert (t.stage.labels.data[:10, :10] == 1).all()
    t.stage.add_shapes([corners - 20], "rectangle")
    assert len(t.stage.shapes.data) == 1
    assert "outside the image" in t.state.status
    assert t.state.object_id == 1


def test_a_click_with_the_box_tool_is_no_box(tool):
    t = tool(FLAT)
    camera_of(t.viewer).zoom = 4
    shapes = t.stage.shapes
    shapes.mode = "add_rectangle"
    # Of the size that napari makes it where nobody drags.
    shapes.add([[10, 20], [10, 20.6], [10.6, 20.6], [10.6, 20]])
    assert len(shapes.data) == 0
    assert "drag" in t.state.status
    assert "press P" in t.state.status
    shapes.add([[10, 20], [10, 21], [11, 21], [11, 20]])
    assert len(shapes.data) == 1


@pytest.mark.parametrize(
    "place", [{"scale": (-1, -1)}, {"affine": np.diag([100.0, 100, 1])}]
)
def test_a_box_is_measured_where_it_is_drawn(tool, place):
    t = tool(FLAT, **place)
    enlarged = 100 if "affine" in place else 1
    shapes = t.stage.shapes
    for side, kept in ((2.0, 0), (4.0, 1)):  # pixels of the screen
        camera_of(t.viewer).zoom = side / (5 * enlarged)
        shapes.add([[10, 20], [10, 25], [15, 25], [15, 20]])
        assert len(shapes.data) == kept


def test_scripts_may_add_boxes_too_small_for_the_screen(tool):
    t = tool(FLAT)
    camera_of(t.viewer).zoom = 0.1
    t.add_shapes([[[10, 20], [10, 24], [14, 24], [14, 20]]])
    assert len(t.stage.shapes.data) == 1


@pytest.mark.parametrize("kind", ["points", "boxes"])
def test_prompts_go_back_that_the_labels_have_no_numbers_for(tool, kind):
    t = tool(FLAT)
    data = np.zeros(FLAT.shape, np.int8)
    data[:4, 50:55] = 126
    t.choose_labels(t.viewer.add_labels(data))
    t.state.each = True
    click(t, 10, 10)
    before = data.copy()
    assert set(np.unique(before)) == {0, 126, 127}
    for _ in range(2):
        if kind == "points":
            click(t, 10, 40)
        else:
            box = np.array([(20, 20), (20, 30), (30, 30), (30, 20)], float)
            t.stage.add_shapes([box, box + 5], "rectangle")
    assert [type(error) for error in t.errors] == [PromptError] * 2
    assert "cannot take label 12" in t.state.status
    assert list(t.stage.points.features["object_id"]) == [127]
    assert len(t.stage.shapes.data) == 0
    np.testing.assert_array_equal(data, before)
    t.state.each = False
    click(t, 10, 12)  # the object in use can still be corrected
    assert list(t.stage.points.features["object_id"]) == [127, 127]
    assert data[10, 17] == 127
