"""Setting a part of a user's labels aside, to see when training goes too far."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sam2_core.errors import ImageError
from sam2_core.training.labelled_files import MIN_AREA, LabelledArrays

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sam2_core.training.labelled_files import Array

SHARE = 0.2
FEW = 3  # fewer images than these are cut in two instead of set aside whole
CUTS = (0.7, 0.5, 0.3)


def hold_out(
    data: Sequence[LabelledArrays], seed: int = 0
) -> tuple[list[LabelledArrays], list[LabelledArrays]]:
    """Split labelled images and stacks into a part to learn from and one to check with.

    Of three or more a fifth, at least one, is set aside as a whole. One or two are
    each cut: stacks along their frames, images across their longer side.

    Parameters
    ----------
    data : sequence of LabelledArrays
    seed : int
        Decides which are set aside.

    Returns
    -------
    learn, check : list of LabelledArrays
        Both with objects.

    Raises
    ------
    ImageError
        There are too few objects for two parts.
    """
    total = sum(count_objects(item.labels) for item in data)
    if total < 2:
        raise ImageError(
            "All labels together hold one object, but at least two are needed, one to "
            "learn from and one to check with; if they are black-and-white masks, give "
            "each object its own number."
        )
    if len(data) >= FEW:
        count = max(int(SHARE * len(data)), 1)
        chosen = np.random.default_rng(seed).choice(len(data), count, replace=False)
        learn = [item for k, item in enumerate(data) if k not in chosen]
        check = [item for k, item in enumerate(data) if k in chosen]
    else:
        parts = [_cut(item) for item in data]
        learn = [part for pair in parts for part in pair[:1]]
        check = [part for pair in parts for part in pair[1:]]
    if not all(any(count_objects(i.labels) for i in part) for part in (learn, check)):
        raise ImageError(
            "The labelled objects lie so that they cannot be divided into a part to "
            "learn from and one to check with: label more, or another image."
        )
    return learn, check


def count_objects(labels: Array) -> int:
    """Number of labels with enough pixels to be objects."""
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    return int((areas >= MIN_AREA).sum())


def _cut(item: LabelledArrays) -> tuple[LabelledArrays, ...]:
    """Both parts; the whole where no cut leaves objects in both."""
    for axis, place in _places(item):
        head, tail = (
            LabelledArrays(
                item.name,
                f"{item.title} ({where})",
                item.kind,
                item.image[part],
                item.labels[part],
            )
            for where, part in (
                ("first part", (slice(None),) * axis + (slice(place),)),
                ("last part", (slice(None),) * axis + (slice(place, None),)),
            )
        )
        if count_objects(head.labels) and count_objects(tail.labels):
            return head, tail
    return (item,)


def _places(item: LabelledArrays) -> Iterator[tuple[int, int]]:
    """Axes and places to cut at, the best first."""
    shape = item.labels.shape
    sides = sorted(range(len(shape) - 2, len(shape)), key=lambda k: -shape[k])
    axes = sides if item.kind == "2d" else [0, *sides]
    for axis in axes:
        for share in CUTS:
            place = round(share * shape[axis])
            if 0 < place < shape[axis]:
                yield axis, place
