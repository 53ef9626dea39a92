"""What a propagation has left as it was, though that may not be what was meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from napari_sam2._history import History, Step
    from napari_sam2._labels import Rules
    from napari_sam2._object_notes import ObjectNotes
    from napari_sam2._tasks import Tasks


def tell(tasks: Tasks, touched_up: Collection[int]) -> None:
    """Add to the status what the propagation that is over has left."""
    step, notes = tasks.history.last, tasks.notes
    if step is None or step.text != "propagation":
        return
    kept = _kept_parts(notes, tasks.history, step, tasks.rules)
    said = tasks.state.status, _spared(notes, touched_up), kept
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
    if not rules.keep_others or rules.only_empty:
        return ""
    entries = {key: history.written.get(key) for key in step.written}
    kept = [
        key.object_id
        for key, entry in entries.items()
        if entry is not None and not entry.prompts and entry.foreign is not None
    ]
    if not kept:
        return ""
    objects = set(kept)
    who = f"{notes.name(kept[0])} has"
    if len(objects) > 1:
        who = f"{len(objects)} objects have"
    frames = "1 frame" if len(kept) == 1 else f"{len(kept)} frames"
    return f"{who} other parts on {frames}, which stay."
