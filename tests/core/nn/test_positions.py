"""Position codes against their formulas."""

from __future__ import annotations

import math

import pytest
import torch

from sam2_core.nn.positions import (
    RandomFourierPositions,
    rotary_tables,
    rotate,
    sine_grid,
    sine_scalar,
)


def test_sine_grid_codes_y_then_x_with_sines_and_cosines_in_turn():
    channels, height, width = 16, 5, 7
    grid = sine_grid(channels, height, width)
    assert grid.shape == (1, channels, height, width)
    row, column = 3, 2
    for half, place in ((0, (row + 1) / height), (1, (column + 1) / width)):
        for i in range(8):
            angle = 2 * math.pi * place / 10000 ** (2 * (i // 2) / 8)
            wanted = math.sin(angle) if i % 2 == 0 else math.cos(angle)
            got = grid[0, half * 8 + i, row, column].item()
            assert got == pytest.approx(wanted, abs=1e-4)


def test_sine_scalar_has_all_sines_before_all_cosines():
    code = sine_scalar(torch.tensor([0.0, 0.4]), 8)
    assert torch.equal(code[0], torch.tensor([0.0] * 4 + [1.0] * 4))
    angles = [0.4, 0.4, 0.4 / 100, 0.4 / 100]
    wanted = [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
    torch.testing.assert_close(code[1], torch.tensor(wanted))


def test_rotation_keeps_lengths_and_depends_on_the_difference_only():
    height, width, channels = 4, 6, 16
    tables = rotary_tables(channels, height, width)
    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, channels, generator=generator)
    tokens = height * width
    turned_q = rotate(q.expand(1, tokens, channels), tables)[0]
    turned_k = rotate(k.expand(1, tokens, channels), tables)[0]
    torch.testing.assert_close(turned_q.norm(dim=1), q.norm().expand(tokens))
    scores = (turned_q @ turned_k.T).reshape(height, width, height, width)
    torch.testing.assert_close(scores[1, 2, 0, 0], scores[3, 5, 2, 3])
    assert not torch.isclose(scores[1, 2, 0, 0], scores[0, 0, 1, 2])


def test_the_first_half_of_the_channels_turns_with_x():
    cos, sin = rotary_tables(16, 4, 6)
    assert cos.shape == (24, 8)
    x_angle = torch.atan2(sin, cos).reshape(4, 6, 8)
    assert torch.equal(x_angle[0, :, :4], x_angle[2, :, :4])
    assert torch.equal(x_angle[:, 0, 4:], x_angle[:, 3, 4:])
    torch.testing.assert_close(x_angle[0, 2, 0], torch.tensor(2.0))
    torch.testing.assert_close(x_angle[3, 0, 5], torch.tensor(3.0 / 10000**0.25))


def test_several_grids_in_a_row_turn_alike():
    tables = rotary_tables(8, 2, 3)
    x = torch.randn(1, 1, 6, 8, generator=torch.Generator().manual_seed(1))
    twice = rotate(torch.cat((x, x), dim=2), tables)
    assert torch.equal(twice[:, :, :6], rotate(x, tables))
    assert torch.equal(twice[:, :, 6:], rotate(x, tables))


def test_the_grid_holds_the_codes_of_pixel_centres():
    positions = RandomFourierPositions(12)
    grid = positions.grid(4, 6)
    assert grid.shape == (1, 12, 4, 6)
    centre = torch.tensor([(2 + 0.5) / 6, (1 + 0.5) / 4])
    torch.testing.assert_close(grid[0, :, 1, 2], positions(centre))
    matrix = positions.positional_encoding_gaussian_matrix
    angle = 2 * math.pi * (2 * centre - 1) @ matrix
    torch.testing.assert_close(positions(centre), torch.cat((angle.sin(), angle.cos())))
