"""How a propagation goes: sides, marks, patience."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from fakes import disc

from napari_sam2._following import Plan, follow
from napari_sam2._images import LayerFrames
from napari_sam2._marks import ABSENT, BEGIN, END, Bounds, Mark, Marks
from napari_sam2._prompts import ObjectPrompts

SHAPE = (40, 60)
FRAMES = LayerFrames(np.zeros((10, *SHAPE)), 0, 3, (1, 2), 0, (), (0.0, 1.0))


class Session:
    """Objects 1 and 2 from frame 4; object 1 is seen on ``visible`` only."""

    def __init__(self, visible=range(10)):
        self.visible = visible
        self.asked = []

    def propagate(self, start, stop, direction, around=None, ended=None, absent=None):
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
        def propagate(self, start, stop, direction, only_changed, ended, absent):
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
    assert [m.position[0] for m in items if m.facts[2].prompted] == [4]


def test_an_object_that_is_lost_for_long_does_not_come_back():
    away = Session(visible=[4, 6, 9])
    assert frames_with(run(away, Plan(direction="forward")), 1) == [4, 6, 9]
    assert frames_with(run(away, Plan(direction="forward", patience=2)), 1) == [4, 6]


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
        marks.contradict([Key(shown, position, object_id)])
        assert list(marks) == [begins]
    marks.contradict([Key(plane, (1, 2), 1)])
    assert len(marks) == 0
