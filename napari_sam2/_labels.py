"""Writing masks into a Labels layer, and taking them back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2._layers import plane_index
from napari_sam2._masks import PackedMask
from sam2_core.errors import PromptError
from sam2_core.label_files import combine_masks

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from napari.layers import Labels
    from numpy.typing import NDArray

LARGEST_ID = int(np.iinfo(np.uint32).max)  # masks are uint32; labels may be wider


@dataclass(frozen=True)
class Patch:
    """Pixels of one plane that a write changed.

    Attributes
    ----------
    plane, position
        Which plane of the labels.
    rows, columns : slice
        Bounding box of the change.
    packed : (n,) uint8
        Bits of the changed pixels inside the bounding box.
    old, new : (k,) arrays
        Values of those pixels before and after.
    """

    plane: tuple[int, int]
    position: tuple[int, ...]
    rows: slice
    columns: slice
    packed: NDArray[np.uint8]
    old: NDArray[Any]
    new: NDArray[Any]

    @property
    def nbytes(self) -> int:
        """Memory that remembering this takes."""
        return self.packed.nbytes + self.old.nbytes + self.new.nbytes

    def changed(self) -> NDArray[np.bool_]:
        """Changed pixels of the bounding box, bool."""
        shape = (
            self.rows.stop - self.rows.start,
            self.columns.stop - self.columns.start,
        )
        bits = np.unpackbits(self.packed, count=shape[0] * shape[1])
        return np.asarray(bits.reshape(shape), bool)


@dataclass(frozen=True)
class Rules:
    """What a mask may do to labels that are there.

    Attributes
    ----------
    keep_others : bool
        Whether pixels of other labels stay.
    only_empty : bool
        Whether pixels of the object itself that others drew stay, too.
    locked : frozenset of int
        Labels that neither lose nor gain pixels.
    parts : bool
        Whether parts of the object itself that others drew stay where it is followed,
        unless new masks take their place: labels not linked are other objects there.
    """

    keep_others: bool = True
    only_empty: bool = False
    locked: frozenset[int] = frozenset()
    parts: bool = False

    @classmethod
    def chosen(cls, writing: str, neighbours: bool, locked: frozenset[int]) -> Rules:
        """As the dock says it: who stays out of neighbours overwrites none."""
        return cls(neighbours or writing != "overwrite", writing == "empty", locked)


def combine(masks: Mapping[int, NDArray[np.bool_]]) -> NDArray[np.uint32]:
    """One image of object ids from masks; where they overlap, the lower id wins.

    Parameters
    ----------
    masks : dict of int to (H, W) bool
        At least one.

    Returns
    -------
    (H, W) uint32
        0 where there is no object.
    """
    height, width = next(iter(masks.values())).shape
    return combine_masks(masks, (height, width))


def check_id(labels: Labels, object_id: int) -> None:
    """PromptError if the labels' type cannot hold the id."""
    dtype = labels.data.dtype
    if not np.iinfo(dtype).min <= object_id <= np.iinfo(dtype).max:
        raise PromptError(
            f"{labels.name!r} holds {dtype} numbers and cannot take label {object_id}; "
            "choose a new labels layer."
        )


def check_new(labels: Labels, object_id: int) -> None:
    """PromptError if no new object can have the id in these labels."""
    check_id(labels, object_id)
    if object_id > LARGEST_ID:
        raise PromptError(
            f"Masks have labels up to {LARGEST_ID}, so there is none left for a new "
            "object; choose a new labels layer."
        )


def too_large(name: str) -> str:
    """Why an object of this name, whose label no mask can have, is not prompted."""
    return (
        f"{name} cannot be prompted, as masks have labels up to {LARGEST_ID}; merge it "
        "with a smaller label first."
    )


def read_mask(
    labels: Labels, plane: tuple[int, int], position: tuple[int, ...], object_id: int
) -> NDArray[np.bool_]:
    """Where a plane of the labels has ``object_id``, (H, W) bool."""
    plane_hw = np.asarray(labels.data[plane_index(plane, position)])
    return np.asarray(plane_hw == object_id)


