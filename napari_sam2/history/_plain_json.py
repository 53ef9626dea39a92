"""Prompts, masks, rules and plans in plain JSON, for session files."""

from __future__ import annotations

import base64
import zlib
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2._labels import Patch, Rules
from napari_sam2._masks import PackedMask
from napari_sam2._prompts import Key, MaskPrompt, ObjectPrompts
from napari_sam2.following._following import Plan
from napari_sam2.following._marks import Bounds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray


WRITING = {  # the dock's word: keep_others, only_empty
    "keep": (True, False),
    "overwrite": (False, False),
    "empty": (True, True),
}


def prompts_as_json(prompts: ObjectPrompts) -> dict[str, Any]:
    """Prompts in plain JSON: those of their fields that say something."""
    content = {field.name: getattr(prompts, field.name) for field in fields(prompts)}
    content = {
        name: _listed(value)
        for name, value in content.items()
        if value not in ((), None)
    }
    if "points_xy" in content:
        labels = content.pop("point_labels")
        xy = content.pop("points_xy")
        content["points"] = [[*p, n] for p, n in zip(xy, labels, strict=True)]
    if prompts.start is not None:
        content["start"] = start_as_json(prompts.start)
    return content


def prompts_from_json(content: Mapping[str, Any]) -> ObjectPrompts:
    """The inverse of :func:`prompts_as_json`."""
    known = {field.name for field in fields(ObjectPrompts)} - {"start"}
    values = {name: _frozen(content[name]) for name in known if name in content}
    if "points" in content:
        values["points_xy"] = tuple((p[0], p[1]) for p in content["points"])
        values["point_labels"] = tuple(int(p[2]) for p in content["points"])
    if "start" in content:
        values["start"] = start_from_json(content["start"])
    return ObjectPrompts(**values)


def start_as_json(start: MaskPrompt) -> dict[str, Any]:
    """A mask prompt in plain JSON."""
    answers = prompts_as_json(start.answers)
    return mask_as_json(start.mask) | ({"answers": answers} if answers else {})


def start_from_json(content: Mapping[str, Any]) -> MaskPrompt:
    """The inverse of :func:`start_as_json`."""
    answers = prompts_from_json(content.get("answers", {}))
    return MaskPrompt(mask_from_json(content), answers)


def mask_as_json(mask: PackedMask) -> dict[str, Any]:
    """A mask in plain JSON; its bits are zlib's, in base64."""
    content: dict[str, Any] = {
        "shape": list(mask.shape),
        "bits": base64.b64encode(mask.data).decode(),
    }
    if mask.box is not None:
        content["box"] = list(mask.box)
    return content


def mask_from_json(content: Mapping[str, Any]) -> PackedMask:
    """The inverse of :func:`mask_as_json`."""
    height, width = content["shape"]
    box = tuple(content["box"]) if "box" in content else None
    return PackedMask((height, width), base64.b64decode(content["bits"]), box)


def rules_as_json(rules: Rules) -> dict[str, Any]:
    """What was allowed to happen to labels that were there."""
    kind = rules.keep_others, rules.only_empty
    word = next((word for word, value in WRITING.items() if value == kind), "empty")
    locked = {"locked": sorted(rules.locked)} if rules.locked else {}
    parts = {"parts": True} if rules.parts else {}
    return {"writing": word, **locked, **parts}


def rules_from_json(content: Mapping[str, Any]) -> Rules:
    """The inverse of :func:`rules_as_json`."""
    locked = frozenset(int(i) for i in content.get("locked", ()))
    return Rules(*WRITING[content["writing"]], locked, content.get("parts", False))


def plan_as_json(plan: Plan) -> dict[str, Any]:
    """A plan in plain JSON."""
    content: dict[str, Any] = {
        "direction": plan.direction,
        "start": plan.start,
        "stop": plan.stop,
        "patience": plan.patience,
        "here": plan.here,
    }
    if plan.only is not None:
        content["only"] = sorted(plan.only)
    if plan.changes:
        content["changes"] = True
    if plan.bounds:
        content["bounds"] = [
            {"object": i, "first": b.low, "last": b.high, "absent": sorted(b.absent)}
            for i, b in plan.bounds.items()
        ]
    if plan.shown:
        content["shown"] = [
            {"object": i, "ranges": ranges(plan.shown[i])} for i in plan.shown
        ]
    return content


