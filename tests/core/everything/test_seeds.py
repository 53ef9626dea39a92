from __future__ import annotations

import numpy as np
import torch

from sam2_core.everything.seeds import MOST, seeds
from sam2_core.nn.guide import CENTRE_UNIT, FOREGROUND, GUIDE_CHANNELS, OFFSET

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