def untouched(
    labels: Labels,
    plane: tuple[int, int],
    position: tuple[int, ...],
    object_id: int,
    mask: PackedMask,
    ids: NDArray[np.integer[Any]],
) -> PackedMask | None:
    """Parts of an object's mask that a plane still has and new masks leave to it.

    A part goes where the object's own new mask meets it, or new masks take half of it.

    Parameters
    ----------
    ids : (H, W) integer array
        Masks that are about to be written, as object ids.

    Returns
    -------
    PackedMask or None
        None if there are no such parts.
    """
    from scipy.ndimage import label

    whole = mask.unpack()
    high, wide = np.flatnonzero(whole.any(1)), np.flatnonzero(whole.any(0))
    if not high.size:
        return None
    rows, columns = slice(high[0], high[-1] + 1), slice(wide[0], wide[-1] + 1)
    now = np.asarray(labels.data[box_index(plane, position, rows, columns)])
    left = whole[rows, columns] & (now == object_id)
    parts, number = label(left)
    new = ids[rows, columns]
    taken = np.bincount(parts[new > 0], minlength=number + 1)
    gone = 2 * taken >= np.bincount(parts.ravel(), minlength=number + 1)
    gone[np.unique(parts[new == object_id])] = True
    left &= ~gone[parts] & (new == 0)
    corner = int(high[0]), int(wide[0])
    return PackedMask.of(left, corner, mask.shape) if left.any() else None


def write_plane(
    labels: Labels,
    plane: tuple[int, int],
    position: tuple[int, ...],
    ids: NDArray[np.integer[Any]],
    objects: Iterable[int],
    keep_others: bool = True,
    locked: Collection[int] = (),
    corner: tuple[int, int] = (0, 0),
) -> Patch | None:
    """Make a plane of the labels show new masks for some objects.

    The layer is changed in place and not refreshed.

    Parameters
    ----------
    labels : napari.layers.Labels
        Writable.
    plane, position
        Which plane.
    ids : (H, W) integer array
        New masks, as object ids; 0 elsewhere.
    objects : iterable of int
        Objects that ``ids`` speaks about. Their old pixels are cleared; all other
        labels stay. Pixels below 0 are background.
    keep_others : bool
        Whether pixels of other labels may not be taken over.
    locked : collection of int
        Labels whose pixels stay in any case.
    corner : (int, int)
        Row and column of the first pixel of ``ids``; outside there are no new masks.

    Returns
    -------
    Patch or None
        What changed; None if nothing did.
    """
    whole = np.asarray(labels.data[plane_index(plane, position)])
    objects = list(objects)
    rows, columns = _reach(whole, ids.shape, corner, objects)
    if (rows.stop - rows.start, columns.stop - columns.start) != ids.shape:
        top, left = corner[0] - rows.start, corner[1] - columns.start
        wider = np.zeros(whole[rows, columns].shape, ids.dtype)
        wider[top : top + ids.shape[0], left : left + ids.shape[1]] = ids
        ids = wider
    current = whole[rows, columns]
    own = np.zeros(current.shape, bool)
    for object_id in objects:
        own |= current == object_id
    target = np.where(own, 0, current).astype(current.dtype, copy=False)
    paint = ids > 0
    if keep_others:
        paint &= target <= 0
    np.copyto(target, ids, where=paint, casting="unsafe")
    if locked:
        kept = np.isin(current, list(locked))
        target[kept] = current[kept]
    return _store(labels, plane, position, target, (rows.start, columns.start))


def _reach(
    whole: NDArray[Any],
    shape: tuple[int, ...],
    corner: tuple[int, int],
    objects: Iterable[int],
) -> tuple[slice, slice]:
    """Rows and columns that new masks of a part of a plane may change.

    These are the part, and all pixels that the objects have so far.
    """
    top, left, bottom, right = *corner, corner[0] + shape[0], corner[1] + shape[1]
    for object_id in objects if whole.shape != shape else ():
        own = whole == object_id
        rows = np.flatnonzero(own.any(1))
        if rows.size:
            top, bottom = min(top, int(rows[0])), max(bottom, int(rows[-1]) + 1)
            columns = np.flatnonzero(own[rows[0] : rows[-1] + 1].any(0))
            left, right = min(left, int(columns[0])), max(right, int(columns[-1]) + 1)
    return slice(top, bottom), slice(left, right)


