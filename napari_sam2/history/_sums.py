"""Checksums of label planes that follow every change, so that others' changes show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from napari_sam2._labels import Patch
    from napari_sam2.history._ledger import Place

MASK = 2**64 - 1


class PlaneSums:
    """Checksums of the planes as the journal tells them.

    A checksum is linear in the labels: a change adds to it, whatever else there is in
    the plane, and an empty plane has 0; labels below 0 count as none. So every write
    keeps it right by looking at the changed pixels alone, and a plane whose own
    checksum is another one was changed by somebody else.

    Attributes
    ----------
    known : dict of Place to int
        Checksum by place; 0 where there is none.
    doubts : set of Place
        Where the labels may be others than the journal tells.
    """

    def __init__(self) -> None:
        self.known: dict[Place, int] = {}
        self.doubts: set[Place] = set()
        self._versions: dict[Place, int] = {}
        self._sealed: dict[Place, WeakSet[Any]] = {}

    def version(self, place: Place) -> int:
        """A number that grows with every change at a place."""
        return self._versions.get(place, 0)

    def take(self, patch: Patch, step: Any = None) -> None:
        """Pixels have changed on behalf of a step."""
        for place, difference in _differences(patch):
            self._versions[place] = self.version(place) + 1
            if step is not None and step in self._sealed.get(place, ()):
                self.doubts.add(place)
            else:
                self.add(place, difference)

    def add(self, place: Place, difference: int) -> None:
        """The journal has more, or less, at a place than was known."""
        self.known[place] = (self.known.get(place, 0) + difference) & MASK

    def seal(self, place: Place, total: int, steps: Iterable[Any]) -> None:
        """The journal tells the whole plane from here on.

        What becomes of these steps, which are older, makes no difference to it.
        """
        self.known[place] = total
        self._sealed[place] = WeakSet(steps)


def plane_sum(plane_hw: NDArray[Any]) -> int:
    """Checksum of a plane of labels, (H, W)."""
    plane = np.asarray(plane_hw)
    rows = np.flatnonzero(plane.any(axis=1))
    if rows.size == 0:
        return 0
    first, last = int(rows[0]), int(rows[-1]) + 1
    inside = _ids(plane[first:last]).view(np.uint64)
    sums = inside @ _factors(plane.shape[1], 1)
    return int((sums * _factors(last, 0)[first:]).sum())


def _differences(patch: Patch) -> Iterator[tuple[Place, int]]:
    """What a patch adds to the checksum of each place that it lies in."""
    rows, columns = np.nonzero(patch.changed())
    rows, columns = rows + patch.rows.start, columns + patch.columns.start
    gained = _ids(patch.new) - _ids(patch.old)
    values = gained.view(np.uint64)
    ndim = len(patch.position) + 2
    if patch.plane == (ndim - 2, ndim - 1):
        yield patch.position, _total(rows, columns, values)
        return
    rest = iter(patch.position)
    index: list[NDArray[Any]] = [
        np.full(rows.size, 0 if axis in patch.plane else next(rest))
        for axis in range(ndim)
    ]
    index[patch.plane[0]], index[patch.plane[1]] = rows, columns
    places, which = np.unique(np.stack(index[:-2], 1), axis=0, return_inverse=True)
    for number, place in enumerate(places):
        here = which.ravel() == number
        total = _total(index[-2][here], index[-1][here], values[here])
        yield tuple(int(i) for i in place), total


def _ids(labels: NDArray[Any]) -> NDArray[np.int64]:
    return np.maximum(labels.astype(np.int64), 0)


def _total(rows: NDArray[Any], columns: NDArray[Any], values: NDArray[Any]) -> int:
    if rows.size == 0:
        return 0
    down, across = _factors(int(rows.max()) + 1, 0), _factors(int(columns.max()) + 1, 1)
    return int((values * down[rows] * across[columns]).sum())


def _factors(count: int, axis: int) -> NDArray[np.uint64]:
    """Scrambled numbers, the same on every computer (splitmix64)."""
    mixed = np.arange(1 + (axis << 32), 1 + (axis << 32) + count, dtype=np.uint64)
    mixed = mixed * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray((mixed ^ (mixed >> np.uint64(31))) | np.uint64(1))
