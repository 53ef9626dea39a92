"""Stacks followed by close-ups, with the network that knows only bright things."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from bright import Bright, iou
from micro import micro_model

from sam2_core.closeups.answers import Answer
from sam2_core.closeups.closeups import CloseUps
from sam2_core.closeups.windows import Window
from sam2_core.nn.closeup import IMAGE_MAPS, PROMPT_MAPS
from sam2_core.stacks.close_tracker import PATIENCE, CloseMemory
from sam2_core.video import VideoSession

HW = (100, 140)
FRAME_BEFORE = IMAGE_MAPS + PROMPT_MAPS + 1  # its mask, in the network's input
RADIUS = 12
LENGTH = 14


def disc(t):
    rows, columns = np.mgrid[: HW[0], : HW[1]]
    return (columns - 30 - 5 * t) ** 2 + (rows - 50) ** 2 <= RADIUS**2


def stack(gone=()):
    """(T, H, W, 3) uint8 of a disc that walks 5 pixels a frame."""
    frames = np.full((LENGTH, *HW, 3), 20, np.uint8)
    frames[:, -1, -1] = 19  # something is to be seen without it, too
    for t in range(LENGTH):
        if t not in gone:
            frames[t][disc(t)] = 200
    return frames


@pytest.fixture
def model():
    model = micro_model(guided=True, closeups=True)
    model.closeup = Bright().eval()
    return model


def prompted(model, frames, at=0):
    session = VideoSession(model, frames)
    session.add_prompts(at, 1, point_coords=[[30 + 5 * at, 50]], point_labels=[1])
    return session


def test_a_moving_object_is_found_on_every_frame(model):
    session = prompted(model, stack(), at=6)
    results = {r.frame_index: r for r in session.propagate()}
    assert sorted(results) == list(range(LENGTH))
    for t, result in results.items():
        assert iou(result.masks[1], disc(t)) > 0.85
        assert result.object_scores[1] > 0.9


class Leaning(Bright):
    """Carries a mask on by a pixel of its window too far to the right, each time."""

    def forward(self, maps):
        seen = super().forward(maps)
        known = maps[:, FRAME_BEFORE]
        if known.any():
            seen.logits = 4 * known.roll(1, -1)
        return seen


def test_leanings_to_one_side_do_not_add_up(model):
    model.closeup = Leaning().eval()
    frames = np.tile(stack()[:1], (40, 1, 1, 1))
    results = list(prompted(model, frames).propagate(direction="forward"))
    for result in results[1:]:
        assert iou(result.masks[1], disc(0)) > 0.8


def test_the_whole_frame_is_never_encoded(model, monkeypatch):
    monkeypatch.setattr(type(model), "encode_image", None)
    session = prompted(model, stack())
    assert len(list(session.propagate())) == LENGTH


def test_a_hidden_object_is_found_again(model):
    session = prompted(model, stack(gone=(4, 5)))
    results = list(session.propagate(direction="forward"))
    for t in (4, 5):
        assert not results[t].masks[1].any()
        assert results[t].object_scores[1] < 0.5
        assert results[t].scores[1] == 0
    assert iou(results[6].masks[1], disc(6)) > 0.85


def test_an_object_lost_for_long_is_given_up(model):
    gone = tuple(range(2, 2 + PATIENCE + 1))
    session = prompted(model, stack(gone))
    results = list(session.propagate(direction="forward"))
    assert not any(result.masks[1].any() for result in results[2:])
    calls = len(model.closeup.calls)
    list(session.propagate(direction="forward"))
    # A frame with it, looked at in two places because it moves, then as many as
    # patience lasts; nothing after that.
    assert len(model.closeup.calls) - calls == 2 + PATIENCE


def test_a_frame_that_shows_nothing_tells_nothing(model):
    """Dropped frames, more of them in a row than an object that is hidden is given."""
    frames, blanks = stack(), range(3, 3 + PATIENCE + 2)
    frames[blanks.start : blanks.stop] = 0
    frames[blanks.stop :] = frames[blanks.start - 1]
    results = list(prompted(model, frames).propagate(direction="forward"))
    for t in blanks:
        assert not results[t].masks[1].any()
        assert results[t].object_scores[1] < 0.5
        assert results[t].scores[1] == 0
    shown = [t for t in range(LENGTH) if t not in blanks]
    for t in shown:
        assert iou(results[t].masks[1], disc(min(t, blanks.start - 1))) > 0.85
    whole = np.delete(frames, blanks, axis=0)
    expected = list(prompted(model, whole).propagate(direction="forward"))
    for t, result in zip(shown, expected, strict=True):
        assert results[t].object_scores[1] == pytest.approx(result.object_scores[1])


class Stubborn(Bright):
    """Sees the object where it was, whatever there is."""

    def forward(self, maps):
        seen = super().forward(maps)
        known = maps[:, FRAME_BEFORE]
        if known.any():
            seen.logits, seen.present = 4 * known, torch.full_like(seen.present, 9.0)
        return seen


def test_an_object_is_not_invented_on_a_frame_that_shows_nothing(model):
    model.closeup = Stubborn().eval()
    frames = stack()
    frames[3] = 7
    results = list(prompted(model, frames).propagate(direction="forward"))
    assert [bool(r.masks[1].any()) for r in results[1:6]] == [1, 1, 0, 1, 1]


def test_doubts_add_up_along_the_way(model):
    """Each frame alone is likelier than not; many in a row are another object."""
    model.closeup.present = math.log(0.7 / 0.3)
    session = prompted(model, stack())
    results = list(session.propagate(direction="forward"))
    scores = [result.object_scores[1] for result in results[1:]]
    seen = [bool(result.masks[1].any()) for result in results[1:]]
    assert scores[0] > 0.9
    assert all(b < a for a, b in pairwise(scores[:3]))
    assert seen == [score > 0.5 for score in scores]
    assert seen[0]
    assert not seen[-1]


def test_small_doubts_never_end_an_object(model):
    """Four frames in a hundred are wrong, and yet it is followed for ever."""
    model.closeup.present = math.log(0.96 / 0.04)
    frames = np.tile(stack()[:1], (80, 1, 1, 1))
    results = list(prompted(model, frames).propagate(direction="forward"))
    assert all(result.masks[1].any() for result in results)
    assert 0.8 < results[-1].object_scores[1] < results[1].object_scores[1]


def test_a_mask_starts_an_object(model):
    session = VideoSession(model, stack())
    session.add_prompts(3, 7, mask=disc(3))
    results = {r.frame_index: r for r in session.propagate()}
    assert iou(results[3].masks[7], disc(3)) > 0.9
    assert iou(results[9].masks[7], disc(9)) > 0.85


def test_objects_are_followed_together_as_alone(model):
    frames = stack()
    frames[:, 80:90, 100:110] = 200  # a square that stays
    one, other = prompted(model, frames), VideoSession(model, frames)
    other.add_prompts(0, 2, box=[100, 80, 109, 89])
    both = prompted(model, frames)
    both.add_prompts(0, 2, box=[100, 80, 109, 89])
    alone = [list(s.propagate()) for s in (one, other)]
    for t, result in enumerate(both.propagate()):
        np.testing.assert_array_equal(result.masks[1], alone[0][t].masks[1])
        np.testing.assert_array_equal(result.masks[2], alone[1][t].masks[2])


def test_a_correction_on_a_visited_frame_holds(model):
    session = prompted(model, stack(gone=(5, 6)))
    list(session.propagate())
    fixed = session.add_prompts(8, 1, point_coords=[[70, 50]], point_labels=[1])
    assert iou(fixed.masks[1], disc(8)) > 0.85
    results = {r.frame_index: r for r in session.propagate()}
    assert iou(results[8].masks[1], disc(8)) > 0.85
    assert iou(results[12].masks[1], disc(12)) > 0.85


OTHER = (slice(20, 35), slice(110, 130))  # a second bright thing, rows and columns


def followed_past_another(model):
    frames = stack()
    frames[:, OTHER[0], OTHER[1]] = 200
    session = prompted(model, frames)
    list(session.propagate())
    return session


def test_a_box_elsewhere_is_not_about_the_followed_mask(model):
    session = followed_past_another(model)
    other = np.zeros(HW, bool)
    other[OTHER] = True
    found = session.add_prompts(8, 1, box=[110, 20, 129, 34]).masks[1]
    assert iou(found, other) > 0.85
    # A click after it is about what the box has found.
    again = session.add_prompts(
        8, 1, point_coords=[[120, 27]], point_labels=[1], clear_old=False
    )
    assert iou(again.masks[1], other) > 0.85
    results = {r.frame_index: r.masks[1] for r in session.propagate()}
    assert iou(results[8], other) > 0.85
    assert iou(results[9], other) > 0.85


@pytest.fixture
def handed(monkeypatch):
    """The earlier masks that prompts are answered with."""
    masks = []
    answers = CloseUps.answers
    monkeypatch.setattr(
        CloseUps,
        "answers",
        lambda self, xy, labels, earlier=None: (
            masks.append(earlier) or answers(self, xy, labels, earlier)
        ),
    )
    return masks


@pytest.mark.parametrize("shift", [0, 3, 6])
def test_a_box_about_the_followed_mask_corrects_it(model, handed, shift):
    session = followed_past_another(model)
    handed.clear()
    low, high = 70 - RADIUS + shift, 70 + RADIUS + shift
    session.add_prompts(8, 1, box=[low, 50 - RADIUS, high, 50 + RADIUS])
    width = 2 * RADIUS + 1
    fits = (width - shift) / (width + shift) >= 0.75
    assert fits == (shift < 6)
    assert (handed[0] is not None) == fits


@pytest.mark.parametrize("widths", [0, 1, 5, 7])
def test_a_click_far_away_is_on_what_was_lost(model, handed, widths):
    frames = np.full((4, 60, 400, 3), 20, np.uint8)
    rows, columns = np.mgrid[:60, :400]
    width = np.pi**0.5 * 10  # of a disc of that radius, as a square of its area
    place = 30 + 10 + round(widths * width)
    frames[:, (rows - 30) ** 2 + (columns - 30) ** 2 <= 100] = 200
    there = (rows - 30) ** 2 + (columns - place - 8) ** 2 <= 64
    frames[3, there] = 200
    session = VideoSession(model, frames)
    session.add_prompts(0, 1, point_coords=[[30, 30]], point_labels=[1])
    list(session.propagate())
    handed.clear()
    click = {"point_coords": [[place + 8, 30]], "point_labels": [1]}
    found = session.add_prompts(3, 1, **click).masks[1]
    assert (handed[0] is None) == (widths > 6)
    if widths > 6:
        assert iou(found, there) > 0.85


def test_what_is_shown_is_corrected(model):
    """As a session does that has found it, and no other mask comes back."""
    session = prompted(model, stack())
    masks = {r.frame_index: r.masks[1] for r in session.propagate()}
    away = {"point_coords": [[70 + RADIUS - 2, 50]], "point_labels": [0]}
    found = session.add_prompts(8, 1, **away).masks[1]
    fresh = VideoSession(model, stack())
    again = fresh.add_prompts(8, 1, **away, shown=masks[8]).masks[1]
    assert iou(again, found) > 0.9
    assert not fresh.add_prompts(9, 1, **away, shown=np.zeros(HW, bool)).masks[1].any()
    session.add_prompts(9, 1, **away)
    nothing = np.zeros(HW, bool)
    assert not session.add_prompts(9, 1, **away, shown=nothing).masks[1].any()


def test_a_negative_click_alone_finds_nothing(model):
    session = VideoSession(model, stack())
    found = session.add_prompts(0, 1, point_coords=[[100, 20]], point_labels=[0])
    assert not found.masks[1].any()


BOTH_ENDS = tuple(range(3, 10))  # longer than anyone waits


def two_prompts(model):
    session = prompted(model, stack(gone=BOTH_ENDS))
    session.add_prompts(13, 1, point_coords=[[95, 50]], point_labels=[1])
    return session


def masks_of(results):
    return {r.frame_index: r.masks[1] for r in results}


def test_frames_between_prompts_are_found_from_the_nearer_one(model):
    order = []
    found = {}
    for result in two_prompts(model).propagate():
        order.append(result.frame_index)
        found[result.frame_index] = result.masks[1]
    # Each frame once: half of the way forward, the other half back.
    assert order == [*range(7), 13, *range(12, 6, -1)]
    for t, mask in found.items():
        if t in BOTH_ENDS:
            assert not mask.any()
        else:
            assert iou(mask, disc(t)) > 0.85


def test_forward_then_backward_is_the_same_as_both(model):
    session = two_prompts(model)
    apart = masks_of(session.propagate(direction="forward"))
    assert sorted(apart) == list(range(LENGTH))
    assert not apart[11].any()  # given up on the way
    apart |= masks_of(session.propagate(direction="backward"))
    for t, mask in masks_of(two_prompts(model).propagate()).items():
        np.testing.assert_array_equal(mask, apart[t])


def test_backward_alone_leaves_no_hole_between_prompts(model):
    """Nobody else finds what is nearer to the earlier one."""
    session = prompted(model, stack(), at=2)
    session.add_prompts(8, 1, point_coords=[[70, 50]], point_labels=[1])
    for _ in range(2):  # what it has found itself it finds again
        found = masks_of(session.propagate(direction="backward"))
        assert sorted(found) == list(range(9))
        for t, mask in found.items():
            assert iou(mask, disc(t)) > 0.85


def test_a_new_prompt_changes_its_surroundings_only(model):
    session = prompted(model, stack(gone=BOTH_ENDS))
    list(session.propagate())
    session.add_prompts(13, 1, point_coords=[[95, 50]], point_labels=[1])
    changed = masks_of(session.propagate(only_changed=True))
    assert sorted(changed) == list(range(7, 14))
    assert iou(changed[11], disc(11)) > 0.85


def test_without_its_prompt_a_frame_is_found_from_the_others(model):
    session = two_prompts(model)
    list(session.propagate())
    session.clear_prompts(13, 1)
    changed = masks_of(session.propagate(only_changed=True))
    assert sorted(changed) == list(range(LENGTH))
    alone = masks_of(prompted(model, stack(gone=BOTH_ENDS)).propagate())
    for t, mask in changed.items():
        np.testing.assert_array_equal(mask, alone[t])


def test_a_small_object_in_a_large_frame_is_remembered_sharply():
    """The whole frame at low resolution has cells of 30 pixels."""
    mask = torch.rand(96, 96) > 0.5
    answer = Answer(Window(700.0, 300.0, 24.0), mask.float() * 8 - 4, 0.9, 1.0)
    memory = CloseMemory(
        logits=answer.over((1000, 2000), 64)[None, None],
        iou=torch.ones(1),
        object_score=torch.ones(1, 1),
        pointer=torch.zeros(1, 0),
        answer=answer,
        frame_hw=(1000, 2000),
    )
    outline = memory.outline()
    kept = outline.answer(torch.device("cpu"))
    assert kept.window == answer.window
    assert torch.equal(kept.logits > 0, mask)
    assert outline.logits(torch.device("cpu")).shape == (1, 1, 64, 64)
    assert len(outline.bits) < 2000


def test_an_object_that_was_clicked_away_is_away_on_that_frame_only(model):
    """An empty frame at the end says nothing of those before it."""
    session = prompted(model, stack())
    before = masks_of(session.propagate())
    session.add_prompts(13, 1, mask=np.zeros(HW, bool))
    after = masks_of(session.propagate())
    assert not after[13].any()
    for t in range(13):
        np.testing.assert_array_equal(after[t], before[t])
