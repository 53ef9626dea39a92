"""Pixels that go, or become another object's: jobs that need no model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_sam2.asking._messages import Relabelled
from napari_sam2.following._marks import index_on
from napari_sam2.history._entry import Entry
from napari_sam2.history._erasing import erase_at
from napari_sam2.history._ledger import differences

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from napari_sam2._images import LayerFrames
    from napari_sam2._jobs import Stop
    from napari_sam2._labels import Patch
    from napari_sam2.following._review import Review
    from napari_sam2.history._history import Step
    from napari_sam2.history._ledger import Ledger, Place
    from napari_sam2.tasks._tasks import Tasks
    from sam2_core.errors import Sam2Error


def relabel(tasks: Tasks, table: dict[int, int], step: Step) -> None:
    """Turn labels into others (0 erases) wherever they are once it is their turn."""
    labels, history, ledger = tasks.stage.labels, tasks.history, tasks.ledger
    if labels is None:
        return
    plane, entries = (labels.ndim - 2, labels.ndim - 1), list[Entry]()
    places: set[Place] = set(ledger.uncounted)
    going = history.record.going
    for object_id in table:
        places.update(ledger.places(object_id))

    def watch(patch: Patch) -> None:
        """Frames may still be coming; other labels may be in use meanwhile."""
        places.update(
            at for at, object_id, _ in differences(patch) if object_id in table
        )

    def begin() -> None:
        history.patched.disconnect(watch)
        going.difference_update(table)
        entries.append(
            history.record.journal.relabel(table, plane, sorted(places), step)
        )

    def work(stop: Stop) -> Iterator[Any]:
        for place in sorted(places):
            yield Relabelled(plane, place, table)

    def failed(_: Sam2Error) -> None:
        history.patched.disconnect(watch, missing_ok=True)
        going.difference_update(table)

    history.patched.connect(watch)
    going.update(table)
    tasks.submit("clear", work, step, begin=begin, entries=entries, failed=failed)


def erase(
    tasks: Tasks,
    plane: tuple[int, int],
    where: Callable[[], Sequence[tuple[int, ...]]],
    object_id: int,
    step: Step,
    then: Callable[[], None],
) -> None:
    """Erase an object from planes that are asked for once it is their turn."""
    labels, journal = tasks.stage.labels, tasks.history.record.journal
    if labels is None:
        return
    shape, entries = tuple(labels.data.shape), list[Entry]()
    positions: list[tuple[int, ...]] = []

    def begin() -> None:
        positions[:] = where()
        if positions:
            entries.append(journal.erase(object_id, plane, positions, step))

    def work(stop: Stop) -> Iterator[Any]:
        return erase_at(shape, plane, positions, object_id)

    tasks.submit("clear", work, step, then, begin=begin, entries=entries)


def among(
    indices: range,
    review: Review,
    ledger: Ledger,
    frames: LayerFrames,
    object_id: int,
) -> list[int]:
    """Those of some frames on which an object has pixels, wherever they come from."""
    if frames.plane != (frames.ndim - 2, frames.ndim - 1):
        return list(indices)  # of other planes the ledger does not know
    shown = review.shown(frames.plane, frames.fixed, frames.axis)
    places = {*ledger.places(object_id), *ledger.uncounted}
    there = {index_on(frames, frames.plane, place) for place in places}
    return [i for i in indices if i in shown.get(object_id, ()) or i in there]
