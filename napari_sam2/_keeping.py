"""Saves the work on an image as a session, by itself too, and brings it back."""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, finalize

import numpy as np
from napari.utils.notifications import show_warning
from psygnal import Signal

from napari_sam2._autosaves import Autosave, Offer, autosave_folder, find_offer
from napari_sam2._disk_labels import on_disk
from napari_sam2._elsewhere import Elsewhere, missing
from napari_sam2._history import History
from napari_sam2._image_reference import checksum, checksum_steps, refer
from napari_sam2._images import full_resolution
from napari_sam2._jobs import Job, Stop
from napari_sam2._labels import first_free_id
from napari_sam2._plain_json import sums_as_json
from napari_sam2._record import Record
from napari_sam2._saved_prompts import (
    answers_as_json,
    answers_from_json,
    marks_from_json,
    notes_from_json,
    objects_as_json,
    snapshot_from_json,
)
from napari_sam2._session_file import SUFFIX, SessionFile, read_session, write_text
from napari_sam2._session_layers import METADATA
from napari_sam2._sources import viewer_images
from sam2_core.errors import ImageError, Sam2Error
from sam2_core.registry import find_checkpoint, is_available, model_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari.layers import Image, Labels

    from napari_sam2._controller import SegmentController

EVERY = 20.0  # seconds between autosaves while a long job runs
SETTINGS = (
    "device",
    "preset",
    "axis",
    "sees",
    "part",
    "writing",
    "neighbours",
    "direction",
    "start",
    "stop",
    "stop_when_lost",
    "patience",
    "alone",
    "follow_corrections",
)


