"""What napari tells of a stroke, plane by plane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2._labels import box_index

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray


@dataclass(frozen=True)
class Touched:
    """Pixels of one plane that a part of a stroke changed.

    Attributes
    ----------
    position : tuple of int
        Index along the axes outside the plane.
    rows, columns : slice
        A box around the pixels.
    inside : (h, w) bool
        Which pixels of the box.
    old : (n,) array
        Their values before.
    """

    position: tuple[int, ...]
    rows: slice
    columns: slice
    inside: NDArray[np.bool_]
    old: NDArray[Any]


def touched(atom: Any, plane: tuple[int, int]) -> Iterator[Touched]:
    """What an atom of napari's history of a labels layer says, plane by plane.

    Parameters
    ----------
    atom : tuple
        (indices, old, new), as of all edits before napari 0.8 and of
        ``Labels.data_setitem``; or (slices, mask or None, old, new).
    plane : (int, int)
        Axes of the planes wanted.
    """
    if len(atom) == 3:
        yield from _of_indices(atom[0], np.asarray(atom[1]), plane)
    else:
        yield from _of_mask(atom[0], atom[1], np.asarray(atom[2]), plane)


def before_and_after(
    data: Any, plane: tuple[int, int], parts: Iterable[Touched]
) -> tuple[NDArray[Any], NDArray[Any], slice, slice]:
    """A box of a plane before and after, with its rows and columns.

    ``parts`` are all of the same position, the newest first.
    """
    parts = list(parts)
    rows = _around([part.rows for part in parts])
    columns = _around([part.columns for part in parts])
    now = np.array(data[box_index(plane, parts[0].position, rows, columns)])
    before = now.copy()
    for part in parts:
        top, left = part.rows.start - rows.start, part.columns.start - columns.start
        height, width = part.inside.shape
        before[top : top + height, left : left + width][part.inside] = part.old
    return before, now, rows, columns


def _around(spans: list[slice]) -> slice:
    return slice(min(s.start for s in spans), max(s.stop for s in spans))


def _of_mask(
    slices: Any, mask: Any, old: NDArray[Any], plane: tuple[int, int]
) -> Iterator[Touched]:
    if mask is None:  # all of the box
        mask, values = np.ones(old.shape, bool), old
    else:
        values = np.zeros(mask.shape, old.dtype)
        values[mask] = old
    outside = [axis for axis in range(mask.ndim) if axis not in plane]
    rows, columns = (slice(int(slices[i].start), int(slices[i].stop)) for i in plane)
    mask, values = (np.moveaxis(a, plane, (-2, -1)) for a in (mask, values))
    for index in np.ndindex(mask.shape[:-2]):
        inside = mask[index]
        if inside.any():
            steps = zip(outside, index, strict=True)
            position = tuple(int(slices[axis].start) + i for axis, i in steps)
            yield Touched(position, rows, columns, inside, values[index][inside])


def _of_indices(
    indices: Any, old: NDArray[Any], plane: tuple[int, int]
) -> Iterator[Touched]:
    along = [np.asarray(index).ravel() for index in indices]
    outside = [axis for axis in range(len(along)) if axis not in plane]
    where = np.zeros((along[0].size, 1 + len(outside)), int)
    for number, axis in enumerate(outside):
        where[:, 1 + number] = along[axis]
    places, which = np.unique(where, axis=0, return_inverse=True)
    for number, place in enumerate(places):
        here = which.ravel() == number
        rows, columns = (along[axis][here] for axis in plane)
        top, left = int(rows.min()), int(columns.min())
        shape = int(rows.max()) + 1 - top, int(columns.max()) + 1 - left
        inside, values = np.zeros(shape, bool), np.zeros(shape, old.dtype)
        inside[rows - top, columns - left] = True
        values[rows - top, columns - left] = old.ravel()[here]
        yield Touched(
            tuple(int(i) for i in place[1:]),
            slice(top, top + shape[0]),
            slice(left, left + shape[1]),
            inside,
            values[inside],
        )
