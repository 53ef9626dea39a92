"""Everything the user has drawn, at one moment, to go back to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2._drawing import count_finished, finished_rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari.layers import Points, Shapes
    from numpy.typing import NDArray

    from napari_sam2._prompts import Key, MaskPrompt


@dataclass(frozen=True)
class Snapshot:
    """Complete content of both prompt layers and the masks, to go back to."""

    points: NDArray[Any]
    point_features: Any
    shapes: tuple[NDArray[Any], ...]
    shape_types: tuple[str, ...]
    shape_features: Any
    masks: Mapping[Key, MaskPrompt] = field(default_factory=dict)


@dataclass(frozen=True)
class Moment:
    """What there is beside the labels, at one moment.

    Attributes
    ----------
    prompts : Snapshot or None
        Content of the prompt layers.
    object_id : int
        Selected object.
    names : dict of int to str
        Names of objects.
    """

    prompts: Snapshot | None = None
    object_id: int = 0
    names: dict[int, str] = field(default_factory=dict)


def snapshot(
    points: Points, shapes: Shapes, masks: Mapping[Key, MaskPrompt] | None = None
) -> Snapshot:
    """Copy the content of both layers, but for a shape that is being drawn."""
    drawn = count_finished(shapes)
    return Snapshot(
        np.array(points.data),
        points.features.copy(),
        tuple(np.array(v) for v in shapes.data[:drawn]),
        tuple(str(kind) for kind in shapes.shape_type[:drawn]),
        finished_rows(shapes).copy(),
        dict(masks or {}),
    )


def restore(saved: Snapshot, points: Points, shapes: Shapes) -> None:
    """Put the layers' part of a snapshot back. Block their data events around it."""
    points.selected_data = set()
    points.data = saved.points
    points.features = saved.point_features.copy()
    shapes.selected_data = set()
    shapes.remove(list(range(len(shapes.data))))
    if saved.shapes:
        shapes.add(list(saved.shapes), shape_type=list(saved.shape_types))
        shapes.features = saved.shape_features.copy()


def emptied(saved: Snapshot) -> Snapshot:
    """The same layers without any prompt."""
    points, shapes = saved.point_features[:0], saved.shape_features[:0]
    return Snapshot(saved.points[:0], points, (), (), shapes)


def same_prompts(a: Snapshot, b: Snapshot, object_id: int) -> bool:
    """Whether an object has the same points and shapes in two snapshots."""

    def drawn(saved: Snapshot) -> Any:
        mine = saved.point_features["object_id"].to_numpy() == object_id
        shaped = saved.shape_features["object_id"].to_numpy() == object_id
        outlines = [
            v.tolist() for v, own in zip(saved.shapes, shaped, strict=True) if own
        ]
        return saved.points[mine].tolist(), outlines

    return bool(drawn(a) == drawn(b))
