"""What propagation fills, along which axis and in which range; the model is a fake."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import FLAT, STACK, click, disc, plane

from napari_sam2.following._marks import END, Mark
from sam2_core import PromptError, Sam2Error


def test_propagation_fills_the_stack_in_both_directions(tool):
    t = tool(STACK)
    assert t.state.axis == 0
    t.viewer.dims.set_current_step(0, 3)
    t.add_point((10, 20))
    t.propagate()
    for frame in range(7):
        np.testing.assert_array_equal(
            plane(t, frame), disc((40, 60), 20 + frame - 3, 10)
        )


@pytest.mark.parametrize(
    ("direction", "start", "stop", "filled"),
    [
        ("forward", None, None, {3, 4, 5, 6}),
        ("backward", None, None, {0, 1, 2, 3}),
        ("both", 2, 4, {2, 3, 4}),
        ("forward", None, 5, {3, 4, 5}),
    ],
)
def test_direction_and_range(tool, direction, start, stop, filled):
    t = tool(STACK)
    click(t, 3, 10, 20)
    t.propagate(direction, start, stop)
    assert set(np.flatnonzero(t.stage.labels.data.any(axis=(1, 2)))) == filled


@pytest.mark.parametrize(
    ("direction", "start", "stop", "said"),
    [
        ("forward", 0, 2, "forward into frames 0 to 2: the first is on frame 3"),
        ("backward", 4, 5, "backward into frames 4 to 5: the last is on frame 3"),
    ],
)
def test_a_range_that_no_prompt_leads_into_is_refused(
    tool, direction, start, stop, said
):
    t = tool(STACK)
    click(t, 3, 10, 20)
    before = t.stage.labels.data.copy()
    with pytest.raises(PromptError, match=said):
        t.propagate(direction, start, stop)
    np.testing.assert_array_equal(t.stage.labels.data, before)
    assert t.state.undo_text == "last prompt"


def test_a_propagation_that_marks_leave_nothing_to_says_so(tool):
    t = tool(STACK)
    click(t, 1, 10, 20)
    t.history.record.mark(Mark(1, (1, 2), (3,), END), t.steps.begin("mark"))
    t.propagate("forward", 5, 6)
    assert "No prompt leads into that range" in t.state.status
    assert not t.stage.labels.data[2:].any()


def test_a_range_is_of_one_axis_and_goes_with_it(tool):
    t = tool(STACK)
    t.state.update(start=2, stop=5)
    t.viewer.dims.roll()
    assert t.state.axis == 2
    assert (t.state.start, t.state.stop) == (None, None)
    t.state.update(start=50, stop=58)  # columns
    t.viewer.dims.order = (0, 1, 2)
    assert t.state.axis == 0
    click(t, 3, 10, 20)
    t.propagate()
    assert t.stage.labels.data.any(axis=(1, 2)).all()


def test_range_chosen_in_the_state_is_used(tool):
    t = tool(STACK)
    click(t, 3, 10, 20)
    t.state.update(start=3, stop=4, direction="forward")
    t.propagate()
    assert set(np.flatnonzero(t.stage.labels.data.any(axis=(1, 2)))) == {3, 4}


def test_prompts_on_several_frames_belong_to_one_session(tool, backend):
    t = tool(STACK)
    click(t, 1, 10, 20)
    click(t, 5, 30, 40)
    assert plane(t, 1)[10, 20] == plane(t, 5)[30, 40] == 1
    assert len(backend.sessions) == 1
    assert set(backend.sessions[0].prompts) == {(1, 1), (5, 1)}
    t.stage.points.remove([0])
    t.propagate()
    assert set(backend.sessions[0].prompts) == {(5, 1)}
    assert not plane(t, 1)[10, 20]


@pytest.mark.parametrize(("axis", "filled"), [(0, (slice(None), 2)), (1, (1,))])
def test_4d_along_either_axis_with_the_other_held(tool, axis, filled):
    t = tool(np.zeros((3, 5, 40, 60), np.float32))
    t.viewer.dims.set_current_step((0, 1), (1, 2))
    t.choose_axis(axis)
    t.add_point((10, 20))
    t.propagate()
    expected = np.zeros((3, 5), bool)
    expected[filled] = True
    np.testing.assert_array_equal(t.stage.labels.data.any(axis=(2, 3)), expected)


def test_4d_propagates_only_the_line_on_display(tool):
    t = tool(np.zeros((3, 5, 40, 60), np.float32))
    t.choose_axis(1)
    click(t, 0, 2, 10, 20)
    t.viewer.dims.set_current_step(0, 1)
    with pytest.raises(PromptError, match="Click"):
        t.propagate()


@pytest.mark.parametrize("kind", ["polygon", "rectangle"])
def test_a_followed_mask_is_cut_off_without_another_prompt(tool, kind):
    t = tool(STACK)
    t.add_point((3, 10, 20))
    t.propagate("both")
    labels, before = t.stage.labels.data, t.stage.labels.data.copy()
    corners = [(5, 0, 22), (5, 0, 59), (5, 39, 59), (5, 39, 22)]
    t.add_shapes([corners], kind, positive=False)
    assert t.errors == []
    kept = before.copy()
    kept[5, :, 22:] = 0
    np.testing.assert_array_equal(labels, kept)
    t.propagate("both")
    assert t.errors == []
    np.testing.assert_array_equal(labels[:6], kept[:6])
    # The frame after it is followed from what was left there.
    np.testing.assert_array_equal(labels[6], np.roll(kept[5], 1, axis=1))
    t.undo()
    t.undo()
    np.testing.assert_array_equal(labels, before)


def outline(top, left, bottom, right):
    return [(5, top, left), (5, top, right), (5, bottom, right), (5, bottom, left)]


@pytest.mark.parametrize(
    ("corners", "adds"),
    [
        (outline(8, 26, 12, 31), True),  # a piece that overlaps
        (outline(8, 40, 12, 44), False),  # as small, elsewhere
        (outline(4, 20, 24, 50), False),  # the object drawn anew
    ],
)
def test_an_outline_of_a_piece_adds_to_a_followed_mask(tool, corners, adds):
    t = tool(STACK)
    t.add_point((3, 10, 20))
    t.propagate("both")
    labels, before = t.stage.labels.data, t.stage.labels.data.copy()
    assert before[5, 8:13, 26].all()
    assert not before[5, :, 28:].any()
    t.add_shapes([corners], "polygon")
    assert t.errors == []
    (_, top, left), (_, bottom, right) = corners[0], corners[2]
    drawn = np.zeros(before.shape[1:], bool)
    drawn[top : bottom + 1, left : right + 1] = True
    expected = drawn | (before[5] > 0) if adds else drawn
    np.testing.assert_array_equal(labels[5] > 0, expected)
    t.undo()
    np.testing.assert_array_equal(labels, before)


def test_several_outlines_of_pieces_all_add_to_a_followed_mask(tool):
    t = tool(STACK)
    t.add_point((3, 10, 20))
    t.propagate("both")
    labels, before = t.stage.labels.data, t.stage.labels.data[5] == 1
    pieces = np.zeros(before.shape, bool)
    for left in (26, 31, 36):  # together more than half of the mask
        t.add_shapes([outline(8, left, 12, left + 5)], "polygon")
        pieces[8:13, left : left + 6] = True
        np.testing.assert_array_equal(labels[5] == 1, before | pieces)
    assert 2 * (pieces & ~before).sum() > before.sum()


def test_an_outline_within_a_followed_mask_draws_what_is_right_of_it(tool):
    t = tool(STACK)
    t.add_point((3, 10, 20))
    t.propagate("both")
    before = t.stage.labels.data[5] == 1
    t.add_shapes([outline(8, 20, 11, 24)], "polygon")
    assert before[8:12, 20:25].all()
    assert before.sum() > 2 * 20
    assert (t.stage.labels.data[5] == 1).sum() == 20
    assert (t.stage.labels.data[5, 8:12, 20:25] == 1).all()


@pytest.mark.parametrize("kind", ["lasso", "click"])
def test_taking_away_where_nothing_is_yet_is_told(tool, kind):
    t = tool(STACK)
    t.add_point((3, 10, 20))
    if kind == "lasso":
        t.add_shapes([[(5, 0, 22), (5, 0, 59), (5, 39, 22)]], "polygon", positive=False)
    else:
        t.add_point((5, 10, 22), positive=False)
    assert t.errors == []
    assert t.stage.labels.data.any((1, 2)).tolist() == [i == 3 for i in range(7)]
    assert "There is nothing of Object 1 here yet" in t.state.status


def test_planes_that_stand_alone(tool, backend):
    t = tool(STACK)
    t.choose_axis(None)
    click(t, 3, 10, 20)
    assert backend.sessions == []
    assert t.stage.labels.data.any(axis=(1, 2)).tolist() == [i == 3 for i in range(7)]
    with pytest.raises(PromptError, match="axis"):
        t.propagate()


def test_a_single_plane_is_not_said_to_lack_a_choice(tool):
    t = tool(FLAT)
    click(t, 10, 20)
    for start in (t.propagate, t.objects.track_all):
        with pytest.raises(PromptError, match="This image has a single plane"):
            start()


def test_axis_on_display_cannot_be_chosen(tool):
    t = tool(STACK)
    with pytest.raises(PromptError, match="display"):
        t.choose_axis(2)


def test_rolled_axes_are_segmented_in_their_own_plane(tool):
    t = tool(STACK)
    click(t, 3, 10, 20)
    before = t.stage.labels.data.copy()
    t.viewer.dims.order = (1, 0, 2)
    t.viewer.dims.set_current_step(1, 30)
    assert t.state.axis == 1
    t.next_object()
    t.add_point((4, 50))
    np.testing.assert_array_equal(t.stage.labels.data == 1, before == 1)
    np.testing.assert_array_equal(t.stage.labels.data[:, 30] == 2, disc((7, 60), 50, 4))


def test_3d_display_explains_itself(tool):
    t = tool(STACK)
    t.viewer.dims.ndisplay = 3
    assert "2D" in t.state.status
    with pytest.raises(Sam2Error, match="2D"):
        t.add_point((10, 20))
    t.viewer.dims.ndisplay = 2
    t.add_point((10, 20))
    assert t.errors == []


def test_multiscale_stack_is_labelled_at_full_resolution(tool):
    pyramid = [np.zeros((5, 64, 80)), np.zeros((5, 32, 40))]
    t = tool(pyramid, multiscale=True, contrast_limits=(0, 1))
    t.add_point((2, 50, 70))
    np.testing.assert_array_equal(plane(t, 2), disc((64, 80), 70, 50))


def test_rgb_stack_has_its_frames_along_the_first_axis(tool):
    t = tool(np.zeros((4, 40, 60, 3), np.uint8), rgb=True)
    t.add_point((1, 10, 20))
    t.propagate("forward")
    assert t.stage.labels.data.shape == (4, 40, 60)
    assert t.stage.labels.data.any(axis=(1, 2)).tolist() == [False, True, True, True]


@pytest.mark.parametrize("alone", [False, True])
def test_locked_objects_are_said_to_be_locked(tool, alone):
    t = tool(STACK)
    click(t, 3, 10, 20)
    t.state.alone = alone
    t.objects.lock(1, True)
    with pytest.raises(PromptError, match="locked; unlock"):
        t.propagate()
    t.select_object(2)
    if alone:
        with pytest.raises(PromptError, match="Click on object 2"):
            t.propagate()
    click(t, 3, 30, 40)
    t.propagate()
    assert (t.stage.labels.data == 2).any((1, 2)).all()
    assert not (t.stage.labels.data[4] == 1).any()


def neighbour(t):
    """Label 9 in the way of object 1."""
    labels = t.stage.labels.data
    labels[:, 15:25, 36:50] = 9
    t.viewer.dims.set_current_step(0, 3)
    t.select_object(1)
    t.state.writing = "overwrite"
    return labels


@pytest.mark.parametrize("changes", [None, {1}])
def test_who_stays_out_of_neighbours_does_on_every_frame(tool, changes):
    t = tool(STACK)
    labels = neighbour(t)
    before = labels == 9
    t.state.neighbours = True
    click(t, 3, 20, 32)
    t.propagate(changes=changes)
    np.testing.assert_array_equal(labels == 9, before)
    for frame in range(7):
        free = disc((40, 60), 32 + frame - 3, 20) & ~before[frame]
        np.testing.assert_array_equal(labels[frame] == 1, free)


def test_who_overwrites_keeps_out_of_locked_objects_alone(tool):
    t = tool(STACK)
    labels = neighbour(t)
    before = labels == 9
    click(t, 3, 20, 32)
    t.propagate()
    assert (labels == 9).sum() < before.sum()
    t.undo()
    t.objects.lock(9, True)
    t.propagate()
    np.testing.assert_array_equal(labels[4:] == 9, before[4:])
