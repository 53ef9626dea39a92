"""Prompts as the engine takes them: arrays, masks in low resolution, their answers."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import binary_dilation, label

from napari_sam2._labels import combine
from napari_sam2._masks import PackedMask
from napari_sam2._prompts import MaskPrompt, ObjectPrompts
from napari_sam2.asking._facts import measure, moved
from napari_sam2.asking._hints import XY, Answer, Scores, inner_point, spots
from napari_sam2.asking._messages import PlaneMasks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_sam2._prompts import Key

ADDS = 0.25  # of an outlined piece, at least, is not in the mask yet
PART = 2  # times as large is a mask, at least, of which an outline draws a piece
ABOUT = 3  # pixels between a click and what it changes, at most


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
    exact = prompts.exact(shape)
    drawn, rest = prompts.drawn(shape), prompts.without_outlines()
    others = replace(rest, cuts_xy=())
    if drawn.outlines and rest.positive and exact is None:
        told = index, object_id, rest, shape
        prompts = grown(prompts, answer(session, *told, negative, shown)[0])
    coordinates, labels = point_arrays(prompts, negative)
    before = None if shown is None else shown.unpack()
    mask, add = prompts.mask(shape), partial(session.add_prompts, index, object_id)
    if prompts.answer is not None:
        coordinates = None
    points = {"point_coords": coordinates, "point_labels": labels}
    if drawn.outlines and before is not None and prompts.start is None:
        whole = _with_pieces(drawn.outlines, before, prompts)
        mask = mask if whole is None else whole
    elif not (drawn.outlines or others) and (mask is None or _is_some(before)):
        mask = before
    if mask is None:
        result = add(**points, box=prompts.box_array(), shown=before)
    else:
        result = add(mask=prompts.cut(mask))
        if coordinates is not None:
            result = add(**points, clear_old=False)
    iou = getattr(result, "scores", {}).get(object_id)
    presence = getattr(result, "object_scores", {}).get(object_id)
    if exact is not None:
        return exact, Scores(iou, presence)  # the session may know it less finely
    found = result.masks[object_id]
    meant = prompts.cut(changed_about(found, prompts))
    if meant is not found and meant.any() and not np.array_equal(meant, found):
        found = add(mask=meant).masks[object_id]  # what is followed from here
    return found, Scores(iou, presence)


def changed_about(
    found: NDArray[np.bool_], prompts: ObjectPrompts
) -> NDArray[np.bool_]:
    """An answer that leaves alone what the user has drawn, but for what was clicked on.

    Of a mask that stands for itself, painted or made elsewhere, only those pieces
    change that a click lies in or beside: the rest is right, or would have been
    clicked on. Measured by ``benchmarks/corrected_masks.py``.
    """
    start = prompts.start
    if start is None or not start.given or prompts.box_xyxy or not prompts.points_xy:
        return found
    mask = prompts.mask((found.shape[0], found.shape[1]))
    assert mask is not None
    differs = found != mask
    rows, columns = np.flatnonzero(differs.any(1)), np.flatnonzero(differs.any(0))
    if not len(rows):
        return found
    top, left = rows[0], columns[0]  # planes may be large
    box = slice(top, rows[-1] + 1), slice(left, columns[-1] + 1)
    pieces = label(differs[box])[0]
    y, x = np.indices(pieces.shape, sparse=True)
    meant = set[int]()
    for at_x, at_y in prompts.points_xy:
        near = np.hypot(x + left - at_x, y + top - at_y) <= ABOUT
        meant.update(np.unique(pieces[near]).tolist())
    changed = np.isin(pieces, [*meant - {0}])
    mask[box][changed] = found[box][changed]
    return mask


def grown(prompts: ObjectPrompts, before: NDArray[np.bool_]) -> ObjectPrompts:
    """Prompts with missing pieces as the user drew them.

    Parameters
    ----------
    prompts : ObjectPrompts
        With outlines.
    before : (H, W) bool array
        The answer to all of them but the outlines.

    Returns
    -------
    ObjectPrompts
        ``before`` with the outlines, if these are pieces of it, takes their place; it
        is the answer, unless a negative point corrects a piece.
    """
    shape = before.shape[0], before.shape[1]
    mask = _with_pieces(prompts.drawn(shape).outlines, before, prompts)
    if mask is None:
        return prompts
    mask = prompts.cut(mask)
    wrong = any((mask & ~before)[spot] for spot in spots(prompts, shape, 0))
    answers = ObjectPrompts() if wrong else replace(prompts, start=None)
    return replace(prompts, start=MaskPrompt(PackedMask.of(mask), answers))


def _with_pieces(
    outlines: Sequence[NDArray[np.bool_]],
    before: NDArray[np.bool_],
    prompts: ObjectPrompts,
) -> NDArray[np.bool_] | None:
    """A mask with the outlines; None if they are not all pieces that it lacks."""
    mask = before.copy()
    for piece in outlines:
        if prompts.start is None and not _is_part(piece, mask, prompts):
            return None
        mask |= piece
    return mask


def _is_some(mask: NDArray[np.bool_] | None) -> bool:
    return mask is not None and bool(mask.any())


def _is_part(
    mask: NDArray[np.bool_], before: NDArray[np.bool_], prompts: ObjectPrompts
) -> bool:
    """Whether an outline is a missing piece of a mask, and not the object drawn anew.

    It touches the mask, and either leaves out a positive point, or has less than half
    the mask's pixels, and enough of its own that the mask lacks: an outline within a
    mask draws what is right of it.
    """
    if not (binary_dilation(mask) & before).any():
        return False
    size = np.count_nonzero(mask)
    small = bool(PART * size < np.count_nonzero(before))
    adds = bool(np.count_nonzero(mask & ~before) >= ADDS * size)
    return (small and adds) or not all(mask[at] for at in spots(prompts, mask.shape))


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
