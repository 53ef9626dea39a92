"""Forward and backward in turns find what one after the other finds."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from micro import micro_model, moving_disc

from sam2_core.models import load_model
from sam2_core.stacks import sweeps
from sam2_core.video import VideoSession

LENGTH = 16
FRAMES = moving_disc(LENGTH)


def blobs():
    """(T, H, W) uint8 of two discs that drift apart over noise."""
    stack = np.random.default_rng(1).integers(0, 60, (LENGTH, 96, 128), np.uint8)
    rows, columns = np.mgrid[:96, :128]
    for t, frame in enumerate(stack):
        frame[(rows - 50) ** 2 + (columns - 40 - t) ** 2 < 80] += 140
        frame[(rows - 30 - t) ** 2 + (columns - 90) ** 2 < 120] += 120
    return stack


class Case:
    """A model, a stack, and prompts for two objects."""

    def __init__(self, name):
        if name == "closeups":
            self.model, self.frames = load_model("sam2_nano", device="cpu"), blobs()
            self.one, self.other = [[40, 50]], [[90, 30]]
        else:
            self.model = micro_model(guided=name == "guided")
            self.frames = FRAMES
            self.one, self.other = [[20, 20]], [[40, 12]]

    def session(self, **kwargs):
        """Object 1 prompted on two frames, object 2 later, on one."""
        session = VideoSession(self.model, self.frames, **kwargs)
        session.add_prompts(3, 1, point_coords=self.one)
        session.add_prompts(10, 1, point_coords=np.add(self.one, (7, 0)))
        session.add_prompts(6, 2, point_coords=np.add(self.other, (0, 6)))
        return session

    def correct(self, session):
        session.add_prompts(
            8, 1, point_coords=np.add(self.one, (5, 0)), clear_old=False
        )
        session.add_prompts(13, 2, point_coords=np.add(self.other, (0, 13)))


@pytest.fixture(scope="module", params=["memories", "closeups"])
def case(request):
    return Case(request.param)


def run(session, **kwargs):
    """Frames in order, and what was said last of each object and frame."""
    order, said = [], {}
    for result in session.propagate(**kwargs):
        order.append(result.frame_index)
        for i, mask in result.masks.items():
            said[result.frame_index, i] = mask, result.scores[i]
    return order, said


def check(got, expected):
    assert got.keys() == expected.keys()
    for key, (mask, score) in expected.items():
        np.testing.assert_array_equal(got[key][0], mask)
        assert got[key][1] == pytest.approx(score, abs=1e-6)


@pytest.mark.parametrize("around", [0, 7, 15])
def test_masks_are_those_of_one_direction_after_the_other(case, around):
    expected = run(case.session())[1]
    assert len(expected) == 2 * LENGTH
    check(run(case.session(), around=around)[1], expected)


def test_models_that_draw_the_mask_before_too():
    case = Case("guided")
    check(run(case.session(), around=7)[1], run(case.session())[1])


def test_and_so_are_corrections(case):
    plain, turns = case.session(), case.session()
    check(run(turns, around=3)[1], run(plain)[1])
    for session in (plain, turns):
        case.correct(session)
    changed = run(plain, only_changed=True)[1]
    assert changed
    check(run(turns, around=12, only_changed=True)[1], changed)
    assert run(turns, only_changed=True)[1] == {}
    for session in (plain, turns):
        session.clear_prompts(8, 1)
    check(run(turns, around=0, only_changed=True)[1], run(plain, only_changed=True)[1])
    check(run(turns, around=9)[1], run(plain)[1])


def test_changes_that_never_settle_are_the_same_too(case, monkeypatch):
    """Both directions go over all frames, and the later one has the last word."""
    monkeypatch.setattr(sweeps, "_iou", lambda one, other: 0.0)
    plain, turns = case.session(), case.session()
    for session in (plain, turns):
        run(session)
        case.correct(session)
        session.add_prompts(5, 1, point_coords=case.one)
    check(
        run(turns, around=11, only_changed=True)[1],
        run(plain, only_changed=True)[1],
    )
    # What is seen of a frame is the mask that was found last.
    for session in (plain, turns):
        session.add_prompts(7, 1, point_coords=case.other, point_labels=[0])
    check(run(turns, around=7)[1], run(plain)[1])


def test_a_run_that_is_left_and_begun_again(case):
    session = case.session()
    expected = run(session)[1]
    for _ in islice(session.propagate(around=14), 9):
        pass
    check(run(session, around=2)[1], expected)


def test_two_runs_at_once_do_not_disturb_each_other(case):
    expected = run(case.session())[1]
    session = case.session()
    found = {}
    ways = [session.propagate(direction=way) for way in ("forward", "backward")]
    while ways:
        for way in list(ways):
            result = next(way, None)
            if result is None:
                ways.remove(way)
                continue
            for i, mask in result.masks.items():
                found[result.frame_index, i, result.reverse] = mask
    for (t, i), (mask, _) in expected.items():
        both = [found.get((t, i, reverse)) for reverse in (False, True)]
        assert any(np.array_equal(mask, other) for other in both if other is not None)


def one_object(case, at):
    session = VideoSession(case.model, case.frames)
    session.add_prompts(at, 1, point_coords=case.one)
    return session


@pytest.mark.parametrize(
    ("at", "around", "order"),
    [
        (4, 4, [4, 5, 3, 6, 2, 7, 1, 8, 0, *range(9, LENGTH)]),
        (4, 6, [4, 5, 6, 7, 8, 9, 3, 10, 2, 11, 1, 12, 0, 13, 14, 15]),
        (4, 0, [3, 2, 1, 0, *range(4, LENGTH)]),
        (13, 5, [*range(12, -1, -1), *range(13, LENGTH)]),
    ],
)
def test_the_turn_is_the_nearer_frames(at, around, order):
    session = one_object(Case("memories"), at)
    assert run(session, around=around)[0] == order


def test_near_frames_come_first_whatever_else_is_prompted(case):
    order = run(case.session(), around=6)[0]
    assert {4, 5, 6, 7} <= set(order[:9])


def test_a_direction_may_end(case):
    session = case.session()
    order = []

    def ended(result):
        return result.reverse and result.frame_index <= 2

    for result in session.propagate(around=6, ended=ended):
        order.append((result.frame_index, result.reverse))
    frames = [t for t, _ in order]
    assert min(frames) == 2
    assert max(frames) == LENGTH - 1
    assert run(session, only_changed=True) == ([], {})


def test_an_object_may_end_where_others_go_on(case):
    session = case.session()
    found = {}

    def ended(result):
        return {2} if result.reverse and result.frame_index <= 3 else False

    for result in session.propagate(ended=ended):
        for object_id in result.masks:
            found.setdefault(object_id, set()).add(result.frame_index)
    others = found.keys() - {2}
    assert others
    assert all(found[i] == set(range(LENGTH)) for i in others)
    assert found[2] == set(range(3, LENGTH))


@pytest.mark.parametrize("cache_bytes", [0, None])
def test_no_frame_is_encoded_more_often(monkeypatch, cache_bytes):
    case, counts = Case("memories"), []
    encode = type(case.model).encode_image
    for around in (None, 6):
        calls = []
        monkeypatch.setattr(
            type(case.model),
            "encode_image",
            lambda self, pixels, calls=calls: calls.append(1) or encode(self, pixels),
        )
        run(case.session(cache_bytes=cache_bytes), around=around)
        counts.append(len(calls))
    assert counts[1] <= counts[0]


def test_memories_are_those_of_two_directions_at_most():
    session = one_object(Case("memories"), 12)
    known = session._objects[1]
    for _ in session.propagate(around=12):
        for bank in (known.bank, known.back):
            whole = [m for m in bank.tracked.values() if m.spatial is not None]
            assert len(whole) <= 7
    assert known.bank.outlines is known.back.outlines


def test_a_packed_mask_is_as_before_where_nothing_has_changed():
    """Drawn at another size it has an outline a little different from its logits'."""
    case = Case("closeups")
    session = VideoSession(case.model, case.frames)
    session.add_prompts(3, 1, point_coords=case.one)
    run(session)
    bank = session._objects[1].bank
    whole = [memory for memory in bank.tracked.values() if memory.logits.numel()]
    assert whole
    for memory in whole:
        assert sweeps._same(memory.outline(), memory)
        assert sweeps._same(memory, memory)
        away = sweeps.Outline.of(memory.logits.roll(1, dims=3))
        assert not sweeps._same(away, memory)
