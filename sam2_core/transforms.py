"""The only place that scales pixels or coordinates between images and the network.

The network sees squares of side ``size``; the aspect ratio is not kept, exactly as in
the original. Single images and frames of a stack take different roads there, again as
in the original: images a float resize, frames Pillow's resize in uint8.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def normalise(pixels: Tensor) -> Tensor:
    """Colours in [0, 1], (B, 3, H, W), to the scale the network was trained on."""
    mean = pixels.new_tensor(MEAN)[:, None, None]
    std = pixels.new_tensor(STD)[:, None, None]
    return (pixels - mean) / std


def image_to_input(image: NDArray[Any], size: int, device: torch.device) -> Tensor:
    """A single image as network input, resized in float with antialiasing.

    Parameters
    ----------
    image : ndarray
        (H, W, 3), uint8, or float in [0, 1].
    size : int
        Side of the network input.
    device : torch.device
        Where the resize runs and the result lives.

    Returns
    -------
    Tensor
        (1, 3, size, size) float32, normalised.
    """
    # A copy, since torch wants writable memory with positive strides.
    pixels = torch.from_numpy(np.array(image, order="C")).to(device)
    pixels = pixels.permute(2, 0, 1)[None]
    pixels = pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels.float()
    return normalise(_resize(pixels, (size, size), antialias=True))


def frame_to_input(frame: NDArray[np.uint8], size: int, device: torch.device) -> Tensor:
    """A frame of a stack as network input, resized as by Pillow (bicubic, uint8).

    Parameters
    ----------
    frame : ndarray
        (H, W, 3) uint8.
    size : int
        Side of the network input.
    device : torch.device
        Where the result lives.

    Returns
    -------
    Tensor
        (1, 3, size, size) float32, normalised.
    """
    if device.type == "cuda":
        # There Pillow would take longer than the network's encoder.
        pixels = bicubic(torch.from_numpy(np.array(frame, order="C")).to(device), size)
    else:
        picture = Image.fromarray(np.ascontiguousarray(frame))
        resized = np.array(picture.resize((size, size), Image.Resampling.BICUBIC))
        pixels = torch.from_numpy(resized).to(device)
    return normalise(pixels.permute(2, 0, 1)[None].float() / 255)


def bicubic(pixels: Tensor, size: int) -> Tensor:
    """Pillow's bicubic resize as matrix products, for devices that are fast at them.

    Parameters
    ----------
    pixels : Tensor
        (H, W, C) uint8.
    size : int
        Side of the result.

    Returns
    -------
    Tensor
        (size, size, C) float32 of whole numbers, 0 to 255, as Pillow has them when it
        shortens or lengthens rows first (since version 13 it may begin with columns,
        whichever is less work), but for single ones that lie between two numbers.
    """
    height, width, _ = pixels.shape
    down = _bicubic_weights(height, size, pixels.device)
    across = _bicubic_weights(width, size, pixels.device)
    # Pillow rounds after each of its two passes.
    rows = torch.einsum("xw,hwc->hxc", across, pixels.float())
    rows = (rows + 0.5).floor_().clamp_(0, 255)
    drawn = torch.einsum("yh,hxc->yxc", down, rows)
    return (drawn + 0.5).floor_().clamp_(0, 255)


def points_to_input(
    point_xy: ArrayLike, image_hw: tuple[int, int], size: int
) -> NDArray[np.float32]:
    """Points in image pixels, (..., 2) xy, in pixels of the network input."""
    height, width = image_hw
    xy = np.asarray(point_xy, dtype=np.float32)
    extent = np.array([width, height], dtype=np.float32)
    return np.asarray(xy / extent * np.float32(size), dtype=np.float32)


def points_to_image(
    point_xy: NDArray[np.float32], extent_hw: tuple[int, int], image_hw: tuple[int, int]
) -> NDArray[np.float32]:
    """Points (..., 2) xy within some height and width, in pixels of the image."""
    if extent_hw == image_hw:
        return point_xy
    scale = np.array(image_hw[::-1]) / np.array(extent_hw[::-1])
    return np.asarray(point_xy * scale, np.float32)


def logits_to_image(logits: Tensor, image_hw: tuple[int, int]) -> Tensor:
    """Mask logits (N, C, h, w), drawn at image size (N, C, H, W), float32."""
    return _resize(logits.float(), image_hw)


def positive_part(
    logits: NDArray[np.float32], image_hw: tuple[int, int]
) -> tuple[NDArray[np.float32], int, int]:
    """The part of a mask, drawn at image size, outside which no logit is positive.

    Parameters
    ----------
    logits : ndarray
        (h, w) mask logits.
    image_hw : (int, int)
        Height and width of the image.

    Returns
    -------
    tuple
        (rows, columns) float32, equal to that part of :func:`logits_to_image`, and the
        image row and column it begins at. Small objects in large images cost little.
    """
    positive = logits > 0
    below, above, share = _bilinear(logits.shape[0], image_hw[0])
    rows, wanted = _part(np.flatnonzero(positive.any(1)), below, above)
    y0, y1, v = below[rows] - wanted.start, above[rows] - wanted.start, share[rows]
    left, right, share = _bilinear(logits.shape[1], image_hw[1])
    columns, wide = _part(np.flatnonzero(positive.any(0)), left, right)
    x0, x1, u = left[columns] - wide.start, right[columns] - wide.start, share[columns]
    window = logits[wanted, wide]
    across = window[:, x0] * (1 - u) + window[:, x1] * u
    v = v[:, None]
    return across[y0] * (1 - v) + across[y1] * v, rows.start, columns.start


def logits_to_input(logits: Tensor, size: int) -> Tensor:
    """Mask logits (N, C, h, w), drawn at network input size, float32."""
    return _resize(logits.float(), (size, size))


def mask_to_input(
    mask_hw: NDArray[np.bool_], size: int, device: torch.device
) -> Tensor:
    """A mask of any size, (H, W) bool, as (1, 1, size, size) float32 of 0 and 1."""
    mask = (
        torch.from_numpy(np.ascontiguousarray(mask_hw)).to(device)[None, None].float()
    )
    if mask.shape[-2:] == (size, size):
        return mask
    return (_resize(mask, (size, size), antialias=True) >= 0.5).float()


def input_to_low_res(logits: Tensor, size: int) -> Tensor:
    """Logits at network input size, brought down to (N, C, size, size)."""
    return _resize(logits.float(), (size, size), antialias=True)


def _resize(pixels: Tensor, hw: tuple[int, int], antialias: bool = False) -> Tensor:
    if tuple(pixels.shape[-2:]) == hw:
        return pixels
    device = pixels.device
    if antialias and device.type == "mps":  # has no antialiased resize
        pixels = pixels.cpu()
    resized = F.interpolate(
        pixels, size=hw, mode="bilinear", align_corners=False, antialias=antialias
    )
    return resized.to(device)


@lru_cache(maxsize=8)
def _bicubic_weights(length: int, size: int, device: torch.device) -> Tensor:
    """What each of ``size`` pixels takes of ``length`` ones, (size, length) float32."""
    # Each row of the identity is one pixel alone: where it goes is its weight.
    alone = Image.fromarray(np.eye(length, dtype=np.float32))
    weights = alone.resize((length, size), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(weights)).to(device)


@lru_cache(maxsize=16)
def _bilinear(
    size: int, drawn: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """For each drawn pixel its two neighbours and the share of the second."""
    scale = np.float32(size) / np.float32(drawn)
    place = scale * (np.arange(drawn, dtype=np.float32) + np.float32(0.5))
    place = np.maximum(place - np.float32(0.5), 0)
    first = np.minimum(place.astype(np.intp), size - 1)
    return first, np.minimum(first + 1, size - 1), place - first.astype(np.float32)


def _part(
    used: NDArray[np.intp], first: NDArray[np.intp], second: NDArray[np.intp]
) -> tuple[slice, slice]:
    """Drawn pixels that have a used neighbour, and all that these are drawn from."""
    if not len(used):
        return slice(0, 0), slice(0, 0)
    start = int(np.searchsorted(second, used[0]))
    stop = int(np.searchsorted(first, used[-1], side="right"))
    if start >= stop:
        return slice(0, 0), slice(0, 0)
    return slice(start, stop), slice(int(first[start]), int(second[stop - 1]) + 1)
