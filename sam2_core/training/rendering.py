"""Made-up microscopes: turn label images into pictures of the objects."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from sam2_core.training.augment import FloatArray, smooth_field
from sam2_core.training.shapes import Labels, boundary_distance, log_uniform

if TYPE_CHECKING:
    from collections.abc import Callable

STYLES_OF_LAYOUT: dict[str, tuple[str, ...]] = {
    "nuclei": ("fluorescence",) * 5
    + ("stain", "stain", "dic", "ring", "grain", "phase"),
    "cells": ("phase", "phase", "fluorescence", "two_channel", "dic", "grain", "ring"),
    "rods": ("phase", "phase", "fluorescence", "ring", "dic", "stain"),
    "filaments": ("fluorescence", "fluorescence", "phase", "stain"),
    "tessellation": ("membrane", "membrane", "membrane", "stain", "fluorescence", "em"),
    "neurites": ("em", "em", "em", "membrane"),
    "islands": ("membrane", "fluorescence", "two_channel", "em", "phase"),
}


@dataclass(frozen=True)
class Scene:
    """What a style needs to know about one frame.

    Attributes
    ----------
    labels : (S, S) int32
    inside : (S, S) bool
        Pixels of objects.
    distance : (S, S) float32
        To the nearest border, in pixels.
    texture : (2, S, S) float32
        A coarse and a fine random texture, standard deviation about 1.
    brightness : (N + 1,) float32
        One value around 1 per label.
    """

    labels: Labels
    inside: npt.NDArray[np.bool_]
    distance: FloatArray
    texture: FloatArray
    brightness: FloatArray


@dataclass(frozen=True)
class Look:
    """A style with all its random choices, the same for every frame of a stack.

    Attributes
    ----------
    style : str
        A key of ``STYLES``.
    values : (24,) float64
        Uniform random numbers that the style and the optics turn into parameters.
    brightness : (N + 1,) float32
        One value around 1 per label.
    textures : (2, S, S) float32
        See `Scene`.
    seed : int
        Of what lies around the objects: dirt, haze, light.
    exposure : (float, float), optional
        Values that become black and white; by default those that suit the frame.
    """

    style: str
    values: npt.NDArray[np.float64]
    brightness: FloatArray
    textures: FloatArray
    seed: int
    exposure: tuple[float, float] | None = None

    def value(self, index: int, low: float, high: float) -> float:
        """Parameter ``index``, uniform in a range."""
        return float(low + (high - low) * self.values[index])


def random_look(
    rng: np.random.Generator, style: str, size: int, max_label: int
) -> Look:
    """Choose a look for images of a size with labels up to ``max_label``."""
    spread = rng.choice([0.05, 0.2, 0.5])
    brightness = np.exp(rng.normal(0, spread, max_label + 1)).astype("f4")
    textures = np.stack([random_texture(rng, size, s) for s in _grain_sizes(rng)])
    seed = int(rng.integers(2**31))
    return Look(style, rng.random(24), brightness, textures, seed)


def _grain_sizes(rng: np.random.Generator) -> tuple[float, float]:
    return log_uniform(rng, 4, 20), log_uniform(rng, 0.8, 2.5)


def random_texture(rng: np.random.Generator, size: int, grain: float) -> FloatArray:
    """Smooth noise with structures of ``grain`` pixels, standard deviation about 1."""
    if grain > 3:
        count = int(size / grain * 1.5) + 4
        knots = rng.standard_normal((count, count), np.float32)
        return smooth_field(knots, (size, size)) * np.float32(1.9)
    noise = rng.standard_normal((size, size), np.float32)
    smooth: FloatArray = ndimage.gaussian_filter(noise, grain * 0.6, truncate=2.5)
    return smooth / np.float32(smooth.std() + 1e-6)


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
    planes = _noisy((planes - low) / max(high - low, 1e-3), look, rng)
    if look.values[21] < 0.1:
        planes = 1 - planes
    result = np.clip(planes * 255 + 0.5, 0, 255).astype(np.uint8)
    return np.asarray(result if result.shape[2] == 3 else result[..., 0])


def expose(look: Look, labels: Labels) -> Look:
    """Fix the exposure for a whole stack by one of its frames."""
    return replace(look, exposure=_exposure(_light_path(labels, look), look))


def _fluorescence(scene: Scene, look: Look) -> FloatArray:
    rim = look.value(0, 0.3, 3.5)
    rise = np.minimum(scene.distance / rim, 1.0) ** look.value(1, 0.2, 1)
    coarse, fine = scene.texture
    strength = look.value(2, 0, 0.3), look.value(3, 0, 0.25)
    grain = 1 + strength[0] * coarse + strength[1] * fine
    if look.values[4] < 0.35:
        spots = np.clip(coarse - look.value(5, 0.8, 1.6), 0, 1)
        grain = grain + spots * look.value(6, -1.2, 1.6)
    base = look.value(7, 0.02, 0.3)
    body = scene.brightness[scene.labels] * rise * np.clip(grain, 0.1, None)
    return np.asarray(base + np.where(scene.inside, 0.5 * body, 0), np.float32)


def _membrane(scene: Scene, look: Look) -> FloatArray:
    width = look.value(0, 0.6, 2.2)
    coarse, fine = scene.texture
    line = np.exp(-((scene.distance / width) ** 2))
    line = line * np.clip(1 + look.value(1, 0, 0.4) * coarse, 0.15, None)
    fill = look.value(2, 0, 0.25) * scene.brightness[scene.labels] * scene.inside
    grain = look.value(3, 0, 0.12) * fine * scene.inside
    return np.asarray(0.08 + fill + grain + look.value(4, 0.3, 0.8) * line, np.float32)


def _ring(scene: Scene, look: Look) -> FloatArray:
    width = look.value(0, 0.8, 2.5)
    line = np.exp(-(((scene.distance - width) / width) ** 2)) * scene.inside
    line = line * np.clip(1 + 0.3 * scene.texture[0], 0.2, None)
    fill = look.value(1, 0, 0.35) * scene.inside
    body = (fill + look.value(2, 0.4, 0.9) * line) * scene.brightness[scene.labels]
    return np.asarray(look.value(3, 0.03, 0.25) + 0.7 * body, np.float32)


def _phase(scene: Scene, look: Look) -> FloatArray:
    distance, inside = scene.distance, scene.inside
    coarse, fine = scene.texture
    halo = np.exp(-distance / look.value(0, 1.5, 6)) * look.value(1, 0.05, 0.45)
    depth = look.value(2, -0.15, 0.35)
    depth = float(np.copysign(max(abs(depth), 0.06), depth))
    density = depth * np.minimum(scene.brightness, 2)[scene.labels]
    dome = 1 - np.exp(-distance / look.value(3, 1, 8))
    edge = np.exp(-((distance / 1.2) ** 2)) * look.value(4, 0.06, 0.3)
    grain = look.value(5, 0.01, 0.12) * coarse + look.value(6, 0.01, 0.1) * fine
    body = 0.5 - density * dome - edge + grain
    around = 0.5 + halo + 0.15 * look.value(7, 0, 0.3) * fine
    return np.asarray(np.where(inside, body, around), np.float32)


def _dic(scene: Scene, look: Look) -> FloatArray:
    dome = 1 - np.exp(-scene.distance / look.value(0, 2, 10))
    coarse, fine = scene.texture
    grain = 1 + look.value(1, 0, 0.15) * coarse + look.value(2, 0, 0.08) * fine
    height = dome * grain * scene.brightness[scene.labels] * scene.inside
    height = ndimage.gaussian_filter(height, look.value(3, 0.8, 2))
    angle = look.value(4, 0, 2 * np.pi)
    slope = np.gradient(height)
    shade = np.cos(angle) * slope[0] + np.sin(angle) * slope[1]
    visible = shade[scene.inside]
    gain = look.value(5, 0.08, 0.25) / (float(visible.std()) + 1e-3)
    return np.asarray(0.5 + gain * shade, np.float32)


def _grain(scene: Scene, look: Look) -> FloatArray:
    coarse, fine = scene.texture
    level = look.value(0, -0.08, 0.08)
    inner = 0.5 + level + look.value(1, 0.12, 0.28) * fine
    outer = 0.5 + look.value(2, 0.02, 0.09) * coarse
    return np.asarray(np.where(scene.inside, inner, outer), np.float32)


def _em(scene: Scene, look: Look) -> FloatArray:
    coarse, fine = scene.texture
    size = len(scene.labels)
    line = np.exp(-((scene.distance / look.value(0, 0.8, 2.2)) ** 2))
    shade = 0.72 + 0.08 * np.log(scene.brightness)[scene.labels]
    body = shade + look.value(1, 0.03, 0.1) * fine + 0.03 * coarse
    rng = np.random.default_rng(look.seed + 1)
    organelles = random_texture(rng, size, look.value(2, 9, 22))
    deep = np.clip((scene.distance - 3) / 2, 0, 1) * scene.inside
    dark = np.clip((organelles - look.value(3, 0.9, 1.6)) * 5, 0, 1) * deep
    stripes = 0.25 + 0.08 * np.sin(organelles * 25 + 4 * coarse)
    body = body * (1 - dark) + (stripes + 0.15 * fine * 0.3) * dark
    dots = random_texture(rng, size, 2.4) * deep * look.value(4, 0, 0.08)
    cleft = 0 if scene.inside.all() else np.where(scene.inside, 0, 0.35)
    return np.asarray(body - dots - cleft - look.value(5, 0.3, 0.6) * line, np.float32)


def _stain(scene: Scene, look: Look) -> FloatArray:
    coarse, fine = scene.texture
    rng = np.random.default_rng(look.seed + 2)
    size = len(scene.labels)
    rim = np.minimum(scene.distance / look.value(0, 0.5, 3), 1)
    core = scene.brightness[scene.labels] * rim * scene.inside
    core = core * np.clip(1 + look.value(1, 0, 0.5) * fine + 0.2 * coarse, 0.2, None)
    if look.values[2] < 0.3:
        core = core * 0.4 + np.exp(-((scene.distance / 1.4) ** 2)) * scene.inside * 0.6
    tissue = random_texture(rng, size, look.value(3, 8, 40))
    tissue = look.value(4, 0, 0.6) * np.clip(0.6 + 0.4 * tissue + 0.1 * fine, 0, 2)
    amounts = np.stack([core * look.value(5, 0.5, 1.6), tissue * (1 - 0.6 * core)])
    absorb = np.array([[0.65, 0.7, 0.29], [0.1, 0.75, 0.35]])
    absorb = np.clip(absorb + rng.normal(0, 0.2, (2, 3)), 0.03, 1)
    if rng.random() < 0.15:
        absorb = absorb[:, rng.permutation(3)]
    light = np.exp(-np.einsum("khw,kc->hwc", amounts, absorb))
    white = 0.92 + rng.normal(0, 0.04, 3)
    return np.asarray(light * white, np.float32)


def _two_channel(scene: Scene, look: Look) -> FloatArray:
    rng = np.random.default_rng(look.seed + 3)
    cytoplasm = _fluorescence(scene, replace(look, values=np.roll(look.values, 3)))
    kernels = np.clip(scene.distance - look.value(8, 3, 7), 0, 2) / 2 * scene.inside
    kernels = kernels * np.clip(0.7 + 0.15 * scene.texture[0], 0, None)
    colours = np.stack([rng.dirichlet([0.4] * 3), rng.dirichlet([0.4] * 3)])
    colours /= colours.max(1, keepdims=True)
    picture = cytoplasm[..., None] * colours[0] + kernels[..., None] * colours[1]
    return np.asarray(picture, np.float32)


STYLES: dict[str, Callable[[Scene, Look], FloatArray]] = {
    "fluorescence": _fluorescence,
    "membrane": _membrane,
    "ring": _ring,
    "phase": _phase,
    "dic": _dic,
    "grain": _grain,
    "em": _em,
    "stain": _stain,
    "two_channel": _two_channel,
}


def _light_path(labels: Labels, look: Look) -> FloatArray:
    distance = boundary_distance(labels)
    scene = Scene(labels, labels > 0, distance, look.textures, look.brightness)
    picture = STYLES[look.style](scene, look)
    fixed = np.random.default_rng(look.seed)
    size = len(picture)
    planes = picture if picture.ndim == 3 else picture[..., None]
    if look.values[12] < 0.3:
        planes = _dirt(planes, fixed, look.style in ("fluorescence", "membrane"))
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
    if look.style in ("stain", "phase", "dic", "grain", "em"):
        return 0.0, 1.0
    high = float(np.percentile(planes, 99.7)) * look.value(19, 0.6, 1.2)
    return float(planes.min()) * look.value(20, 0.3, 1), high


def _noisy(planes: FloatArray, look: Look, rng: np.random.Generator) -> FloatArray:
    read = np.exp(look.value(22, np.log(0.004), np.log(0.07)))
    photons = np.exp(look.value(23, np.log(25), np.log(3000)))
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
