"""The picture of the demo: clicked slice, other slices and a side view in one image."""

from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sam2_core.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    Colours = dict[int, NDArray[np.float32]]

_BACKGROUND = (18, 20, 24)
_TEXT = (236, 238, 240)
_DIM = (160, 166, 174)
_MARGIN, _GAP, _HEADER, _LINE = 28, 16, 96, 26
_MAIN = 4  # screen pixels per image pixel of the clicked slice
_SMALL = 284  # side of a small slice
_COLUMNS = 3


def draw_figure(
    stack: NDArray[Any],
    labels: NDArray[np.unsignedinteger],
    frame: int,
    clicks_xy: Mapping[int, tuple[float, float]],
    model: str,
    z_step: float = 1.0,
) -> Image.Image:
    """Compose the picture.

    Parameters
    ----------
    stack : ndarray, (Z, Y, X)
        Image values.
    labels : ndarray, (Z, Y, X)
        Object ids, 0 is background.
    frame : int
        The slice that was clicked.
    clicks_xy : mapping of int to (float, float)
        One click per object, in pixels of that slice.
    model : str
        Name for the caption.
    z_step : float
        Distance of two slices in pixels of a slice.

    Returns
    -------
    PIL.Image.Image
        RGB.
    """
    grey = _grey(stack)
    colours = _colours(clicks_xy)
    side = stack.shape[2] * _MAIN
    right = _MARGIN + side + 2 * _GAP
    columns_width = _COLUMNS * _SMALL + (_COLUMNS - 1) * _GAP
    width = right + columns_width + _MARGIN
    height = _HEADER + stack.shape[1] * _MAIN + _LINE + _MARGIN
    page = Image.new("RGB", (width, height), _BACKGROUND)
    draw = ImageDraw.Draw(page)
    n, z = len(clicks_xy), len(stack)
    title = f"{n} nuclei, one click each, followed through {z} slices"
    draw.text((_MARGIN, 24), title, _TEXT, ImageFont.load_default(34))
    note = f"napari-sam2 demo, {model}"
    draw.text((width - _MARGIN, 44), note, _DIM, ImageFont.load_default(18), "rs")

    main = _overlay(grey[frame], labels[frame], colours, (_MAIN, _MAIN), line=2)
    _mark_clicks(main, clicks_xy)
    page.paste(main, (_MARGIN, _HEADER))
    _caption(draw, _MARGIN, _HEADER + main.height, f"slice {frame}: the clicks")

    top = _HEADER
    others = _other_slices(z, frame)
    for number, index in enumerate(others):
        row, column = divmod(number, _COLUMNS)
        zoom = _SMALL / stack.shape[2]
        small = _overlay(grey[index], labels[index], colours, (zoom, zoom), line=1.5)
        x = right + column * (_SMALL + _GAP)
        y = _HEADER + row * (small.height + _LINE + _GAP)
        page.paste(small, (x, y))
        _caption(draw, x, y + small.height, f"slice {index}")
        top = y + small.height + _LINE + _GAP

    zoom = columns_width / stack.shape[2]
    step = round(z * z_step * zoom) + _LINE + _GAP
    bottom = _HEADER + main.height + _LINE
    for row in _telling_rows(labels, max(1, (bottom - top + _GAP) // step)):
        section = _overlay(
            grey[:, row], labels[:, row], colours, (z_step * zoom, zoom), line=2
        )
        page.paste(section, (right, top))
        _mark_slice(draw, right, top, section, frame, z)
        text = f"side view along row {row}: x to the right, z down; dashed: the clicks"
        _caption(draw, right, top + section.height, text)
        top += step
    return page


def save_picture(path: Path, picture: Image.Image) -> None:
    """Write a PNG beside its name and move it there in one step."""
    part = path.with_name(f".{path.name}.part")
    try:
        picture.save(part, "PNG")
        part.replace(path)
    except OSError as error:
        raise ImageError(
            f"{path} cannot be written ({error.strerror or error})."
        ) from error
    finally:
        part.unlink(missing_ok=True)


def _grey(stack: NDArray[Any]) -> NDArray[np.float32]:
    """Values from 0 to 1, a little brighter in the shadows."""
    low, high = np.percentile(stack[::4, ::2, ::2], [2, 99.7])
    scaled = (stack.astype(np.float32) - low) / max(high - low, 1e-6)
    return np.asarray(np.clip(scaled, 0, 1) ** 0.7, np.float32)


def _colours(objects: Mapping[int, object]) -> Colours:
    """Evenly spaced hues, neighbours in number far apart."""
    step = 0.381966  # golden section: any number of hues stays spread
    return {
        object_id: np.array(
            colorsys.hsv_to_rgb((0.02 + i * step) % 1, 0.72, 1.0), np.float32
        )
        for i, object_id in enumerate(objects)
    }


def _overlay(
    grey: NDArray[np.float32],
    labels: NDArray[np.unsignedinteger],
    colours: Colours,
    zoom: tuple[float, float],
    line: float,
) -> Image.Image:
    """Enlarge an image (rows, columns), tint the objects and draw smooth outlines."""
    height, width = (round(n * z) for n, z in zip(grey.shape, zoom, strict=True))
    enlarged = Image.fromarray(grey).resize((width, height), Image.Resampling.BICUBIC)
    picture = np.repeat(np.clip(np.asarray(enlarged), 0, 1)[..., None], 3, axis=2)
    for object_id, colour in colours.items():
        mask = np.pad(labels == object_id, 2)
        if not mask.any():
            continue
        rows, columns = (_span(np.asarray(mask.any(axis))) for axis in (1, 0))
        top = round((rows.start - 2) * zoom[0])
        left = round((columns.start - 2) * zoom[1])
        inside, edge = _enlarged(mask[rows, columns], zoom, line)
        # The margin of the mask may hang over the border of the picture.
        y0, x0 = max(-top, 0), max(-left, 0)
        part = picture[top + y0 :, left + x0 :][: inside.shape[0], : inside.shape[1]]
        inside = inside[y0:, x0:][: part.shape[0], : part.shape[1], None]
        edge = edge[y0:, x0:][: part.shape[0], : part.shape[1], None]
        part = part[: inside.shape[0], : inside.shape[1]]
        part += 0.24 * inside * (colour - part)
        part += edge * (colour - part)
    return Image.fromarray((np.clip(picture, 0, 1) * 255).astype(np.uint8))


def _span(used: NDArray[np.bool_]) -> slice:
    """From the first to the last True, and two more on either side."""
    positions = np.flatnonzero(used)
    return slice(int(positions[0]) - 2, int(positions[-1]) + 3)


def _enlarged(
    mask: NDArray[np.bool_], zoom: tuple[float, float], line: float
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """A mask enlarged with a smooth outline, and the opacity of a line along it."""
    from scipy import ndimage

    height, width = (round(n * z) for n, z in zip(mask.shape, zoom, strict=True))
    soft = Image.fromarray(ndimage.gaussian_filter(mask.astype(np.float32), 0.6))
    soft = soft.resize((width, height), Image.Resampling.BICUBIC)
    inside = np.asarray(soft) > 0.5
    depth = ndimage.distance_transform_edt(inside)
    edge = np.where(inside, np.clip(line + 0.5 - depth, 0, 1), 0)
    return inside, edge.astype(np.float32)


def _mark_clicks(
    picture: Image.Image, clicks_xy: Mapping[int, tuple[float, float]]
) -> None:
    draw = ImageDraw.Draw(picture)
    for x, y in clicks_xy.values():
        cx, cy = (x + 0.5) * _MAIN, (y + 0.5) * _MAIN
        for radius, fill in ((11, (0, 0, 0)), (9, (255, 255, 255)), (6, (30, 160, 60))):
            box = (cx - radius, cy - radius, cx + radius, cy + radius)
            draw.ellipse(box, fill=fill)


def _mark_slice(
    draw: ImageDraw.ImageDraw,
    left: int,
    top: int,
    section: Image.Image,
    frame: int,
    z: int,
) -> None:
    y = top + round((frame + 0.5) / z * section.height)
    for x in range(left, left + section.width, 16):
        draw.line((x, y, min(x + 8, left + section.width - 1), y), fill=_TEXT)


def _caption(draw: ImageDraw.ImageDraw, x: int, y: int, text: str) -> None:
    draw.text((x, y + 6), text, _DIM, ImageFont.load_default(17))


def _other_slices(length: int, frame: int) -> list[int]:
    """Six slices spread over the stack, half of them below the clicked one."""
    below = np.linspace(frame * 0.4, frame * 0.8, 3)
    above = frame + np.linspace(0.2, 0.75, 3) * (length - 1 - frame)
    return [round(float(i)) for i in (*below, *above)]


def _telling_rows(labels: NDArray[np.unsignedinteger], count: int) -> list[int]:
    """Rows whose side views show the most of objects that no row before shows."""
    areas: dict[int, NDArray[np.int64]] = {
        int(i): (labels == i).sum(axis=(0, 2)) for i in np.unique(labels) if i
    }
    chosen: list[int] = []
    while areas and len(chosen) < count:
        row = int(np.argmax(sum(areas.values())))
        chosen.append(row)
        areas = {i: a for i, a in areas.items() if a[row] < 0.4 * a.max()}
    return chosen or [labels.shape[1] // 2]
