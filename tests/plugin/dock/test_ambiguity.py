"""Candidates of a click, several objects at once; the model is a fake."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import RADIUS, Stepper, disc

from napari_sam2.dock._ambiguity import Ambiguity
from napari_sam2.sessions._keeping import SessionKeeper

FLAT = np.zeros((40, 60), np.float32)
STACK = np.zeros((7, 40, 60), np.float32)
SHAPE = (40, 60)


@pytest.fixture(params=["image", "stack"])
def clicked(tool, request):
    """One click, in an image and in a stack; where to look, and the rest."""
    t = tool(FLAT if request.param == "image" else STACK)
    t.ambiguity = Ambiguity(t)
    lead = () if request.param == "image" else (3,)
    if lead:
        t.viewer.dims.set_current_step(0, 3)
    t.add_point((*lead, 20, 30))
    return t, lead


def shown(t, lead, object_id=1):
    return t.stage.labels.data[lead] == object_id


def test_three_candidates_smallest_first(clicked):
    t, lead = clicked
    found = t.state.choices
    areas = [int(mask.unpack().sum()) for mask in found.masks]
    assert areas == [int(disc(SHAPE, 30, 20, r).sum()) for r in (3, 6, 11)]
    assert found.scores == pytest.approx((0.3, 0.9, 0.5))
    assert found.best == t.state.choice == 1
    np.testing.assert_array_equal(shown(t, lead), disc(SHAPE, 30, 20))


def test_cycling_goes_round_and_each_is_a_step(clicked):
    t, lead = clicked
    for radius in (11, 3, 6):
        t.ambiguity.cycle()
        np.testing.assert_array_equal(shown(t, lead), disc(SHAPE, 30, 20, radius))
    t.undo()
    np.testing.assert_array_equal(shown(t, lead), disc(SHAPE, 30, 20, 3))
    t.undo()
    t.undo()
    np.testing.assert_array_equal(shown(t, lead), disc(SHAPE, 30, 20))
    assert t.stage.masks == {}


def test_an_outline_changes_a_chosen_candidate_only_where_it_is_drawn(clicked):
    t, lead = clicked
    t.ambiguity.cycle()
    expected = disc(SHAPE, 30, 20, 11)
    for top, left, positive in ((12, 33, False), (14, 34, True), (28, 30, True)):
        bottom, right = top + 4, left + 3
        corners = ((top, left), (top, right), (bottom, right), (bottom, left))
        drawn = [[(*lead, *at) for at in corners]]
        t.add_shapes(drawn, "polygon", positive=positive)
        expected[top : bottom + 1, left : right + 1] = positive
        np.testing.assert_array_equal(shown(t, lead), expected)
    t.undo()
    expected[28:33, 30:34] = disc(SHAPE, 30, 20, 11)[28:33, 30:34]
    np.testing.assert_array_equal(shown(t, lead), expected)


def test_it_is_said_which_candidate_is_shown(tool):
    background = Stepper()
    t = tool(FLAT, background.start)
    ambiguity = Ambiguity(t)
    t.add_point((20, 30))
    background.run()
    assert t.state.status == "Object 1: 1 prompt."
    ambiguity.cycle()
    background.run()
    assert t.state.status == "Object 1: 1 prompt. Mask 3 of 3, 50 % sure."
    ambiguity.choose(2)  # which is shown already
    background.run()
    assert t.state.status == "Object 1: 1 prompt. Mask 3 of 3, 50 % sure."
    t.add_point((20, 42))
    background.run()
    assert t.state.status == "Object 1: 2 prompts."


def test_a_chosen_candidate_is_no_prompt_of_its_own(clicked, tmp_path):
    t, _ = clicked
    keeper = SessionKeeper(t, tmp_path)
    for _ in range(3):
        t.ambiguity.cycle()
        assert t.stage.count_prompts(1) == 1
        assert [row.prompts for row in t.objects.rows()] == [1]
        assert keeper.describe().prompt_count == 1
        t.tasks.rest()
        assert t.state.status.startswith("Object 1: 1 prompt. Mask ")


def test_undo_and_redo_mark_the_candidate_that_is_shown(clicked):
    t, lead = clicked
    radii = (3, 6, 11)
    t.ambiguity.cycle()
    t.ambiguity.cycle()
    for move, choice in ((t.undo, 2), (t.undo, 1), (t.redo, 2), (t.undo, 1)):
        move()
        assert t.state.choice == choice
        expected = disc(SHAPE, 30, 20, radii[choice])
        np.testing.assert_array_equal(shown(t, lead), expected)
    t.ambiguity.cycle()
    np.testing.assert_array_equal(shown(t, lead), disc(SHAPE, 30, 20, 11))


def test_candidates_go_when_their_click_is_undone_and_come_back_with_it(clicked):
    t, lead = clicked
    t.undo()
    assert t.state.choices is None
    t.ambiguity.cycle()
    assert "no other masks" in t.state.status
    assert t.stage.count_prompts(1) == 0
    t.redo()
    assert t.state.choice == 1
    t.ambiguity.cycle()
    np.testing.assert_array_equal(shown(t, lead), disc(SHAPE, 30, 20, 11))


def test_candidates_come_back_when_a_correction_is_undone(clicked):
    t, lead = clicked
    t.ambiguity.choose(0)
    t.add_point((*lead, 20, 42))
    assert t.state.choices is None
    t.undo()
    assert t.state.choices is not None
    assert t.state.choice == 0
    np.testing.assert_array_equal(shown(t, lead), disc(SHAPE, 30, 20, 3))


def test_no_candidate_is_chosen_for_a_click_that_was_painted_over(clicked):
    t, lead = clicked
    t.stage.labels.paint(np.array((*lead, 35, 50)), 1)
    painted = shown(t, lead).copy()
    t.ambiguity.cycle()
    assert t.state.choices is None
    np.testing.assert_array_equal(shown(t, lead), painted)
    assert t.stage.count_prompts(1) == 1  # the painted mask


def test_a_locked_object_keeps_its_mask(clicked):
    t, lead = clicked
    t.objects.lock(1, True)
    t.ambiguity.cycle()
    assert "locked" in t.state.status
    assert t.stage.count_prompts(1) == 1
    t.objects.lock(1, False)
    np.testing.assert_array_equal(shown(t, lead), disc(SHAPE, 30, 20))


def test_a_later_click_corrects_the_candidate_that_was_chosen(clicked):
    t, lead = clicked
    t.ambiguity.choose(2)
    t.add_point((*lead, 20, 42), positive=False)
    assert t.state.choices is None
    expected = disc(SHAPE, 30, 20, 11) & ~disc(SHAPE, 42, 20, RADIUS)
    assert (shown(t, lead) ^ expected).sum() < 30


def test_the_thumbnail_is_cut_out_around_the_candidates(clicked):
    found = clicked[0].state.choices
    height, width, channels = found.picture.shape
    assert channels == 3
    top, left = found.corner
    np.testing.assert_array_equal(
        found.cropped(2),
        disc(SHAPE, 30, 20, 11)[top : top + height, left : left + width],
    )
    assert found.cropped(2).sum() == found.masks[2].unpack().sum()


def test_candidates_go_with_their_click(clicked):
    t, _ = clicked
    t.next_object()
    assert t.state.choices is None
    t.ambiguity.cycle()
    assert "no other masks" in t.state.status


def test_boxes_and_corrections_are_not_ambiguous(tool):
    t = tool(FLAT)
    t.add_shapes([[(5, 6), (5, 16), (12, 16), (12, 6)]])
    assert t.state.choices is None


def test_an_object_that_was_tracked_is_not_ambiguous(tool):
    t = tool(STACK)
    t.add_point((3, 20, 30))
    t.propagate()
    t.state.choices = None
    t.add_point((5, 20, 30))
    assert t.state.choices is None
    t.next_object()
    t.add_point((5, 30, 45))
    assert t.state.choices is not None


# -- several objects at once -----------------------------------------------------------


def boxes(*corners):
    return [[(a, b), (a, d), (c, d), (c, b)] for a, b, c, d in corners]


def test_boxes_that_come_together_are_an_object_each(tool):
    t = tool(FLAT)
    t.add_shapes(boxes((2, 2, 8, 8), (20, 20, 30, 30), (2, 40, 12, 50)))
    data = t.stage.labels.data
    assert (data[2:9, 2:9] == 1).all()
    assert (data[20:31, 20:31] == 2).all()
    assert (data[2:13, 40:51] == 3).all()
    assert t.state.object_id == t.stage.labels.selected_label == 3
    t.undo()
    assert not data.any()
    assert len(t.stage.shapes.data) == 0


def test_one_object_per_prompt(tool):
    t = tool(FLAT)
    t.state.each = True
    for row, column in ((10, 10), (10, 30), (30, 30)):
        t.stage.points.add(np.array([[row, column]], float))
    assert list(t.stage.points.features["object_id"]) == [1, 2, 3]
    t.add_point((30, 33), positive=False)
    assert list(t.stage.points.features["object_id"]) == [1, 2, 3, 3]
    t.add_shapes(boxes((2, 45, 8, 52)))
    assert list(t.stage.shapes.features["object_id"]) == [4]
    assert t.next_object() == 5


def test_one_object_per_prompt_leaves_prompted_objects_alone(tool):
    t = tool(FLAT)
    t.add_point((10, 10))
    t.state.each = True
    t.stage.points.add(np.array([[10, 30], [30, 30]], float))
    assert list(t.stage.points.features["object_id"]) == [1, 2, 3]
    assert set(np.unique(t.stage.labels.data)) == {0, 1, 2, 3}


def test_scribbles_add_and_take_away(tool):
    t = tool(FLAT)
    t.add_shapes([[(20, 10), (20, 50)]], "path")
    data = t.stage.labels.data
    assert data[20, 14] == data[20, 30] == data[20, 46] == 1
    t.add_shapes([[(20, 44), (20, 56)]], "path", positive=False)
    assert list(t.stage.shapes.features["polarity"]) == ["positive", "negative"]
    assert t.stage.shapes.edge_color[1, 0] > 0.5
    assert data[20, 14] == data[20, 30] == 1
    assert data[20, 46] == 0


def test_negative_lasso_cuts_off(tool):
    t = tool(FLAT)
    t.add_point((20, 30))
    t.set_polarity(False)
    t.add_shapes([[(10, 30), (10, 50), (30, 50), (30, 30)]], "polygon")
    data = t.stage.labels.data
    assert data[20, 27] == 1
    assert not data[10:31, 30:51].any()


def test_candidates_are_there_while_the_frame_of_their_click_is(tool):
    t = tool(STACK)
    ambiguity = Ambiguity(t)
    t.viewer.dims.set_current_step(0, 3)
    t.add_point((3, 20, 30))
    t.propagate("both")
    ambiguity.choose(2)
    before = t.stage.labels.data.copy()
    t.viewer.dims.set_current_step(0, 5)
    assert t.state.choices is None
    ambiguity.cycle()
    np.testing.assert_array_equal(t.stage.labels.data, before)
    assert "no other masks" in t.state.status
    t.viewer.dims.set_current_step(0, 3)
    assert t.state.choice == 2
    ambiguity.cycle()
    np.testing.assert_array_equal(shown(t, (3,)), disc(SHAPE, 30, 20, 3))
    t.viewer.dims.ndisplay = 3
    assert t.state.choices is None


def test_candidates_that_come_when_the_user_has_gone_on_wait_for_the_frame(tool):
    background = Stepper()
    t = tool(STACK, background.start)
    t.ambiguity = Ambiguity(t)
    t.viewer.dims.set_current_step(0, 3)
    t.add_point((3, 20, 30))
    t.viewer.dims.set_current_step(0, 4)
    background.run()
    assert t.stage.labels.data[3].any()
    assert t.state.choices is None
    t.viewer.dims.set_current_step(0, 3)
    assert t.state.choices is not None
