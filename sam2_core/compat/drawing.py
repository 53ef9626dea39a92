"""Masks, boxes and labels painted over a picture."""

from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Colour = tuple[int, int, int]

_OPACITY = 0.5
_GOLDEN_RATIO = 0.618034


def colour_of(index: int) -> Colour:
    """RGB 0 to 255; colours of neighbouring indices differ much."""
    red, green, blue = colorsys.hsv_to_rgb(index * _GOLDEN_RATIO % 1, 0.85, 1.0)
    return round(red * 255), round(green * 255), round(blue * 255)


def paint_masks(
    image: NDArray[np.uint8], masks: NDArray[np.bool_], colours: Sequence[Colour]
) -> NDArray[np.uint8]:
    """A copy of the picture with translucent masks; later ones lie on top.

    Parameters
    ----------
    image : ndarray
        (H, W, 3) uint8.
    masks : ndarray
        (N, H, W) bool.
    colours : sequence of colours
        N of them, in the channel order of the image.

    Returns
    -------
    ndarray
        (H, W, 3) uint8.
    """
    painted = image.copy()
    for mask, colour in zip(masks, colours, strict=True):
        mixed = (1 - _OPACITY) * painted[mask] + _OPACITY * np.array(colour)
        painted[mask] = np.rint(mixed).astype(np.uint8)
    return painted


def draw_boxes(
    picture: Image.Image,
    boxes: NDArray[Any],
    texts: Sequence[str],
    colours: Sequence[Colour],
    line_width: int | None = None,
    font_size: float | None = None,
) -> None:
    """Draw boxes with a label each into an RGB picture, in place.

    Parameters
    ----------
    picture : PIL.Image.Image
        RGB; changed.
    boxes : ndarray
        (N, 4) x0, y0, x1, y1 in pixels.
    texts : sequence of str
        N labels, "" for none.
    colours : sequence of colours
        N of them, RGB.
    line_width : int, optional
        In pixels; grows with the picture by default.
    font_size : float, optional
        In pixels; Pillow's default size by default.
    """
    width = line_width or max(round(sum(picture.size) / 2 * 0.003), 1)
    font: Any = ImageFont.load_default()
    if font_size and hasattr(font, "font_variant"):
        font = font.font_variant(size=font_size)
    pen = ImageDraw.Draw(picture)
    for box, text, colour in zip(boxes.tolist(), texts, colours, strict=True):
        pen.rectangle(box, outline=colour, width=width)
        if text:
            left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
            x, y = box[0], max(box[1] - (bottom - top) - 2, 0)
            pen.rectangle((x, y, x + right - left + 2, y + bottom - top + 2), colour)
            pen.text((x + 1 - left, y + 1 - top), text, fill=(0, 0, 0), font=font)
