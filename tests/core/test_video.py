"""The session's public behaviour, on a network that takes milliseconds."""

from __future__ import annotations

import time

import dask.array as da
import numpy as np
import pytest
from micro import micro_model, moving_disc

from sam2_core.compat import SAM2VideoPredictor
from sam2_core.errors import PromptError
from sam2_core.stacks import tracking
from sam2_core.video import VideoSession

HW = (40, 56)
FRAMES = moving_disc(8)
CLICK = {"point_coords": [[20, 20]], "point_labels": [1]}
OTHER = {"point_coords": [[45, 8]], "point_labels": [1]}


class Source:
    """Counts what is read."""

    def __init__(self, frames):
        self.frames = frames
        self.read = []

    def __len__(self):
        return len(self.frames)

    @property
    def shape(self):
        return self.frames[0].shape[:2]

    def frame(self, index):
        self.read.append(index)
        return self.frames[index]


@pytest.fixture(scope="module")
def model():
    return micro_model()


@pytest.fixture
def session(model):
    return VideoSession(model, FRAMES)


def run(session, *args, **kwargs):
    """Masks by frame and object, and the order of frames."""
    order, masks = [], {}
    for result in session.propagate(*args, **kwargs):
        order.append(result.frame_index)
        masks[result.frame_index] = result.masks
    return order, masks


def same(one, other):
    assert one.keys() == other.keys()
    for frame in one:
        assert one[frame].keys() == other[frame].keys()
        for object_id in one[frame]:
            np.testing.assert_array_equal(
                one[frame][object_id], other[frame][object_id]
            )


def test_a_prompt_is_answered_at_once(session):
    result = session.add_prompts(2, 7, **CLICK)
    assert result.frame_index == 2
    assert result.masks[7].shape == HW
    assert result.masks[7].dtype == bool
    assert 0 <= result.scores[7] <= 1
    assert 0 <= result.object_scores[7] <= 1
    assert session.object_ids == [7]
    assert session.prompted_frames == {7: [2]}
    assert (session.num_frames, session.shape) == (8, HW)


@pytest.mark.parametrize(
    ("arguments", "order"),
    [
        ({}, [3, 4, 5, 6, 7, 2, 1, 0]),
        ({"direction": "forward"}, [3, 4, 5, 6, 7]),
        ({"direction": "backward"}, [3, 2, 1, 0]),
        ({"start": 2, "stop": 5}, [3, 4, 5, 2]),
        ({"start": 5, "stop": 6}, [5, 6]),
        ({"start": 0, "stop": 1}, [1, 0]),
        ({"start": 0, "stop": 1, "direction": "forward"}, []),
        ({"start": 3, "stop": 3}, [3]),
    ],
)
def test_which_frames_come_and_when(session, arguments, order):
    session.add_prompts(3, 1, **CLICK)
    assert run(session, **arguments)[0] == order


def test_frames_on_the_way_may_be_counted(session):
    session.add_prompts(3, 1, **CLICK)
    order, masks = run(session, start=5, stop=6, passed=True)
    assert order == [3, 4, 5, 6]
    assert [list(masks[t]) for t in order] == [[], [], [1], [1]]
    session.add_prompts(3, 1, **OTHER)
    order, masks = run(session, start=0, stop=1, only_changed=True, passed=True)
    assert order == [3, 2, 1, 0]
    assert [list(masks[t]) for t in order] == [[], [], [1], [1]]


def test_a_range_has_the_masks_of_the_whole(session):
    session.add_prompts(3, 1, **CLICK)
    _, whole = run(session)
    _, part = run(session, start=1, stop=6)
    same(part, {t: whole[t] for t in range(1, 7)})


def test_both_is_forward_and_backward(session):
    session.add_prompts(3, 1, **CLICK)
    _, both = run(session)
    _, forward = run(session, direction="forward")
    _, backward = run(session, direction="backward")
    same(both, {**forward, **backward})


def test_objects_do_not_disturb_each_other(model, session):
    session.add_prompts(1, 1, **CLICK)
    session.add_prompts(5, 2, **OTHER)
    order, together = run(session)
    assert order == [1, 2, 3, 4, 5, 6, 7, 4, 3, 2, 1, 0]
    for object_id, frame, prompt in ((1, 1, CLICK), (2, 5, OTHER)):
        alone = VideoSession(model, FRAMES)
        alone.add_prompts(frame, object_id, **prompt)
        _, masks = run(alone)
        assert masks.keys() == together.keys()
        for t in masks:
            np.testing.assert_array_equal(masks[t][object_id], together[t][object_id])