def plan_from_json(content: Mapping[str, Any]) -> Plan:
    """The inverse of :func:`plan_as_json`."""
    bounds = {
        int(b["object"]): Bounds(b["first"], b["last"], frozenset(b["absent"]))
        for b in content.get("bounds", ())
    }
    shown = {
        int(s["object"]): frozenset(i for a, b in s["ranges"] for i in range(a, b + 1))
        for s in content.get("shown", ())
    }
    return Plan(
        content["start"],
        content["stop"],
        content["direction"],
        content["patience"],
        content["here"],
        bounds,
        shown,
        frozenset(content["only"]) if "only" in content else None,
        bool(content.get("changes")),
    )


def ranges(indices: Iterable[int]) -> list[list[int]]:
    """Whole numbers as runs [first, last]: 1, 2, 3, 7 gives [[1, 3], [7, 7]]."""
    runs: list[list[int]] = []
    for index in sorted(indices):
        if runs and index == runs[-1][1] + 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return runs


def labels_as_json(labels: NDArray[Any]) -> dict[str, Any]:
    """Labels of a plane, (H, W), in plain JSON; those below 0 as background."""
    ids = np.ascontiguousarray(np.maximum(labels, 0), "<u4")
    return {"shape": list(ids.shape), "bits": _packed(ids.tobytes())}


def labels_from_json(content: Mapping[str, Any]) -> NDArray[np.uint32]:
    """The inverse of :func:`labels_as_json`, (H, W) uint32."""
    ids = np.frombuffer(_unpacked(content["bits"]), "<u4")
    return ids.reshape(content["shape"])


def sums_as_json(sums: Iterable[int]) -> str:
    """Checksums of planes in plain JSON."""
    return _packed(np.array(list(sums), "<u8").tobytes())


def sums_from_json(text: str) -> NDArray[np.uint64]:
    """The inverse of :func:`sums_as_json`, (n,) uint64."""
    return np.frombuffer(_unpacked(text), "<u8")


def patch_as_json(patch: Patch) -> dict[str, Any]:
    """Pixels that were painted, in plain JSON, without what was there before."""
    return {
        "plane": list(patch.plane),
        "position": list(patch.position),
        "rows": [patch.rows.start, patch.rows.stop],
        "columns": [patch.columns.start, patch.columns.stop],
        "pixels": _packed(patch.packed.tobytes()),
        "values": _packed(np.maximum(patch.new, 0).astype("<u4").tobytes()),
    }


def patch_from_json(content: Mapping[str, Any]) -> Patch:
    """The inverse of :func:`patch_as_json`; what was there before is not known."""
    values = np.frombuffer(_unpacked(content["values"]), "<u4")
    return Patch(
        (content["plane"][0], content["plane"][1]),
        tuple(content["position"]),
        slice(*content["rows"]),
        slice(*content["columns"]),
        np.frombuffer(_unpacked(content["pixels"]), np.uint8),
        np.zeros_like(values),
        values,
    )


def _packed(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, 6)).decode()


def _unpacked(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text))


def place(key: Key) -> dict[str, Any]:
    """Object and position of a key; the plane stands elsewhere."""
    return {"object": key.object_id, "position": list(key.position)}


def key_at(plane: tuple[int, int], content: Mapping[str, Any]) -> Key:
    """The inverse of :func:`place`."""
    position = tuple(int(i) for i in content["position"])
    return Key(plane, position, int(content["object"]))


def _listed(value: Any) -> Any:
    """The inverse of :func:`_frozen`."""
    return [_listed(part) for part in value] if isinstance(value, tuple) else value


def _frozen(value: Any) -> Any:
    return tuple(_frozen(v) for v in value) if isinstance(value, list) else value
