"""Bringing a session back: its image is found, its prompts and masks made again."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.notifications import show_info, show_warning

from napari_sam2._images import full_resolution
from napari_sam2._jobs import LEFT
from napari_sam2._labels import Patch
from napari_sam2._masks import PackedMask
from napari_sam2.history._history import History
from napari_sam2.history._ledger import count_plane, differences
from napari_sam2.history._plain_json import labels_from_json
from napari_sam2.history._record import Lack, Record
from napari_sam2.history._replay import Repeat
from napari_sam2.picture._image_reference import find_layer
from napari_sam2.picture._sources import viewer_images
from napari_sam2.sessions._elsewhere import missing
from napari_sam2.sessions._saved_prompts import (
    answers_from_json,
    marks_from_json,
    notes_from_json,
    snapshot_from_json,
)
from napari_sam2.sessions._session_file import SETTINGS
from napari_sam2.stage import _aside
from napari_sam2.tasks._disk_labels import hear, on_disk, reopen
from sam2_core.errors import Cancelled, ImageError, Sam2Error

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from napari_sam2._controller import SegmentController
    from napari_sam2.history._journal import Journal
    from napari_sam2.picture._image_reference import ImageReference
    from napari_sam2.sessions._session_file import SessionFile
    from napari_sam2.stage._stage import Stage

STOPPED = "The session was not restored to its end; open it again to have all of it."
BEGAN_WITH = "{} is hidden now: the session goes on from its labels, in its own layer."
COMPARED = 4  # planes


def find_image(
    controller: SegmentController,
    reference: ImageReference,
    known: Callable[[Any], str],
) -> None:
    """Choose the layer that a session is about; open it if need be.

    Parameters
    ----------
    controller : SegmentController
        Chooses it.
    reference : ImageReference
        From the session.
    known : callable
        Has the checksums of some arrays, "" for others.

    Raises
    ------
    ImageError
        If it is not there, or its pixels are others: masks would seem to fit.
    """
    # The one in use, then new ones.
    layers = [controller.stage.image, *reversed(controller.viewer.layers)]
    found, reason = find_layer(layers, reference, known)
    if found is not None:
        controller.choose_image(found)
        return
    for layer in _opened(controller, reference, reason):
        reason = reference.why_not(full_resolution(layer))
        if not reason:
            controller.choose_image(layer)
            return
    raise ImageError(
        f"{reference.path or reference.name} is not the image of the session: "
        f"{reason or 'it holds none'}."
    )


def restore(
    controller: SegmentController,
    session: SessionFile,
    known: Callable[[Any], str],
    then: Callable[[bool], None],
) -> None:
    """Bring prompts back at once, and masks as they are computed again.

    Parameters
    ----------
    controller : SegmentController
        Works on the session's image.
    session : SessionFile
        What is brought back.
    known : callable
        Has the checksums of some arrays, "" for others.
    then : callable
        Called in the end, with whether the labels are those that were saved.
    """
    stage, state, image = controller.stage, controller.state, controller.stage.image
    assert image is not None
    controller.runner.cancel(*LEFT)
    _take_empty_labels(controller, session.labels)
    journal, data = session.journal, full_resolution(image)
    look = viewer_images(controller.viewer, known)
    journal.sources.find(look, session.image, data)
    for setup in journal.setups:
        if "image" not in setup:
            setup["image"] = journal.sources.number(data, session.image)
    settings = {k: v for k, v in session.settings.items() if k in SETTINGS}
    state.update(**settings, model=session.model["name"])
    stage.ensure()
    stage.restore(snapshot_from_json(session.objects, image.ndim))
    controller.steps.look()  # steps from now on lead back to these prompts
    _hide_beginnings(stage, journal)
    state.object_id = controller.ids.begin()  # not one that has just come
    controller.set_polarity(state.positive)  # prompts from now on are for it
    record = Record(journal)
    record.marks.replace(marks_from_json(session.objects))
    record.notes = notes_from_json(session.objects)
    for frame in session.checked:
        plane = (frame["plane"][0], frame["plane"][1])
        record.review.checked.add((plane, tuple(frame["position"])))
    record.divisions = answers_from_json(session.divisions)
    record.lack = Lack(STOPPED, session.labels)

    history, repeat, edits = History(record), Repeat(journal), list[Patch]()

    def on_patch(patch: Patch) -> None:
        if not repeat.writing:
            edits.append(patch)

    def finished() -> None:
        journal.sources.release()
        _forget_strokes(history, edits)
        if controller.history is not history:  # something else was chosen just now
            ignore()
            then(False)
            return
        if stage.labels is not None:
            controller.ids.highest = controller.ledger.highest
            controller.select_object(max(1, controller.ledger.highest))
        controller.sync()
        if path := session.labels.get("path", ""):
            _reopen(controller, session, Path(path), edits, end)
        else:
            end("")

    def end(reason: str) -> None:
        ignore()
        edited = {at for edit in edits for at, *_ in differences(edit)}
        lacking = missing(session, record.sums, edited)
        whole = not reason and (not lacking or bool(on_disk(stage.labels)))
        if reason:  # else all is as it was, whatever was computed
            before = f"{lacking[:-1]}; " if lacking else ""
            lacking = f"{before}{reason}, so the labels stay in memory."
        elif whole:
            lacking = ""
        record.lack = Lack(lacking, session.labels) if lacking else None
        if lacking:
            state.status = lacking
            show_warning(lacking)
        then(whole)

    def failed(error: Sam2Error) -> None:
        ignore()
        if isinstance(error, Cancelled):
            state.status = STOPPED
            show_warning(STOPPED)
        then(False)

    controller.use_history(history)
    ignore = hear(controller.tasks, stage.ensure()[3], on_patch)
    controller.tasks.replay(data, repeat, finished, failed)


def _forget_strokes(history: History, edits: list[Patch]) -> None:
    """What was painted before a mask had come is nothing that was there before it."""
    for edit in edits:
        for key, known in list(history.written.items()):
            there = (key.plane, key.position) == (edit.plane, edit.position)
            if not there or known.foreign is None or known.prompts:
                continue
            mask = known.foreign.unpack().copy()
            changed = edit.changed()
            changed[changed] = edit.new == key.object_id
            mask[edit.rows, edit.columns] &= ~changed
            left = PackedMask.of(mask) if mask.any() else None
            history._set(key, replace(known, before=left, foreign=left), None)


def is_stopped(history: History) -> bool:
    """Whether this is a part of a session on which nobody has worked."""
    lack = history.record.lack
    return lack is not None and lack.text == STOPPED and not history.steps


def _take_empty_labels(controller: SegmentController, saved: dict[str, Any]) -> None:
    """Have empty labels as a session says: those in use, or new ones.

    Those in use are emptied if they are what has come of this session when it was
    stopped, and nobody has worked on them. Others that were made here are put aside.
    """
    stage, dtype = controller.stage, np.dtype(saved["dtype"])
    labels = stage.ensure()[3]
    history, on = controller.history, on_disk(labels)
    idle = controller.state.busy != "restore"  # else one that stops writes to its end
    lack = history.record.lack if is_stopped(history) and idle and not on else None
    if lack is not None and lack.labels == saved:
        labels.data = np.zeros(labels.data.shape, dtype)
        controller.use_history(History())
        return
    places = np.ndindex(*labels.data.shape[:-2])
    used = controller.ledger.ids or any(count_plane(labels.data, at) for at in places)
    ours = labels in stage._made and not on
    if used or not (ours or labels.data.dtype == dtype):
        controller.choose_labels(None)
        if labels in stage._made:
            _aside.put([labels])
        labels = stage.ensure()[3]
    if labels.data.dtype != dtype:
        labels.data = np.zeros(labels.data.shape, dtype)


def _hide_beginnings(stage: Stage, journal: Journal) -> None:
    """Hide labels layers that the session began with: its own go on from there.

    What was erased from them since would seem to be there still.
    """
    told = itertools.takewhile(lambda entry: entry.do == "found", journal.entries)
    found = [entry.what for entry in itertools.islice(told, COMPARED)]
    for layer in stage.viewer.layers if found else ():
        if type(layer).__name__ != "Labels" or layer is stage.labels:
            continue
        if layer.visible and all(_holds(layer.data, plane) for plane in found):
            _aside.put([layer])
            show_info(BEGAN_WITH.format(layer.name))


def _holds(data: Any, found: Mapping[str, Any]) -> bool:
    """Whether labels hold a plane from elsewhere as the journal tells it.

    Those of a single frame, or volume of 4D, lack the first axes of its position.
    """
    shape, position = tuple(data.shape), tuple(found["position"])
    if shape[-2:] != tuple(found["shape"]) or len(shape) - 2 > len(position):
        return False
    position = position[len(position) + 2 - len(shape) :]
    if any(at >= size for at, size in zip(position, shape, strict=False)):
        return False
    plane = np.asarray(data[position])
    return bool((np.maximum(plane, 0) == labels_from_json(found)).all())


def _reopen(
    controller: SegmentController,
    session: SessionFile,
    path: Path,
    edits: list[Patch],
    then: Callable[[str], None],
) -> None:
    """Let the labels live on disk again; ``then`` gets the reason if they cannot."""
    labels, sums = controller.stage.labels, session.checksums
    if labels is None or sums is None:
        then(f"It is not known what {path} held")
    else:
        reopen(controller.tasks, labels, path, sums.tolist(), edits, then)


def _opened(
    controller: SegmentController, reference: ImageReference, reason: str
) -> Any:
    """Layers of the file or sample that an image came from.

    ``reason`` is why the images that are open are not the one.
    """
    import npe2

    npe2.PluginManager.instance().discover()
    viewer: Any = controller.viewer
    try:
        if reference.sample:
            return viewer.open_sample(*reference.sample)
        if reference.is_there:
            return viewer.open(reference.path, plugin=reference.reader or "napari")
    except (ValueError, OSError, RuntimeError) as error:
        raise ImageError(f"{reference.name!r} cannot be opened: {error}") from error
    if reason:
        return ()
    raise ImageError(reference.request)
