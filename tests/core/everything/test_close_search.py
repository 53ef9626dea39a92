"""Everything mode of a model with close-ups, with a network that sees bright things."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from bright import Bright, iou
from micro import micro_model
from torch import nn

from sam2_core.automatic import AutomaticMaskGenerator
from sam2_core.errors import Cancelled
from sam2_core.everything.close_search import CloseSearch, _tiles
from sam2_core.nn.guide import FOREGROUND, GUIDE_CHANNELS

HW = (180, 240)
DISCS = [(40, 40, 10), (120, 50, 14), (190, 130, 20), (60, 130, 12)]  # x, y, radius


class BrightGuide(nn.Module):
    """Foreground is what is bright; every pixel votes for itself."""

    def forward(self, pixels):
        small = nn.functional.avg_pool2d(pixels.mean(1, keepdim=True), 4)
        clues = torch.zeros(1, GUIDE_CHANNELS, *small.shape[-2:])
        clues[:, FOREGROUND] = (small[:, 0] - 0.3) * 8
        return clues, torch.zeros(1, 1, 1, 1)


def disc(x, y, radius):
    rows, columns = np.mgrid[: HW[0], : HW[1]]
    return (columns - x) ** 2 + (rows - y) ** 2 <= radius**2


@pytest.fixture(scope="module")
def image():
    image = np.full((*HW, 3), 20, np.uint8)
    for place in DISCS:
        image[disc(*place)] = 200
    return image


@pytest.fixture
def model():
    model = micro_model(guided=True, closeups=True)
    model.closeup, model.guide = Bright().eval(), BrightGuide()
    return model


def search(model):
    grid = (np.mgrid[:12, :12].reshape(2, -1).T + 0.5) / 12
    return CloseSearch(model, grid, min_iou=0.5, min_stability=0.3)


def test_every_disc_is_found_once(model, image):
    (found,) = search(model).run(image, (0, 0, HW[1], HW[0]))
    assert len(found) == len(DISCS)
    for place in DISCS:
        assert max(iou(c.mask(HW), disc(*place)) for c in found) > 0.85


def test_only_the_region_is_searched(model, image):
    (found,) = search(model).run(image, (90, 0, 240, 90))
    assert len(found) == 1
    assert iou(found[0].mask(HW), disc(*DISCS[1])) > 0.85


def test_what_lies_around_the_region_is_not_found_in_it(model, image):
    """The first region is a part of the largest disc, the second most of it."""
    x, y, radius = DISCS[2]
    (found,) = search(model).run(image, (x - 8, y - 8, x + 9, y + 9))
    assert found == []
    (found,) = search(model).run(image, (x - 8, y - radius - 9, HW[1], HW[0]))
    assert found
    assert all(iou(c.mask(HW), disc(*DISCS[2])) > 0.85 for c in found)


def test_it_can_be_stopped_and_tells_how_far_it_is(model, image):
    told = []
    region = (0, 0, HW[1], HW[0])
    list(
        search(model).run(image, region, lambda done, total: told.append((done, total)))
    )
    assert told[0][0] == 0
    assert told[-1][0] == told[-1][1]
    with pytest.raises(Cancelled):
        list(search(model).run(image, region, cancel=lambda: len(told) > 0))


def test_the_generator_uses_it_unless_points_are_given(model, image):
    records = AutomaticMaskGenerator(model, points_per_side=12).generate(image)
    assert len(records) == len(DISCS)
    calls = len(model.closeup.calls)
    own = AutomaticMaskGenerator(
        model, points_per_side=None, point_grids=[np.array([[0.5, 0.5]])]
    )
    own.generate(image)
    assert len(model.closeup.calls) == calls


@pytest.mark.parametrize("size", [(300, 200), (640, 600)])
def test_small_regions_are_seen_whole(size):
    region = (5, 7, 5 + size[0], 7 + size[1])
    assert _tiles(region) == [region]


def test_tiles_cover_a_large_region_and_overlap():
    region = (10, 0, 1400, 700)
    seen = np.zeros((700, 1400), int)
    whole, *tiles = _tiles(region)
    assert whole == region
    for x0, y0, x1, y1 in tiles:
        assert x1 - x0 <= 512
        assert y1 - y0 <= 512
        seen[y0:y1, x0:x1] += 1
    assert (seen[:, 10:] >= 1).all()
    assert (seen[:, :10] == 0).all()
    assert (seen > 1).any()
