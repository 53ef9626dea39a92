"""A correction is carried outward until nothing changes any more, and it stays."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import torch
from micro import micro_model, moving_disc

from sam2_core.memory import Memory
from sam2_core.stacks import sweeps
from sam2_core.stacks.propagation import tellers
from sam2_core.stacks.sweeps import Route
from sam2_core.video import VideoSession

LENGTH = 24
FRAMES = moving_disc(LENGTH)
CLICK = {"point_coords": [[20, 20]]}
OTHER = {"box": [2, 2, 30, 30]}


@pytest.fixture(scope="module")
def model():
    return micro_model()


@pytest.fixture
def session(model):
    session = VideoSession(model, FRAMES)
    session.add_prompts(2, 1, **CLICK)
    return session


def run(session, **kwargs):
    """Frames in order, and the last masks of each object and frame."""
    order, masks = [], {}
    for result in session.propagate(**kwargs):
        order.append(result.frame_index)
        masks.update({(result.frame_index, i): m for i, m in result.masks.items()})
    return order, masks


def test_a_new_object_goes_all_the_way_and_others_are_left_alone(model, session):
    run(session)
    session.add_prompts(9, 2, **OTHER)
    order, masks = run(session, only_changed=True)
    assert order == [*range(9, LENGTH), *range(8, -1, -1)]
    assert {i for _, i in masks} == {2}
    alone = VideoSession(model, FRAMES)
    alone.add_prompts(9, 2, **OTHER)
    expected = run(alone)[1]
    assert masks.keys() == expected.keys()
    for key, mask in masks.items():
        np.testing.assert_array_equal(mask, expected[key])


def test_backward_alone_goes_over_what_is_between_prompts(session):
    session.add_prompts(6, 1, **OTHER)
    order, masks = run(session, direction="backward")
    assert order == [6, 5, 4, 3, 2, 1, 0]
    assert {frame for frame, _ in masks} == set(order)
    run(session, direction="forward")
    assert run(session, direction="backward")[0] == [2, 1, 0]


def test_nothing_changed_is_nothing_to_do(session):
    run(session)
    assert run(session, only_changed=True) == ([], {})


def test_a_first_run_of_changes_is_a_whole_run(model, session):
    fresh = VideoSession(model, FRAMES)
    fresh.add_prompts(2, 1, **CLICK)
    order, masks = run(session, only_changed=True)
    expected_order, expected = run(fresh)
    assert order == expected_order
    assert all((masks[key] == expected[key]).all() for key in expected)


@pytest.mark.parametrize("iou", [0.0, 1.1])
def test_a_correction_goes_as_far_as_it_changes_something(session, monkeypatch, iou):
    """Everything passes for the same, or nothing does."""
    run(session)
    monkeypatch.setattr(sweeps, "_iou", lambda one, other: iou)
    session.add_prompts(12, 1, **OTHER)
    order, _ = run(session, only_changed=True)
    if iou > 1:
        assert order == [12, 13, 14, 15, 11, 10, 9]
    else:
        assert order == [*range(12, LENGTH), *range(11, -1, -1)]
    assert run(session, only_changed=True)[0] == []


def test_two_corrections_are_two_places(session, monkeypatch):
    run(session)
    monkeypatch.setattr(sweeps, "_iou", lambda one, other: 1.0)
    session.add_prompts(8, 1, **OTHER)
    session.add_prompts(18, 1, **OTHER)
    order, _ = run(session, only_changed=True)
    forward, backward = [8, 9, 10, 11, 18, 19, 20, 21], [17, 16, 15, 7, 6, 5]
    assert order == forward + backward


def test_directions_and_ranges(session, monkeypatch):
    run(session)
    monkeypatch.setattr(sweeps, "_iou", lambda one, other: 0.0)
    session.add_prompts(12, 1, **OTHER)
    assert run(session, only_changed=True, direction="forward")[0] == [*range(12, 24)]
    order, _ = run(session, only_changed=True, direction="backward", start=9)
    assert order == [12, 11, 10, 9]
    # Carried either way, it is no change any more.
    assert run(session, only_changed=True, start=11, stop=14) == ([], {})


def test_a_correction_sticks(session):
    """Nothing that is found later moves the corrected frame."""
    run(session)
    corrected = session.add_prompts(12, 1, **OTHER).masks[1]
    masks = run(session, only_changed=True)[1]
    np.testing.assert_array_equal(masks[12, 1], corrected)
    session.add_prompts(15, 1, **CLICK)
    for kwargs in ({"only_changed": True}, {}, {"direction": "backward"}):
        for result in session.propagate(**kwargs):
            if result.frame_index == 12:
                np.testing.assert_array_equal(result.masks[1], corrected)


def test_masks_around_a_correction_are_new(session):
    _, before = run(session)
    session.add_prompts(12, 1, **OTHER)
    order, masks = run(session, only_changed=True)
    assert {11, 12, 13} <= set(order)
    assert (masks[12, 1] != before[12, 1]).any()


def test_a_cleared_correction_is_found_again(session, monkeypatch):
    run(session)
    session.add_prompts(12, 1, **OTHER)
    run(session, only_changed=True)
    monkeypatch.setattr(sweeps, "_iou", lambda one, other: 1.0)
    session.clear_prompts(12, 1)
    order, _ = run(session, only_changed=True)
    assert order == [12, 13, 14, 15, 11, 10, 9, 8]
    assert session.prompted_frames == {1: [2]}


def test_a_stopped_run_is_still_to_do(session):
    run(session)
    session.add_prompts(12, 1, **OTHER)
    next(session.propagate(only_changed=True))
    assert run(session, only_changed=True)[0][0] == 12


@pytest.mark.parametrize("around", [None, 20])
def test_a_stopped_run_goes_on_to_where_nothing_changes(model, around):
    """What it found already is no sign that all beyond is as before."""
    stopped, whole = VideoSession(model, FRAMES), VideoSession(model, FRAMES)
    masks = []
    for each in (stopped, whole):
        each.add_prompts(2, 1, **CLICK)
        shown = run(each)[1]
        each.add_prompts(12, 1, **OTHER)
        if each is stopped:
            for result in islice(each.propagate(only_changed=True), 7):
                shown[result.frame_index, 1] = result.masks[1]
        shown.update(run(each, only_changed=True, around=around)[1])
        masks.append(shown)
    for key, mask in masks[1].items():
        np.testing.assert_array_equal(masks[0][key], mask)
    assert run(stopped, only_changed=True) == ([], {})


def test_a_direction_that_was_not_taken_is_still_to_do(session):
    run(session, direction="forward")
    assert run(session, only_changed=True)[0] == [2, 1, 0]


def test_prompts_given_on_the_way_are_still_to_do(session):
    run(session)
    for _ in session.propagate():
        session.add_prompts(5, 1, **OTHER)
    assert run(session, only_changed=True)[0][0] == 5


def memory(mask: torch.Tensor) -> Memory:
    return Memory(mask * 2.0 - 1, torch.ones(1), torch.ones(1, 1), torch.zeros(1, 4))


def test_three_frames_in_a_row_must_agree(session):
    route = Route(session._objects[1], {0}, until_same=True)
    mask = torch.zeros(1, 1, 20, 20)
    mask[..., 5:15, 5:15] = 1
    other = mask.clone()
    other[..., 5, 5:8] = 0  # IoU 0.97
    route.enter(0)
    assert route.underway
    for t, now, underway in (
        (5, mask, True),
        (6, mask, True),
        (7, other, True),
        (8, mask, True),
        (9, mask, True),
        (10, mask, False),
    ):
        route.compare(t, memory(mask), memory(now))
        assert route.underway == underway, t
    route.enter(0)
    route.missed = {9}
    for t in range(5, 10):  # no rest before a frame that another prompt has filled
        assert route.underway
        route.compare(t, memory(mask), memory(mask))
    assert not route.underway
    route.enter(0)
    for t in range(5, 9):  # nothing was there before
        route.compare(t, None, memory(mask))
    assert route.underway


@pytest.mark.parametrize(
    ("prompted", "expected"),
    [({4}, set()), ({0, 9}, {5, 6, 7, 8}), ({0, 10}, {6, 7, 8, 9}), ({5, 2, 3}, set())],
)
def test_halves_between_prompts(prompted, expected):
    """A frame in the middle belongs to the earlier prompt."""
    found = tellers(dict.fromkeys(prompted, 2.5))
    assert {t for t, prompt in found.items() if prompt > t} == expected
    assert found.keys() == set(range(min(prompted), max(prompted))) - prompted


def test_a_prompt_that_reaches_farther_tells_of_more_frames():
    assert tellers({0: 3.0, 8: 1.0, 10: 1.0}) == {
        **dict.fromkeys(range(1, 7), 0),
        7: 8,
        9: 8,
    }


@pytest.mark.parametrize("changes", [False, True])
def test_who_is_absent_takes_no_pixels_from_others(changes):
    """There others look as they do by themselves, elsewhere as ever."""
    model = micro_model(non_overlap_masks=True)
    both, alone = VideoSession(model, FRAMES), VideoSession(model, FRAMES)
    for session in (both, alone):
        session.add_prompts(4, 1, **CLICK)
    both.add_prompts(4, 2, **OTHER)
    usual = {r.frame_index: r.masks for r in both.propagate()}
    expected = {r.frame_index: r.masks[1] for r in alone.propagate()}
    away = {(1, True), (7, False)}
    assert any((usual[t][1] != expected[t]).any() for t, _ in away)
    if changes:
        both.add_prompts(4, 1, **CLICK)
        both.add_prompts(4, 2, **OTHER)

    def absent(frame_index, reverse):
        return {2, 9} if (frame_index, reverse) in away else ()

    seen = set()
    for result in both.propagate(absent=absent, only_changed=changes):
        t = result.frame_index
        seen.add((t, result.reverse))
        assert set(result.masks) == set(result.scores) == {1, 2}
        gone = (t, result.reverse) in away
        wanted = expected[t] if gone else usual[t][1]
        np.testing.assert_array_equal(result.masks[1], wanted)
        wanted = usual[t][2] & (not gone)
        np.testing.assert_array_equal(result.masks[2], wanted)
    assert away < seen
