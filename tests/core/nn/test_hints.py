"""What the guide found is compared with what the user pointed at."""

from __future__ import annotations

import pytest
import torch

from sam2_core.config import NANO
from sam2_core.nn.guide import (
    CENTRE_UNIT,
    GUIDE_CHANNELS,
    OFFSET,
    OUTLINE,
    TRAIT,
    Guide,
)
from sam2_core.nn.hints import MAPS, DrawnHints, PromptHints, first_guess, hint_maps
from sam2_core.nn.prompt_encoder import DRAWN_LOGIT, DRAWN_STRIDE, draw_prompts
from sam2_core.nn.sam2 import Sam2

SIDE = 24
LEFT = (slice(6, 18), slice(2, 10))
RIGHT = (slice(6, 18), slice(12, 20))
NEAR, SPREAD, VOTE, LIKENESS, OTHER = 5, 1, 2, 4, 7
INSIDE, ELLIPSE, BOX_VOTE = 10, 11, 12


@pytest.fixture
def guide() -> torch.Tensor:
    """Two cells that vote for their centres, with unlike traits and clear outlines."""
    clues = torch.zeros(1, GUIDE_CHANNELS, SIDE, SIDE)
    clues[:, OUTLINE] = -9.0
    y, x = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    for trait, (rows, columns) in enumerate((LEFT, RIGHT)):
        centre = (
            (rows.start + rows.stop - 1) / 2,
            (columns.start + columns.stop - 1) / 2,
        )
        scale = DRAWN_STRIDE / CENTRE_UNIT
        votes = torch.stack(((centre[0] - y) * scale, (centre[1] - x) * scale))
        clues[0, OFFSET, rows, columns] = votes[:, rows, columns]
        clues[0, TRAIT.start + trait, rows, columns] = 3.0
        clues[0, OUTLINE, rows, columns.start - 1] = 9.0
        clues[0, OUTLINE, rows, columns.stop] = 9.0
        for row in (rows.start - 1, rows.stop):
            clues[0, OUTLINE, row, columns.start - 1 : columns.stop + 1] = 9.0
    return clues


def pixel(cell_x: float, cell_y: float) -> list[float]:
    return [(cell + 0.5) * DRAWN_STRIDE - 0.5 for cell in (cell_x, cell_y)]


def maps_of(guide: torch.Tensor, points: list[list[float]], labels: list[int]):
    xy, flags = torch.tensor([points]), torch.tensor([labels])
    spread = first_guess(xy, flags, guide)
    drawn = draw_prompts(xy, flags, spread)
    return hint_maps(guide, xy, flags, drawn, spread)[0]


def test_a_click_finds_the_cell_that_it_is_in(guide):
    maps = maps_of(guide, [pixel(4, 8)], [1])
    inside = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    inside[LEFT] = True
    # The walls themselves and the rest of the image lie beyond the outline.
    assert torch.equal(maps[SPREAD] > 0, inside)
    assert (maps[VOTE][LEFT] > 0.95).all()
    assert (maps[VOTE][RIGHT] < 0.01).all()
    assert (maps[LIKENESS][LEFT] > 0.95).all()
    assert (maps[LIKENESS][RIGHT].abs() < 0.05).all()
    assert maps[NEAR].argmax() == 8 * SIDE + 4
    assert not maps[[OTHER, INSIDE, ELLIPSE, BOX_VOTE]].any()


def test_a_negative_click_marks_the_other_cell(guide):
    maps = maps_of(guide, [pixel(4, 8), pixel(15, 8)], [1, 0])
    assert (maps[OTHER][RIGHT] > 0.95).all()
    assert (maps[OTHER][LEFT] < 0.05).all()
    assert (maps[SPREAD][RIGHT] < 0).all()


def test_a_box_marks_its_inside_its_ellipse_and_votes_for_its_centre(guide):
    maps = maps_of(guide, [pixel(2, 6), pixel(9, 17)], [2, 3])
    inside = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    inside[LEFT] = True
    assert torch.equal(maps[INSIDE] > 0, inside)
    assert (maps[INSIDE][~inside] == -1).all()
    assert maps[ELLIPSE][11, 5] > 0.9
    assert maps[ELLIPSE][6, 2] < 0
    assert (maps[BOX_VOTE][LEFT] > 0.95).all()
    assert (maps[BOX_VOTE][RIGHT] < 0.01).all()


def test_on_a_followed_frame_the_last_mask_takes_the_place_of_a_click(guide):
    last = torch.full((1, 1, SIDE, SIDE), -DRAWN_LOGIT)
    last[0, 0, 8:14, 4:8] = DRAWN_LOGIT
    xy, padding = torch.zeros(1, 1, 2), torch.tensor([[-1]])
    spread = first_guess(xy, padding, guide)
    maps = hint_maps(guide, xy, padding, last, spread)[0]
    assert not spread.any()
    assert (maps[VOTE][LEFT] > 0.95).all()
    assert (maps[LIKENESS][LEFT] > 0.95).all()
    assert (maps[VOTE][RIGHT] < 0.01).all()


def test_prompts_of_a_batch_do_not_mix(guide):
    xy = torch.tensor([[pixel(4, 8)], [pixel(15, 8)]])
    labels = torch.tensor([[1], [1]])
    spread = first_guess(xy, labels, guide)
    both = hint_maps(guide, xy, labels, spread, spread)
    for row, cell in enumerate((LEFT, RIGHT)):
        alone = hint_maps(
            guide, xy[row : row + 1], labels[:1], *[spread[row : row + 1]] * 2
        )
        torch.testing.assert_close(both[row : row + 1], alone)
        assert (both[row, VOTE][cell] > 0.95).all()


def test_frames_without_prompts_take_a_shorter_way_to_the_same_maps(guide):
    mask = torch.full((1, 1, SIDE, SIDE), -8.0)
    mask[..., LEFT[0], LEFT[1]] = 8
    masks = torch.cat((mask, torch.full_like(mask, -8.0), mask))
    points = torch.zeros(3, 1, 2)
    nothing = torch.full((3, 1), -1)
    blank = torch.zeros_like(masks)
    short = hint_maps(guide, points, nothing, masks, blank)
    # A click for the last one sends all of them the long way.
    clicked = torch.tensor([[-1], [-1], [1]])
    long = hint_maps(guide, points, clicked, masks, blank)
    torch.testing.assert_close(short[:2], long[:2], rtol=0, atol=1e-6)
    assert (short[2] != long[2]).any()


def test_fresh_hints_change_nothing():
    hints = PromptHints(64)
    canvas = torch.randn(2, 8, SIDE, SIDE)
    maps = torch.randn(2, MAPS, SIDE, SIDE)
    clues = torch.randn(1, GUIDE_CHANNELS, SIDE, SIDE)
    refined, features = DrawnHints(hints, maps, clues).refine(canvas)
    torch.testing.assert_close(refined, canvas)
    assert not hints.dense(maps).any()
    assert not hints.score(features, torch.randn(2, 4, SIDE, SIDE)).any()


def test_guide_gives_stride_4_clues_and_a_stride_16_addition():
    clues, addition = Guide(128)(torch.randn(2, 3, 64, 96))
    assert clues.shape == (2, GUIDE_CHANNELS, 16, 24)
    assert addition.shape == (2, 128, 4, 6)


def test_only_guided_models_have_a_guide():
    assert Sam2(NANO).guide is not None
    keys = Sam2(NANO).state_dict()
    assert any(key.startswith("guide.") for key in keys)
