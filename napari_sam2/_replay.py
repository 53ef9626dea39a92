"""Does again what a journal tells, with the same steps as the dock took."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_sam2._divisions import divide
from napari_sam2._erasing import erase_at, erase_everywhere
from napari_sam2._images import LayerFrames
from napari_sam2._journal import Entry, Journal, plan_from_json
from napari_sam2._messages import Choice, PlaneMasks, Say
from napari_sam2._prompts import Key
from sam2_core.errors import Sam2Error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_sam2._engine import Engine
    from napari_sam2._history import History
    from napari_sam2._jobs import Stop


@dataclass(frozen=True)
class Redo:
    """An entry to be applied to the labels; with a plane if the model made one."""

    entry: Entry
    masks: PlaneMasks | None = None


def planes_of(journal: Journal) -> int:
    """Planes that the model has to make, for a progress bar."""
    return sum(entry.computed for entry in journal.entries)


def rerun(
    journal: Journal, data: Any, engine: Engine, stop: Stop, device: str = ""
) -> Iterator[Redo | Say]:
    """Ask the model all over again; runs in the worker.

    Parameters
    ----------
    journal : Journal
        Just read from a file.
    data : array
        The image, as the layer has it.
    engine : Engine
        Afterwards it knows what it knew when the journal was written.
    device : str
        Replaces the devices of the journal.
    """
    for entry in journal.entries:
        if stop():
            return
        if entry.do not in ("predict", "propagate"):
            if not entry.undone:
                yield Redo(entry)
            continue
        setup = journal.setups[entry.what["setup"]]
        frames, choice = frames_from_json(setup, data), _choice(setup, device)
        prompts, asked = journal.told(entry)
        if entry.fresh:
            engine.forget(frames)
        if entry.computed == 0:
            continue
        if entry.do == "predict":
            items = engine.predict(choice, frames, prompts, asked, stop)
        else:
            plan = plan_from_json(entry.what)
            items = engine.propagate(choice, frames, prompts, plan, stop)
        made = 0
        for item in items:
            if isinstance(item, PlaneMasks):
                made += 1
                if made <= entry.written and not entry.undone:
                    yield Redo(entry, item)
                if made == entry.computed:
                    break
            else:
                yield item
        if made < entry.computed and not stop():
            raise Sam2Error(
                "The session cannot be repeated: the model made fewer masks than then. "
                "Is it the same image?"
            )


def apply(redo: Redo, labels: Any, history: History) -> None:
    """Put what :func:`rerun` gives into the labels.

    Parameters
    ----------
    labels : napari.layers.Labels
        Or anything with the array ``data``.
    history : History
        Of these labels.
    """
    entry, what, shape = redo.entry, redo.entry.what, tuple(labels.data.shape)
    if redo.masks is not None:
        history.write(labels, redo.masks, None, bool(what["keep_labels"]))
        history.record.review.note(redo.masks)
        return
    if entry.do == "forget":
        history.written.clear()
        return
    plane = (what["plane"][0], what["plane"][1])
    object_id = int(what["object"])
    if entry.do == "restore":
        key = Key(plane, tuple(what["position"]), object_id)
        if key in history.written:
            history.write_back(labels, key, None)
    elif entry.do == "erase":
        positions = [tuple(position) for position in what["positions"]]
        for masks in erase_at(shape, plane, positions, object_id):
            history.write(labels, masks, None, True)
            history.record.review.note(masks)
    elif entry.do == "divide":
        positions = [tuple(position) for position in what["positions"]]
        first, second = what["daughters"]
        for masks in divide(labels, plane, positions, object_id, (first, second)):
            history.write(labels, masks, None, True)
            history.record.review.note(masks)
    elif entry.do == "clear":
        history.drop(object_id)
        history.record.review.forget(object_id)
        for masks in erase_everywhere(labels, plane, object_id):
            history.write(labels, masks, None, True)


def frames_from_json(setup: dict[str, Any], data: Any) -> LayerFrames:
    """The line of frames that a setup of a journal speaks of."""
    limits = setup["value_range"]
    return LayerFrames(
        data=data,
        data_id=id(data),
        ndim=len(setup["fixed"]) + 2 + (setup["axis"] is not None),
        plane=(setup["plane"][0], setup["plane"][1]),
        axis=setup["axis"],
        fixed=tuple(setup["fixed"]),
        limits=None if limits is None else (limits[0], limits[1]),
    )


def _choice(setup: dict[str, Any], device: str) -> Choice:
    return Choice(setup["model"], device or setup["device"])
