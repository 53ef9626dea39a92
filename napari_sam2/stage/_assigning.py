"""New prompts that are objects of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2._drawing import count_finished
from napari_sam2._prompts import keys_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari.layers import Shapes

    from napari_sam2.history._snapshots import Snapshot
    from napari_sam2.stage._stage import Stage

AREAS = ("rectangle", "ellipse", "polygon")


def assign(
    stage: Stage,
    before: Snapshot | None,
    each: bool,
    current: int,
    following: int,
    told: bool = False,
    taken: bool = False,
) -> list[int]:
    """Give prompts that were just added their objects.

    Boxes are positive rectangles. One that arrives alone is for the current object,
    unless that has a box in the same plane; several are one object each. With ``each``,
    so are positive points, boxes and outlines. The first of them is the current object
    if that has neither prompts nor pixels yet. Negative points and scribbles go to the
    newest object.

    Parameters
    ----------
    stage : Stage
        Its prompt layers are changed in place.
    before : Snapshot or None
        The prompts without the new ones.
    each : bool
        Whether one prompt is one object.
    current, following : int
        The object that prompts are for, and the first free id.
    told : bool
        Whether a box that arrives alone takes the place of the current object's.
    taken : bool
        Whether the current object has pixels.

    Returns
    -------
    list of int
        Objects that the new prompts were given, in order; empty if all are for the
        current one.
    """
    if before is None or stage.points is None or stage.shapes is None:
        return []
    new_points = range(len(before.points), len(stage.points.data))
    new_shapes = range(len(before.shapes), count_finished(stage.shapes))
    kinds = [str(kind) for kind in stage.shapes.shape_type]
    boxes = _boxes(stage.shapes, new_shapes)
    if not each and len(boxes) < 2:
        rivals = _rivals(stage.shapes, boxes, len(before.shapes)) if boxes else []
        if told and rivals:
            with stage.quiet():
                stage.shapes.remove(rivals)
        if told or not rivals:
            return []
    ids = _ids(current, following, not taken and current not in _used(before))
    given: list[int] = []
    newest = current
    with stage.quiet():
        for layer, indices in ((stage.points, new_points), (stage.shapes, new_shapes)):
            column = layer.features.columns.get_loc("object_id")
            positive = layer.features["polarity"].to_numpy() == "positive"
            for i in indices:
                starts = layer is stage.points or kinds[i] in AREAS
                alone = each and positive[i] and starts
                if alone or (layer is stage.shapes and i in boxes):
                    newest = next(ids)
                    given.append(newest)
                layer.features.iloc[i, column] = newest
    return given


def _rivals(shapes: Shapes, boxes: list[int], number: int) -> list[int]:
    """Boxes among the first shapes that have object and plane in common with others."""
    keys = keys_of(shapes)
    taken = {keys[i] for i in boxes}
    return [i for i in _boxes(shapes, range(number)) if keys[i] in taken]


def _boxes(shapes: Shapes, rows: range) -> list[int]:
    """Which of the shapes are positive rectangles."""
    kinds, polarity = shapes.shape_type, shapes.features["polarity"].to_numpy()
    return [
        i for i in rows if str(kinds[i]) == "rectangle" and polarity[i] == "positive"
    ]


def _used(before: Snapshot) -> set[int]:
    tables = (before.point_features, before.shape_features)
    drawn = {int(i) for table in tables for i in np.unique(table["object_id"])}
    return drawn | {key.object_id for key in before.masks}


def _ids(current: int, following: int, is_free: bool) -> Iterator[Any]:
    if is_free:
        yield current
    while True:
        yield following
        following += 1
