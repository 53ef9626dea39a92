"""How a propagation goes: sides, marks, patience."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from fakes import disc

from napari_sam2._following import Plan, follow
from napari_sam2._images import LayerFrames
from napari_sam2._marks import ABSENT, END, Bounds, Mark, Marks
from napari_sam2._prompts import ObjectPrompts

SHAPE = (40, 60)
FRAMES = LayerFrames(np.zeros((10, *SHAPE)), 0, 3, (1, 2), 0, (), (0.0, 1.0))


class Session:
    """Objects 1 and 2 from frame 4; object 1 is seen on ``visible`` only."""

    def __init__(self, visible=range(10)):
        self.visible = visible
        self.asked = []

    def propagate(self, start, stop, direction):
        self.asked.append((start, stop, direction))
        order = (
            range(4, stop + 1) if direction == "forward" else range(4, start - 1, -1)
        )
        for index in order:
            there = index in self.visible
            masks = {
                1: disc(SHAPE, 20, 10) & there,
                2: disc(SHAPE, 40, 30),
            }
            scores = {1: 0.9 if there else 0.1, 2: 0.8}
            yield SimpleNamespace(
                frame_index=index, masks=masks, scores=scores, object_scores=scores
            )


def run(session, plan):
    seeds = {(4, 1): ObjectPrompts(), (4, 2): ObjectPrompts()}
    return list(follow(session, FRAMES, seeds, plan, lambda: False))


def frames_with(items, object_id):
    return [m.position[0] for m in items if (m.ids == object_id).any()]


@pytest.mark.parametrize(
    ("here", "order"), [(None, "fb"), (6, "fb"), (4, "fb"), (1, "bf")]
)
def test_the_side_on_screen_comes_first_and_no_frame_twice(here, order):
    session = Session()
    items = run(session, Plan(here=here, patience=3))
    assert "".join(asked[2][0] for asked in session.asked) == order
    positions = [m.position[0] for m in items]
    assert sorted(positions) == list(range(10))
    assert positions[0] == 4


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

    def alone(self, start, stop, direction):
        for result in only(self, start, stop, direction):
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


class TwoPrompts:
    """Object 1, prompted on 1 and 8: forward fills all, backward the nearer half."""

    def propagate(self, start, stop, direction):
        forward = direction == "forward"
        for index in range(1, stop + 1) if forward else (8, 7, 6, 5, 1, 0):
            there = index in (1, 2, 5, 6, 7, 8)
            at = 10 if forward else 40
            mask = disc(SHAPE, at, 10) & there
            score = {1: 0.9 if there else 0.1}
            yield SimpleNamespace(
                frame_index=index, masks={1: mask}, scores=score, object_scores=score
            )


@pytest.mark.parametrize("here", [None, 0])
@pytest.mark.parametrize("patience", [None, 2])
def test_between_prompts_the_nearer_one_has_the_last_word(here, patience):
    seeds = {(1, 1): ObjectPrompts(), (8, 1): ObjectPrompts()}
    plan = Plan(here=here, patience=patience)
    shown = {}
    for item in follow(TwoPrompts(), FRAMES, seeds, plan, lambda: False):
        shown[item.position[0]] = item.ids
    # Whichever side came first; and an object that is lost in between is not given up.
    for index in (5, 6, 7):
        assert shown[index][10, 40] == 1
        assert shown[index][10, 10] == 0
    assert shown[2][10, 10] == 1
    assert shown[8].any()
