"""Parts of a plane that are looked at by themselves, and prompts as seen in them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_sam2._masks import PackedMask
from napari_sam2._prompts import MaskPrompt, ObjectPrompts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_sam2._images import Region
    from napari_sam2._outlines import Polygon

MOST_GROWTH = 2  # times that a region doubles for an object that it cuts


@dataclass(frozen=True)
class Looked:
    """Part of a plane that the model was shown last."""

    plane: tuple[int, int]
    position: tuple[int, ...]
    region: Region


def around(
    region: tuple[float, float, float, float], side: float, hw: tuple[int, int]
) -> Region:
    """A region made ``side`` long at least in both directions, within the plane."""
    ends = []
    for first, last, limit in zip(region[:2], region[2:], hw[::-1], strict=True):
        length = min(max(last - first, side), limit)
        start = min(max((first + last - length) / 2, 0), limit - length)
        low = int(np.floor(start))
        ends.append((low, min(limit, int(np.ceil(start + length)))))
    (x0, x1), (y0, y1) = ends
    return x0, y0, x1, y1


def doubled(region: Region, hw: tuple[int, int]) -> Region:
    """A region about the same place, twice as wide and high where there is room."""
    x0, y0, x1, y1 = region
    width, height = (x1 - x0) / 2, (y1 - y0) / 2
    return around((x0 - width, y0 - height, x1 + width, y1 + height), 0, hw)


def cuts(region: Region, mask: NDArray[np.bool_], hw: tuple[int, int]) -> bool:
    """Whether a mask, (h, w), goes on beyond the region it was found in."""
    x0, y0, x1, y1 = region
    edges = (
        (mask[0], y0 > 0),
        (mask[-1], y1 < hw[0]),
        (mask[:, 0], x0 > 0),
        (mask[:, -1], x1 < hw[1]),
    )
    return any(inner and bool(edge.any()) for edge, inner in edges)


def extent(prompts: ObjectPrompts) -> tuple[float, float, float, float] | None:
    """Box x0, y0, x1, y1 of all that says where an object is, or is not."""
    xy = [*prompts.points_xy]
    if prompts.box_xyxy is not None:
        xy += [prompts.box_xyxy[:2], prompts.box_xyxy[2:]]
    for outline in prompts.polygons_xy:
        xy += outline
    if prompts.start is not None:
        box = prompts.start.mask.bounds()
        xy += [box[:2], box[2:]] if box is not None else []
    if not xy:
        return None
    low, high = np.min(xy, 0), np.max(xy, 0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def excerpt(prompts: ObjectPrompts, region: Region) -> ObjectPrompts:
    """Prompts in pixels of a region."""
    x0, y0, x1, y1 = region

    def moved(xy: Polygon) -> Polygon:
        return tuple((x - x0, y - y0) for x, y in xy)

    box, start = prompts.box_xyxy, prompts.start
    if box is not None:
        box = (box[0] - x0, box[1] - y0, box[2] - x0, box[3] - y0)
    if start is not None:
        part = start.mask.within(slice(y0, y1), slice(x0, x1))
        start = MaskPrompt(PackedMask.of(part), excerpt(start.answers, region))
    return replace(
        prompts,
        points_xy=moved(prompts.points_xy),
        box_xyxy=box,
        polygons_xy=tuple(moved(outline) for outline in prompts.polygons_xy),
        cuts_xy=tuple(moved(outline) for outline in prompts.cuts_xy),
        start=start,
    )
