"""What the user says of frames: absent, begins and ends here; the model is a fake."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import STACK, filled

from napari_sam2.following._marks import ABSENT, BEGIN, END
from sam2_core import PromptError


def test_marks_go_both_ways_through_undo(stack):
    t = stack()
    t.add_point((3, 10, 20))
    t.propagate("both")
    before = t.tools.line()[1][5]
    t.tools.go_to(5)
    assert t.tools.toggle_mark(ABSENT)
    step = t.history.last
    assert filled(t) == [0, 1, 2, 3, 4, 6]
    assert t.tools.line()[1][5].area == 0
    t.undo()
    assert filled(t) == list(range(7))
    assert len(t.history.record.marks) == 0
    assert t.tools.line()[1][5] == before
    t.history.record.flip(step, undone=False)  # what a redo does
    assert len(t.history.record.marks) == 1
    assert t.tools.line()[1][5].area == 0


def test_the_end_before_the_first_prompt_is_a_beginning(stack):
    t = stack()
    t.add_point((3, 10, 20))
    t.propagate("both")
    t.tools.go_to(2)
    t.tools.toggle_mark(END)
    assert filled(t) == [2, 3, 4, 5, 6]
    t.propagate("both")
    assert filled(t) == [2, 3, 4, 5, 6]
    assert not t.tools.toggle_mark(END)
    t.propagate("both")
    assert filled(t) == list(range(7))


def test_an_object_begins_where_the_user_says(stack):
    t = stack()
    t.add_point((3, 10, 20))
    t.propagate("both")
    t.tools.go_to(3)  # the prompted frame itself
    assert t.tools.toggle_mark(BEGIN)
    assert t.tools.marks_here() == {BEGIN}
    assert filled(t) == [3, 4, 5, 6]
    t.propagate("both")
    assert filled(t) == [3, 4, 5, 6]
    t.tools.go_to(2)
    t.add_point((2, 10, 19))  # seen before: the prompt counts
    assert len(t.history.record.marks) == 0
    t.undo()
    assert [mark.position for mark in t.history.record.marks] == [(3,)]


@pytest.mark.parametrize(
    ("kind", "wrong", "right", "there"),
    [
        (END, 4, 5, [0, 1, 2, 3, 4, 5]),
        (BEGIN, 2, 1, [1, 2, 3, 4, 5, 6]),
        (END, 2, 1, [1, 2, 3, 4, 5, 6]),  # before its prompt: where it begins
    ],
)
def test_a_first_or_last_frame_may_be_said_anew(stack, kind, wrong, right, there):
    t = stack()
    t.add_point((3, 10, 20))
    t.propagate("both")
    t.tools.go_to(wrong)
    t.tools.toggle_mark(kind)
    t.tools.go_to(right)
    assert t.tools.toggle_mark(kind)
    assert t.state.status == "Mark moved; propagate to fill the frames."
    assert [mark.position for mark in t.history.record.marks] == [(right,)]
    t.propagate("both")
    assert filled(t) == there
    t.undo()
    t.undo()
    assert [mark.position for mark in t.history.record.marks] == [(wrong,)]


@pytest.mark.parametrize(
    ("kind", "frame", "said"),
    [
        (ABSENT, 4, "Object 1 is absent on frame 4."),
        (BEGIN, 2, "Object 1 begins on frame 2; it has no masks before."),
        (END, 5, "Object 1 ends on frame 5; it has no masks beyond."),
    ],
)
def test_a_mark_is_told_since_masks_go(stack, kind, frame, said):
    t = stack()
    t.add_point((3, 10, 20))
    t.propagate("both")
    t.tools.go_to(frame)
    t.tools.toggle_mark(kind)
    assert t.state.status == said


@pytest.mark.parametrize(
    ("kind", "first", "nearer", "there"),
    [(END, 5, 4, [0, 1, 2, 3, 4, 5]), (BEGIN, 1, 2, [1, 2, 3, 4, 5, 6])],
)
def test_a_nearer_end_takes_the_place_of_the_farther(stack, kind, first, nearer, there):
    t = stack()
    t.add_point((3, 10, 20))
    t.propagate("both")
    for index in (first, nearer):
        t.tools.go_to(index)
        t.tools.toggle_mark(kind)
    assert [mark.position for mark in t.history.record.marks] == [(nearer,)]
    assert t.state.status.startswith(f"Object 1 {kind} on frame {nearer};")
    t.tools.go_to(first)
    t.tools.toggle_mark(kind)  # the first was right after all
    assert t.state.status == "Mark moved; propagate to fill the frames."
    t.propagate("both")
    assert filled(t) == there
    for _ in range(3):
        t.undo()
    assert [mark.position for mark in t.history.record.marks] == [(first,)]


def test_both_ends_of_an_object_stay_marked(stack):
    t = stack()
    t.add_point((3, 10, 20))
    t.propagate("both")
    for index in (1, 5):
        t.tools.go_to(index)
        t.tools.toggle_mark(END)
        assert "moved" not in t.state.status
    t.propagate("both")
    assert filled(t) == [1, 2, 3, 4, 5]


def test_an_object_ends_where_it_was_marked_absent(stack):
    t = stack()
    t.add_point((3, 10, 20))
    t.propagate("both")
    t.tools.go_to(5)
    t.tools.toggle_mark(ABSENT)
    t.tools.toggle_mark(END)
    assert t.tools.marks_here() == {END}
    t.propagate("both")
    assert filled(t) == [0, 1, 2, 3, 4, 5]


def test_nothing_begins_after_its_first_prompt(stack):
    t = stack()
    t.add_point((3, 10, 20))
    t.propagate("both")
    t.tools.go_to(4)
    with pytest.raises(PromptError, match="prompts before this frame"):
        t.tools.toggle_mark(BEGIN)
    assert filled(t) == list(range(7))


def test_nothing_ends_before_its_last_prompt(stack):
    t = stack()
    t.add_point((1, 10, 20))
    t.add_point((5, 10, 24))
    t.propagate("both")
    t.tools.go_to(3)
    with pytest.raises(PromptError, match="prompts after this frame"):
        t.tools.toggle_mark(END)
    assert filled(t) == list(range(7))
    assert len(t.history.record.marks) == 0


@pytest.mark.parametrize(
    ("kind", "left"), [(ABSENT, [0, 1, 2, 4, 5, 6]), (BEGIN, [3, 4, 5, 6])]
)
def test_masks_by_hand_give_way_to_a_mark(stack, kind, left):
    t = stack()
    t.add_point((5, 10, 20))
    t.propagate("both")
    painted = 3 if kind == ABSENT else 1
    t.stage.labels.paint(np.array((painted, 10, 30)), 1)
    drawn = t.stage.labels.data.copy()
    t.tools.go_to(3)
    assert t.tools.toggle_mark(kind)
    assert filled(t) == left
    assert t.stage.count_prompts(1) == 1
    t.propagate("both")
    assert filled(t) == left
    t.undo()
    t.undo()
    np.testing.assert_array_equal(t.stage.labels.data, drawn)
    assert t.stage.count_prompts(1) == 2
    assert not len(t.history.record.marks)
    t.add_point((painted, 10, 30))
    with pytest.raises(PromptError, match="delete them first"):
        t.tools.toggle_mark(kind)


@pytest.mark.parametrize(("kind", "left"), [(END, range(5)), (BEGIN, range(4, 7))])
@pytest.mark.parametrize("prompted", [False, True])
def test_marks_cut_off_labels_from_elsewhere(stack, kind, left, prompted):
    t = stack()
    found = np.zeros(STACK.shape, np.uint16)
    found[:, 10:20, 10:20] = 4
    found[:, 30:35, 10:20] = 9
    t.choose_labels(t.viewer.add_labels(found))
    t.ids.count()
    t.select_object(4)
    if prompted:
        t.add_point((4, 12, 12))
    t.tools.go_to(4)
    t.tools.toggle_mark(kind)
    data = t.stage.labels.data
    assert np.flatnonzero((data == 4).any((1, 2))).tolist() == list(left)
    assert (data == 9).any((1, 2)).all()
    t.undo()
    assert (data == 4).any((1, 2)).all()


def test_a_touched_up_label_ends_where_the_user_says(stack):
    t = stack()
    found = np.zeros(STACK.shape, np.uint16)
    found[:, 10:20, 10:20] = 4
    t.choose_labels(t.viewer.add_labels(found))
    t.stage.labels.paint(np.array((6, 10, 24)), 4)
    t.select_object(4)
    t.tools.go_to(4)
    t.tools.toggle_mark(END)
    assert filled(t) == [0, 1, 2, 3, 4]


def test_what_begins_after_its_only_mask_is_followed_from_there(stack):
    t = stack()
    found = np.zeros(STACK.shape, np.uint16)
    found[0, 10:20, 10:20] = 1
    t.choose_labels(t.viewer.add_labels(found))
    t.tools.go_to(0)
    t.objects.track_all()
    t.select_object(1)
    before = t.stage.labels.data.copy()
    t.tools.go_to(3)
    t.tools.toggle_mark(BEGIN)
    assert [key.position for key in t.stage.masks] == [(3,)]
    t.propagate()
    assert filled(t) == [3, 4, 5, 6]
    np.testing.assert_array_equal(t.stage.labels.data[3:], before[3:])
    t.tools.toggle_mark(BEGIN)
    t.propagate()
    np.testing.assert_array_equal(t.stage.labels.data, before)
    for _ in range(4):
        t.undo()
    np.testing.assert_array_equal(t.stage.labels.data, before)
    assert [key.position for key in t.stage.masks] == [(0,)]


def test_nothing_begins_where_it_is_not_after_its_only_mask(stack):
    t = stack()
    t._ensure()
    t.stage.labels.paint(np.array((1, 10, 24)), 4)
    t.select_object(4)
    t.tools.go_to(3)
    with pytest.raises(PromptError, match="before this frame; click on it here"):
        t.tools.toggle_mark(BEGIN)
    assert filled(t) == [1]
    assert t.stage.count_prompts(4) == 1


def test_a_click_after_the_end_is_kept(stack):
    t = stack()
    t.add_point((1, 10, 20))
    t.next_object()
    t.add_point((1, 30, 20))  # goes on, so that all frames are gone over
    t.select_object(1)
    t.propagate("both")
    t.tools.go_to(3)
    t.tools.toggle_mark(END)
    labels = t.stage.labels.data
    ended = (labels == 1).any((1, 2))
    assert np.flatnonzero(ended).tolist() == [0, 1, 2, 3]
    t.tools.go_to(5)
    t.add_point((5, 10, 24))
    assert len(t.history.record.marks) == 0
    t.propagate("both")
    assert (labels == 1).any((1, 2)).all()
    t.undo()
    t.undo()
    assert [mark.kind for mark in t.history.record.marks] == [END]


def test_a_beginning_stays_when_another_slice_is_prompted(stack):
    t = stack(np.zeros((5, 6, 40, 60), np.float32))
    t.choose_axis(0)
    t.viewer.dims.set_current_step(0, 2)
    t.viewer.dims.set_current_step(1, 3)
    t.add_point((2, 3, 20, 20))
    t.tools.toggle_mark(BEGIN)
    t.viewer.dims.set_current_step(1, 2)
    t.add_point((2, 2, 20, 20))
    assert [mark.position for mark in t.history.record.marks] == [(2, 3)]


def test_the_only_mask_that_was_marked_away_comes_back(stack):
    """There are neither pixels nor prompts then, but the mark."""
    t = stack()
    drawn = np.zeros(STACK.shape, np.uint8)
    drawn[3, 10:20, 10:20] = 4
    t.choose_labels(t.viewer.add_labels(drawn))
    t.select_object(4)
    t.tools.go_to(3)
    assert t.tools.toggle_mark(ABSENT)
    assert not t.stage.labels.data.any()
    assert not t.tools.toggle_mark(ABSENT)


@pytest.mark.parametrize("kind", ["lasso", "click"])
def test_what_only_takes_away_denies_no_mark(stack, kind):
    t = stack()
    t.add_point((1, 10, 20))
    t.propagate("both")
    t.viewer.dims.set_current_step(0, 4)
    t.tools.toggle_mark(END)
    assert filled(t) == [0, 1, 2, 3, 4]
    if kind == "lasso":
        t.add_shapes([[(6, 0, 22), (6, 0, 59), (6, 39, 22)]], "polygon", positive=False)
    else:
        t.add_point((6, 10, 22), positive=False)
    assert [mark.kind for mark in t.tools.record.marks] == [END]
    t.propagate("both")
    assert {0, 1, 2, 3} <= set(filled(t)) <= {0, 1, 2, 3, 4}
    t.add_point((6, 10, 25))
    assert list(t.tools.record.marks) == []
