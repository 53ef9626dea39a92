"""How a propagation goes: sides, marks, patience."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from fakes import disc

from napari_sam2._images import LayerFrames
from napari_sam2._masks import PackedMask
from napari_sam2._prompts import MaskPrompt, ObjectPrompts
from napari_sam2.asking._messages import Passed
from napari_sam2.following._following import Plan, follow
from napari_sam2.following._marks import ABSENT, BEGIN, END, Bounds, Mark, Marks

SHAPE = (40, 60)
FRAMES = LayerFrames(np.zeros((10, *SHAPE)), 0, 3, (1, 2), 0, (), (0.0, 1.0))


class Session:
    """Objects 1 and 2 from frame 4; object 1 is seen on ``visible`` only."""

    def __init__(self, visible=range(10)):
        self.visible = visible
        self.asked = []

    def propagate(
        self,
        start,
        stop,
        direction,
        around=None,
        ended=None,
        absent=None,
        passed=False,
    ):
        self.asked.append((start, stop, direction, around))
        ways = {
            False: list(range(4, stop + 1)),
            True: list(range(3 if direction == "both" else 4, start - 1, -1)),
        }
        if direction != "both":
            del ways[direction == "forward"]
        while any(ways.values()):
            # The engine's own order is tested with the engine.
            reverse = next(way for way, frames in ways.items() if frames)
            index = ways[reverse].pop(0)
            there = index in self.visible
            masks = {
                1: disc(SHAPE, 20, 10) & there,
                2: disc(SHAPE, 40, 30),
            }
            scores = {1: 0.9 if there else 0.1, 2: 0.8}
            result = SimpleNamespace(
                frame_index=index,
                masks=masks,
                scores=scores,
                object_scores=scores,
                reverse=reverse,
            )
            yield result
            if ended is not None and ended(result) is True:
                ways[reverse] = []


def run(session, plan):
    seeds = {(4, 1): ObjectPrompts(), (4, 2): ObjectPrompts()}
    return list(follow(session, FRAMES, seeds, plan, lambda: False))


def frames_with(items, object_id):
    return [m.position[0] for m in items if (m.ids == object_id).any()]


@pytest.mark.parametrize("here", [None, 6, 1])
def test_the_frame_on_screen_is_where_both_ways_begin(here):
    session = Session()
    items = run(session, Plan(here=here, patience=3))
    assert session.asked == [(0, 9, "both", here)]
    positions = [m.position[0] for m in items]
    assert sorted(positions) == list(range(10))
    assert positions[0] == 4


def test_a_mask_by_hand_is_kept_to_the_pixel():
    drawn = disc(SHAPE, 20, 14)
    start = ObjectPrompts(start=MaskPrompt(PackedMask.of(drawn)))
    seeds = {(4, 1): ObjectPrompts(), (6, 2): start}
    found = follow(Session(), FRAMES, seeds, Plan(), lambda: False)
    planes = {plane.position: plane.ids for plane in found}
    one, two = disc(SHAPE, 20, 10), disc(SHAPE, 40, 30)
    assert (one & drawn).any()
    np.testing.assert_array_equal(planes[(6,)] == 2, drawn)
    np.testing.assert_array_equal(planes[(6,)] == 1, one & ~drawn)
    np.testing.assert_array_equal(planes[(7,)] == 1, one)
    np.testing.assert_array_equal(planes[(7,)] == 2, two & ~one)


def test_a_mask_that_answers_its_prompts_is_kept_with_what_was_drawn_since():
    drawn = disc(SHAPE, 20, 14)
    answers = ObjectPrompts(((20.0, 14.0),), (1,))
    cut = ((0.0, 0.0), (18.0, 0.0), (18.0, 39.0), (0.0, 39.0))
    kept = replace(
        answers, cuts_xy=(cut,), start=MaskPrompt(PackedMask.of(drawn), answers)
    )
    seeds = {(6, 2): kept, (7, 2): kept.with_point((30.0, 30.0), positive=True)}
    found = follow(Session(), FRAMES, seeds, Plan(), lambda: False)
    planes = {plane.position: plane.ids for plane in found}
    left = drawn & (np.arange(SHAPE[1]) > 18)
    np.testing.assert_array_equal(planes[(6,)] == 2, left)
    assert not np.array_equal(planes[(7,)] == 2, left)


def test_a_mask_by_hand_stays_beside_a_click_on_the_same_frame():
    drawn = disc(SHAPE, 20, 14)
    start = ObjectPrompts(start=MaskPrompt(PackedMask.of(drawn)))
    seeds = {(6, 1): ObjectPrompts(), (6, 2): start}
    found = follow(Session(), FRAMES, seeds, Plan(), lambda: False)
    planes = {plane.position: plane.ids for plane in found}
    one = disc(SHAPE, 20, 10)
    np.testing.assert_array_equal(planes[(6,)] == 2, drawn)
    np.testing.assert_array_equal(planes[(6,)] == 1, one & ~drawn)


def test_one_way_begins_at_the_prompts():
    session = Session()
    run(session, Plan(direction="backward", here=1))
    assert session.asked == [(0, 9, "backward", None)]


def test_each_way_ends_where_all_are_lost_in_it():
    """Lost on 1 and 0 going back, and on 7 and 8 going forward."""
    session = Session(visible=range(2, 7))
    both = Session.propagate

    def alone(self, *args, **kwargs):
        for result in both(self, *args, **kwargs):
            del result.masks[2]
            yield result

    session.propagate = alone.__get__(session)
    shown = {1: frozenset({0, 9})}
    items = run(session, Plan(patience=1, shown=shown))
    assert [m.position[0] for m in items] == [4, 5, 6, 7, 9, 3, 2, 1, 0]
    assert [m.position[0] for m in items if m.ids.any()] == [4, 5, 6, 3, 2]


def test_changes_may_come_to_a_frame_from_both_sides():
    class Twice:
        def propagate(self, start, stop, direction, *, only_changed, **_):
            assert only_changed
            for reverse in (False, True):
                mask = disc(SHAPE, 40 if reverse else 20, 10)
                score = {1: 0.9}
                yield SimpleNamespace(
                    frame_index=6,
                    masks={1: mask},
                    scores=score,
                    object_scores=score,
                    reverse=reverse,
                )

    items = run(Twice(), Plan(changes=True))
    assert [bool(m.ids[10, 40]) for m in items] == [False, True]


def test_bounds_cut_off_and_leave_out():
    bounds = {1: Bounds(3, 6, frozenset({5})), 2: Bounds(0, 7)}
    session = Session()
    items = run(session, Plan(bounds=bounds))
    assert sorted(frames_with(items, 1)) == [3, 4, 6]
    assert sorted(frames_with(items, 2)) == list(range(8))
    assert session.asked[0][:2] == (0, 7)  # nothing is looked for beyond
    denied = next(m for m in items if m.position == (5,))
    assert denied.facts[1].certainty == 1.0
    assert denied.facts[1].prompted  # the user's word, not to be looked at
    assert [m.position[0] for m in items if m.facts[2].prompted] == [4]


def test_an_object_that_is_lost_for_long_does_not_come_back():
    away = Session(visible=[4, 6, 9])
    assert frames_with(run(away, Plan(direction="forward")), 1) == [4, 6, 9]
    assert frames_with(run(away, Plan(direction="forward", patience=2)), 1) == [4, 6]


def test_what_was_denied_is_not_lost():
    """Absent on 5 and 6, not seen on 7: that is one lost frame, not three."""
    session = Session(visible=[4, 8, 9])
    bounds = {1: Bounds(0, 9, frozenset({5, 6})), 2: Bounds(0, 9)}
    plan = Plan(direction="forward", patience=2, bounds=bounds)
    assert frames_with(run(session, plan), 1) == [4, 8, 9]


class Returning:
    """Object 1, seen on 0 to 2 and 7 to 9, prompted on 2 and 8; object 2 on 2."""

    def propagate(self, start, stop, direction, **_):
        between = (5, 6, 7)  # object 1 is found there on the way back
        forward = [(t, False, (2,) if t in between else (1, 2)) for t in range(2, 10)]
        # What is prompted is found on the way forward; back it goes on beyond.
        backward = [(t, True, (1, 2)) for t in (7, 6, 5, 1, 0)]
        for t, reverse, ids in forward + backward:
            there = t in (0, 1, 2, 7, 8, 9)
            masks = {1: disc(SHAPE, 20, 10) & there, 2: disc(SHAPE, 40, 30)}
            scores = {1: 0.9 if there else 0.1, 2: 0.9}
            yield SimpleNamespace(
                frame_index=t,
                masks={i: masks[i] for i in ids},
                scores=scores,
                object_scores=scores,
                reverse=reverse,
            )


@pytest.mark.parametrize("patience", [1, 2])
def test_before_its_first_prompt_an_object_that_was_away_is_there(patience):
    seeds = {at: ObjectPrompts() for at in ((2, 1), (8, 1), (2, 2))}
    plan = Plan(patience=patience)
    items = list(follow(Returning(), FRAMES, seeds, plan, lambda: False))
    assert sorted(frames_with(items, 1)) == [0, 1, 2, 7, 8, 9]


def test_beyond_its_end_an_object_is_followed_no_further_and_gone():
    class Asking(Session):
        def propagate(self, *args, ended=None, **kwargs):
            for result in super().propagate(*args, **kwargs):
                yield result
                left.append((result.frame_index, set(ended(result))))

    left = []
    bounds = {1: Bounds(3, 6), 2: Bounds(0, 9)}
    shown = {1: frozenset({1, 8})}
    items = run(Asking(), Plan(bounds=bounds, shown=shown))
    assert dict(left)[5] == set()
    assert dict(left)[6] == dict(left)[7] == {1}
    assert dict(left)[4] == set()
    assert dict(left)[3] == dict(left)[2] == {1}
    erased = [m for m in items if list(m.prompts) == [1]]
    assert sorted(m.position[0] for m in erased) == [1, 8]
    for item in erased:
        assert item.facts[1].prompted
        assert item.facts[1].certainty == 1.0


def test_the_sweep_ends_when_all_are_lost_and_stale_masks_go():
    session = Session(visible=[4, 5])
    only = Session.propagate

    def alone(self, *args, **kwargs):
        for result in only(self, *args, **kwargs):
            del result.masks[2]
            yield result

    session.propagate = alone.__get__(session)
    plan = Plan(direction="forward", patience=2, shown={1: frozenset({5, 7, 9})})
    items = run(session, plan)
    assert [m.position[0] for m in items] == [4, 5, 6, 7, 9]
    assert list(items[-1].prompts) == [1]
    assert not items[-1].ids.any()


def test_marks_bound_an_object_on_both_sides_of_its_first_prompt():
    marks = Marks()
    plane = (1, 2)
    for frame, kind in ((2, END), (8, END), (6, ABSENT)):
        assert marks.toggle(Mark(1, plane, (frame,), kind))
    bounds = marks.bounds(FRAMES, {1: 4, 2: 4})
    assert bounds[1] == Bounds(2, 8, frozenset({6}))
    assert bounds[2] == Bounds(0, 9)
    assert not marks.toggle(Mark(1, plane, (8,), END))
    marks.toggle(Mark(1, plane, (2,), ABSENT))  # replaces the end there
    assert marks.bounds(FRAMES, {1: 4})[1] == Bounds(0, 9, frozenset({2, 6}))
    marks.drop(1)
    assert len(marks) == 0


def test_an_object_may_begin_and_end_on_a_frame_but_not_be_absent_there():
    marks, plane = Marks(), (1, 2)
    for kind in (BEGIN, END):
        assert marks.toggle(Mark(1, plane, (4,), kind))
    assert marks.bounds(FRAMES, {1: 4})[1] == Bounds(4, 4)
    assert marks.toggle(Mark(1, plane, (4,), ABSENT))
    assert [mark.kind for mark in marks] == [ABSENT]


def test_a_prompt_before_the_beginning_counts_more():
    from napari_sam2._prompts import Key

    plane, begins = (2, 3), Mark(1, (2, 3), (1, 4), BEGIN)
    marks = Marks([begins])
    elsewhere = [(2, plane, (1, 2)), (1, (1, 3), (1, 2)), (1, plane, (1, 5))]
    for object_id, shown, position in [*elsewhere, (1, plane, (0, 2))]:
        marks.contradict([Key(shown, position, object_id)], 1)
        assert list(marks) == [begins]
    marks.contradict([Key(plane, (1, 2), 1)], 1)
    assert len(marks) == 0


def keys(*frames):
    from napari_sam2._prompts import Key

    return [Key((1, 2), (frame,), 1) for frame in frames]


@pytest.mark.parametrize(
    ("prompted", "stays"),
    [((1,), True), ((1, 4), True), ((1, 7), False), ((4, 7), False), ((5, 7), True)],
)
def test_a_prompt_after_the_end_counts_more(prompted, stays):
    """But one before its first prompt is a beginning."""
    ends = Mark(1, (1, 2), (4,), END)
    marks = Marks([ends])
    marks.contradict(keys(*prompted), 0)
    assert list(marks) == [ends] * stays


def test_of_another_slice_prompts_say_nothing():
    """Along time, a click on slice 2 is not before a beginning on slice 3."""
    from napari_sam2._prompts import Key

    begins, ends = (Mark(1, (2, 3), (2, 3), kind) for kind in (BEGIN, END))
    marks = Marks([begins, ends])
    marks.contradict([Key((2, 3), (2, z), 1) for z in (2, 3, 4)], 0)
    assert list(marks) == [begins, ends]
    marks.contradict([Key((2, 3), (2, z), 1) for z in (2, 3, 4)], 1)
    assert len(marks) == 0
    marks.replace([begins])
    marks.contradict([Key((2, 3), (1, 3), 1)], 2)  # an axis that is on display now
    assert list(marks) == [begins]


def test_frames_before_the_range_are_counted_and_can_be_stopped():
    class Passing:
        def propagate(self, start, stop, direction, *, passed, **_):
            assert passed
            for t in range(stop + 1):
                masks = {1: disc(SHAPE, 20, 10)} if t >= start else {}
                yield SimpleNamespace(frame_index=t, masks=masks, reverse=False)

    items = run(Passing(), Plan(4, 6, "forward"))
    assert items[:4] == [Passed()] * 4
    assert [m.position[0] for m in items[4:]] == [4, 5, 6]
    stops = iter([False, True])
    told = follow(Passing(), FRAMES, {}, Plan(4, 6, "forward"), lambda: next(stops))
    assert list(told) == [Passed()] * 2
