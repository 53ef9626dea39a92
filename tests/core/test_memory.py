"""Which memories a frame reads, against the rule written out frame by frame."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from micro import MICRO

from sam2_core.memory import Memory, MemoryBank, Outline, closest_frames


def memory(index: int) -> Memory:
    """A memory that tells which frame it is of."""
    return Memory(
        logits=torch.full((1, 1, 8, 8), float(index + 1)),
        iou=torch.ones(1),
        object_score=torch.ones(1, 1),
        pointer=torch.full((1, 4), float(index)),
        spatial=torch.full((1, 2, 3, 3), float(index)),
    )


def bank(conditioning, tracked) -> MemoryBank:
    return MemoryBank(
        {t: memory(t) for t in conditioning}, {t: memory(t) for t in tracked}
    )


def read(bank: MemoryBank, frame: int, num_frames: int = 100, config=MICRO, **kwargs):
    """(temporal code, frame) of spatial memories, (distance, frame) of pointers."""
    found = bank.recall(frame, num_frames, config, **kwargs)
    spatial = [(code, int(tensor[0, 0, 0, 0])) for code, tensor in found.spatial]
    pointers = [(distance, int(tensor[0, 0])) for distance, tensor in found.pointers]
    return sorted(spatial), sorted(pointers)


def test_the_last_six_frames_and_the_prompt_are_read():
    spatial, pointers = read(bank([0], range(1, 30)), 30)
    assert spatial == [(0, 29), (1, 28), (2, 27), (3, 26), (4, 25), (5, 24), (6, 0)]
    assert pointers == [(d, 30 - d) for d in range(1, 16)] + [(30, 0)]


def test_backward_reads_later_frames():
    spatial, pointers = read(bank([40], range(40)), 30, reverse=True)
    assert spatial == [(0, 31), (1, 32), (2, 33), (3, 34), (4, 35), (5, 36), (6, 40)]
    assert pointers == [(d, 30 + d) for d in range(1, 10)] + [(10, 40)]


def test_a_later_prompt_gives_its_memory_but_no_pointer():
    spatial, pointers = read(bank([20], []), 5)
    assert spatial == [(6, 20)]
    assert pointers == []


def test_missing_frames_are_skipped():
    spatial, pointers = read(bank([2], [3, 6]), 7)
    assert spatial == [(0, 6), (3, 3), (6, 2)]
    assert pointers == [(1, 6), (4, 3), (5, 2)]


@pytest.mark.parametrize("frame", [9, 10, 11, 12])
def test_stride_keeps_the_last_frame_and_every_other_one_before(frame):
    config = replace(MICRO, memory_temporal_stride=2)
    spatial, _ = read(bank([0], range(1, frame)), frame, config=config)
    newest = (frame - 2) - (frame - 2) % 2
    expected = [(0, frame - 1)]
    expected += [(i + 1, newest - 2 * i) for i in range(5) if newest - 2 * i > 0]
    assert spatial == [*expected, (6, 0)]


@pytest.mark.parametrize("frame", [9, 10])
def test_stride_backward(frame):
    config = replace(MICRO, memory_temporal_stride=2)
    spatial, _ = read(bank([30], range(30)), frame, config=config, reverse=True)
    oldest = frame + 2 + frame % 2
    assert spatial == [
        (0, frame + 1),
        *[(i + 1, oldest + 2 * i) for i in range(5)],
        (6, 30),
    ]


def test_a_limit_takes_the_closest_prompts_and_the_others_as_tracked():
    config = replace(MICRO, max_conditioning_frames=2)
    spatial, pointers = read(bank([0, 2, 3, 6], [1, 4]), 5, config=config)
    # 3 and 6 condition; 0 and 2 stand in for tracked frames.
    assert spatial == [(0, 4), (2, 2), (3, 1), (4, 0), (6, 3), (6, 6)]
    assert pointers == [(1, 4), (2, 3), (3, 2), (4, 1), (5, 0)]


@pytest.mark.parametrize(
    ("frame", "limit", "expected"),
    [
        (5, -1, {0, 2, 3, 6, 9}),
        (5, 5, {0, 2, 3, 6, 9}),
        (5, 2, {3, 6}),
        (5, 3, {2, 3, 6}),
        (6, 2, {3, 6}),
        (0, 2, {0, 2}),
        (20, 2, {9, 6}),
    ],
)
def test_closest_frames(frame, limit, expected):
    assert set(closest_frames(frame, [9, 0, 2, 6, 3], limit)) == expected


def test_short_stacks_divide_distances_by_their_length():
    assert bank([0], [1]).recall(2, 5, MICRO).longest_distance == 4
    assert bank([0], [1]).recall(2, 50, MICRO).longest_distance == 15
    assert bank([0], []).recall(0, 1, MICRO).longest_distance == 1


def test_corrections_read_other_prompts_only():
    spatial, pointers = read(bank([3, 8], [7]), 8, correcting=True)
    assert spatial == [(6, 3)]
    assert pointers == [(5, 3)]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_forgetting_changes_nothing_that_tracking_reads(stride, reverse):
    config = replace(MICRO, memory_temporal_stride=stride, max_conditioning_frames=2)
    frames = list(range(60))[:: -1 if reverse else 1]
    prompted = [frames[0], 25, 31]
    forgetful, complete = bank(prompted, []), bank(prompted, [])
    for frame in frames[1:]:
        if frame in prompted:
            continue
        got = read(forgetful, frame, 60, config, reverse=reverse)
        assert got == read(complete, frame, 60, config, reverse=reverse)
        forgetful.track(frame, memory(frame))
        complete.track(frame, memory(frame))
        forgetful.forget(frame, config, reverse)
    whole = [m for m in forgetful.tracked.values() if m.spatial is not None]
    assert len(whole) <= 6 * stride + 1
    assert len(forgetful.tracked) <= max(16, 6 * stride + 1)


def test_forgotten_frames_leave_an_outline():
    known = bank([0], range(1, 40))
    known.forget(39, MICRO, reverse=False)
    logits = known.logits(5, torch.device("cpu"))
    assert logits.shape == (1, 1, 8, 8)
    assert (logits == 10).all()
    assert torch.equal(known.logits(39, torch.device("cpu")), memory(39).logits)
    assert known.logits(70, torch.device("cpu")) is None


def test_restart_keeps_prompts_and_outlines_only():
    known = bank([0], [1, 2])
    known.restart()
    assert read(known, 3) == ([(6, 0)], [(3, 0)])
    assert (known.logits(2, torch.device("cpu")) == 10).all()


def test_a_prompt_takes_the_place_of_tracking():
    known = bank([0], [1, 2])
    known.condition(2, memory(2))
    assert read(known, 3)[0] == [(1, 1), (6, 0), (6, 2)]


def test_outlines_keep_every_pixel():
    logits = torch.randn(1, 1, 33, 17, generator=torch.Generator().manual_seed(3))
    outline = Outline.of(logits)
    again = outline.logits(torch.device("cpu"))
    assert torch.equal(again > 0, logits > 0)
    assert set(again.unique().tolist()) == {-10.0, 10.0}
    assert len(Outline.of(torch.ones(1, 1, 256, 256)).bits) < 200
