"""How answers at several scales are compared."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sam2_core.closeups.answers import (
    Answer,
    by_agreement,
    changed_at,
    distinct,
    most_alike,
    obedient,
    overlap,
)
from sam2_core.closeups.windows import Window

SIDE = 96


def answer(square, window, score):
    """A square (x0, y0, x1, y1) in image pixels, seen in a window (x, y, side)."""
    x, y, side = window
    at = (torch.arange(SIDE) + 0.5) * side / SIDE
    inside_x = (at + x >= square[0]) & (at + x <= square[2])
    inside_y = (at + y >= square[1]) & (at + y <= square[3])
    mask = inside_y[:, None] & inside_x[None]
    return Answer(Window(x, y, side), torch.where(mask, 5.0, -5.0), score, 1.0)


CELL, COLONY = (40, 40, 60, 60), (10, 10, 90, 90)


def test_a_mask_is_the_same_in_every_window():
    small = answer(CELL, (30, 30, 40), 0.5)
    large = answer(CELL, (0, 0, 100), 0.5)
    seen = small.seen_in(large.window, SIDE) > 0
    assert overlap(seen, large.logits > 0) > 0.9
    assert (small.over((100, 100), 50) > 0).sum() == pytest.approx(100, abs=12)


def test_two_scales_that_agree_beat_a_lone_higher_score():
    near, far = answer(CELL, (30, 30, 40), 0.6), answer(CELL, (20, 20, 60), 0.58)
    lone = answer(COLONY, (0, 0, 100), 0.75)
    ranked = by_agreement([near, far, lone])
    assert [a.score for a in ranked] == [0.6, 0.58, 0.75]
    # Without agreement the score decides.
    assert by_agreement([near, lone])[0] is lone


def test_agreement_is_judged_by_the_whole_masks():
    """In the small window both look the same; in the large one they are not."""
    part = answer(COLONY, (40, 40, 20), 0.5)
    whole = answer(COLONY, (0, 0, 100), 0.5)
    other = answer(CELL, (30, 30, 40), 0.55)
    assert by_agreement([part, whole, other])[0] is other


def test_alike_and_empty_answers_are_left_out_and_scores_fall():
    near, far = answer(CELL, (30, 30, 40), 0.6), answer(CELL, (20, 20, 60), 0.5)
    lone = answer(COLONY, (0, 0, 100), 0.75)
    empty = answer((200, 200, 210, 210), (0, 0, 100), 0.9)
    kept = distinct([empty, near, far, lone])
    assert [a.window for a in kept] == [near.window, lone.window]
    assert kept[0].score == 0.6
    assert kept[1].score < 0.6
    # Something must be left.
    assert len(distinct([empty])) == 1


def test_circularity_tells_discs_from_branches():
    rows, columns = np.mgrid[:SIDE, :SIDE]
    away = np.hypot(rows - 48, columns - 48)
    cross = (np.minimum(abs(rows - 48), abs(columns - 48)) < 3) & (away < 40)
    rod = (abs(rows - 48) < 10) & (abs(columns - 48) < 30)

    def circularity(mask):
        logits = torch.from_numpy(np.where(mask, 5.0, -5.0))
        return Answer(Window(0, 0, SIDE), logits, 0.5, 1.0).circularity

    assert circularity(away < 30) == pytest.approx(1, abs=0.1)
    # Of a rectangle a x b it is pi a b / (a + b)^2, were its outline counted exactly.
    assert circularity(rod) == pytest.approx(np.pi * 3 / 16 * (4 / np.pi) ** 2, abs=0.1)
    assert circularity(cross) < 0.3
    assert circularity(away < 0) == 0


@pytest.mark.parametrize(
    ("place", "distance"),
    [((50, 50), 0), ((70, 50), 10), ((50, 5), 35), ((90, 100), 50), ((-20, 60), 60)],
)
def test_how_far_a_place_is_from_the_mask(place, distance):
    for window in ((30, 30, 40), (0, 0, 100)):
        away = answer(CELL, window, 0.5).away(np.array(place, np.float32))
        assert away == pytest.approx(distance, abs=1)  # of a pixel of the larger one
    empty = answer((-9, -9, -5, -5), (30, 30, 40), 0.5)
    assert empty.away(np.zeros(2, np.float32)) == float("inf")


def test_a_coarse_copy_finds_its_original():
    sharp = [answer(COLONY, (0, 0, 100), 0.7), answer(CELL, (30, 30, 40), 0.6)]
    copy = answer((38, 38, 63, 63), (10, 10, 80), 0.0)
    assert most_alike(copy, sharp) is sharp[1]
    stranger = answer((0, 0, 20, 20), (0, 0, 50), 0.0)
    assert most_alike(stranger, sharp) is stranger


def test_a_click_changes_what_lies_about_it():
    """The new mask has lost a corner near the click, and grown far away from it."""
    old = answer(CELL, (30, 30, 40), 0.5)
    logits = answer(CELL, (25, 25, 50), 0.7).logits.clone()
    logits[29:40, 29:40] = -5  # about (40..45, 40..45)
    logits[70:76, 40:60] = 5  # below the cell
    new = Answer(Window(25, 25, 50), logits, 0.7, 0.9)
    both = changed_at(new, old, np.array([42.0, 42.0], np.float32))
    expected = answer(CELL, (25, 25, 50), 0.7).logits > 0
    expected[29:40, 29:40] = False
    assert overlap(both.logits > 0, expected) > 0.97
    assert not (both.logits[70:] > 0).any()
    assert (both.score, both.present, both.window) == (0.7, 0.9, new.window)
    # A click about which nothing has changed has been understood in another way.
    assert changed_at(new, old, np.array([60.0, 28.0], np.float32)) is new


def test_a_correction_does_not_move_the_whole_outline():
    """Where a dent is filled the rest of the outline may have moved by a pixel."""
    old = answer((20, 20, 70, 70), (0, 0, SIDE), 0.8)
    dent = slice(42, 48), slice(20, 24)
    old.logits[dent] = -5.0
    new = answer((19, 19, 71, 71), (0, 0, SIDE), 0.9)
    filled = changed_at(new, old, np.array([21.0, 44.0], np.float32)).logits > 0
    assert filled[dent].all()
    # Far away it is as before: the other sides, and all of the right half.
    assert torch.equal(filled[:, 60:], old.logits[:, 60:] > 0)
    # Near by, up to ten times the depth of the change, it is as in the new one.
    assert torch.equal(filled[35:54, 15:24], new.logits[35:54, 15:24] > 0)


def test_a_click_beside_the_outline_corrects_it_there():
    """The whole side may have moved, but what is missing is a pixel."""
    old = answer((20, 20, 70, 70), (0, 0, SIDE), 0.8)
    new = answer((17, 20, 70, 70), (0, 0, SIDE), 0.9)
    filled = changed_at(new, old, np.array([19.0, 45.0], np.float32)).logits > 0
    moved = (filled != (old.logits > 0)).any(1).nonzero()[:, 0]
    assert 38 <= int(moved.min()) < 42
    assert 48 < int(moved.max()) <= 52
    # A click well beyond it means as much as has changed.
    wide = answer((8, 20, 70, 70), (0, 0, SIDE), 0.9)
    filled = changed_at(wide, old, np.array([13.0, 45.0], np.float32)).logits > 0
    assert torch.equal(filled, wide.logits > 0)


@pytest.mark.parametrize("positive", [True, False])
def test_a_click_is_obeyed_whatever_the_network_says(positive):
    """What is nearly in the mask comes along, what is not stays as it was."""
    said = answer((20, 20, 60, 60), (0, 0, SIDE), 0.8)
    sign = 1 if positive else -1
    at = (64.0, 40.0) if positive else (56.0, 40.0)
    nearly = slice(39, 43), slice(int(at[0]) - 2, int(at[0]) + 2)
    said.logits[nearly] = -0.5 * sign
    changed = obedient(said, np.array(at, np.float32), positive)
    moved = (changed.logits > 0) != (said.logits > 0)
    assert moved[nearly].all()
    count = int(moved.sum())
    assert count <= 4 * 4 + 4
    # It is there where it is drawn in the image, too.
    drawn = changed.over((SIDE, SIDE), SIDE)[int(at[1]), int(at[0])]
    assert bool(drawn > 0) is positive


def test_an_obeyed_click_changes_nothing_more():
    said = answer((20, 20, 60, 60), (0, 0, SIDE), 0.8)
    assert obedient(said, np.array([40.0, 40.0], np.float32), True) is said
    assert obedient(said, np.array([80.0, 80.0], np.float32), False) is said
    # Nor does one that the window does not show.
    assert obedient(said, np.array([400.0, 40.0], np.float32), True) is said
