"""Ways to draw objects: what a stain or a contrast method makes of their labels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from sam2_core.training.examples.augment import FloatArray, smooth_field

if TYPE_CHECKING:
    from collections.abc import Callable

    from sam2_core.training.generator.shapes import Labels


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
    light : float
        Share of the fluorescence that is left in this frame.
    """

    style: str
    values: npt.NDArray[np.float64]
    brightness: FloatArray
    textures: FloatArray
    seed: int
    exposure: tuple[float, float] | None = None
    light: float = 1.0

    def value(self, index: int, low: float, high: float) -> float:
        """Parameter ``index``, uniform in a range."""
        return float(low + (high - low) * self.values[index])


def random_texture(rng: np.random.Generator, size: int, grain: float) -> FloatArray:
    """Smooth noise with structures of ``grain`` pixels, standard deviation about 1."""
    if grain > 3:
        count = int(size / grain * 1.5) + 4
        knots = rng.standard_normal((count, count), np.float32)
        return smooth_field(knots, (size, size)) * np.float32(1.9)
    noise = rng.standard_normal((size, size), np.float32)
    smooth: FloatArray = ndimage.gaussian_filter(noise, grain * 0.6, truncate=2.5)
    return smooth / np.float32(smooth.std() + 1e-6)


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


def _projection(scene: Scene, look: Look) -> FloatArray:
    """Widefield fluorescence: as bright as the object is thick, arms dimmer."""
    thick = np.minimum(scene.distance / look.value(0, 3, 12), 1) ** look.value(
        1, 0.2, 1
    )
    coarse, fine = scene.texture
    grain = 1 + look.value(2, 0, 0.35) * coarse + look.value(3, 0, 0.25) * fine
    if look.values[4] < 0.3:
        # Granules or chromocentres.
        grain = grain + look.value(5, 0.3, 1) * np.clip(fine - 1.2, 0, 1.5)
    body = look.value(6, 0.05, 0.3) + (1 - look.value(6, 0.05, 0.3)) * thick
    body = body * scene.brightness[scene.labels] * np.clip(grain, 0.1, None)
    # Bodies saturate before thin arms are seen.
    gain = np.exp(look.value(8, -0.5, 1.5))
    body = (1 - np.exp(-gain * body)) / (1 - np.exp(-gain))
    base = look.value(7, 0.01, 0.15)
    return np.asarray(base + np.where(scene.inside, 0.6 * body, 0), np.float32)


def _haze(scene: Scene, look: Look) -> FloatArray:
    """Fluorescent nuclei of thick tissue, over blurred ones above and below."""
    rng = np.random.default_rng(look.seed + 4)
    size = len(scene.labels)
    coarse, fine = scene.texture
    rise = np.minimum(scene.distance / look.value(0, 0.5, 3), 1) ** 0.5
    spots = np.clip(fine - look.value(1, 0.9, 1.8), 0, 1.5) * look.value(2, 0, 1)
    grain = 1 + look.value(3, 0, 0.25) * coarse + 0.06 * fine + spots
    body = scene.brightness[scene.labels] * rise * scene.inside * np.clip(grain, 0.2, 3)
    far = np.zeros_like(body)
    for _ in range(2):
        # Other nuclei of the same tissue: its own picture, turned and moved.
        other = np.rot90(body, int(rng.integers(1, 4)))
        other = np.roll(other, rng.integers(0, size, 2).tolist(), (0, 1))
        far += ndimage.gaussian_filter(other, look.value(5, 2, 8))
    tissue = ndimage.gaussian_filter(scene.inside.astype("f4"), look.value(6, 4, 16))
    picture = 0.5 * body + look.value(7, 0.1, 0.5) * far * tissue
    return np.asarray(look.value(8, 0.01, 0.1) + picture, np.float32)


def _rims(scene: Scene, look: Look) -> FloatArray:
    """Brightfield a little out of focus: dark and bright lines along the outline."""
    depth = np.where(scene.inside, scene.distance, -scene.distance)
    depth = depth + look.value(0, -1, 1.5)
    coarse, fine = scene.texture
    sign = 1.0 if look.values[1] < 0.75 else -1.0
    wide = look.value(2, 0.9, 2.5)
    dark = np.exp(-(((depth - wide) / wide) ** 2)) * look.value(3, 0.1, 0.45)
    bright = np.exp(-(((depth + 0.8 * wide) / wide) ** 2)) * look.value(4, 0.1, 0.45)
    second = np.exp(-(((depth + 3 * wide) / (1.3 * wide)) ** 2))
    fill = look.value(5, -0.15, 0.1) * (scene.brightness * 0.5 + 0.5)[scene.labels]
    grain = look.value(6, 0.01, 0.1) * coarse + look.value(7, 0.01, 0.06) * fine
    body = np.clip(depth / wide, 0, 1) * (fill + grain)
    around = look.value(8, 0, 0.03) * coarse + look.value(9, 0.005, 0.03) * fine
    lines = sign * (bright - dark - look.value(10, 0, 0.15) * second)
    level = look.value(11, 0.35, 0.65)
    return np.asarray(level + lines + np.where(scene.inside, body, around), np.float32)


def _zernike(scene: Scene, look: Look) -> FloatArray:
    """Phase contrast as the ring makes it: dense bodies less their wide blur.

    Gaps of a packed colony come out bright, and its middle darker than its edge.
    """
    dome = 1 - np.exp(-scene.distance / look.value(0, 0.5, 2.5))
    coarse, fine = scene.texture
    grain = 1 + look.value(1, 0, 0.2) * coarse + look.value(2, 0, 0.15) * fine
    dense = dome * grain * np.minimum(scene.brightness, 1.6)[scene.labels]
    dense = dense * scene.inside
    halo = ndimage.gaussian_filter(dense, look.value(3, 2, 9), truncate=3)
    shade = look.value(4, 0.5, 1)
    background = look.value(5, 0.35, 0.6) + look.value(6, 0, 0.03) * fine
    gain = look.value(7, 0.25, 0.8)
    return np.asarray(background - gain * (dense - shade * halo), np.float32)


def _glow(scene: Scene, look: Look) -> FloatArray:
    """Phase contrast at high magnification: smooth dark bodies in a wide bright glow.

    As wide as the objects demand, so that a pair of bacteria shares one glow.
    """
    depths = scene.distance[scene.inside]
    radius = float(np.percentile(depths, 95)) if len(depths) else 1.0
    soft = float(np.clip(look.value(0, 0.06, 0.3) * radius, 0.5, 4))
    grain = 1 + look.value(1, 0, 0.12) * scene.texture[0]
    dense = (scene.brightness**0.3)[scene.labels] * scene.inside * grain
    # A seam is left where objects touch.
    seam = np.exp(-((scene.distance / look.value(2, 0.5, 1.5)) ** 2)) * scene.inside
    dense = dense * (1 - look.value(3, 0, 0.8) * seam)
    body = ndimage.gaussian_filter(dense, soft, truncate=3)
    near = ndimage.gaussian_filter(dense, look.value(4, 0.4, 1.3) * radius, truncate=3)
    far = ndimage.gaussian_filter(dense, look.value(5, 1.5, 5) * radius, truncate=2)
    around = look.value(6, 0.3, 1) * near + look.value(7, 0, 2) * far
    level = look.value(8, 0.3, 0.65)
    level = level + look.value(9, 0, 0.03) * scene.texture[0]
    return np.asarray(level - look.value(10, 0.25, 0.9) * (body - around), np.float32)


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
    "projection": _projection,
    "haze": _haze,
    "rims": _rims,
    "zernike": _zernike,
    "glow": _glow,
}
