"""Geometric and intensity augmentation of crops and clips."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from scipy import ndimage

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Warp:
    """Where each pixel of a square output comes from.

    Attributes
    ----------
    centre_yx : (float, float)
        Source position of the middle of the output; pixel ``i`` covers ``[i, i + 1)``.
    matrix : (2, 2) float
        Source step (y, x) in pixels for one output step (y, x).
    size : int
        Side of the output in pixels.
    bend_yx : (2, size, size) float32, optional
        Elastic displacement in source pixels.
    """

    centre_yx: tuple[float, float]
    matrix: npt.NDArray[np.float64]
    size: int
    bend_yx: FloatArray | None = None

    def place(self, yx: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Where a source position lies in the output, bend aside: (2,) yx of pixels."""
        steps = np.linalg.solve(self.matrix, yx - self.centre_yx)
        return np.asarray(steps + self.size / 2 - 0.5)

    def source_yx(self, height: int, width: int) -> FloatArray:
        """Source positions of all output pixels, clipped to the source.

        Returns
        -------
        (2, size, size) float32
        """
        steps = np.arange(self.size, dtype=np.float32) + 0.5 - self.size / 2
        matrix = self.matrix.astype(np.float32)
        rows, columns = steps[:, None], steps[None, :]
        source = np.empty((2, self.size, self.size), np.float32)
        for axis, limit in enumerate((height, width)):
            offset = matrix[axis, 0] * rows + np.float32(self.centre_yx[axis])
            np.add(offset, matrix[axis, 1] * columns, out=source[axis])
            if self.bend_yx is not None:
                source[axis] += self.bend_yx[axis]
            np.clip(source[axis], 0.5, limit - 0.5, out=source[axis])
        return source

    @property
    def step(self) -> float:
        """Smallest source step of one output pixel along either output axis."""
        return float(np.linalg.norm(self.matrix, axis=0).min())


def orthogonal_matrix(turns: int, transpose: bool) -> npt.NDArray[np.float64]:
    """Rotation by quarter turns, after an optional exchange of y and x."""
    quarter = np.array([[0.0, 1.0], [-1.0, 0.0]])
    matrix = np.linalg.matrix_power(quarter, turns)
    return matrix @ np.array([[0.0, 1.0], [1.0, 0.0]]) if transpose else matrix


