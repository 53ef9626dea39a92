from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from micro import MICRO, micro_model, moving_disc

from sam2_core import AutomaticMaskGenerator
from sam2_core.automatic import suggested_crop_layers
from sam2_core.nn.guide import CENTRE_UNIT, FOREGROUND, GUIDE_CHANNELS, OFFSET
from sam2_core.seeds import MOST, seeds

SIDE = 32  # cells, of 4 input pixels


def guide_of(discs: list[tuple[int, int, int]]) -> torch.Tensor:
    """A guide that sees discs (row, column, radius in cells) and their centres."""
    guide = torch.zeros(1, GUIDE_CHANNELS, SIDE, SIDE)
    guide[:, FOREGROUND] = -5
    rows, columns = torch.meshgrid(
        torch.arange(SIDE), torch.arange(SIDE), indexing="ij"
    )
    for row, column, radius in discs:
        inside = (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
        guide[0, FOREGROUND][inside] = 5
        offset = torch.stack((row - rows, column - columns))[:, inside]
        guide[0, OFFSET][:, inside] = offset * 4 / CENTRE_UNIT
    return guide


def test_one_seed_for_each_object_the_largest_first() -> None:
    discs = [(6, 8, 2), (20, 22, 5), (9, 12, 1)]
    found = seeds(guide_of(discs))
    wanted = [((c + 0.5) / SIDE, (r + 0.5) / SIDE) for r, c, _ in discs]
    assert found.shape == (3, 2)
    np.testing.assert_allclose(found[0], wanted[1], atol=0.5 / SIDE)
    np.testing.assert_allclose(found[1], wanted[0], atol=0.5 / SIDE)
    np.testing.assert_allclose(found[2], wanted[2], atol=0.5 / SIDE)


def test_background_and_votes_for_outside_give_none() -> None:
    assert seeds(guide_of([])).shape == (0, 2)
    guide = guide_of([(16, 16, 3)])
    guide[0, OFFSET] = 100
    assert seeds(guide).shape == (0, 2)


def test_there_is_a_limit() -> None:
    every = [(r, c, 0) for r in range(0, SIDE, 1) for c in range(SIDE)]
    guide = guide_of(every)
    assert len(seeds(guide)) <= MOST


@pytest.fixture
def asked(monkeypatch) -> list[np.ndarray]:
    """The points, in pixels, of every question."""
    calls: list[np.ndarray] = []
    seen = iter([np.array([[0.5, 0.25]]), *[np.array([[0.1, 0.2], [0.3, 0.4]])] * 4])
    monkeypatch.setattr("sam2_core.grid_search.seeds", lambda guide: next(seen))
    whole = AutomaticMaskGenerator._search

    def search(self, *limits):
        found = whole(self, *limits)
        decode = type(found)._decode

        def spy(points_of, features, points, hw):
            calls.append(points)
            return decode(points_of, features, points, hw)

        monkeypatch.setattr(type(found), "_decode", spy)
        return found

    monkeypatch.setattr(AutomaticMaskGenerator, "_search", search)
    return calls


def search_with(guided: bool, **options) -> list[tuple[int, int]]:
    reports: list[tuple[int, int]] = []
    generator = AutomaticMaskGenerator(micro_model(guided=guided), **options)
    generator.generate(
        moving_disc(1)[0], progress=lambda done, total: reports.append((done, total))
    )
    return reports


def test_the_guide_adds_points_and_replaces_the_grid_in_crops(asked) -> None:
    reports = search_with(True, points_per_side=2, crop_n_layers=1)
    assert [len(points) for points in asked] == [5, 2, 2, 2, 2]
    np.testing.assert_allclose(asked[0][-1], (28, 10))  # of 56 x 40 pixels
    assert reports[0] == (0, 4)
    assert reports[-1] == (13, 13)


@pytest.mark.parametrize(
    ("guided", "options", "counts"),
    [
        (False, {"points_per_side": 2}, [4]),
        (True, {"points_per_side": 2, "seeded": False}, [4]),
        (True, {"points_per_side": None, "point_grids": [[[0.5, 0.5]]]}, [1]),
    ],
)
def test_who_wants_no_seeds(asked, guided, options, counts) -> None:
    search_with(guided, **options)
    assert [len(points) for points in asked] == counts


@pytest.mark.parametrize(
    ("guided", "hw", "layers"),
    [
        (True, (160, 160), 0),
        (True, (100, 161), 1),
        (False, (1000, 1000), 0),
    ],
)
def test_crops_are_suggested_where_the_guide_makes_them_cheap(
    guided, hw, layers
) -> None:
    assert suggested_crop_layers(replace(MICRO, guided=guided), hw) == layers
