"""Frames to go to, marks that are undone, corrections that follow: without a window."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fakes import STACK, filled

from napari_sam2.following._marks import ABSENT, BEGIN, END
from napari_sam2.tasks._counting import count
from sam2_core import PromptError, Sam2Error


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
