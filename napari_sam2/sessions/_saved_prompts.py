"""Prompts, marks and notes as plain JSON, per object and frame, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from napari_sam2._prompts import Key, MaskPrompt, view_at
from napari_sam2.following._marks import Mark
from napari_sam2.history._object_notes import Notes
from napari_sam2.history._plain_json import key_at, start_as_json, start_from_json
from napari_sam2.history._snapshots import Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_sam2.following._divisions import Answers

OF_A_SHAPE = ("type", "xy", "negative")
OWN = ("polarity", "object_id", "plane")  # columns that have a place of their own


def objects_as_json(
    snapshot: Snapshot | None,
    marks: Iterable[Mark],
    notes: Notes,
    ndim: int,
) -> list[dict[str, Any]]:
    """Everything the user said, sorted by object and frame.

    Parameters
    ----------
    snapshot : Snapshot or None
        Content of the prompt layers, and masks to start from.
    marks : iterable of Mark
        Where objects are absent or end.
    notes : Notes
        Names, locks, visibility; objects without prompts are listed if they have any.
    ndim : int
        Axes of the image.
    """
    found: dict[tuple[int, str, tuple[int, ...]], dict[str, Any]] = {}
    if snapshot is not None:
        rows = _rows(snapshot.point_features)
        for at, features in zip(snapshot.points, rows, strict=True):
            frame, view = _frame(found, at, features, ndim)
            y, x = (float(at[i]) for i in view.plane)
            positive = features["polarity"] == "positive"
            point = [x, y, int(positive)]
            frame.setdefault("points", []).append(point + _rest(features))
        rows = _rows(snapshot.shape_features)
        for vertices, kind, features in zip(
            snapshot.shapes, snapshot.shape_types, rows, strict=True
        ):
            frame, view = _frame(found, vertices[0], features, ndim)
            xy = vertices[:, [view.plane[1], view.plane[0]]].astype(float).tolist()
            shape = {"type": kind, "xy": xy}
            if features["polarity"] == "negative":
                shape["negative"] = True
            more = _rest(features)
            frame.setdefault("shapes", []).append(shape | (more[0] if more else {}))
        for key, start in snapshot.masks.items():
            _frame_at(found, key)["mask"] = start_as_json(start)
    objects: dict[int, dict[str, Any]] = {}
    for (object_id, _, _), frame in sorted(found.items(), key=lambda item: item[0]):
        _object(objects, object_id)["prompts"].append(frame)
    for mark in marks:
        content = {
            "kind": mark.kind,
            "plane": list(mark.plane),
            "position": list(mark.position),
        }
        _object(objects, mark.object_id).setdefault("marks", []).append(content)
    for object_id, name in notes.names.items():
        _object(objects, object_id)["name"] = name
    for word in ("locked", "hidden"):
        for object_id in getattr(notes, word):
            _object(objects, object_id)[word] = True
    return [objects[i] for i in sorted(objects)]


def snapshot_from_json(objects: Sequence[Mapping[str, Any]], ndim: int) -> Snapshot:
    """Content of the prompt layers, as :func:`objects_as_json` saw it."""
    points: list[NDArray[Any]] = []
    point_rows: list[dict[str, Any]] = []
    shapes: list[NDArray[Any]] = []
    kinds: list[str] = []
    shape_rows: list[dict[str, Any]] = []
    masks: dict[Key, MaskPrompt] = {}
    for thing in objects:
        for frame in thing["prompts"]:
            plane = (int(frame["plane"][0]), int(frame["plane"][1]))
            row = {"object_id": int(thing["id"]), "plane": f"{plane[0]}-{plane[1]}"}
            for x, y, label, *more in frame.get("points", ()):
                points.append(_full([(x, y)], plane, frame["position"], ndim)[0])
                polarity = "positive" if label else "negative"
                point_rows.append({"polarity": polarity, **row, **_first(more)})
            for shape in frame.get("shapes", ()):
                shapes.append(_full(shape["xy"], plane, frame["position"], ndim))
                kinds.append(str(shape["type"]))
                polarity = "negative" if shape.get("negative") else "positive"
                more = {k: v for k, v in shape.items() if k not in OF_A_SHAPE}
                shape_rows.append({"polarity": polarity, **row, **more})
            if "mask" in frame:
                key = key_at(plane, {"object": thing["id"], **frame})
                masks[key] = start_from_json(frame["mask"])
    return Snapshot(
        np.array(points, float).reshape(-1, ndim),
        _table(point_rows, ["polarity", "object_id", "plane"]),
        tuple(shapes),
        tuple(kinds),
        _table(shape_rows, ["polarity", "object_id", "plane"]),
        masks,
    )


def marks_from_json(objects: Sequence[Mapping[str, Any]]) -> list[Mark]:
    """The marks of all objects."""
    return [
        Mark(
            int(thing["id"]),
            (mark["plane"][0], mark["plane"][1]),
            tuple(mark["position"]),
            str(mark["kind"]),
        )
        for thing in objects
        for mark in thing.get("marks", ())
    ]


def answers_as_json(answers: Answers) -> list[dict[str, Any]]:
    """Answers to "did it divide?", by parent and frame."""
    return [
        {"parent": parent, "frame": frame}
        | ({"daughter": daughter} if daughter else {})
        | {"daughters": list(daughters)}
        for (parent, frame, daughter), daughters in sorted(answers.items())
    ]


def answers_from_json(content: Iterable[Mapping[str, Any]]) -> Answers:
    """The inverse of :func:`answers_as_json`."""
    answers: Answers = {}
    for answer in content:
        daughters = tuple(int(i) for i in answer["daughters"])
        # Files of the first versions do not say which daughter was asked about.
        known = daughters[0] if len(daughters) == 1 else 0
        asked = int(answer.get("daughter", known))
        answers[int(answer["parent"]), int(answer["frame"]), asked] = daughters
    return answers


def notes_from_json(objects: Sequence[Mapping[str, Any]]) -> Notes:
    """Names, locks and visibility of all objects."""
    return Notes(
        {int(t["id"]): str(t["name"]) for t in objects if t.get("name")},
        frozenset(int(t["id"]) for t in objects if t.get("locked")),
        frozenset(int(t["id"]) for t in objects if t.get("hidden")),
    )


def _object(objects: dict[int, dict[str, Any]], object_id: int) -> dict[str, Any]:
    empty = {"id": object_id, "name": "", "prompts": []}
    return objects.setdefault(object_id, empty)


def _frame_at(found: dict[Any, dict[str, Any]], key: Key) -> dict[str, Any]:
    tag = f"{key.plane[0]}-{key.plane[1]}"
    empty = {"plane": list(key.plane), "position": list(key.position)}
    return found.setdefault((key.object_id, tag, key.position), empty)


def _frame(
    found: dict[tuple[int, str, tuple[int, ...]], dict[str, Any]],
    at: NDArray[Any],
    features: Mapping[str, Any],
    ndim: int,
) -> tuple[dict[str, Any], Any]:
    view = view_at(at, features["plane"], ndim)
    key = Key(view.plane, view.position, int(features["object_id"]))
    return _frame_at(found, key), view


def _full(
    xy: Sequence[Sequence[float]],
    plane: tuple[int, int],
    position: Sequence[int],
    ndim: int,
) -> NDArray[np.float64]:
    full = np.empty((len(xy), ndim))
    full[:, [i for i in range(ndim) if i not in plane]] = position
    full[:, [plane[1], plane[0]]] = xy
    return full


def _rows(table: Any) -> list[dict[str, Any]]:
    """A table as one dict of plain values per row."""
    columns = {name: table[name].tolist() for name in table.columns}
    return [
        dict(zip(columns, values, strict=True))
        for values in zip(*columns.values(), strict=True)
    ]


def _rest(features: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Columns that others added, as plain values; [] without any."""
    more = {name: value for name, value in features.items() if name not in OWN}
    return [more] if more else []


def _first(more: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    return more[0] if more else {}


def _table(rows: list[dict[str, Any]], columns: list[str]) -> pd.DataFrame:
    table = pd.DataFrame(rows) if rows else pd.DataFrame(columns=columns)
    return table.astype({"object_id": int})
