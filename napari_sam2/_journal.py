"""What the model was asked, in order, so that the labels can be made again."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from napari_sam2._following import Plan
from napari_sam2._marks import Bounds
from napari_sam2._plan import on_line
from napari_sam2._prompts import Key, ObjectPrompts
from sam2_core.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from napari_sam2._engine import Engine
    from napari_sam2._images import LayerFrames
    from napari_sam2._messages import Choice

UNREADABLE = "This session file cannot be read"


@dataclass(eq=False)
class Entry:
    """One thing that was done.

    Attributes
    ----------
    do : str
        "predict", "propagate", "restore" (show what was there before a prompt),
        "erase" (an object from some frames), "clear" (an object from everywhere),
        "divide" (an object into its two parts) or "forget" (the prompts).
    what : dict
        The rest, in plain JSON.
    step : object
        The step of the history it belongs to; None after loading.
    fresh : bool
        Whether the engine began a new session of its frames for it.
    computed, written : int
        Planes that the model made, and those that came into the labels: fewer where
        the work was cancelled.
    undone : bool
        Whether it was taken back. The model saw it all the same.
    """

    do: str
    what: dict[str, Any]
    step: Any = None
    fresh: bool = False
    computed: int = 0
    written: int = 0
    undone: bool = False

    def as_json(self) -> dict[str, Any]:
        """The entry as it stands in a session file."""
        result = {"do": self.do, **self.what}
        if self.do in ("predict", "propagate"):
            result["written"] = self.written
            if self.computed != self.written:
                result["computed"] = self.computed
        if self.fresh:
            result["fresh"] = True
        if self.undone:
            result["undone"] = True
        return result

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Entry:
        """The inverse of :meth:`as_json`."""
        what = dict(content)
        do, fresh = str(what.pop("do")), bool(what.pop("fresh", False))
        undone, written = bool(what.pop("undone", False)), int(what.pop("written", 0))
        computed = int(what.pop("computed", written))
        return cls(do, what, None, fresh, computed, written, undone)


class Journal:
    """All entries of one labels layer, and what they refer to.

    Attributes
    ----------
    entries : list of Entry
        Oldest first.
    setups : list of dict
        Model, device, frames and value range; entries name theirs by number.
    """

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.setups: list[dict[str, Any]] = []
        self.prompts: dict[Key, ObjectPrompts] = {}  # as last told to the model

    # -- writing ------------------------------------------------------------------

    def predict(
        self,
        choice: Choice,
        frames: LayerFrames,
        prompts: Mapping[Key, ObjectPrompts],
        changed: Iterable[Key],
        keep: bool,
        step: Any,
    ) -> Entry:
        """Masks for the prompts that changed."""
        what = {"setup": self._setup(choice, frames), "keep_labels": keep}
        told = self._tell(frames, prompts)
        asked = sorted(changed, key=lambda key: (key.position, key.object_id))
        if list(map(_place, asked)) != [_at(p) for p in told.get("set", [])]:
            told["asked"] = [_place(key) for key in asked]
        return self._add(Entry("predict", what | told, step))

    def propagate(
        self,
        choice: Choice,
        frames: LayerFrames,
        prompts: Mapping[Key, ObjectPrompts],
        plan: Plan,
        keep: bool,
        step: Any,
    ) -> Entry:
        """The prompted objects through the frames."""
        what = {
            "setup": self._setup(choice, frames),
            "keep_labels": keep,
            **plan_as_json(plan),
            **self._tell(frames, prompts),
        }
        return self._add(Entry("propagate", what, step))

    def restore(self, key: Key, step: Any) -> None:
        """The last prompt of a key is gone."""
        self._add(Entry("restore", {"plane": list(key.plane), **_place(key)}, step))

    def erase(
        self, object_id: int, plane: tuple[int, int], positions: Any, step: Any
    ) -> None:
        """An object from some planes."""
        what = {
            "object": object_id,
            "plane": list(plane),
            "positions": [list(position) for position in positions],
        }
        self._add(Entry("erase", what, step))

    def divide(
        self,
        parent: int,
        daughters: tuple[int, int],
        plane: tuple[int, int],
        positions: Any,
        step: Any,
    ) -> None:
        """The two parts of an object get labels of their own."""
        what = {
            "object": parent,
            "daughters": list(daughters),
            "plane": list(plane),
            "positions": [list(position) for position in positions],
        }
        self._add(Entry("divide", what, step))

    def clear(self, object_id: int, plane: tuple[int, int], step: Any) -> None:
        """An object and all its prompts."""
        self._add(Entry("clear", {"object": object_id, "plane": list(plane)}, step))

    def forget(self) -> None:
        """The prompt layers are gone; what they made stays."""
        self._add(Entry("forget", {}))

    def flip(self, step: Any, undone: bool) -> None:
        """A step was undone, or done again."""
        for entry in self.entries:
            if entry.step is step:
                entry.undone = undone

    def _add(self, entry: Entry) -> Entry:
        self.entries.append(entry)
        return entry

    def _setup(self, choice: Choice, frames: LayerFrames) -> int:
        content = {
            "model": choice.model,
            "device": choice.device,
            "plane": list(frames.plane),
            "axis": frames.axis,
            "fixed": list(frames.fixed),
            "value_range": None if frames.limits is None else list(frames.limits),
        }
        if content not in self.setups:
            self.setups.append(content)
        return self.setups.index(content)

    def _tell(
        self, frames: LayerFrames, prompts: Mapping[Key, ObjectPrompts]
    ) -> dict[str, Any]:
        """How the prompts of a line differ from those told before."""
        here = Key(frames.plane, frames.position(0), 0)
        before = on_line(self.prompts, here, frames.axis)
        told: dict[str, Any] = {}
        new = [key for key, ask in prompts.items() if before.get(key) != ask]
        if new:
            told["set"] = [
                {**_place(key), **prompts_as_json(prompts[key])}
                for key in sorted(new, key=lambda k: (k.position, k.object_id))
            ]
        gone = [key for key in before if key not in prompts]
        if gone:
            told["unset"] = [_place(key) for key in gone]
        for key in before:
            del self.prompts[key]
        self.prompts.update(prompts)
        return told

    # -- reading ------------------------------------------------------------------

    def as_json(self) -> dict[str, Any]:
        """Setups and steps as they stand in a session file."""
        return {
            "setups": self.setups,
            "steps": [entry.as_json() for entry in self.entries if _counts(entry)],
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Journal:
        """The inverse of :meth:`as_json`; ImageError if it is no journal."""
        journal = cls()
        try:
            journal.setups = [dict(setup) for setup in content["setups"]]
            journal.entries = [Entry.from_json(step) for step in content["steps"]]
        except (KeyError, TypeError, ValueError) as error:
            raise ImageError(f"{UNREADABLE}: {error!r} in its steps.") from error
        return journal

    def told(self, entry: Entry) -> tuple[dict[Key, ObjectPrompts], frozenset[Key]]:
        """Prompts on the line of an entry after it was told, and those asked for.

        To be called once for each entry, in order.
        """
        setup = self.setups[entry.what["setup"]]
        plane, axis = (setup["plane"][0], setup["plane"][1]), setup["axis"]
        for place in entry.what.get("unset", ()):
            self.prompts.pop(_key(plane, place), None)
        given = entry.what.get("set", ())
        for place in given:
            self.prompts[_key(plane, place)] = prompts_from_json(place)
        asked = frozenset(_key(plane, p) for p in entry.what.get("asked", given))
        position = list(setup["fixed"])
        if axis is not None:
            ndim = len(position) + 3
            others = [i for i in range(ndim) if i not in plane]
            position.insert(others.index(axis), 0)
        here = Key(plane, tuple(position), 0)
        return on_line(self.prompts, here, axis), asked


def watch(entry: Entry, engine: Engine, items: Iterator[Any]) -> Iterator[Any]:
    """Iterate over an engine's answer and count it; runs in the worker."""
    from napari_sam2._messages import PlaneMasks

    before = engine.opened
    for item in items:
        entry.fresh = engine.opened != before
        entry.computed += isinstance(item, PlaneMasks)
        yield item
    entry.fresh = engine.opened != before


