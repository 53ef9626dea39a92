"""Prompts as they stand in the layers, per plane and object."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2._drawing import count_finished, finished_rows
from napari_sam2._layers import POLARITIES, View
from napari_sam2._outlines import (
    Drawn,
    Polygon,
    ellipse_outline,
    rasterise,
    scribble_points,
)
from sam2_core.errors import PromptError
from sam2_core.prompts import box_fits

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from napari.layers import Points, Shapes
    from numpy.typing import NDArray

    from napari_sam2._masks import PackedMask


@dataclass(frozen=True)
class Key:
    """Where prompts belong: a plane of the image, and an object."""

    plane: tuple[int, int]
    position: tuple[int, ...]
    object_id: int

    @property
    def place(self) -> tuple[tuple[int, int], tuple[int, ...]]:
        """Plane and position."""
        return self.plane, self.position


@dataclass(frozen=True)
class ObjectPrompts:
    """All prompts for one object in one plane, comparable and safe to hand to a thread.

    Attributes
    ----------
    points_xy : tuple of (x, y)
        Pixels; integers are pixel centres.
    point_labels : tuple of int
        1 positive, 0 negative; as many as points.
    box_xyxy : (x0, y0, x1, y1) or None
        The newest rectangle.
    polygons_xy : tuple of polygons
        Outlines whose union is the mask prompt.
    cuts_xy : tuple of polygons
        Outlines that the object does not enter, unless they are drawn over.
    start : MaskPrompt or None
        A mask that the other prompts correct.
    before_cuts : tuple of int
        How many outlines were there before each cut; () if all were.
    """

    points_xy: tuple[tuple[float, float], ...] = ()
    point_labels: tuple[int, ...] = ()
    box_xyxy: tuple[float, float, float, float] | None = None
    polygons_xy: tuple[Polygon, ...] = ()
    cuts_xy: tuple[Polygon, ...] = ()
    start: MaskPrompt | None = None
    before_cuts: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        drawn = self.points_xy or self.box_xyxy or self.polygons_xy or self.cuts_xy
        return bool(drawn or self.start)

    @property
    def positive(self) -> bool:
        """Whether anything says where the object is, and not only where it is not."""
        return bool(
            any(self.point_labels) or self.box_xyxy or self.polygons_xy or self.start
        )

    @property
    def by_sight(self) -> bool:
        """Whether the image alone can say what is meant: no mask does."""
        seen = any(self.point_labels) or self.box_xyxy
        return bool(seen and not self.polygons_xy and not self.start)

    @property
    def answer(self) -> PackedMask | None:
        """The mask these prompts started from, if since then only outlines were added.

        Those say themselves what becomes of it.
        """
        if self.start is None or self._seen != self.start.answers._seen:
            return None
        return self.start.mask

    @property
    def _seen(self) -> tuple[Any, ...]:
        return self.points_xy, self.point_labels, self.box_xyxy

    def extends(self, earlier: ObjectPrompts) -> bool:
        """Whether all of the earlier prompts are still among these."""
        points = set(zip(self.points_xy, self.point_labels, strict=True))
        return (
            points.issuperset(zip(earlier.points_xy, earlier.point_labels, strict=True))
            and earlier.box_xyxy in (None, self.box_xyxy)
            and set(self.polygons_xy).issuperset(earlier.polygons_xy)
            and set(self.cuts_xy).issuperset(earlier.cuts_xy)
        )

    def without_outlines(self) -> ObjectPrompts:
        """The same but for what draws the object, or a part of it."""
        start = self.start
        if start is not None:
            start = replace(start, answers=start.answers.without_outlines())
        return replace(self, polygons_xy=(), before_cuts=(), start=start)

    def with_point(self, xy: tuple[float, float], positive: bool) -> ObjectPrompts:
        """The same and one more point."""
        labels = (*self.point_labels, int(positive))
        return replace(self, points_xy=(*self.points_xy, xy), point_labels=labels)

    def box_array(self) -> NDArray[np.float32] | None:
        """The box as (4,) x0, y0, x1, y1; None without one."""
        return None if self.box_xyxy is None else np.asarray(self.box_xyxy, np.float32)

    def drawn(self, shape: tuple[int, int]) -> Drawn:
        """What the outlines and cuts come to; a start is what those before it did."""
        if self.start is None or not (self.polygons_xy or self.cuts_xy):
            return Drawn.of(self._in_order(), shape)
        known = {*self.start.answers._in_order()}
        before = self.start.answers.drawn(shape).in_mask(self.start.mask.unpack())
        later = (one for one in self._in_order() if one not in known)
        return Drawn.of(later, shape, before)

    def _in_order(self) -> Iterator[tuple[Polygon, bool]]:
        outlines, at = self.polygons_xy, 0
        before = self.before_cuts or (len(outlines),) * len(self.cuts_xy)
        for cut, number in zip(self.cuts_xy, before, strict=True):
            yield from ((outline, True) for outline in outlines[at:number])
            yield cut, False
            at = number
        yield from ((outline, True) for outline in outlines[at:])

    def mask(self, shape: tuple[int, int]) -> NDArray[np.bool_] | None:
        """The mask prompt, (H, W) bool; None without a start and polygons.

        What gives back a part says where the object is if nothing else does.
        """
        if not self.polygons_xy and self.start is None:
            return None
        drawn = self.drawn(shape)
        told = self.points_xy or self.box_xyxy or drawn.outlines
        mask = np.zeros(shape, bool) if told else drawn.given
        for outline in drawn.outlines:
            mask |= outline
        if self.start is not None:
            return mask | self.start.mask.unpack()
        return mask if mask.any() else None

    def exact(self, shape: tuple[int, int]) -> NDArray[np.bool_] | None:
        """The mask that these prompts say to the pixel, (H, W) bool; None if none."""
        mask = None if self.answer is None else self.mask(shape)
        return None if mask is None else self.cut(mask)

    def cut(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """An (H, W) mask without what was cut off, and with what was given back."""
        if not self.cuts_xy:
            return mask
        drawn = self.drawn((mask.shape[0], mask.shape[1]))
        return mask & ~drawn.denied | drawn.given


@dataclass(frozen=True)
class MaskPrompt:
    """A mask to start from: painted, made elsewhere, or chosen among candidates.

    Attributes
    ----------
    mask : PackedMask
        The object in its plane.
    answers : ObjectPrompts
        Prompts that led to the mask, to which it is the answer. Without them it is
        void. Empty for a mask that stands for itself.
    """

    mask: PackedMask
    answers: ObjectPrompts = field(default_factory=ObjectPrompts)

    @property
    def given(self) -> bool:
        """Whether it is a prompt of its own, and not what others led to."""
        return not self.answers

    def serves(self, prompts: ObjectPrompts) -> bool:
        """Whether prompts start from it: none is gone, no box says otherwise since."""
        box = prompts.box_xyxy
        if box is None or box == self.answers.box_xyxy or prompts.polygons_xy:
            return prompts.extends(self.answers)
        return box_fits(box, self.mask.bounds()) and prompts.extends(self.answers)


@dataclass
class _Draft:
    """Prompts of one key while they are being collected."""

    points: list[tuple[float, float]] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    box: tuple[float, float, float, float] | None = None
    polygons: list[Polygon] = field(default_factory=list)
    cuts: list[Polygon] = field(default_factory=list)
    before: list[int] = field(default_factory=list)  # outlines, of each cut

    def finished(self) -> ObjectPrompts:
        later = any(number < len(self.polygons) for number in self.before)
        return ObjectPrompts(
            tuple(self.points),
            tuple(self.labels),
            self.box,
            tuple(self.polygons),
            tuple(self.cuts),
            before_cuts=tuple(self.before) if later else (),
        )


def collect(
    points: Points,
    shapes: Shapes,
    shape: tuple[int, ...],
    masks: Mapping[Key, MaskPrompt] | None = None,
) -> dict[Key, ObjectPrompts]:
    """Read every prompt from the two layers, and what they start from.

    Parameters
    ----------
    points, shapes : napari layers
        With the features ``object_id``, ``plane`` and ``polarity``; in the data
        coordinates of the image. A shape that is being drawn is none yet.
    shape : tuple of int
        Shape of the image at full resolution. Points outside are left out.
    masks : mapping, optional
        Masks to start from; those that are void are left out.

    Returns
    -------
    dict
        Prompts per plane and object; keys without prompts do not occur.

    Raises
    ------
    PromptError
        If a shape lies across several frames.
    """
    drafts: dict[Key, _Draft] = {}
    table = points.features
    for coordinates, tag, object_id, polarity in zip(
        points.data, table["plane"], table["object_id"], table["polarity"], strict=True
    ):
        _take_point(drafts, coordinates, shape, tag, int(object_id), polarity)
    table, drawn = finished_rows(shapes), count_finished(shapes)
    for vertices, kind, tag, object_id, polarity in zip(
        shapes.data[:drawn],
        shapes.shape_type[:drawn],
        table["plane"],
        table["object_id"],
        table["polarity"],
        strict=True,
    ):
        positive = polarity == POLARITIES[0]
        _take_shape(drafts, vertices, kind, shape, tag, int(object_id), positive)
    prompts = {key: draft.finished() for key, draft in drafts.items()}
    for key, start in (masks or {}).items():
        given = prompts.get(key, ObjectPrompts())
        if start.serves(given):
            prompts[key] = replace(given, start=start)
    return prompts


def positive_keys(prompts: Mapping[Key, ObjectPrompts]) -> list[Key]:
    """Where prompts show an object, and do not only take away from it."""
    return [key for key, ask in prompts.items() if ask.positive]


def keys_of(layer: Points | Shapes) -> list[Key]:
    """Where each prompt of a layer belongs."""
    table, keys = layer.features, []
    for data, tag, object_id in zip(
        layer.data, table["plane"], table["object_id"], strict=True
    ):
        view = view_at(np.atleast_2d(data)[0], tag, layer.ndim)
        keys.append(Key(view.plane, view.position, int(object_id)))
    return keys


def view_at(coordinates: NDArray[Any], tag: str, ndim: int) -> View:
    """The plane a coordinate lies in, from the axes noted with the prompt."""
    first, _, second = str(tag).partition("-")
    plane = (int(first), int(second)) if second else (ndim - 2, ndim - 1)
    rounded = np.floor(np.asarray(coordinates) + 0.5).astype(int)
    position = tuple(int(rounded[i]) for i in range(ndim) if i not in plane)
    return View(plane, position, ndim)


def _draft(drafts: dict[Key, _Draft], view: View, object_id: int) -> _Draft:
    key = Key(view.plane, view.position, object_id)
    return drafts.setdefault(key, _Draft())


def _inside(view: View, shape: tuple[int, ...]) -> bool:
    return all(
        0 <= i < shape[axis] for i, axis in zip(view.position, view.others, strict=True)
    )


def _take_point(
    drafts: dict[Key, _Draft],
    coordinates: NDArray[Any],
    shape: tuple[int, ...],
    tag: str,
    object_id: int,
    polarity: str,
) -> None:
    rounded = np.floor(np.asarray(coordinates) + 0.5)
    if object_id < 1 or (rounded < 0).any() or (rounded >= shape).any():
        return
    view = view_at(coordinates, tag, len(shape))
    draft = _draft(drafts, view, object_id)
    row, column = (float(coordinates[i]) for i in view.plane)
    draft.points.append((column, row))
    draft.labels.append(1 if polarity == "positive" else 0)


def _take_shape(
    drafts: dict[Key, _Draft],
    vertices: NDArray[Any],
    kind: str,
    shape: tuple[int, ...],
    tag: str,
    object_id: int,
    positive: bool,
) -> None:
    view = view_at(vertices[0], tag, len(shape))
    if object_id < 1 or not _inside(view, shape):
        return
    others = vertices[:, list(view.others)]
    if (np.floor(others + 0.5) != np.array(view.position)).any():
        raise PromptError("A shape lies across several frames; draw it in one.")
    xy = vertices[:, [view.plane[1], view.plane[0]]].astype(float)
    height, width = (shape[i] for i in view.plane)
    if kind in ("line", "path"):
        draft = _draft(drafts, view, object_id)
        for x, y in scribble_points(xy):
            if 0 <= round(x) < width and 0 <= round(y) < height:
                draft.points.append((x, y))
                draft.labels.append(int(positive))
        return
    if kind == "rectangle" and positive:
        low = np.clip(xy.min(0), 0, (width - 1, height - 1))
        high = np.clip(xy.max(0), 0, (width - 1, height - 1))
        if (high - low >= 1).all():
            x0, y0, x1, y1 = (float(v) for v in (*low, *high))
            _draft(drafts, view, object_id).box = (x0, y0, x1, y1)
        return
    outline = ellipse_outline(xy) if kind == "ellipse" else xy
    if len(outline) >= 3:
        polygon = tuple((float(x), float(y)) for x, y in outline)
        if rasterise((polygon,), (height, width)).any():
            draft = _draft(drafts, view, object_id)
            if positive:
                draft.polygons.append(polygon)
            else:
                draft.before.append(len(draft.polygons))
                draft.cuts.append(polygon)