def test_a_second_result_of_a_frame_holds_all_objects(session):
    session.add_prompts(1, 1, **CLICK)
    session.add_prompts(4, 2, **OTHER)
    results = list(session.propagate())
    first = {r.frame_index: r for r in reversed(results)}
    last = {r.frame_index: r for r in results}
    assert list(first[2].masks) == [1]
    assert list(last[2].masks) == [1, 2]
    np.testing.assert_array_equal(first[2].masks[1], last[2].masks[1])
    assert first[2].scores[1] == last[2].scores[1]
    assert set(last[2].object_scores) == {1, 2}
    assert all(set(result.masks) == {1, 2} for result in last.values())


def test_propagating_again_changes_nothing(session):
    session.add_prompts(3, 1, **CLICK)
    session.add_prompts(6, 1, **OTHER)
    _, once = run(session)
    _, twice = run(session)
    same(once, twice)


def test_the_order_of_prompts_does_not_matter(model):
    masks = []
    for order in ((1, 5), (5, 1)):
        session = VideoSession(model, FRAMES)
        for frame in order:
            session.add_prompts(frame, 1, **(CLICK if frame == 1 else OTHER))
        masks.append(run(session)[1])
    same(*masks)


def test_replaced_prompts_leave_no_trace(model, session):
    session.add_prompts(3, 1, **OTHER)
    session.add_prompts(3, 1, **CLICK)
    fresh = VideoSession(model, FRAMES)
    fresh.add_prompts(3, 1, **CLICK)
    same(run(session)[1], run(fresh)[1])


def test_replaced_prompts_leave_no_trace_after_propagation(model, session):
    session.add_prompts(3, 1, **CLICK)
    run(session)
    corrected = session.add_prompts(5, 1, **CLICK)
    run(session)
    session.add_prompts(5, 1, **OTHER)
    again = session.add_prompts(5, 1, **CLICK)
    np.testing.assert_array_equal(corrected.masks[1], again.masks[1])


def test_points_can_be_added_one_by_one(session):
    session.add_prompts(3, 1, **CLICK)
    session.add_prompts(3, 1, **OTHER, clear_old=False)
    prompt = session._objects[1].prompts[3]
    np.testing.assert_array_equal(prompt.point_xy, [[[20, 20], [45, 8]]])
    with pytest.raises(PromptError, match="box"):
        session.add_prompts(3, 1, box=[1, 1, 9, 9], clear_old=False)


def test_a_correction_stays(session):
    session.add_prompts(1, 1, **CLICK)
    _, before = run(session)
    corrected = session.add_prompts(5, 1, box=[2, 2, 30, 30])
    assert (corrected.masks[1] != before[5][1]).any()
    _, after = run(session)
    np.testing.assert_array_equal(after[5][1], corrected.masks[1])
    np.testing.assert_array_equal(after[1][1], before[1][1])
    assert any((after[t][1] != before[t][1]).any() for t in (6, 7))


def test_a_correction_starts_from_the_mask_found(model, session, monkeypatch):
    session.add_prompts(1, 1, **CLICK)
    run(session)
    seen = []
    segment = tracking.segment
    monkeypatch.setattr(
        tracking, "segment", lambda *args: seen.append(args[5]) or segment(*args)
    )
    session.add_prompts(7, 1, **OTHER)
    assert seen[0] is not None
    # A frame that was prompted from the beginning is seen afresh.
    session.add_prompts(1, 1, **OTHER)
    assert seen[1] is None


