"""Where every label is: pixels per object and frame, kept by differences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from psygnal import Signal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from napari_sam2._labels import Patch

Place: TypeAlias = tuple[int, ...]
"""Index along all axes but the last two."""

FEW_LABELS = 10**6


class Ledger:
    """Areas of all labels of a layer, without looking at the layer again.

    ``changed`` is emitted where the methods are called.

    Attributes
    ----------
    touched : set of Place
        Where something has changed since the ledger was cleared.
    uncounted : dict of Place to None
        Where it is not known yet what there is, in order.
    """

    changed = Signal()
    completed = Signal()  # nothing is uncounted any more

    def __init__(self) -> None:
        self._planes: dict[Place, dict[int, int]] = {}
        self._places: dict[int, set[Place]] = {}
        self.touched: set[Place] = set()
        self.uncounted: dict[Place, None] = {}

    @property
    def ids(self) -> list[int]:
        """Labels that have any pixels, ascending."""
        return sorted(self._places)

    @property
    def highest(self) -> int:
        """Largest label, 0 if there is none."""
        return max(self._places, default=0)

    def places(self, object_id: int) -> list[Place]:
        """Where a label has pixels, in order."""
        return sorted(self._places.get(object_id, ()))

    def extent(self, object_id: int) -> int:
        """Number of places where a label has pixels."""
        return len(self._places.get(object_id, ()))

    def on(self, place: Place) -> dict[int, int]:
        """Pixels of each label at a place."""
        return dict(self._planes.get(place, {}))

    def area(self, object_id: int, place: Place) -> int:
        """Pixels of a label at a place."""
        return self._planes.get(place, {}).get(object_id, 0)

    def clear(self, uncounted: Iterable[Place] = ()) -> None:
        """Forget everything; these places are to be counted."""
        self.uncounted = dict.fromkeys(uncounted)
        self._planes.clear()
        self._places.clear()
        self.touched.clear()
        self.changed.emit()

    def count(self, place: Place, counts: dict[int, int]) -> None:
        """These labels, and no others, are at a place."""
        news = place in self.uncounted
        self.uncounted.pop(place, None)
        known = self._planes.get(place, {})
        if known != counts:
            for object_id in known.keys() | counts.keys():
                gained = counts.get(object_id, 0) - known.get(object_id, 0)
                self._add(place, object_id, gained)
            self.changed.emit()
        if news and not self.uncounted:
            self.completed.emit()

    def take(self, patch: Patch) -> None:
        """Pixels have changed."""
        for place, object_id, difference in differences(patch):
            self._add(place, object_id, difference)
            self.touched.add(place)
        self.changed.emit()

    def _add(self, place: Place, object_id: int, difference: int) -> None:
        if object_id <= 0 or difference == 0:
            return
        known = self._planes.setdefault(place, {})
        area = known.get(object_id, 0) + difference
        places = self._places.setdefault(object_id, set())
        if area > 0:
            known[object_id] = area
            places.add(place)
        else:
            known.pop(object_id, None)
            places.discard(place)
        if not places:
            del self._places[object_id]


def count_labels(plane_hw: NDArray[Any]) -> dict[int, int]:
    """Pixels of each label in a plane, without the background: 0 and below."""
    plane = np.asarray(plane_hw)
    flat = plane[plane.any(axis=-1)].ravel()  # most rows of most planes are empty
    if flat.size and int(flat.min()) < 0:  # such as the borders of a watershed
        flat = flat[flat > 0]
    if flat.size and int(flat.max()) < FEW_LABELS:
        counts = np.bincount(flat.astype(np.intp, copy=False))
        ids = np.flatnonzero(counts)
        counts = counts[ids]
    else:
        ids, counts = np.unique(flat, return_counts=True)
    return {int(i): int(n) for i, n in zip(ids, counts, strict=True) if i > 0}


def count_plane(data: Any, place: Place) -> dict[int, int]:
    """Pixels of each label at a place; none where it cannot be read."""
    try:
        plane = np.asarray(data[place])
    except Exception:  # noqa: BLE001  lazy arrays raise whatever their files do
        return {}
    return count_labels(plane)


def differences(patch: Patch) -> Iterator[tuple[Place, int, int]]:
    """(place, label, pixels gained) of a patch, whatever plane it lies in."""
    ndim = len(patch.position) + 2
    if patch.plane == (ndim - 2, ndim - 1):
        for values, sign in ((patch.old, -1), (patch.new, 1)):
            ids, counts = np.unique(values, return_counts=True)
            for object_id, n in zip(ids, counts, strict=True):
                yield patch.position, int(object_id), sign * int(n)
        return
    rows, columns = np.nonzero(patch.changed())
    rest = iter(patch.position)
    index: list[NDArray[Any]] = [
        np.full(rows.size, 0 if axis in patch.plane else next(rest))
        for axis in range(ndim)
    ]
    index[patch.plane[0]] = rows + patch.rows.start
    index[patch.plane[1]] = columns + patch.columns.start
    for values, sign in ((patch.old, -1), (patch.new, 1)):
        table = np.stack([*index[:-2], values.astype(np.int64)])
        found, counts = np.unique(table, axis=1, return_counts=True)
        for column, n in zip(found.T, counts, strict=True):
            *place, object_id = (int(v) for v in column)
            yield tuple(place), object_id, sign * int(n)
