"""How far a click spreads."""

from __future__ import annotations

import torch

from sam2_core.nn.flood import flood


def two_rooms() -> torch.Tensor:
    """Walls of height 0.9 around two rooms, a step of 0.2 in the first one."""
    # The canvas is larger than the rooms: paths are followed for half its size.
    barrier = torch.full((1, 1, 40, 40), 0.9)
    barrier[..., 1:11, 1:15] = 0
    barrier[..., 1:11, 8] = 0.9
    barrier[..., 1:11, 4] = 0.2
    return barrier


def seed(y: int, x: int) -> torch.Tensor:
    seeds = torch.zeros(1, 1, 40, 40, dtype=torch.bool)
    seeds[..., y, x] = True
    return seeds


def test_a_cell_costs_the_highest_wall_on_its_best_path():
    crossed = flood(two_rooms(), seed(5, 2))[0, 0]
    assert (crossed[1:11, 1:4] == 0).all()
    assert torch.allclose(crossed[1:11, 4:8], torch.tensor(0.2))
    assert torch.allclose(crossed[1:11, 9:15], torch.tensor(0.9))


def test_the_path_may_go_through_a_gap():
    barrier = two_rooms()
    barrier[..., 9, 8] = 0.1
    crossed = flood(barrier, seed(2, 6))[0, 0]
    assert torch.allclose(crossed[2, 12], torch.tensor(0.1))


def test_a_seed_on_a_wall_still_spreads_from_there():
    crossed = flood(two_rooms(), seed(5, 8))[0, 0]
    assert crossed[5, 8] == 0
    assert crossed[5, 10] == 0


def test_without_a_seed_nothing_spreads():
    nowhere = torch.zeros(1, 1, 40, 40, dtype=torch.bool)
    assert (flood(two_rooms(), nowhere) == 1).all()