def test_what_is_shown_is_corrected(model, session, monkeypatch):
    """Whatever propagation found: nothing, another mask, or the same one."""
    session.add_prompts(1, 1, **CLICK)
    _, masks = run(session)
    other = np.zeros(HW, bool)
    other[8:24, 10:40] = True
    seen = []
    segment = tracking.segment
    monkeypatch.setattr(
        tracking, "segment", lambda *args: seen.append(args[5]) or segment(*args)
    )
    alone = VideoSession(model, FRAMES).add_prompts(7, 1, **OTHER)
    shown = session.add_prompts(7, 1, **OTHER, shown=np.zeros(HW, bool))
    np.testing.assert_array_equal(shown.masks[1], alone.masks[1])
    assert seen == [None, None]
    session.add_prompts(6, 1, **OTHER, shown=other)
    given = VideoSession(model, FRAMES)
    given.add_prompts(6, 1, mask=other)
    given.add_prompts(6, 1, **OTHER, clear_old=False)
    assert ((seen[2] > 0) == (seen[3] > 0)).all()
    session.add_prompts(5, 1, **OTHER, shown=masks[5][1])
    assert len(seen[4].unique()) > 2  # not only its pixels
    # A frame that nobody has visited is corrected as well.
    fresh = VideoSession(model, FRAMES)
    fresh.add_prompts(6, 1, **OTHER, shown=other)
    assert ((seen[5] > 0) == (seen[3] > 0)).all()


def test_a_mask_prompt_comes_back_as_it_is(session):
    mask = np.zeros(HW, bool)
    mask[8:24, 10:40] = True
    result = session.add_prompts(0, 1, mask=mask)
    wrong = (result.masks[1] != mask).mean()
    assert wrong < 0.02
    assert result.scores[1] == 1
    assert result.object_scores[1] > 0.99
    _, masks = run(session)
    np.testing.assert_array_equal(masks[0][1], result.masks[1])


def test_an_empty_mask_says_the_object_is_absent(session):
    result = session.add_prompts(0, 1, mask=np.zeros(HW, bool))
    assert not result.masks[1].any()
    assert result.object_scores[1] < 0.01


def test_absent_objects_have_empty_masks():
    model = micro_model()
    model.sam_mask_decoder.pred_obj_score_head.layers[2].bias -= 20
    session = VideoSession(model, FRAMES)
    result = session.add_prompts(0, 1, **CLICK)
    assert not result.masks[1].any()
    assert result.object_scores[1] < 0.01
    assert not any(masks[1].any() for masks in run(session)[1].values())


def test_masks_do_not_overlap_when_asked():
    session = VideoSession(micro_model(non_overlap_masks=True), FRAMES)
    plain = VideoSession(micro_model(), FRAMES)
    for known in (session, plain):
        known.add_prompts(0, 1, **CLICK)
        known.add_prompts(0, 2, box=[10, 10, 30, 30])
    overlaps = [
        sum((m[1] & m[2]).sum() for m in run(known)[1].values())
        for known in (session, plain)
    ]
    assert overlaps[0] == 0
    assert overlaps[1] > 0


def test_clearing_prompts(model, session):
    session.add_prompts(1, 1, **CLICK)
    session.add_prompts(5, 1, **OTHER)
    run(session)
    session.clear_prompts(5, 1)
    assert session.prompted_frames == {1: [1]}
    fresh = VideoSession(model, FRAMES)
    fresh.add_prompts(1, 1, **CLICK)
    same(run(session)[1], run(fresh)[1])
    session.clear_prompts(1, 1)
    assert session.object_ids == []
    session.clear_prompts(1, 1)


def test_removing_and_reset(session):
    session.add_prompts(1, 1, **CLICK)
    session.add_prompts(1, 2, **OTHER)
    session.remove_object(1)
    session.remove_object(1)
    assert session.object_ids == [2]
    assert all(list(masks) == [2] for masks in run(session)[1].values())
    session.reset()
    assert session.object_ids == []
    session.add_prompts(0, 5, **CLICK)
    assert set(run(session)[1]) == set(range(8))


def test_objects_change_between_two_frames(session):
    session.add_prompts(0, 1, **CLICK)
    session.add_prompts(0, 2, **OTHER)
    found = []
    for result in session.propagate():
        found.append(list(result.masks))
        if result.frame_index == 2:
            session.remove_object(1)
            session.add_prompts(4, 3, **CLICK)
    assert found == [[1, 2]] * 3 + [[2]] * 5
    assert session.object_ids == [2, 3]
    assert list(run(session)[1][4]) == [2, 3]


def test_all_objects_may_go_between_two_frames(session):
    session.add_prompts(0, 1, **CLICK)
    results = session.propagate()
    next(results)
    session.reset()
    assert list(results) == []