def rotation_matrix(angle: float) -> npt.NDArray[np.float64]:
    """Rotation of (y, x) by an angle in radians."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, s], [-s, c]])


def random_bend(rng: np.random.Generator, size: int, strength: float) -> FloatArray:
    """Smooth random displacement field, zero at the border.

    Parameters
    ----------
    rng : numpy.random.Generator
    size : int
    strength : float
        Standard deviation of the knots, in the unit wanted.

    Returns
    -------
    (2, size, size) float32
    """
    knots = np.zeros((2, 10, 10), np.float32)
    knots[:, 3:-3, 3:-3] = rng.normal(0, 1.6 * strength, (2, 4, 4))
    return smooth_field(knots, (size, size))


def smooth_field(knots: FloatArray, shape_hw: tuple[int, int]) -> FloatArray:
    """Spread a few knots over an image by cubic B-splines.

    Parameters
    ----------
    knots : (..., h, w) float32
        At least 4 along each axis; the outer ones lie outside the image.
    shape_hw : (H, W)

    Returns
    -------
    (..., H, W) float32
    """
    rows = _spline_basis(shape_hw[0], knots.shape[-2])
    columns = _spline_basis(shape_hw[1], knots.shape[-1])
    return np.asarray(rows @ knots @ columns.T, np.float32)


@lru_cache(maxsize=64)
def _spline_basis(size: int, knots: int) -> FloatArray:
    place = (np.arange(size) + 0.5) / size * (knots - 3) + 1
    distance = np.abs(place[:, None] - np.arange(knots))
    inner = 2 / 3 - distance**2 + distance**3 / 2
    outer = np.clip(2 - distance, 0, None) ** 3 / 6
    return np.asarray(np.where(distance < 1, inner, outer), np.float32)


def warp_images(images: npt.NDArray[np.uint8], warp: Warp) -> torch.Tensor:
    """Resample frames bilinearly, averaging first where they are reduced.

    Parameters
    ----------
    images : (T, H, W) or (T, H, W, 3) uint8
    warp : Warp

    Returns
    -------
    (T, C, size, size) float32 tensor
        0 to 1; C is 1 or 3.
    """
    height, width = images.shape[1:3]
    source = warp.source_yx(height, width)
    y0, x0 = (max(int(source[axis].min()) - 4, 0) for axis in (0, 1))
    y1, x1 = (int(source[axis].max()) + 5 for axis in (0, 1))
    region = torch.from_numpy(np.ascontiguousarray(images[:, y0:y1, x0:x1]))
    region = region.permute(0, 3, 1, 2) if images.ndim == 4 else region[:, None]
    region = region.float() / 255
    factor = max(int(warp.step + 0.25), 1)
    if factor > 1:
        region = F.avg_pool2d(region, factor, ceil_mode=True)
    rows, columns = region.shape[-2:]
    grid = np.empty((1, warp.size, warp.size, 2), np.float32)
    grid[0, ..., 0] = (source[1] - x0) * (2 / (factor * columns)) - 1
    grid[0, ..., 1] = (source[0] - y0) * (2 / (factor * rows)) - 1
    sampled = F.grid_sample(
        region.flatten(0, 1)[None],
        torch.from_numpy(grid),
        padding_mode="border",
        align_corners=False,
    )
    return sampled.view(*region.shape[:2], warp.size, warp.size)


def warp_labels(labels: npt.NDArray[Any], warp: Warp) -> npt.NDArray[np.int32]:
    """Resample label frames by the nearest pixel.

    Parameters
    ----------
    labels : (T, H, W) int
    warp : Warp

    Returns
    -------
    (T, size, size) int32
    """
    height, width = labels.shape[1:]
    rows, columns = warp.source_yx(height, width).astype(np.int32)
    flat = labels.reshape(len(labels), -1)
    index = (rows * width + columns).ravel()
    shape = (len(labels), warp.size, warp.size)
    return np.asarray(np.take(flat, index, axis=1).reshape(shape), np.int32)


def augment_intensity(
    frames: torch.Tensor, rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Change contrast, colour, light and noise as another microscope would.

    One set of parameters serves all frames; noise and a slight flicker are new in each.

    Parameters
    ----------
    frames : (T, C, H, W) float32 tensor
        0 to 1; C is 1 or 3. May be overwritten.
    rng : numpy.random.Generator

    Returns
    -------
    (T, H, W, 3) uint8
    """
    values = frames.numpy()
    if values.shape[1] == 3:
        values = _recolour(values, rng)
    if rng.random() < 0.3:
        values = _light(values, rng)
    if rng.random() < 0.5:
        np.clip(values, 0, 1, out=values)
        # Sometimes far: arms of a cell may be ten times dimmer than its body.
        spread = 0.35 if rng.random() < 0.75 else 0.8
        values = _gamma(values, float(np.exp(rng.normal(0, spread))))
    if rng.random() < 0.6:
        gain, offset = np.exp(rng.normal(0, 0.25)), rng.normal(0, 0.08)
        values = (values - np.float32(0.5)) * np.float32(gain)
        values += np.float32(0.5 + offset)
    if rng.random() < 0.12:
        values = 1 - values
    if len(values) > 1 and rng.random() < 0.3:
        values = values * rng.normal(1, 0.05, (len(values), 1, 1, 1)).astype("f4")
    if rng.random() < 0.2:
        sigma = rng.uniform(0.3, 1.4)
        values = ndimage.gaussian_filter(values, (0, 0, sigma, sigma), truncate=2.5)
    if rng.random() < 0.4:
        values = _noise(values, rng)
    if rng.random() < 0.05:
        levels = np.float32(2 ** rng.uniform(3, 5))
        values = np.round(values * levels) / levels
    if values.shape[1] == 1 and rng.random() < 0.08:
        values = _tint(np.clip(values, 0, 1), rng)
    values = values * np.float32(255)
    values += np.float32(0.5)
    scaled = np.clip(values, 0, 255, out=values).astype(np.uint8)
    result = np.empty((len(scaled), *scaled.shape[2:], 3), np.uint8)
    for channel in range(3):
        result[..., channel] = scaled[:, channel % scaled.shape[1]]
    return result


def _gamma(values: FloatArray, gamma: float) -> FloatArray:
    table = np.linspace(0, 1, 1025, dtype=np.float32) ** np.float32(gamma)
    place = (values * np.float32(1024)).astype(np.int32)
    return np.take(table, place)


def _recolour(values: FloatArray, rng: np.random.Generator) -> FloatArray:
    choice = rng.random()
    if choice < 0.3:
        return np.asarray(values.mean(1, keepdims=True), np.float32)
    if choice < 0.45:
        return values[:, rng.permutation(3)]
    if choice < 0.75:
        mix = np.eye(3) + rng.normal(0, 0.12, (3, 3))
        mixed = np.einsum("dc,tchw->tdhw", mix.astype("f4"), values)
        return np.asarray(mixed, np.float32)
    return values


def _tint(values: FloatArray, rng: np.random.Generator) -> FloatArray:
    colour = rng.uniform(0, 1, 3)
    colour /= colour.max()
    return np.asarray(values * colour[None, :, None, None], np.float32)


def _light(values: FloatArray, rng: np.random.Generator) -> FloatArray:
    size = (values.shape[-2], values.shape[-1])
    field = smooth_field(rng.normal(0, 0.45, (5, 5)).astype("f4"), size)
    if rng.random() < 0.5:
        return values * np.clip(1 + field, 0.2, 2)
    return values + field * np.float32(0.5)


def _noise(values: FloatArray, rng: np.random.Generator) -> FloatArray:
    sigma = np.float32(np.exp(rng.uniform(np.log(0.01), np.log(0.12))))
    noise = rng.standard_normal(values.shape, np.float32) * sigma
    if rng.random() < 0.4:
        noise *= np.sqrt(np.clip(values, 0, 1)) * np.float32(1.5)
    if rng.random() < 0.3:
        width = rng.uniform(0.4, 0.9)
        noise = ndimage.gaussian_filter(noise, (0, 0, width, width), truncate=2) * 1.8
    return values + noise
