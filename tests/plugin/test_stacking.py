"""Frames to go to, marks that are undone, corrections that follow: without a window."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_sam2._counting import count
from napari_sam2._marks import ABSENT, BEGIN, END
from napari_sam2._stacking import StackTools
from sam2_core import PromptError, Sam2Error

STACK = np.zeros((7, 40, 60), np.float32)


@pytest.fixture
def stack(tool):
    def make(data=STACK, **kwargs):
        t = tool(data, **kwargs)
        t.tools = StackTools(t)
        return t

    return make


def filled(t):
    return np.flatnonzero(t.stage.labels.data.any((1, 2))).tolist()


@pytest.mark.parametrize(
    "place",
    [
        {},
        {"scale": (0.29, 0.26, 0.26), "translate": (5, 0, 0)},
        {"scale": (300, 260, 260), "units": ("nm", "nm", "nm")},
    ],
)
def test_going_to_a_frame_shows_that_frame(stack, place):
    t = stack(**place)
    t.viewer.add_image(np.zeros((3, 7, 40, 60)), units=("s", "um", "um", "um"))
    for index in (0, 3, 6):
        t.tools.go_to(index)
        assert t.tools.here() == index
        assert t._view().position == (index,)


def test_going_along_either_axis_of_4d_data(stack):
    t = stack(np.zeros((3, 5, 20, 30), np.float32))
    t.viewer.dims.set_current_step(1, 2)
    t.tools.go_to(1)
    assert t._view().position == (1, 2)
    t.choose_axis(1)
    t.tools.go_to(4)
    assert t._view().position == (1, 4)


def test_looking_counts_until_the_masks_change(stack):
    t = stack()
    t.add_point((3, 10, 20))
    t.propagate("both")
    t.tools.go_to(5)
    t.tools.go_to(6)
    assert {5, 6} <= t.tools.settled()[0]
    t.propagate("forward", 5, 5)
    assert t.tools.settled()[0] & {5, 6} == {6}


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


def test_parts_that_a_propagation_has_kept_are_told(stack):
    t = stack()
    found = np.zeros(STACK.shape, np.uint16)
    found[4:, 28:38, 40:50] = 1
    t.choose_labels(t.viewer.add_labels(found))
    t.tools.go_to(0)
    t.add_point((0, 10, 20), object_id=1)
    t.propagate()
    assert (t.stage.labels.data[4:, 28:38, 40:50] == 1).all()
    assert t.state.status.endswith("Object 1 has other parts on 3 frames, which stay.")


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


def test_in_3d_the_tools_say_what_clicks_do(stack):
    t = stack()
    t.add_point((3, 10, 20))
    t.viewer.dims.ndisplay = 3
    asks = (
        lambda: t.tools.toggle_mark(ABSENT),
        lambda: t.tools.toggle_mark(BEGIN),
        t.tools.next_uncertain,
        t.tools.check,
        t.propagate,
    )
    for ask in asks:
        with pytest.raises(Sam2Error, match="Switch the viewer to 2D"):
            ask()
    t.viewer.dims.ndisplay = 2
    t.propagate("both")
    assert filled(t) == list(range(7))


def lost_and_steady(t):
    """Object 1 goes on, object 2 is lost on frame 5, and 3 is next."""
    t.add_point((3, 10, 20))
    t.next_object()
    t.add_point((3, 30, 40))
    t.propagate("both")
    t.next_object()
    known = t.tools.record.review
    gone = replace(known.facts[1, 2][2][(5,)], area=0, centre=None, iou=0.0)
    shaky = replace(known.facts[1, 2][1][(6,)], iou=0.5)
    known.put([((1, 2), (5,), 2, gone), ((1, 2), (6,), 1, shaky)])
    t.tools.refresh()
    return t


def test_the_next_frame_comes_with_the_object_to_look_at(stack):
    t = lost_and_steady(stack())
    assert t.state.object_id == 3
    assert t.tools.next_uncertain() == 5  # flagged
    assert t.state.object_id == 2
    assert t.stage.labels.selected_label == 2
    assert "Object 2 lost" in t.state.status
    assert t.tools.next_uncertain() == 6
    assert t.state.object_id == 1
    assert t.state.status == "Frame 6: Object 1 is the least certain so far"


@pytest.mark.parametrize("kind", [ABSENT, BEGIN, END])
def test_of_an_object_of_which_there_is_nothing_nothing_is_said(stack, kind):
    t = lost_and_steady(stack())
    with pytest.raises(PromptError, match="nothing of object 3 yet"):
        t.tools.toggle_mark(kind)
    assert len(t.history.record.marks) == 0
    t.stage.labels.data[2, 5, 5] = 3  # painted, and never clicked
    count(t.tasks)
    assert t.tools.toggle_mark(kind)


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


def test_clearing_an_object_forgets_what_is_known_of_it(stack):
    t = stack()
    t.add_point((3, 10, 20))
    t.propagate("both")
    t.tools.go_to(5)
    t.tools.toggle_mark(END)
    t.objects.delete([t.state.object_id])
    assert t.tools.line() == {}
    assert len(t.history.record.marks) == 0
    t.undo()
    assert len(t.history.record.marks) == 1
    assert len(t.tools.line()[1]) == 7


def test_without_a_stack_there_is_nothing_to_mark(stack):
    t = stack(np.zeros((40, 60), np.float32))
    for ask in (lambda: t.tools.toggle_mark(ABSENT), t.tools.next_uncertain):
        with pytest.raises(PromptError, match="single plane"):
            ask()
    assert t.tools.here() is None
    assert t.tools.marks_here() == set()


def test_a_checked_frame_that_a_propagation_changes_is_to_be_checked_again(stack):
    t = stack()
    t.add_point((3, 10, 20))
    t.propagate("both")
    for frame in (2, 5, 6):
        t.tools.go_to(frame)
        t.tools.check()
    t.tools.go_to(4)
    before = t.stage.labels.data.copy()
    t.add_point((4, 30, 40))
    assert t.tools.settled()[1] == {2, 5, 6}
    t.propagate("forward")
    changed = (t.stage.labels.data != before).any((1, 2))
    assert np.flatnonzero(changed).tolist() == [4, 5, 6]
    assert t.tools.settled()[1] == {2}
    assert t.state.status.endswith("2 checked frames have changed: look at them again.")
    t.undo()
    assert t.tools.settled()[1] == {2, 5, 6}
    t.redo()
    assert t.tools.settled()[1] == {2}
    t.tools.go_to(5)
    t.tools.check()
    t.propagate("forward")  # changes nothing more
    assert t.tools.settled()[1] == {2, 5}
    assert t.state.status.endswith("1 checked frame has changed: look at it again.")


def test_only_corrections_follow_by_themselves(stack, backend):
    t = stack()
    t.state.follow_corrections = True
    t.add_point((3, 10, 20))
    assert filled(t) == [3]  # nothing was propagated yet: this is no correction
    t.propagate("both")
    asked = backend.answers
    t.add_point((5, 30, 40))
    assert backend.answers > asked + 7


def test_corrections_carry_only_what_they_change(stack, backend):
    t = stack()
    t.state.follow_corrections = True
    t.viewer.dims.set_current_step(0, 3)
    t.add_point((3, 10, 20))
    t.propagate("both")
    t.viewer.dims.set_current_step(0, 5)
    t.add_point((5, 30, 40))
    whole, part = ("both", False, 3), ("both", True, 5)
    assert backend.asked == [whole, part]
    t.propagate()  # whoever asks for all gets all
    assert backend.asked[2:] == [("both", False, 5)]


def test_what_was_undone_is_carried_again(stack, backend):
    t = stack()
    t.state.follow_corrections = True
    t.add_point((3, 10, 20))
    t.propagate("both")
    t.add_point((5, 30, 40))
    t.undo()
    assert t.history.text == "last prompt"
    t.add_point((5, 32, 40))
    changes = [only_changed for _, only_changed, _ in backend.asked]
    assert changes == [False, True, False]
    t.add_point((5, 32, 42))
    assert backend.asked[-1][1]
    t.undo()
    t.redo()
    t.add_point((5, 34, 42))
    assert backend.asked[-1][1]


@pytest.mark.parametrize("others", [False, True])
def test_after_a_deletion_of_masks_a_correction_fills_all_frames(
    stack, backend, others
):
    t = stack()
    if others:
        t.add_point((3, 30, 50))
        t.next_object()
    object_id = t.state.object_id
    t.add_point((3, 10, 20))
    t.propagate("both")
    t.objects.delete([object_id], "mask")
    assert not (t.stage.labels.data == object_id).any()
    t.state.follow_corrections = True
    t.viewer.dims.set_current_step(0, 5)
    t.add_point((5, 12, 22))
    assert not backend.asked[-1][1]  # of an object that has changed nowhere else
    assert (t.stage.labels.data == object_id).any((1, 2)).all()
    t.add_point((5, 12, 24))
    assert backend.asked[-1][1]  # what changes will do again


def test_a_correction_does_not_carry_objects_that_were_not_followed(stack, backend):
    t = stack()
    t.add_point((3, 10, 20))
    t.propagate("both")
    t.undo()
    t.next_object()
    t.add_point((3, 30, 40))
    t.state.alone = True
    t.propagate("both")
    t.state.update(alone=False, follow_corrections=True)
    t.add_point((5, 30, 42))
    assert backend.asked[-1][1]
    data = t.stage.labels.data
    assert np.flatnonzero((data == 1).any((1, 2))).tolist() == [3]


def test_frames_gone_over_twice_count_twice(stack):
    t = stack()
    t.add_point((1, 10, 20))
    t.next_object()
    t.add_point((5, 30, 40))
    totals = []
    t.state.events.total.connect(totals.append)
    t.propagate("both")
    assert totals[0] == 7 + 4  # the second object goes back over 1 to 4
    t.state.follow_corrections = True
    t.add_point((5, 30, 42))
    assert totals[2:] == []  # how far a change goes is not known


@pytest.mark.parametrize(
    ("direction", "limits", "total"),
    [
        ("forward", (5, 6), 6),  # 1 to 4 are gone over on the way
        ("backward", (0, 2), 6),
        ("both", (4, 6), 6 + 1),
        ("both", (2, 3), 3 + 4),
    ],
)
def test_frames_on_the_way_to_the_range_count(stack, direction, limits, total):
    t = stack()
    t.add_point((1, 10, 20))
    t.next_object()
    t.add_point((5, 30, 40))
    totals = []
    t.state.events.total.connect(totals.append)
    t.propagate(direction, *limits)
    assert totals[0] == total


def test_back_alone_is_counted_from_the_last_prompt(stack):
    t = stack()
    t.add_point((1, 10, 20))
    t.add_point((5, 10, 20))
    totals = []
    t.state.events.total.connect(totals.append)
    t.propagate("backward")
    assert totals[0] == 6