class SessionKeeper:
    """Session files of one controller.

    Parameters
    ----------
    controller : SegmentController
        Whose work is kept.
    folder : Path, optional
        Where autosaves go.

    Attributes
    ----------
    offer : Offer or None
        Earlier work on the image that can be restored.
    """

    offered = Signal()

    def __init__(
        self, controller: SegmentController, folder: Path | None = None
    ) -> None:
        self.controller = controller
        self.folder = folder or autosave_folder()
        self.offer: Offer | None = None
        self._checksums: WeakKeyDictionary[Image, str] = WeakKeyDictionary()
        self._autosave: Autosave | None = None
        self._written = 0.0
        # Before anything that writes a session listens: it says what is in there.
        self.elsewhere = Elsewhere(controller)
        state, tasks = controller.state, controller.tasks
        state.events.image.connect(self._on_image)
        state.events.done.connect(self._on_progress)
        tasks.ended.connect(self._on_ended)
        controller.notes.events.connect(self._on_notes)
        tasks.history_changed.connect(self._on_history)
        self._on_history()
        self._autosaves: list[Autosave] = []
        finalize(self, _close, self._autosaves)
        self._on_image()

    # -- for the user -------------------------------------------------------------

    def save(self, path: str | Path) -> Path:
        """Write the session to a file (its name ends with .json).

        Raises
        ------
        Sam2Error
            If there is no image, or the file cannot be written.
        """
        path = Path(path)
        if path.suffix.lower() != ".json":
            path = path.with_name(path.name + SUFFIX)
        self.elsewhere.settle()
        write_text(path, self.describe().as_text())
        if self._autosave is not None:
            self._autosave.discard()
        self.controller.state.status = f"Saved {path.name}."
        return path

    def load(self, path: str | Path) -> None:
        """Open a session file: prompts at once, masks as they are computed again.

        Raises
        ------
        Sam2Error
            If it is no session, or its image is not there.
        """
        session = read_session(path)
        self._find_image(session)
        self._restore(session, then=lambda: None)

    def accept_offer(self) -> None:
        """Restore the work that was found."""
        offer, self.offer = self.offer, None
        self.offered.emit()
        if offer is not None:
            self._restore(offer.session, lambda: offer.path.unlink(missing_ok=True))

    def discard_offer(self) -> None:
        """Delete the work that was found."""
        offer, self.offer = self.offer, None
        if offer is not None:
            offer.path.unlink(missing_ok=True)
        self.offered.emit()

    def describe(self, at_once: bool = False) -> SessionFile:
        """The session as it is now; ImageError without an image.

        Parameters
        ----------
        at_once : bool
            Leave out checksums of further channels that are not known yet, rather than
            read these.
        """
        controller = self.controller
        image, labels = controller.stage.image, controller.stage.labels
        if image is None or labels is None:
            raise ImageError("There is no session to save yet: choose an image.")
        state, record = controller.state, controller.history.record
        sources = record.journal.sources
        for number, data in sources.unidentified(self._known):
            if not at_once:
                sources.identify(number, checksum(data))
        known = self._checksums.get(image) or checksum(full_resolution(image))
        return SessionFile(
            refer(image, known),
            {"name": state.model, "sha256": model_hash(state.model)},
            {name: getattr(state, name) for name in SETTINGS},
            self._labels_as_json(labels),
            record.journal,
            objects_as_json(
                controller.stage.snapshot(),
                record.marks,
                controller.notes.all,
                image.ndim,
            ),
            [
                {"plane": list(plane), "position": list(position)}
                for plane, position in sorted(record.review.checked)
            ],
            answers_as_json(record.divisions),
        )

    def _labels_as_json(self, labels: Labels) -> dict[str, Any]:
        """What a session says of its labels."""
        shape, known = labels.data.shape, self.controller.history.record.sums.known
        known, left_out = {**known, **self.elsewhere.left_out}, self.elsewhere.left_out
        sums = sums_as_json(known.get(at, 0) for at in np.ndindex(*shape[:-2]))
        content = {
            "name": labels.name,
            "shape": [int(n) for n in shape],
            "dtype": str(labels.data.dtype),
            "checksums": sums,
        }
        path = on_disk(labels)
        content |= {"path": path} if path else {}
        return content | ({"left_out": len(left_out)} if left_out else {})

    # -- saving by itself ---------------------------------------------------------

    def autosave(self) -> None:
        """Write the session beside the user's files, in the background."""
        image = self.controller.stage.image
        if image is None or image not in self._checksums:
            return
        try:
            session = self.describe(at_once=True)
        except Sam2Error:
            return
        if not session.objects and not session.journal.worked:
            return
        if self._autosave is None:
            self._autosave = Autosave(self.folder, image.name, self._checksums[image])
            self._autosaves.append(self._autosave)
        content = session.as_json()
        labels = self.controller.stage.labels
        if labels is not None:
            labels.metadata[METADATA] = content
        self._autosave.write(content)
        self._written = time.monotonic()

    def _on_progress(self, *_: Any) -> None:
        if time.monotonic() - self._written > EVERY and self.controller.state.done:
            self.autosave()

    def _on_ended(self, kind: str) -> None:
        self._find_out()
        if kind not in ("prepare", "download", "count", "look"):
            self.autosave()

    def _on_history(self) -> None:
        self.controller.history.added.connect(self.autosave, unique=True)

    def _on_notes(self, *_: Any) -> None:
        """An object was renamed, locked or hidden; not on the way to another image."""
        if self.controller.state.image is self.controller.stage.image:
            self.autosave()

    def _on_image(self, *_: Any) -> None:
        """Another image: find out which one it is, and what is known of it."""
        self._autosave, self.offer = None, None
        self.offered.emit()
        image = self.controller.stage.image
        if image is not None and image in self._checksums:
            self._identify(image, self._checksums[image])
        self._find_out()

    def _find_out(self) -> None:
        """Compute checksums that are missing when nothing else is to be done."""
        image = self.controller.stage.image
        if image is None or self.controller.runner.busy:
            return
        sources = self.controller.history.record.journal.sources
        number, data = -1, full_resolution(image)
        if image in self._checksums:
            number, data = next(sources.unidentified(self._known), (-1, None))
        if data is None:
            return
        model = self.controller.state.model

        def work(stop: Stop) -> Iterator[Any]:
            model_hash(model)  # so that saving finds it, without reading the weights
            return checksum_steps(data)

        def on_item(item: str) -> None:
            if item and self.controller.stage.image is image:
                if number < 0:
                    self._identify(image, item)
                else:
                    sources.identify(number, item)
                    self.autosave()

        def on_end(error: Sam2Error | None) -> None:
            if error is None:  # there may be more
                self._find_out()

        self.controller.runner.submit(Job("identify", work, on_item, on_end))

    def _identify(self, image: Image, found: str) -> None:
        self._checksums[image] = found
        if self._untouched():
            self.offer = find_offer(self.folder, found)
            self.offered.emit()
        else:
            self.autosave()

    def _untouched(self) -> bool:
        stage = self.controller.stage
        layers = (stage.points, stage.shapes)
        drawn = any(layer is not None and len(layer.data) for layer in layers)
        return not drawn and not self.controller.history.steps

    def _known(self, data: Any) -> str:
        """Checksum of an array, if it is that of an image that was looked into."""
        known = self._checksums.items()
        return next((c for im, c in known if full_resolution(im) is data), "")

    # -- bringing back ------------------------------------------------------------

    def _find_image(self, session: SessionFile) -> None:
        """Choose the layer that the session is about; open it if need be."""
        import npe2

        controller, reference = self.controller, session.image
        viewer = controller.viewer
        layers = [controller.stage.image, *reversed(viewer.layers)]
        layers.sort(key=lambda layer: getattr(layer, "name", "") != reference.name)
        for layer in layers:
            if type(layer).__name__ != "Image":
                continue
            known = self._checksums.get(layer, "")
            if known and reference.checksum and known != reference.checksum:
                continue
            if not reference.why_not(full_resolution(layer), check_content=False):
                controller.choose_image(layer)
                return
        npe2.PluginManager.instance().discover()
        try:
            if reference.sample:
                opened = viewer.open_sample(*reference.sample)
            elif reference.path and Path(reference.path).exists():
                opened = viewer.open(
                    reference.path, plugin=reference.reader or "napari"
                )
            else:
                raise ImageError(
                    f"Open the image {reference.name!r} first: it is not at "
                    f"{reference.path or 'any known place'}."
                )
        except (ValueError, OSError, RuntimeError) as error:
            raise ImageError(f"{reference.name!r} cannot be opened: {error}") from error
        for layer in opened:
            if not reference.why_not(full_resolution(layer), check_content=False):
                controller.choose_image(layer)
                return
        raise ImageError(f"{reference.name!r} is not the image it was.")

    def _restore(self, session: SessionFile, then: Any) -> None:
        controller = self.controller
        stage, state, image = controller.stage, controller.state, controller.stage.image
        assert image is not None
        if stage.labels is not None and first_free_id(stage.labels) > 1:
            controller.choose_labels(None)
        session.journal.sources.find(viewer_images(controller.viewer, self._known))
        settings = {k: v for k, v in session.settings.items() if k in SETTINGS}
        state.update(**settings, model=session.model["name"])
        stage.ensure()
        stage.restore(snapshot_from_json(session.objects, image.ndim))
        record = Record(session.journal)
        record.marks.replace(marks_from_json(session.objects))
        record.notes = notes_from_json(session.objects)
        for frame in session.checked:
            plane = (frame["plane"][0], frame["plane"][1])
            record.review.checked.add((plane, tuple(frame["position"])))
        record.divisions = answers_from_json(session.divisions)

        def finished() -> None:
            controller.restored()
            if lacking := missing(session, record.sums):
                state.status = lacking
                show_warning(lacking)
            then()

        controller.use_history(History(record))
        controller.tasks.replay(full_resolution(image), finished)


@cache
def model_hash(name: str) -> str:
    """SHA-256 of the weights of a model; of official ones it is known."""
    import hashlib

    known = find_checkpoint(name).sha256
    if known or not is_available(name):
        return known
    with model_path(name).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _close(autosaves: list[Autosave]) -> None:
    for autosave in autosaves:
        autosave.close()
