"""What a propagation has left as it was, though that may not be what was meant."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_sam2._images import split_position
from napari_sam2._layers import plane_index
from napari_sam2.tasks._shortfall import ENOUGH

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from napari_sam2._labels import Rules
    from napari_sam2._masks import PackedMask
    from napari_sam2._prompts import Key
    from napari_sam2.asking._facts import Facts
    from napari_sam2.history._history import History, Step
    from napari_sam2.history._object_notes import ObjectNotes
    from napari_sam2.tasks._tasks import Tasks

MOST_PLANES = 100  # read to find out which labels have what was followed; some on disk


def tell(tasks: Tasks, touched_up: Collection[int]) -> None:
    """Add to the status what the propagation that is over has left."""
    step, notes = tasks.history.last, tasks.notes
    if step is None or step.text != "propagation":
        return
    kept = _kept_parts(notes, tasks.history, step, tasks.rules)
    crowded = _crowded_out(tasks, step)
    said = tasks.state.status, _spared(notes, touched_up), kept, crowded
    tasks.state.status = " ".join(filter(None, said))


def _spared(notes: ObjectNotes, touched_up: Collection[int]) -> str:
    """A sentence on labels from elsewhere that only have strokes; "" without any."""
    if not touched_up:
        return ""
    if len(touched_up) == 1:
        return (
            f"{notes.name(min(touched_up))} was only touched up by hand and stays as "
            "it is; click on it to have it followed."
        )
    return (
        f"{len(touched_up)} objects were only touched up by hand and stay as they are; "
        "click on one to have it followed."
    )


def _kept_parts(notes: ObjectNotes, history: History, step: Step, rules: Rules) -> str:
    """A sentence on parts of followed objects that stay; "" without any."""
    kept = [key.object_id for key in step.written if _part(history, key, rules)]
    if not kept:
        return ""
    objects = set(kept)
    who = f"{notes.name(kept[0])} has"
    if len(objects) > 1:
        who = f"{len(objects)} objects have"
    frames = "1 frame" if len(kept) == 1 else f"{len(kept)} frames"
    return f"{who} other parts on {frames}, which stay."


def _part(history: History, key: Key, rules: Rules) -> PackedMask | None:
    """Pixels with an object's number that stay beside its mask."""
    entry = history.written.get(key)
    if entry is None or entry.prompts or not rules.keep_others or rules.only_empty:
        return None
    return entry.foreign


def _crowded_out(tasks: Tasks, step: Step) -> str:
    """A sentence on objects that lie in labels that are kept; "" without any."""
    found = list(_held(tasks, step))
    if not found:
        return ""
    axis, name = tasks.state.axis, tasks.notes.name
    objects, others = {key.object_id for key, _ in found}, {i for _, i in found}
    who = f"{len(objects)} objects lie"
    if len(objects) == 1:
        who = f"{name(*objects)} lies"
    where = name(*others) if len(others) == 1 else "other labels"
    on = {split_position(key.plane, key.position, axis)[1] for key, _ in found}
    more = " or more" if len(on) >= MOST_PLANES else ""
    when = f"on {len(on)}{more} frames from frame {min(on)} on"
    if len(on) == 1:
        when = f"on frame {min(on)}"
    said = f"{who} in {where} {when}"
    if others <= tasks.notes.locked:
        return f"{said}; unlock {'that' if len(others) == 1 else 'them'} to change it."
    overwrites = tasks.state.writing == "overwrite"  # else that is what keeps them
    option = "Stay out of neighbours" if overwrites else "Other labels"
    return (
        f"{said}, whose pixels are kept: change Options > {option} and propagate again."
    )


def _held(tasks: Tasks, step: Step) -> Iterator[tuple[Key, int]]:
    """Followed masks of which a label that is not followed has most, and that label."""
    labels, facts = tasks.stage.labels, tasks.history.record.review.facts
    places: dict[tuple[Any, Any], dict[Key, Facts]] = {}
    for key in step.written:
        known = facts.get(key.plane, {}).get(key.object_id, {}).get(key.position)
        if known is not None and _is_short(tasks, key, known):
            places.setdefault(key.place, {})[key] = known
    for place in sorted(places)[:MOST_PLANES]:
        assert labels is not None
        plane = labels.data[plane_index(*place)]
        for key, known in places[place].items():
            assert known.centre is not None
            row, column = (round(at) for at in known.centre)
            other = int(plane[row, column])
            followed = replace(key, object_id=other) in step.written
            if other > 0 and other != key.object_id and not followed:
                yield key, other


def _is_short(tasks: Tasks, key: Key, known: Facts) -> bool:
    """Whether the labels show less than half of a followed mask, as far as counted."""
    labels, ledger = tasks.stage.labels, tasks.ledger
    if known.centre is None or labels is None or known.prompted:
        return False
    # Of other planes, and where it has not looked, the ledger does not know.
    counted = key.plane == (labels.ndim - 2, labels.ndim - 1)
    if not counted or key.position in ledger.uncounted:
        return False
    shown = ledger.area(key.object_id, key.position)
    if part := _part(tasks.history, key, tasks.rules):
        shown -= int(part.unpack().sum())
    return shown < ENOUGH * known.area
