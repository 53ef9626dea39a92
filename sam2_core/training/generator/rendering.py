"""Made-up microscopes: turn label images into pictures of the objects."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from sam2_core.training.examples.augment import FloatArray, smooth_field
from sam2_core.training.generator.shapes import Labels, boundary_distance, log_uniform
from sam2_core.training.generator.styles import STYLES, Look, Scene, random_texture

# Their values are light between 0 and 1; the others are stretched to the range.
FIXED_RANGE = ("stain", "phase", "dic", "grain", "em", "rims", "zernike", "glow")
STYLES_OF_LAYOUT: dict[str, tuple[str, ...]] = {
    "nuclei": ("fluorescence",) * 5
    + ("stain", "stain", "dic", "ring", "grain", "phase", "haze"),
    "cells": ("phase", "phase", "fluorescence", "two_channel", "dic", "grain", "ring"),
    "rods": ("phase", "phase", "glow", "glow", "fluorescence", "ring", "dic", "stain"),
    "filaments": ("fluorescence", "fluorescence", "phase", "stain"),
    "tessellation": ("membrane", "membrane", "membrane", "stain", "fluorescence", "em"),
    "neurites": ("em", "em", "em", "membrane"),
    "islands": ("membrane", "fluorescence", "two_channel", "em", "phase"),
    "ramified": ("projection",) * 3 + ("fluorescence", "zernike", "stain"),
    "budding": ("rims",) * 4 + ("zernike", "dic", "projection", "ring"),
    "colony": ("zernike",) * 3
    + ("glow", "glow", "fluorescence", "rims", "ring", "membrane"),
    "microcolony": ("glow",) * 5
    + ("zernike", "zernike", "phase", "fluorescence", "rims", "ring"),
    "strands": ("zernike", "zernike", "glow", "glow", "projection", "rims", "dic"),
    "crowd": ("haze",) * 4 + ("projection", "stain", "grain"),
    "vesicles": ("ring", "ring", "projection", "two_channel", "em", "rims"),
}


def random_look(
    rng: np.random.Generator, style: str, size: int, max_label: int
) -> Look:
    """Choose a look for images of a size with labels up to ``max_label``."""
    spread = rng.choice([0.05, 0.2, 0.5, 0.8], p=[0.3, 0.3, 0.28, 0.12])
    brightness = np.exp(rng.normal(0, spread, max_label + 1)).astype("f4")
    textures = np.stack([random_texture(rng, size, s) for s in _grain_sizes(rng)])
    seed = int(rng.integers(2**31))
    return Look(style, rng.random(24), brightness, textures, seed)


def _grain_sizes(rng: np.random.Generator) -> tuple[float, float]:
    return log_uniform(rng, 4, 20), log_uniform(rng, 0.8, 2.5)


def render(
    labels: Labels, look: Look, rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Picture of a label image.

    Parameters
    ----------
    labels : (S, S) int32
    look : Look
        Of the same size.
    rng : numpy.random.Generator
        For the noise of this frame only.

    Returns
    -------
    (S, S) or (S, S, 3) uint8
        Three channels only for the styles in colour.
    """
    planes = _light_path(labels, look)
    low, high = look.exposure or _exposure(planes, look)
    if look.style not in FIXED_RANGE:
        planes = planes * np.float32(look.light)
    planes = _noisy((planes - low) / max(high - low, 1e-3), look, rng)
    if look.values[21] < 0.1:
        planes = 1 - planes
    result = np.clip(planes * 255 + 0.5, 0, 255).astype(np.uint8)
    return np.asarray(result if result.shape[2] == 3 else result[..., 0])


def expose(look: Look, labels: Labels) -> Look:
    """Fix the exposure for a whole stack by one of its frames."""
    return replace(look, exposure=_exposure(_light_path(labels, look), look))


def _light_path(labels: Labels, look: Look) -> FloatArray:
    distance = boundary_distance(labels)
    scene = Scene(labels, labels > 0, distance, look.textures, look.brightness)
    picture = STYLES[look.style](scene, look)
    fixed = np.random.default_rng(look.seed)
    size = len(picture)
    planes = picture if picture.ndim == 3 else picture[..., None]
    if look.values[12] < 0.3:
        planes = _dirt(
            planes,
            fixed,
            look.style in ("fluorescence", "membrane", "projection", "haze"),
        )
    blur = look.value(13, 0.3, 1) ** 2 * 1.6
    planes = ndimage.gaussian_filter(planes, (blur, blur, 0), truncate=3)
    if look.values[14] < 0.35 and look.style in ("fluorescence", "ring", "two_channel"):
        wide = look.value(15, 6, 20)
        haze = ndimage.gaussian_filter(planes[::4, ::4], (wide / 4, wide / 4, 0))
        haze = haze.repeat(4, 0).repeat(4, 1)[:size, :size]
        planes = planes + look.value(16, 0.2, 1.2) * haze
    if look.values[17] < 0.4:
        light = smooth_field(fixed.normal(0, 0.4, (5, 5)).astype("f4"), (size, size))
        planes = planes * np.clip(1 + look.value(18, 0, 1) * light, 0.2, 2)[..., None]
    return np.asarray(planes, np.float32)


def _exposure(planes: FloatArray, look: Look) -> tuple[float, float]:
    if look.style in FIXED_RANGE:
        return 0.0, 1.0
    high = float(np.percentile(planes, 99.7)) * look.value(19, 0.6, 1.2)
    return float(planes.min()) * look.value(20, 0.3, 1), high


def _noisy(planes: FloatArray, look: Look, rng: np.random.Generator) -> FloatArray:
    # There is more light where it goes through the sample than where it comes from it.
    plenty = 5 if look.style in FIXED_RANGE and look.style != "em" else 1
    read = np.exp(look.value(22, np.log(0.004 / plenty), np.log(0.07)))
    photons = np.exp(look.value(23, np.log(25), np.log(3000 * plenty)))
    sigma = np.sqrt(read**2 + np.clip(planes, 0, 1) / photons).astype(np.float32)
    noise = rng.standard_normal(planes.shape, np.float32)
    return np.asarray(planes + sigma * noise, np.float32)


def _dirt(planes: FloatArray, rng: np.random.Generator, bright: bool) -> FloatArray:
    size = len(planes)
    layer = np.zeros((size, size), np.float32)
    for _ in range(int(rng.integers(1, 25))):
        y, x = rng.integers(0, size, 2)
        reach = int(rng.integers(1, 4))
        layer[y : y + reach, x : x + reach] += rng.uniform(0.3, 1.5)
    layer = ndimage.gaussian_filter(layer, rng.uniform(0.4, 2.0))
    sign = 1 if bright or rng.random() < 0.4 else -0.7
    return np.asarray(planes + sign * layer[..., None], np.float32)
