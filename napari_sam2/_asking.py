"""Prompts as the engine takes them: arrays, masks in low resolution, their answers."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import binary_dilation

from napari_sam2._facts import measure, moved
from napari_sam2._hints import XY, Answer, Scores, inner_point
from napari_sam2._labels import combine
from napari_sam2._messages import PlaneMasks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_sam2._masks import PackedMask
    from napari_sam2._prompts import Key, ObjectPrompts

ADDS = 0.25  # of an outlined piece, at least, is not in the mask yet
PART = 2  # times as large is a mask, at least, of which an outline draws a piece


def point_arrays(
    prompts: ObjectPrompts, negative: Sequence[XY]
) -> tuple[NDArray[np.float32] | None, NDArray[np.int32] | None]:
    """The points of prompts and those that go along with them, as arrays."""
    points, labels = list(prompts.points_xy), list(prompts.point_labels)
    if points and prompts.start is not None:
        inside = inner_point(prompts.start.mask.unpack(), prompts)
        if inside is not None:
            points, labels = [*points, inside], [*labels, 1]
    points, labels = [*points, *negative], [*labels, *[0] * len(negative)]
    if not points:
        return None, None
    return np.asarray(points, np.float32), np.asarray(labels, np.int32)


def answer(
    session: Any,
    index: int,
    object_id: int,
    prompts: ObjectPrompts,
    shape: tuple[int, int],
    negative: Sequence[XY] = (),
    shown: PackedMask | None = None,
) -> Answer:
    """Give a session all prompts of an object in a frame; its mask and scores.

    Points refine an outline; a box beside an outline says nothing more. Where there is
    none, they correct what the labels have ``shown`` before them. Outlines that cut
    off or give back, and nothing else, leave the rest of that; outlines of a part of
    it, or of what the points lead to, add to it.
    """
    coordinates, labels = point_arrays(prompts, negative)
    before = None if shown is None else shown.unpack()
    mask, add = prompts.mask(shape), partial(session.add_prompts, index, object_id)
    if prompts.answer is not None:
        coordinates = None
    points = {"point_coords": coordinates, "point_labels": labels}
    seen = partial(add, **points, box=prompts.box_array(), shown=before)
    outlines, whole = prompts.drawn(shape).outlines, None
    others = replace(prompts, polygons_xy=(), cuts_xy=())
    if outlines and others.by_sight and not _is_denied(prompts, outlines):
        whole = _with_pieces(outlines, seen().masks[object_id])
    if whole is not None:
        mask, coordinates = whole, None
    elif outlines and before is not None:
        whole = _with_pieces(outlines, before)
        mask = mask if whole is None else whole
    elif not (outlines or others) and (mask is None or _is_some(before)):
        mask = before
    if mask is None:
        result = seen()
    else:
        result = add(mask=prompts.cut(mask))
        if coordinates is not None:
            result = add(**points, clear_old=False)
    iou = getattr(result, "scores", {}).get(object_id)
    presence = getattr(result, "object_scores", {}).get(object_id)
    return result.masks[object_id], Scores(iou, presence)


def _with_pieces(
    outlines: Sequence[NDArray[np.bool_]], before: NDArray[np.bool_]
) -> NDArray[np.bool_] | None:
    """The mask ``before`` outlines, with them; None unless each is a piece of it."""
    grown = before.copy()
    for piece in outlines:
        if not _is_part(piece, grown):
            return None
        grown |= piece
    return grown


def _is_some(mask: NDArray[np.bool_] | None) -> bool:
    return mask is not None and bool(mask.any())


def _is_denied(prompts: ObjectPrompts, outlines: Sequence[NDArray[np.bool_]]) -> bool:
    """Whether a negative point lies in an outline: the model says what is meant."""
    at = zip(prompts.points_xy, prompts.point_labels, strict=True)
    spots = [(round(y), round(x)) for (x, y), positive in at if not positive]
    return any(bool(outline[spot]) for outline in outlines for spot in spots)


def _is_part(mask: NDArray[np.bool_], before: NDArray[np.bool_]) -> bool:
    """Whether an outline is a missing piece of a mask, and not the object drawn anew.

    It touches the mask, has less than half its pixels, and enough of its own that the
    mask lacks: an outline within a mask draws what is right of it.
    """
    size = np.count_nonzero(mask)
    small = bool(PART * size < np.count_nonzero(before))
    adds = bool(np.count_nonzero(mask & ~before) >= ADDS * size)
    return small and adds and bool((binary_dilation(mask) & before).any())


def mask_box(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Bounding box of a mask, (4,) x0, y0, x1, y1."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return np.array([columns[0], rows[0], columns[-1], rows[-1]], np.float32)


def mask_logits(mask: NDArray[np.bool_], model: Any) -> NDArray[np.float32]:
    """A mask as the low-resolution logits the image predictor takes, (1, h, w)."""
    from skimage.transform import resize

    size = model.config.low_res_size
    soft = resize(mask.astype(np.float32), (size, size), order=1, anti_aliasing=True)
    return np.asarray((soft - 0.5) * 20, np.float32)[None]


def plane_masks(
    key: Key,
    mask: NDArray[np.bool_],
    prompts: ObjectPrompts,
    scores: Scores,
) -> PlaneMasks:
    """The mask of one object in one plane, as the answer to its prompts."""
    masks = {key.object_id: prompts.cut(mask)}
    ious = {} if scores.iou is None else {key.object_id: scores.iou}
    present = {} if scores.presence is None else {key.object_id: scores.presence}
    facts = measure(masks, ious, present, prompted={key.object_id})
    answers = {key.object_id: prompts}
    return PlaneMasks(key.plane, key.position, combine(masks), answers, facts)


def placed(
    masks: PlaneMasks, told: ObjectPrompts, corner: tuple[int, int]
) -> PlaneMasks:
    """The same, of a part of the plane that begins at ``corner``."""
    if corner == (0, 0):
        return replace(masks, prompts=dict.fromkeys(masks.prompts, told))
    facts = {i: moved(known, corner) for i, known in masks.facts.items()}
    prompts = dict.fromkeys(masks.prompts, told)
    return replace(masks, prompts=prompts, facts=facts, corner=corner)