def test_a_stopped_propagation_can_be_corrected_and_run_again(session):
    session.add_prompts(0, 1, **CLICK)
    for result in session.propagate():
        if result.frame_index == 4:
            break
    corrected = session.add_prompts(3, 1, box=[2, 2, 30, 30])
    _, masks = run(session)
    np.testing.assert_array_equal(masks[3][1], corrected.masks[1])
    assert set(masks) == set(range(8))


def test_frames_are_read_one_at_a_time(model):
    source = Source(FRAMES)
    session = VideoSession(model, source)
    assert source.read == []
    session.add_prompts(3, 1, **CLICK)
    session.add_prompts(3, 2, **OTHER)
    assert source.read == [3]
    results = session.propagate(direction="forward")
    next(results)
    assert source.read == [3]
    next(results)
    assert source.read == [3, 4]
    list(results)
    assert source.read == [3, 4, 5, 6, 7]


def test_memory_does_not_grow_with_the_stack(model):
    def kept(num_frames: int) -> int:
        session = VideoSession(model, moving_disc(num_frames, (20, 24)))
        session.add_prompts(0, 1, point_coords=[[8, 8]])
        for _ in session.propagate():
            pass
        bank = session._objects[1].bank
        memories = [*bank.conditioning.values(), *bank.tracked.values()]
        tensors = [t for m in memories for t in (m.logits, m.spatial) if t is not None]
        return sum(tensor.numel() for tensor in tensors)

    assert kept(60) == kept(30)


def test_tracking_equals_the_original_way(model):
    """One object, prompted once: the session and the adapter must agree."""
    session = VideoSession(model, FRAMES)
    clicked = session.add_prompts(2, 1, **CLICK)
    _, ours = run(session, direction="forward")
    predictor = SAM2VideoPredictor(model)
    state = predictor.init_state(Source(FRAMES))
    _, _, logits = predictor.add_new_points_or_box(state, 2, 1, [[20, 20]], [1])
    np.testing.assert_array_equal(clicked.masks[1], logits[0, 0] > 0)
    for frame, _, logits in predictor.propagate_in_video(state):
        np.testing.assert_array_equal(ours[frame][1], logits[0, 0] > 0)


def test_grey_stacks_and_value_ranges(model):
    stack = (FRAMES[..., 0].astype(np.uint16) * 16)[:3]
    session = VideoSession(model, stack, value_range=(0, 4080))
    np.testing.assert_array_equal(session.frames.frame(0)[..., 1], FRAMES[0, ..., 0])
    session.add_prompts(0, 1, **CLICK)
    assert run(session)[0] == [0, 1, 2]


def test_a_single_frame_is_a_stack_too(model):
    session = VideoSession(model, FRAMES[:1])
    session.add_prompts(0, 1, **CLICK)
    assert run(session)[0] == [0]
    result = session.add_prompts(0, 1, **OTHER)
    assert np.isfinite(result.scores[1])


def test_nothing_is_read_of_long_stacks_before_it_is_needed(model, monkeypatch):
    """10,000 frames: ready at once; the first mask takes one pass of the encoder."""
    read = []

    def block(block_info=None):
        t = block_info[None]["chunk-location"][0]
        read.append(t)
        return np.full((1, 24, 24), t % 200, np.uint8)

    frames = da.map_blocks(block, chunks=((1,) * 10_000, (24,), (24,)), dtype=np.uint8)
    encoded = []
    encode = model.encode_image
    monkeypatch.setattr(
        model, "encode_image", lambda pixels: encoded.append(1) or encode(pixels)
    )
    began = time.perf_counter()
    session = VideoSession(model, frames)
    assert time.perf_counter() - began < 1
    assert read == []
    session.add_prompts(7000, 1, point_coords=[[8, 8]])
    assert encoded == [1]
    assert set(read) <= {7000, *np.linspace(0, 9999, 16).round().astype(int)}


def test_results_take_little_memory(model):
    session = VideoSession(model, moving_disc(2, (300, 400)))
    for object_id in range(1, 9):
        session.add_prompts(0, object_id, **CLICK)
    for result in session.propagate():
        full = sum(mask.nbytes for mask in result.masks.values())
        assert full == 8 * 300 * 400
        assert result.masks.nbytes <= full / 8