def relabel(
    labels: Labels,
    plane: tuple[int, int],
    position: tuple[int, ...],
    table: Mapping[int, int],
) -> Patch | None:
    """Turn labels of a plane into others (0 erases); returns what changed."""
    current = np.asarray(labels.data[plane_index(plane, position)])
    target = current.copy()
    for old, new in table.items():
        target[current == old] = new
    return _store(labels, plane, position, target)


def difference(
    plane: tuple[int, int],
    position: tuple[int, ...],
    before: NDArray[Any],
    after: NDArray[Any],
    corner: tuple[int, int] = (0, 0),
) -> Patch | None:
    """Patch from one (H, W) state of a plane to another; None if they are equal.

    Both may be a part of it, whose first row and column are its ``corner``.
    """
    changed = before != after
    rows = np.flatnonzero(changed.any(1))
    if rows.size == 0:
        return None
    columns = np.flatnonzero(changed.any(0))
    box = (
        slice(int(rows[0]), int(rows[-1]) + 1),
        slice(int(columns[0]), int(columns[-1]) + 1),
    )
    inside = changed[box]
    packed = np.packbits(inside)
    old, new = before[box][inside], after[box][inside]
    top, left = corner
    placed = slice(box[0].start + top, box[0].stop + top)
    beside = slice(box[1].start + left, box[1].stop + left)
    return Patch(plane, position, placed, beside, packed, old, new)


def _store(
    labels: Labels,
    plane: tuple[int, int],
    position: tuple[int, ...],
    target: NDArray[Any],
    corner: tuple[int, int] = (0, 0),
) -> Patch | None:
    top, left = corner
    current = np.asarray(labels.data[plane_index(plane, position)])
    current = current[top : top + target.shape[0], left : left + target.shape[1]]
    patch = difference(plane, position, current, target, corner)
    if patch is not None:
        rows = slice(patch.rows.start - top, patch.rows.stop - top)
        columns = slice(patch.columns.start - left, patch.columns.stop - left)
        labels.data[_box_index(patch)] = target[rows, columns]
    return patch


def put(labels: Labels, patch: Patch) -> Patch | None:
    """Give the pixels of a patch its new values, whatever they are; what changed."""
    current = np.asarray(labels.data[plane_index(patch.plane, patch.position)])
    target = current.copy()
    target[patch.rows, patch.columns][patch.changed()] = patch.new
    return _store(labels, patch.plane, patch.position, target)


def replay(labels: Labels, patch: Patch, back: bool) -> Patch | None:
    """Undo a patch in place, or do it again.

    Pixels that somebody else has changed meanwhile are left alone.

    Parameters
    ----------
    labels : napari.layers.Labels
        Writable.
    patch : Patch
        What was changed.
    back : bool
        From the new values to the old ones, instead of the other way.

    Returns
    -------
    Patch or None
        What changed now.
    """
    index = _box_index(patch)
    box = np.array(labels.data[index])
    changed = patch.changed()
    values = box[changed]
    here, there = (patch.new, patch.old) if back else (patch.old, patch.new)
    same = values == here
    if not same.any():
        return None
    box[changed] = np.where(same, there, values)
    labels.data[index] = box
    if same.all():
        return replace(patch, old=here, new=there)
    changed[changed] = same
    return replace(patch, packed=np.packbits(changed), old=here[same], new=there[same])


def box_index(
    plane: tuple[int, int], position: tuple[int, ...], rows: slice, columns: slice
) -> tuple[int | slice, ...]:
    """Index of a part of a plane alone: labels on disk are written in chunks."""
    index = list(plane_index(plane, position))
    index[plane[0]], index[plane[1]] = rows, columns
    return tuple(index)


def _box_index(patch: Patch) -> tuple[int | slice, ...]:
    return box_index(patch.plane, patch.position, patch.rows, patch.columns)


def refresh(labels: Labels) -> None:
    """Redraw the layer cheaply."""
    labels.refresh(extent=False, thumbnail=False, highlight=False)


def first_free_id(labels: Labels) -> int:
    """Smallest id above all labels that masks can have (1 for an empty layer)."""
    data = labels.data
    parts = (data[i] for i in range(data.shape[0])) if data.ndim > 2 else (data,)
    return 1 + max(_largest(np.asarray(part)) for part in parts)


def _largest(values: NDArray[Any]) -> int:
    largest = int(values.max(initial=0))
    if largest > LARGEST_ID:
        largest = int(values.max(initial=0, where=values <= LARGEST_ID))
    return largest
