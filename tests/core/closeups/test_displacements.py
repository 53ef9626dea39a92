"""Objects that have moved are found where they are; others stay."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from bright import Bright, iou
from scipy import ndimage

from sam2_core.closeups.close_following import follow
from sam2_core.closeups.closeups import CloseUps
from sam2_core.closeups.displacements import displacements, moved_windows
from sam2_core.closeups.windows import Window, cut
from sam2_core.nn.closeup import IMAGE_MAPS, PROMPT_MAPS, SIDE, SeenObject

S = 48


@pytest.fixture(scope="module")
def texture():
    noise = np.random.default_rng(0).normal(size=(300, 300))
    smooth = ndimage.gaussian_filter(noise, 2)
    return torch.from_numpy(128 + 300 * smooth).float()


def disc(radius):
    rows, columns = np.mgrid[:S, :S]
    return (rows - 24) ** 2 + (columns - 24) ** 2 < radius**2


def moved_by(texture, *shifts):
    """A disc of texture, and the surroundings after the texture has moved."""
    grey = texture[126:174, 126:174]
    around = [texture[78 - y : 222 - y, 78 - x : 222 - x] for x, y in shifts]
    n = len(shifts)
    masks = torch.from_numpy(np.stack([disc(12)] * n))
    return displacements(grey.expand(n, S, S), masks, torch.stack(around)).tolist()


def test_shifts_are_found_to_the_pixel(texture):
    shifts = [(5, -3), (-14, 9), (0, 12), (3, 0)]
    assert moved_by(texture, *shifts) == [list(shift) for shift in shifts]


def test_what_stays_or_moves_hardly_at_all_has_not_moved(texture):
    assert moved_by(texture, (0, 0), (1, 1)) == [[0, 0], [0, 0]]


def test_light_and_contrast_do_not_count(texture):
    masks = torch.from_numpy(disc(12))[None]
    around = 0.3 * texture[82:226, 72:216] + 60
    found = displacements(texture[None, 126:174, 126:174], masks, around[None])
    assert found.tolist() == [[6, -4]]


def test_the_search_ends_at_twice_the_object_s_size(texture):
    """A disc of radius 4 has the size 7; about it is nothing."""
    masks = torch.from_numpy(disc(4))[None]
    cell = texture[140:160, 140:160]
    known, around = torch.full((1, S, S), 128.0), torch.full((1, 3 * S, 3 * S), 128.0)
    known[:, 14:34, 14:34] = cell
    for x, found in ((5, True), (12, True), (18, False)):
        now = around.clone()
        now[:, 62:82, 62 + x : 82 + x] = cell
        assert (displacements(known, masks, now).tolist() == [[x, 0]]) is found


def test_far_away_only_what_nothing_near_is_like_is_looked_for(texture):
    """A copy to the right is clearer, but the noisy one near is like enough."""
    noise = torch.randn((144, 144), generator=torch.Generator().manual_seed(1))
    near = texture[78:222, 76:220] + 20 * noise  # moved by 2
    near[:, 84:104] = texture[78:222, 142:162]  # moved by 20
    masks = torch.from_numpy(disc(6))[None]
    known = texture[None, 126:174, 126:174]
    assert displacements(known, masks, near[None]).tolist() == [[2, 0]]
    gone = near.clone()
    gone[:, :83] = 128 + 20 * noise[:, :83]
    assert displacements(known, masks, gone[None]).tolist() == [[20, 0]]


def test_flat_images_and_empty_masks_say_nothing():
    flat = torch.full((2, S, S), 90.0)
    around = torch.full((2, 3 * S, 3 * S), 90.0)
    around += torch.randn(around.shape, generator=torch.Generator().manual_seed(0)) / 9
    masks = torch.from_numpy(np.stack([disc(12), np.zeros((S, S), bool)]))
    assert displacements(flat, masks, around).tolist() == [[0, 0], [0, 0]]


def test_windows_move_in_pixels_of_the_image_and_stay_within(texture):
    image = texture[:200, :200].clamp(0, 255)[None]
    now = torch.roll(image, (10, -6), (1, 2))  # 10 down, 6 to the left
    windows = [Window(60.0, 70.0, 48.0), Window(-0.5, 70.0, 48.0)]
    grey = cut(image, windows, SIDE)[:, 0]
    rows, columns = np.mgrid[:SIDE, :SIDE]
    mask = (rows - 48) ** 2 + (columns - 48) ** 2 < 24**2
    masks = torch.from_numpy(np.where(mask, 1.0, -1.0)).expand(2, SIDE, SIDE)
    first, second = moved_windows(now, (200, 200), grey, masks, windows)
    assert (first.x, first.y, first.side) == (54.0, 80.0, 48.0)
    assert (second.x, second.y) == (-0.5, 80.0)
    still = moved_windows(image, (200, 200), grey, masks, windows)
    assert still == [None, None]


class Loyal(Bright):
    """Sees what is bright in the mask of the frame before, and trusts it if full."""

    def forward(self, maps):
        bright = super().forward(maps).logits > 0
        former = maps[:, IMAGE_MAPS + PROMPT_MAPS + 1] > 0
        seen = bright & former
        full = seen.flatten(1).sum(1) / former.flatten(1).sum(1).clamp(min=1)
        logits = torch.where(seen, 4.0, -4.0)
        return SeenObject(logits, 8 * full - 4, torch.full_like(full, 3.0))


def test_a_cell_that_moves_is_looked_for_where_it_went():
    """Two cells walk the same way; where one was is half of the other one now."""
    rows, columns = np.mgrid[:100, :180]
    answers, frames = [], []
    for x in (60, 70):
        cells = [(columns - x - d) ** 2 + (rows - 50) ** 2 <= 81 for d in (0, 22)]
        frame = np.full((100, 180, 3), 20, np.uint8)
        frame[cells[0]], frame[cells[1]] = 180, 200
        frames.append(CloseUps(Loyal().eval(), frame))
        answers.append(frames[-1].from_logits(np.where(cells[0], 9.0, -9.0)[None]))
    found = follow(frames[0], frames[1], answers[:1], [None])[0]
    drawn = (frames[1].draw(found) > 0).numpy()
    cell = (columns - 70) ** 2 + (rows - 50) ** 2 <= 81
    assert iou(drawn, cell) > 0.85