def count_written(entries: Sequence[Entry]) -> None:
    """A plane that a job made came into the labels; ``entries`` are those of the job.

    The worker may be ahead, also in the next entry.
    """
    for entry in entries:
        if entry.written < entry.computed:
            entry.written += 1
            return


def prompts_as_json(prompts: ObjectPrompts) -> dict[str, Any]:
    """Prompts in plain JSON: those of their fields that say something."""
    content = {
        name: value
        for name, value in asdict(prompts).items()
        if value not in ((), None)
    }
    if "points_xy" in content:
        labels = content.pop("point_labels")
        xy = content.pop("points_xy")
        content["points"] = [[*p, n] for p, n in zip(xy, labels, strict=True)]
    return content


def prompts_from_json(content: Mapping[str, Any]) -> ObjectPrompts:
    """The inverse of :func:`prompts_as_json`."""
    known = {field.name for field in fields(ObjectPrompts)}
    values = {name: _frozen(content[name]) for name in known if name in content}
    if "points" in content:
        values["points_xy"] = tuple((p[0], p[1]) for p in content["points"])
        values["point_labels"] = tuple(int(p[2]) for p in content["points"])
    return ObjectPrompts(**values)


def plan_as_json(plan: Plan) -> dict[str, Any]:
    """A plan in plain JSON."""
    content: dict[str, Any] = {
        "direction": plan.direction,
        "start": plan.start,
        "stop": plan.stop,
        "patience": plan.patience,
        "here": plan.here,
    }
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


def _counts(entry: Entry) -> bool:
    """Leave out work that was stopped before anything came of it."""
    asks = entry.do in ("predict", "propagate")
    return not asks or entry.computed > 0 or entry.fresh or _tells(entry)


def _tells(entry: Entry) -> bool:
    return "set" in entry.what or "unset" in entry.what


def _place(key: Key) -> dict[str, Any]:
    return {"object": key.object_id, "position": list(key.position)}


def _at(content: Mapping[str, Any]) -> dict[str, Any]:
    return {"object": content["object"], "position": content["position"]}


def _key(plane: tuple[int, int], place: Mapping[str, Any]) -> Key:
    position = tuple(int(i) for i in place["position"])
    return Key(plane, position, int(place["object"]))


def _frozen(value: Any) -> Any:
    return tuple(_frozen(v) for v in value) if isinstance(value, list) else value
