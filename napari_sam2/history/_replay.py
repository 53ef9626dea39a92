"""Does again what a journal tells, with the same steps as the dock took."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2._images import LayerFrames
from napari_sam2._labels import Rules, difference, put
from napari_sam2._layers import plane_index
from napari_sam2.asking._messages import Choice, Passed, PlaneMasks, Relabelled, Say
from napari_sam2.following._divisions import divide
from napari_sam2.history._erasing import erase_at
from napari_sam2.history._plain_json import (
    key_at,
    labels_from_json,
    patch_from_json,
    plan_from_json,
    prompts_from_json,
)
from sam2_core.errors import Sam2Error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_sam2._jobs import Stop
    from napari_sam2.engine._engine import Engine
    from napari_sam2.history._entry import Entry
    from napari_sam2.history._history import History
    from napari_sam2.history._journal import Journal
    from napari_sam2.picture._sources import Sources


@dataclass(frozen=True)
class Redo:
    """An entry to be applied to the labels; with a plane if the model made one.

    Attributes
    ----------
    repeat : Repeat
        What it is a part of.
    number : int
        Which of the entry's planes it is.
    """

    entry: Entry
    repeat: Repeat
    masks: PlaneMasks | None = None
    number: int = 0


class Repeat:
    """A journal that is being repeated, and how far that has come.

    The worker is ahead of the labels. What the user does meanwhile comes into the
    journal, too, and is done again in the end: masks have been written over it.

    Attributes
    ----------
    told : frozenset of Entry
        What is to be repeated.
    asked : dict of Entry to Entry
        What the model was asked, with what has been made of it so far.
    applied : set of Entry
        What needs no model and is in the labels.
    writing : bool
        Whether it is this that changes the labels, and not the user.
    given, taken : int
        What was made for the labels, and what has come into them.
    """

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.told = frozenset(journal.entries)
        self.asked: dict[Entry, Entry] = {}
        self.applied: set[Entry] = set()
        self.writing = False
        self.given = self.taken = 0

    def give(self, entry: Entry, masks: PlaneMasks | None = None) -> Redo:
        """What is to come into the labels next."""
        self.given += 1
        number = self.asked[entry].computed - 1 if masks is not None else 0
        return Redo(entry, self, masks, number)

    def stop(self, labels: Any, history: History) -> None:
        """It goes no further: have the journal tell what the labels show."""
        told, entries = self.told, self.journal.entries
        behind = max((i for i, e in enumerate(entries, 1) if e in told), default=0)
        later = entries[behind:]
        done = self.asked.keys() | self.applied
        entries[:] = [
            self.asked.get(e, e) for e in entries if e not in told or e in done
        ]
        for entry in takewhile(lambda e: e.do != "forget", later):
            if not entry.asks and not entry.undone:
                apply(Redo(entry, self), labels, history)


def planes_of(journal: Journal) -> int:
    """Planes that the model has to make, for a progress bar."""
    return sum(entry.computed for entry in journal.entries if entry.asks)


def rerun(
    journal: Journal,
    data: Any,
    engine: Engine,
    stop: Stop,
    device: str = "",
    repeat: Repeat | None = None,
) -> Iterator[Redo | Say]:
    """Ask the model all over again; runs in the worker.

    Parameters
    ----------
    journal : Journal
        Just read from a file.
    data : array
        The image of the session, as the layer has it, for setups that name none.
    engine : Engine
        Afterwards it knows what it knew when the journal was written.
    device : str
        Replaces the devices of the journal.
    repeat : Repeat, optional
        Learns how far this has come.
    """
    repeat = repeat or Repeat(journal)
    for entry in journal.entries:
        if stop():
            return
        if not entry.asks:
            if not entry.undone:
                yield repeat.give(entry)
            continue
        came = replace(entry, computed=0, written=0, passed=0, ended=False)
        repeat.asked[entry] = came
        setup = journal.setups[entry.what["setup"]]
        frames = frames_from_json(setup, data, journal.sources)
        choice = _choice(setup, device)
        prompts, asked, shown = journal.told(entry)
        if entry.fresh:
            engine.forget(frames)
        if not entry.computed and not entry.passed:
            continue
        if entry.do == "predict":
            others = journal.others(entry)
            told = choice, frames, prompts, asked, stop, others, shown
            items = engine.predict(*told)
        else:
            plan = plan_from_json(entry.what)
            items = engine.propagate(choice, frames, prompts, plan, stop, shown)
        for item in items:
            if isinstance(item, PlaneMasks):
                came.computed += 1
                if came.computed <= entry.written and not entry.undone:
                    yield repeat.give(entry, item)
            elif isinstance(item, Passed):
                came.passed += 1
            made = came.computed == entry.computed
            if made and came.passed >= entry.passed and not entry.ended:
                break
            if isinstance(item, Say):
                yield item
        came.ended = entry.ended and not stop()
        if came.computed < entry.computed and not stop():
            raise Sam2Error(
                "The session cannot be repeated: the model made fewer masks than then. "
                "Is it the same image?"
            )


def apply(redo: Redo, labels: Any, history: History) -> None:
    """Put what :func:`rerun` gives into the labels, and count it.

    Parameters
    ----------
    labels : napari.layers.Labels
        Or anything with the array ``data``.
    history : History
        Of these labels.
    """
    entry, repeat = redo.entry, redo.repeat
    repeat.writing = entry in repeat.told
    try:
        _apply(redo, labels, history)
    finally:
        repeat.writing = False
    repeat.taken += 1
    if redo.masks is None:
        repeat.applied.add(entry)
    else:
        repeat.asked[entry].written += 1


def _apply(redo: Redo, labels: Any, history: History) -> None:
    entry, what = redo.entry, redo.entry.what
    if redo.masks is not None:
        history.write(labels, redo.masks, None, entry.rules_at(redo.number))
    elif entry.do == "forget":
        history.written.clear()
    elif entry.do == "clear":
        history.clear(what["object"], what["what"], what.get("into", 0), None)
    elif entry.do == "found":
        _apply_found(what, labels, history)
    else:
        _apply_planes(entry, labels, history)


def _apply_found(what: dict[str, Any], labels: Any, history: History) -> None:
    """Have a plane as it was with pixels from elsewhere."""
    position, ndim = tuple(what["position"]), labels.data.ndim
    target = labels_from_json(what).astype(labels.data.dtype)
    current = np.asarray(labels.data[position])
    patch = difference((ndim - 2, ndim - 1), position, current, target)
    if patch is not None:
        history.add(put(labels, patch), None)


def _apply_planes(entry: Entry, labels: Any, history: History) -> None:
    """Do what needs no model."""
    what = entry.what
    plane = (what["plane"][0], what["plane"][1])
    positions = [tuple(at) for at in what.get("positions", ())]
    if entry.do == "restore":
        key = key_at(plane, what)
        if key in history.written:
            history.write_back(labels, key, None)
    elif entry.do == "note":
        ask, key = prompts_from_json(what), key_at(plane, what)
        if ask:
            history.note(key, ask, None)
        else:
            history.forget(key, None)
    elif entry.do in ("paint", "add"):
        patch = patch_from_json(what)
        history.add(put(labels, patch), None)
        if entry.do == "add":
            ids = np.asarray(labels.data[plane_index(plane, patch.position)])
            history.record.searched(plane, patch.position, ids, what["search"], None)
    elif entry.do == "erase":
        shape, object_id = tuple(labels.data.shape), int(what["object"])
        for masks in erase_at(shape, plane, positions[: entry.written], object_id):
            history.write(labels, masks, None, Rules())
    elif entry.do == "relabel":
        table = {int(old): int(new) for old, new in what["table"]}
        for position in positions[: entry.written]:
            history.relabel(labels, Relabelled(plane, position, table), None)
    elif entry.do == "divide":
        pair = (what["daughters"][0], what["daughters"][1])
        who = (int(what["object"]), pair, int(what.get("lines", 1)))
        divided = divide(labels, plane, positions, *who)
        # Older files do not count.
        for masks in islice(divided, entry.written if entry.computed else None):
            history.write(labels, masks, None, Rules())


def frames_from_json(setup: dict[str, Any], data: Any, sources: Sources) -> LayerFrames:
    """The line of frames that a setup of a journal speaks of."""
    limits, region = setup["value_range"], setup.get("region")
    data = sources.array(setup["image"]) if "image" in setup else data
    look = sources.blend(setup["channels"]) if "channels" in setup else None
    return LayerFrames(
        data=data,
        data_id=id(data),
        ndim=len(setup["fixed"]) + 2 + (setup["axis"] is not None),
        plane=(setup["plane"][0], setup["plane"][1]),
        axis=setup["axis"],
        fixed=tuple(setup["fixed"]),
        limits=None if limits is None else (limits[0], limits[1]),
        look=look,
        region=None if region is None else tuple(region),
    )


def _choice(setup: dict[str, Any], device: str) -> Choice:
    return Choice(setup["model"], device or setup["device"], setup.get("preset", ""))
