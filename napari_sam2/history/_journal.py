"""What the model was asked, in order, so that the labels can be made again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import WeakKeyDictionary

from napari_sam2._prompts import Key, ObjectPrompts
from napari_sam2.history._entry import Entry
from napari_sam2.history._plain_json import (
    key_at,
    labels_as_json,
    labels_from_json,
    mask_as_json,
    mask_from_json,
    patch_as_json,
    place,
    plan_as_json,
    prompts_as_json,
    prompts_from_json,
)
from napari_sam2.history._plan import on_line
from napari_sam2.picture._channels import Blend
from napari_sam2.picture._sources import Sources
from sam2_core.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_sam2._images import LayerFrames
    from napari_sam2._labels import Patch
    from napari_sam2._masks import PackedMask
    from napari_sam2.asking._messages import Choice
    from napari_sam2.following._following import Plan
    from napari_sam2.picture._image_reference import ImageReference

Others: TypeAlias = "Mapping[tuple[tuple[int, int], tuple[int, ...]], NDArray[Any]]"
"""Labels, (H, W), by plane and position."""

UNREADABLE = "This session file cannot be read"


class Journal:
    """All entries of one labels layer, and what they refer to.

    Attributes
    ----------
    entries : list of Entry
        Oldest first.
    setups : list of dict
        Model, device, frames and value range; entries name theirs by number.
    sources : Sources
        Images that the model saw: labels may be shared by several.
    """

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.setups: list[dict[str, Any]] = []
        self.sources = Sources()
        self.prompts: dict[Key, ObjectPrompts] = {}  # as last told to the model
        self.shown: dict[Key, PackedMask] = {}  # what the labels showed before these
        self._of: WeakKeyDictionary[Any, list[Entry]] = WeakKeyDictionary()

    @property
    def worked(self) -> bool:
        """Whether there is more than pixels from elsewhere."""
        return any(entry.do != "found" for entry in self.entries)

    # -- writing ------------------------------------------------------------------

    def predict(
        self,
        choice: Choice,
        frames: LayerFrames,
        prompts: Mapping[Key, ObjectPrompts],
        changed: Iterable[Key],
        others: Others,
        step: Any,
        shown: Mapping[Key, PackedMask],
    ) -> Entry:
        """Masks for the prompts that changed, which do not enter ``others``.

        ``shown`` is what the labels showed before the prompts.
        """
        what: dict[str, Any] = {"setup": self._setup(choice, frames)}
        places = {(key.plane, key.position) for key in changed}
        near = [(at, others[at]) for at in sorted(places) if at in others]
        if near:
            what["others"] = [
                {"position": list(at[1]), **labels_as_json(labels)}
                for at, labels in near
            ]
        told = self._tell(frames, prompts, shown)
        asked = sorted(changed, key=lambda key: (key.position, key.object_id))
        if list(map(place, asked)) != [_at(p) for p in told.get("set", [])]:
            told["asked"] = [place(key) for key in asked]
        return self._add(Entry("predict", what | told), step)

    def propagate(
        self,
        choice: Choice,
        frames: LayerFrames,
        prompts: Mapping[Key, ObjectPrompts],
        plan: Plan,
        step: Any,
        shown: Mapping[Key, PackedMask],
    ) -> Entry:
        """The prompted objects through the frames."""
        what = {
            "setup": self._setup(choice, frames),
            **plan_as_json(plan),
            **self._tell(frames, prompts, shown),
        }
        return self._add(Entry("propagate", what), step)

    def restore(self, key: Key, step: Any) -> None:
        """The last prompt of a key is gone."""
        self._add(Entry("restore", {"plane": list(key.plane), **place(key)}), step)

    def paint(self, patch: Patch, step: Any) -> None:
        """The user changed pixels by hand."""
        self._add(Entry("paint", patch_as_json(patch)), step)

    def add(self, patch: Patch, about: Mapping[str, Any], step: Any) -> None:
        """Objects of a search; ``about`` says in plain JSON what was searched how."""
        self._add(Entry("add", {"search": dict(about), **patch_as_json(patch)}), step)

    def found(
        self, position: Sequence[int], content: Mapping[str, Any], first: bool = False
    ) -> None:
        """A plane (packed by ``labels_as_json``) has pixels that came from elsewhere.

        ``first``: it had before everything else.
        """
        entry = Entry("found", {"position": list(position), **content})
        self.entries.insert(0 if first else len(self.entries), entry)

    def note(self, key: Key, prompts: ObjectPrompts, step: Any) -> None:
        """The labels show the answer to these prompts already; no prompts: nothing."""
        told = prompts_as_json(prompts)
        self._add(Entry("note", {"plane": list(key.plane), **place(key), **told}), step)

    def erase(
        self, object_id: int, plane: tuple[int, int], positions: Any, step: Any
    ) -> Entry:
        """An object from some planes."""
        what = {"object": object_id, **_planes(plane, positions)}
        return self._add(_counted(Entry("erase", what)), step)

    def relabel(
        self,
        table: Mapping[int, int],
        plane: tuple[int, int],
        positions: Any,
        step: Any,
    ) -> Entry:
        """Labels in some planes become others; 0 erases."""
        what = {"table": [list(pair) for pair in table.items()]}
        return self._add(
            _counted(Entry("relabel", what | _planes(plane, positions))), step
        )

    def divide(
        self,
        parent: int,
        daughters: tuple[int, int],
        plane: tuple[int, int],
        positions: Any,
        lines: int,
        step: Any,
    ) -> Entry:
        """The two parts of an object get labels of their own, on so many lines."""
        what: dict[str, Any] = {"object": parent, "daughters": list(daughters)}
        if lines > 1:
            what["lines"] = lines
        return self._add(
            _counted(Entry("divide", what | _planes(plane, positions))), step
        )

    def clear(self, object_id: int, what: str, into: int, step: Any) -> None:
        """Forget of an object its "mask", "prompts" or "both"; pixels stay.

        ``into`` is the object that it becomes part of, 0 for none.
        """
        content = {"object": object_id, "what": what}
        if into:
            content["into"] = into
        self._add(Entry("clear", content), step)

    def forget(self) -> None:
        """The prompt layers are gone; what they made stays."""
        if self.entries and self.entries[-1].do != "forget":
            self._add(Entry("forget", {}), None)

    def go_on(self, known: Mapping[Key, ObjectPrompts]) -> None:
        """Other prompts than those so far go on here, as those of another image do.

        ``known`` are those whose answer the labels show.
        """
        self.forget()
        for key, prompts in known.items():
            self.note(key, prompts, None)

    def carried(self, frames: LayerFrames, objects: Collection[int]) -> bool:
        """Whether the labels have all that was propagated of objects along frames."""
        for entry in reversed(self.entries):
            if entry.do == "clear" and entry.what["what"] == "mask":
                if not entry.undone:
                    return False  # the prompts, which stay, lead to these masks again
            elif self._is_along(frames, entry):
                if entry.undone:
                    return False
                only = entry.what.get("only", objects)
                if "changes" not in entry.what and set(objects) <= set(only):
                    return True
        return False

    def _is_along(self, frames: LayerFrames, entry: Entry) -> bool:
        """Whether an entry is a propagation along these frames."""
        if entry.do != "propagate":
            return False
        setup = self.setups[entry.what["setup"]]
        line = tuple(setup["plane"]), setup["axis"], tuple(setup["fixed"])
        return line == (frames.plane, frames.axis, frames.fixed)

    def flip(self, step: Any, undone: bool) -> None:
        """A step was undone, or done again."""
        for entry in self._of.get(step, ()):
            entry.undone = undone

    def _add(self, entry: Entry, step: Any) -> Entry:
        self.entries.append(entry)
        if step is not None:
            self._of.setdefault(step, []).append(entry)
        return entry

    def _setup(self, choice: Choice, frames: LayerFrames) -> int:
        content: dict[str, Any] = {
            "model": choice.model,
            "device": choice.device,
            "plane": list(frames.plane),
            "axis": frames.axis,
            "fixed": list(frames.fixed),
            "value_range": None if frames.limits is None else list(frames.limits),
        }
        if frames.reference is not None:
            content["image"] = self.sources.number(frames.data, frames.reference)
        if choice.preset:
            content["preset"] = choice.preset
        if frames.region is not None:
            content["region"] = list(frames.region)
        if isinstance(frames.look, Blend):
            content["channels"] = self.sources.describe(frames.look)
        if content not in self.setups:
            self.setups.append(content)
        return self.setups.index(content)

    def _tell(
        self,
        frames: LayerFrames,
        prompts: Mapping[Key, ObjectPrompts],
        shown: Mapping[Key, PackedMask],
    ) -> dict[str, Any]:
        """How the prompts of a line differ from those told before."""
        here = Key(frames.plane, frames.position(0), 0)
        before = on_line(self.prompts, here, frames.axis)
        told: dict[str, Any] = {}
        new = [
            key
            for key, ask in prompts.items()
            if before.get(key) != ask or self.shown.get(key) != shown.get(key)
        ]
        if new:
            told["set"] = [
                {**place(key), **prompts_as_json(prompts[key])}
                | ({"shown": mask_as_json(shown[key])} if key in shown else {})
                for key in sorted(new, key=lambda k: (k.position, k.object_id))
            ]
        gone = [key for key in before if key not in prompts]
        if gone:
            told["unset"] = [place(key) for key in gone]
        for key in before:
            del self.prompts[key]
            self.shown.pop(key, None)
        self.prompts.update(prompts)
        self.shown.update(shown)
        return told

    # -- reading ------------------------------------------------------------------

    def as_json(self, image: ImageReference) -> dict[str, Any]:
        """Setups and steps as they stand in the file of a session about ``image``.

        That is named by none of them.
        """
        own = self.sources.all_of(image)
        setups = [
            {k: v for k, v in setup.items() if k != "image" or v not in own}
            for setup in self.setups
        ]
        others = any("image" in setup or "channels" in setup for setup in setups)
        return {
            **(self.sources.as_json() if others else {}),
            "setups": setups,
            "steps": [entry.as_json() for entry in self.entries if entry.counts],
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Journal:
        """The inverse of :meth:`as_json`; ImageError if it is no journal."""
        journal = cls()
        try:
            journal.sources = Sources.from_json(content)
            journal.setups = [dict(setup) for setup in content["setups"]]
            journal.entries = [Entry.from_json(step) for step in content["steps"]]
        except (KeyError, TypeError, ValueError) as error:
            raise ImageError(f"{UNREADABLE}: {error!r} in its steps.") from error
        return journal

    def others(self, entry: Entry) -> Others:
        """Labels that the masks of an entry do not enter, by plane and position."""
        setup = self.setups[entry.what["setup"]]
        plane = (setup["plane"][0], setup["plane"][1])
        return {
            (plane, tuple(at["position"])): labels_from_json(at)
            for at in entry.what.get("others", ())
        }

    def told(
        self, entry: Entry
    ) -> tuple[dict[Key, ObjectPrompts], frozenset[Key], dict[Key, PackedMask]]:
        """Prompts on the line of an entry after it was told, and those asked for.

        The third is what the labels showed before them, as far as it is known. To be
        called once for each entry, in order.
        """
        setup = self.setups[entry.what["setup"]]
        plane, axis = (setup["plane"][0], setup["plane"][1]), setup["axis"]
        for at in entry.what.get("unset", ()):
            self.prompts.pop(key_at(plane, at), None)
            self.shown.pop(key_at(plane, at), None)
        given = entry.what.get("set", ())
        for at in given:
            key = key_at(plane, at)
            self.prompts[key] = prompts_from_json(at)
            self.shown.pop(key, None)
            if "shown" in at:
                self.shown[key] = mask_from_json(at["shown"])
        asked = frozenset(key_at(plane, p) for p in entry.what.get("asked", given))
        position = list(setup["fixed"])
        if axis is not None:
            ndim = len(position) + 3
            others = [i for i in range(ndim) if i not in plane]
            position.insert(others.index(axis), 0)
        here = Key(plane, tuple(position), 0)
        prompts = on_line(self.prompts, here, axis)
        shown = {key: self.shown[key] for key in prompts if key in self.shown}
        return prompts, asked, shown


def _counted(entry: Entry) -> Entry:
    """Say how many planes are to be written."""
    entry.computed = len(entry.what["positions"])
    return entry


def _planes(plane: tuple[int, int], positions: Any) -> dict[str, Any]:
    return {
        "plane": list(plane),
        "positions": [list(position) for position in positions],
    }


def _at(content: Mapping[str, Any]) -> dict[str, Any]:
    return {"object": content["object"], "position": content["position"]}
