"""Every way SAM 2 tells a token where it is."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import cast

import torch
from torch import Tensor, nn


def sine_grid(
    channels: int, height: int, width: int, device: torch.device | None = None
) -> Tensor:
    """Sine position map of a feature grid.

    Parameters
    ----------
    channels : int
        Channels of the map; the first half codes y, the second x.
    height, width : int
        Grid size in tokens.
    device : torch.device, optional
        Where the map is wanted.

    Returns
    -------
    Tensor
        (1, channels, height, width) float32.
    """
    return _sine_grid(channels, height, width, str(device or "cpu"))


# Made outside inference mode: a table first asked for while predicting must still
# serve a training step later in the same process.
@lru_cache(maxsize=32)
@torch.inference_mode(mode=False)
def _sine_grid(channels: int, height: int, width: int, device: str) -> Tensor:
    half = channels // 2
    y = torch.arange(1, height + 1, dtype=torch.float32) / (height + 1e-6)
    x = torch.arange(1, width + 1, dtype=torch.float32) / (width + 1e-6)
    exponent = 2 * torch.div(torch.arange(half), 2, rounding_mode="floor") / half
    wavelength = 10000**exponent

    def code(position: Tensor) -> Tensor:
        angle = (position * 2 * math.pi)[:, None] / wavelength
        return torch.stack((angle[:, 0::2].sin(), angle[:, 1::2].cos()), 2).flatten(1)

    code_y = code(y)[:, None, :].expand(height, width, half)
    code_x = code(x)[None, :, :].expand(height, width, half)
    grid = torch.cat((code_y, code_x), dim=2).permute(2, 0, 1)
    return grid[None].contiguous().to(device)


def at_cells(code: Tensor, cells: Tensor) -> Tensor:
    """Part of a position code.

    Parameters
    ----------
    code : Tensor
        (1, C, g, g) of a whole grid.
    cells : Tensor
        (N, h, w) cells of the grid, counted row by row.

    Returns
    -------
    Tensor
        (N, C, h, w).
    """
    return code[0].flatten(1)[:, cells].transpose(0, 1)


def sine_scalar(position: Tensor, channels: int) -> Tensor:
    """Sine code of scalar positions: (N,) -> (N, channels), sines then cosines."""
    half = channels // 2
    index = torch.arange(half, dtype=torch.float32, device=position.device)
    wavelength = 10000 ** (2 * torch.div(index, 2, rounding_mode="floor") / half)
    angle = position[:, None] / wavelength
    return torch.cat((angle.sin(), angle.cos()), dim=1)


class RandomFourierPositions(nn.Module):
    """Fourier code of points with a fixed random matrix; prompts and image share it."""

    positional_encoding_gaussian_matrix: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        matrix = torch.randn(2, channels // 2)
        self.register_buffer("positional_encoding_gaussian_matrix", matrix)

    def forward(self, point_xy: Tensor) -> Tensor:
        """Code points given in [0, 1]: (..., 2) xy -> (..., channels)."""
        matrix = self.positional_encoding_gaussian_matrix
        angle = 2 * math.pi * ((2 * point_xy - 1).to(matrix.dtype) @ matrix)
        return torch.cat((angle.sin(), angle.cos()), dim=-1)

    def grid(self, height: int, width: int) -> Tensor:
        """Code of all token centres, (1, channels, height, width)."""
        matrix = self.positional_encoding_gaussian_matrix
        y = (torch.arange(height, device=matrix.device) + 0.5) / height
        x = (torch.arange(width, device=matrix.device) + 0.5) / width
        xy = torch.stack(
            (x[None, :].expand(height, width), y[:, None].expand(height, width)), -1
        )
        return cast("Tensor", self(xy)).permute(2, 0, 1)[None]


def rotary_tables(
    channels: int, height: int, width: int, device: torch.device | None = None
) -> tuple[Tensor, Tensor]:
    """Cosine and sine of the axial rotary angles of a grid, row-major.

    The first half of the channel pairs turns with x, the second with y, in whole
    token steps, whatever the grid size.

    Returns
    -------
    tuple of Tensor
        Each (height * width, channels // 2) float32.
    """
    return _rotary_tables(channels, height, width, str(device or "cpu"))


@lru_cache(maxsize=32)
@torch.inference_mode(mode=False)
def _rotary_tables(
    channels: int, height: int, width: int, device: str
) -> tuple[Tensor, Tensor]:
    pairs_per_axis = channels // 4
    step = torch.arange(0, channels, 4)[:pairs_per_axis].float() / channels
    frequency = 1.0 / (10000.0**step)
    index = torch.arange(height * width, dtype=torch.float32)
    x = index % width
    y = torch.div(index, width, rounding_mode="floor")
    angle = torch.cat((torch.outer(x, frequency), torch.outer(y, frequency)), dim=1)
    return angle.cos().to(device), angle.sin().to(device)


@lru_cache(maxsize=32)
@torch.inference_mode(mode=False)
def pair_tables(
    channels: int, height: int, width: int, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """What channels, and their partners in the pairs, are multiplied with to turn them.

    Returns
    -------
    tuple of Tensor
        Each (height * width, channels).
    """
    cos, sin = rotary_tables(channels, height, width, device)
    signed = torch.stack((-sin, sin), dim=-1).flatten(1)
    return cos.repeat_interleave(2, dim=1).to(dtype), signed.to(dtype)


def rotate(
    x: Tensor, tables: tuple[Tensor, Tensor], cells: Tensor | None = None
) -> Tensor:
    """Turn adjacent channel pairs of (B, heads, n * L, C) by tables of L positions.

    A sequence n times as long as the tables is n grids one after the other; otherwise
    ``cells`` (B, sequence) says which position each of its tokens has.
    """
    cos, sin = tables
    shape = x.shape
    length, grids = cos.shape[0], shape[-2] // cos.shape[0]
    if cells is not None:
        cos, sin = (table[cells][:, None, None] for table in tables)
        length, grids = shape[-2], 1
    pairs = x.float().reshape(*shape[:-2], grids, length, -1, 2)
    a, b = pairs.unbind(-1)
    turned = torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-1)
    return turned.reshape(shape).to(x.dtype)
