"""Several image layers as one picture, blended as napari draws them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2 import _layers
from napari_sam2._images import full_resolution, value_range
from napari_sam2.picture._image_reference import refer
from sam2_core.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari.layers import Image
    from numpy.typing import NDArray

    from napari_sam2.picture._image_reference import ImageReference

LEVELS = 1024  # steps of brightness before the colormap
COVERS = ("opaque", "translucent", "translucent_no_depth")  # what lies below
FEW_COLORS = 16  # colormaps of more are kept as 256 samples


@dataclass(frozen=True)
class Channel:
    """One layer of a blend, with all that decides how it looks.

    Attributes
    ----------
    data, data_id, name
        Its array at full resolution, and what the layer is called.
    reference : ImageReference
        Where it came from.
    limits : (float, float) or None
        Values shown as the first and the last colour; None for 8-bit RGB.
    gamma, opacity : float
        As the layer has them.
    colors : tuple of str
        Evenly spaced stops of the colormap, "#rrggbb" or "#rrggbbaa"; () for RGB.
    blending : str
        "additive", "translucent", "opaque", "minimum" or "multiplicative".
    """

    data: Any = field(repr=False, compare=False)
    data_id: int
    name: str = field(compare=False)
    reference: ImageReference = field(repr=False, compare=False)
    limits: tuple[float, float] | None
    gamma: float
    colors: tuple[str, ...]
    opacity: float
    blending: str

    def picture(
        self, where: tuple[int | slice, ...]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | float]:
        """Colours, (H, W, 3) from 0 to 1, and their share of alpha."""
        pixels = np.asarray(self.data[where])
        if pixels.ndim == 3:
            low, high = self.limits or (0.0, 255.0)
            shown = _between(pixels, low, high)
            alpha = shown[..., 3:] if pixels.shape[-1] == 4 else 1.0
            return shown[..., :3], alpha * self.opacity
        low, high = self.limits or (0.0, 1.0)
        steps = np.rint(_between(pixels, low, high) * (LEVELS - 1)).astype(np.int32)
        table = _table(self.colors, self.gamma)
        if (table[:, 3] == 1).all():
            return table[:, :3][steps], self.opacity
        found = table[steps]
        return found[..., :3], found[..., 3:] * self.opacity


@dataclass(frozen=True)
class Blend:
    """Layers over each other, the lowest first, on black.

    Attributes
    ----------
    channels : tuple of Channel
        At least one; of one shape.
    """

    channels: tuple[Channel, ...]

    @property
    def arrays(self) -> list[Any]:
        """Of all channels."""
        return [channel.data for channel in self.channels]

    def picture(self, where: tuple[int | slice, ...]) -> NDArray[np.uint8]:
        """The (H, W, 3) picture of one plane, or of a part of it."""
        picture: NDArray[np.float32] | None = None
        for channel in self.channels:
            colors, alpha = channel.picture(where)
            if picture is None:
                picture = np.zeros(colors.shape, np.float32)
            picture = _over(picture, colors, alpha, channel.blending)
        assert picture is not None
        return np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)


def channel_of(image: Image) -> Channel:
    """A layer as it looks now."""
    data = full_resolution(image)
    if np.dtype(data.dtype).kind not in "buif":
        raise ImageError(f"{image.name!r} holds {data.dtype} values; numbers needed.")
    return Channel(
        data,
        id(data),
        image.name,
        refer(image),
        value_range(image),
        float(image.gamma),
        () if image.rgb else _stops(image.colormap),
        float(image.opacity),
        str(getattr(image.blending, "value", image.blending)),
    )


def channel_as_json(channel: Channel, source: int) -> dict[str, Any]:
    """A channel in plain JSON; ``source`` is the number of its image."""
    return {
        "source": source,
        "layer": channel.name,
        "value_range": None if channel.limits is None else list(channel.limits),
        "gamma": channel.gamma,
        "colors": list(channel.colors),
        "opacity": channel.opacity,
        "blending": channel.blending,
    }


def blend_from_json(
    content: Sequence[Mapping[str, Any]],
    arrays: Mapping[int, Any],
    references: Sequence[ImageReference],
) -> Blend:
    """The blend that setups of a journal speak of, made of its sources."""
    channels = []
    for each in content:
        data, limits = arrays[int(each["source"])], each["value_range"]
        channels.append(
            Channel(
                data,
                id(data),
                str(each["layer"]),
                references[int(each["source"])],
                None if limits is None else (float(limits[0]), float(limits[1])),
                float(each["gamma"]),
                tuple(str(color) for color in each["colors"]),
                float(each["opacity"]),
                str(each["blending"]),
            )
        )
    return Blend(tuple(channels))


def _between(pixels: NDArray[Any], low: float, high: float) -> NDArray[np.float32]:
    """Values as shares of the way from low to high, within 0 and 1."""
    wide = pixels.dtype.itemsize > 4 or pixels.dtype.kind in "iu"
    work = pixels.astype(np.float64 if wide and pixels.dtype.itemsize > 2 else "f4")
    work -= low
    work /= max(high - low, 1e-30)
    inside: NDArray[Any] = np.nan_to_num(np.clip(work, 0, 1))
    return inside.astype(np.float32, copy=False)


def _over(
    below: NDArray[np.float32],
    colors: NDArray[np.float32],
    alpha: NDArray[np.float32] | float,
    blending: str,
) -> NDArray[np.float32]:
    """What the graphics card makes of a layer and what is below it."""
    share = np.asarray(alpha, np.float32)
    picture = colors
    if blending == "additive":
        picture = below + colors * share
    elif blending == "minimum":
        picture = np.minimum(below, colors)
    elif blending == "multiplicative":
        picture = below * colors
    elif blending != "opaque":
        picture = below * (1 - share) + colors * share
    return picture.astype(np.float32, copy=False)


def _stops(colormap: Any) -> tuple[str, ...]:
    """Evenly spaced colours of a napari colormap that stand for all of it."""
    colors, controls = np.asarray(colormap.colors), np.asarray(colormap.controls)
    linear = str(getattr(colormap.interpolation, "value", "")) == "linear"
    even = np.linspace(0, 1, len(controls))
    if not (linear and len(colors) <= FEW_COLORS and np.allclose(controls, even)):
        colors = np.asarray(colormap.map(np.linspace(0, 1, 256)))
    bytes_of = np.rint(np.clip(colors, 0, 1) * 255).astype(int)
    return tuple(
        "#" + "".join(f"{v:02x}" for v in (rgba[:3] if rgba[3] == 255 else rgba))
        for rgba in bytes_of
    )


def _table(colors: tuple[str, ...], gamma: float) -> NDArray[np.float32]:
    """RGBA of each level of brightness, (LEVELS, 4) from 0 to 1."""
    stops = np.array([list(bytes.fromhex((c + "ff")[1:9])) for c in colors]) / 255
    at = np.linspace(0, 1, LEVELS) ** gamma
    places = np.linspace(0, 1, len(stops))
    table = np.stack([np.interp(at, places, stops[:, i]) for i in range(4)], 1)
    return table.astype(np.float32)


def coincide(layer: Image, image: Image) -> bool:
    """Whether two images have the same shape and the same place."""
    if layer is image:
        return True
    if _layers.image_shape(layer) != _layers.image_shape(image):
        return False
    ours, theirs = _layers.spatial(image), _layers.spatial(layer)
    return all(
        np.allclose(_matrix(ours[name]), _matrix(theirs[name]))
        for name in ("scale", "translate", "rotate", "shear", "affine")
    ) and list(ours["units"]) == list(theirs["units"])


def one_picture(a: Image, b: Image, layers: Sequence[Any]) -> bool:
    """Whether two images are channels of one picture, and not two pictures.

    Channels lie in one place, and the upper one lets the lower one through. Those of a
    file may be looked at in turns; files of one channel each are shown together.

    Parameters
    ----------
    a, b : napari.layers.Image
        In any order.
    layers : sequence
        All layers of the viewer, the lowest first.
    """
    if a not in layers or b not in layers or not coincide(a, b):
        return False
    upper = max(a, b, key=layers.index)
    if upper.opacity == 1 and str(upper.blending) in COVERS:
        return False
    files = [each.source.path for each in layers if type(each) is type(a)]
    if a.source.path == b.source.path:
        return True
    single = files.count(a.source.path) == files.count(b.source.path) == 1
    return single and bool(a.visible and b.visible)


def _matrix(value: Any) -> Any:
    return np.asarray(getattr(value, "affine_matrix", value), float)
