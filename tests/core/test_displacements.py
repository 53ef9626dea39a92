"""Objects that have moved are found where they are; others stay."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from bright import Bright, iou
from scipy import ndimage

from sam2_core.close_following import follow
from sam2_core.closeups import CloseUps
from sam2_core.displacements import displacements, moved_windows
from sam2_core.nn.closeup import IMAGE_MAPS, PROMPT_MAPS, SIDE, SeenObject
from sam2_core.windows import Window, cut

S = 48


@pytest.fixture(scope="module")
def texture():
    noise = np.random.default_rng(0).normal(size=(200, 200))
    smooth = ndimage.gaussian_filter(noise, 2)
    return torch.from_numpy(128 + 300 * smooth).float()


def disc(radius):
    rows, columns = np.mgrid[:S, :S]
    return (rows - 24) ** 2 + (columns - 24) ** 2 < radius**2


def moved_by(texture, *shifts):
    """A disc of texture, and the surroundings after the texture has moved."""
    grey = texture[100:148, 100:148]
    around = [texture[76 - y : 172 - y, 76 - x : 172 - x] for x, y in shifts]
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
    around = 0.3 * texture[80:176, 70:166] + 60
    found = displacements(texture[None, 100:148, 100:148], masks, around[None])
    assert found.tolist() == [[6, -4]]


def test_beyond_an_object_s_size_nothing_is_searched_for(texture):
    """A disc of radius 4 has the size 7."""
    masks = torch.from_numpy(disc(4))[None]
    for x, found in ((5, True), (10, False)):
        around = texture[None, 76:172, 76 - x : 172 - x]
        shift = displacements(texture[None, 100:148, 100:148], masks, around)
        assert (shift.tolist() == [[x, 0]]) is found


def test_flat_images_and_empty_masks_say_nothing():
    flat = torch.full((2, S, S), 90.0)
    around = torch.full((2, 2 * S, 2 * S), 90.0)
    around += torch.randn(around.shape, generator=torch.Generator().manual_seed(0)) / 9
    masks = torch.from_numpy(np.stack([disc(12), np.zeros((S, S), bool)]))
    assert displacements(flat, masks, around).tolist() == [[0, 0], [0, 0]]


def test_windows_move_in_pixels_of_the_image_and_stay_within(texture):
    image = texture.clamp(0, 255)[None]
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
