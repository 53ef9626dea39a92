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
    """A frame of a stack as network input, resized by Pillow (bicubic, uint8).

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
    picture = Image.fromarray(np.ascontiguousarray(frame))
    resized = np.array(picture.resize((size, size), Image.Resampling.BICUBIC))
    pixels = torch.from_numpy(resized).to(device).permute(2, 0, 1)[None]
    return normalise(pixels.float() / 255)


def points_to_input(
    point_xy: ArrayLike, image_hw: tuple[int, int], size: int
) -> NDArray[np.float32]:
    """Points in image pixels, (..., 2) xy, in pixels of the network input."""
    height, width = image_hw
    xy = np.asarray(point_xy, dtype=np.float32)
    extent = np.array([width, height], dtype=np.float32)
    return np.asarray(xy / extent * np.float32(size), dtype=np.float32)


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
