"""Saves the work on an image as a session, by itself too, and brings it back."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import WeakKeyDictionary, finalize

from napari.utils.notifications import show_warning
from psygnal import Signal

from napari_sam2._images import full_resolution
from napari_sam2._jobs import Job, Stop
from napari_sam2.picture._image_reference import checksum, checksum_steps, refer
from napari_sam2.sessions._autosaves import Autosave, Offer, autosave_folder, find_offer
from napari_sam2.sessions._elsewhere import Elsewhere
from napari_sam2.sessions._restoring import find_image, is_stopped, restore
from napari_sam2.sessions._saved_prompts import answers_as_json, objects_as_json
from napari_sam2.sessions._session_file import (
    SETTINGS,
    SessionFile,
    labels_as_json,
    model_hash,
    named,
    read_session,
    write_text,
)
from napari_sam2.sessions._session_layers import METADATA
from napari_sam2.tasks._disk_labels import on_disk
from sam2_core.errors import ImageError, Sam2Error

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari.layers import Image, Labels

    from napari_sam2._controller import SegmentController

EVERY = 20.0  # seconds between autosaves while a long job runs
APART = 1.0  # seconds between those of what takes no job, such as strokes
RESTORING = "A session is being restored; save again when its masks are there."
Later: TypeAlias = Callable[[float, Callable[[], None]], None]


class SessionKeeper:
    """Session files of one controller.

    Parameters
    ----------
    controller : SegmentController
        Whose work is kept.
    folder : Path, optional
        Where autosaves go.
    later : callable, optional
        ``later(seconds, function)`` calls a function on the GUI thread. Without, work
        is written when a job ends.
    earlier : Path, optional
        Another folder, where autosaves may have gone before.

    Attributes
    ----------
    offer : Offer or None
        Earlier work on the image that can be restored, the newest first.
    """

    offered = Signal()

    def __init__(
        self,
        controller: SegmentController,
        folder: Path | None = None,
        later: Later = lambda seconds, function: None,
        earlier: Path | None = None,
    ) -> None:
        self.controller = controller
        self.folder = folder or autosave_folder()
        self._earlier = earlier
        self.offer: Offer | None = None
        self._checksums: WeakKeyDictionary[Image, str] = WeakKeyDictionary()
        # Of each labels layer, by the checksum of the image: channels share labels.
        self._autosaves: WeakKeyDictionary[Labels, dict[str, Autosave]]
        self._autosaves = WeakKeyDictionary()
        self._written = 0.0
        self._later = later
        self._waiting = False  # whether there is work that no job has written
        self._filed: tuple[Any, ...] = ()  # work that a file of the user's holds
        # Before anything that writes a session listens: it says what is in there.
        self.elsewhere = Elsewhere(controller)
        state, tasks = controller.state, controller.tasks
        controller.stage.leaving.connect(self.finish)
        state.events.image.connect(self._on_image)
        state.events.done.connect(self._on_progress)
        tasks.ended.connect(self._on_ended)
        controller.notes.events.connect(self._on_change)
        tasks.history_changed.connect(self._on_history)
        self._on_history()
        self._open: list[Autosave] = []
        finalize(self, _close, self._open)
        self._on_image()

    # -- for the user -------------------------------------------------------------

    def save(self, path: str | Path) -> Path:
        """Write the session to a file (its name ends with .json).

        Raises
        ------
        Sam2Error
            If there is no image, a session is being restored, or the file cannot be
            written.
        """
        if self._restoring:
            raise ImageError(RESTORING)
        path = named(path)
        self.controller.runner.finish()
        self.elsewhere.settle()
        session = self.describe()
        write_text(path, session.as_text())
        self._waiting, self._filed = False, session.work
        if self._autosave is not None:
            self._autosave.discard()
        self.controller.state.status = f"Saved {path.name}."
        return path

    def load(self, path: str | Path) -> None:
        """Open a session file: prompts at once, masks as they are computed again.

        Then work on the image that was never saved by hand is offered.

        Raises
        ------
        Sam2Error
            If it is no session, or its image is not there.
        """
        session = read_session(path)
        find_image(self.controller, session.image, self._known)
        image = self.controller.stage.image

        def then(whole: bool) -> None:
            if self.controller.stage.image is image:
                self._look_for_offer(session.image.checksum)

        self._filed = session.work
        restore(self.controller, session, self._known, then)

    def accept_offer(self) -> None:
        """Restore the work that was found; more of it is offered next."""
        offer, self.offer = self.offer, None
        self.offered.emit()
        if offer is not None:
            then = partial(self._offer_next, offer)
            restore(self.controller, offer.session, self._known, then)

    def discard_offer(self) -> None:
        """Delete the work that was found; more of it is offered next."""
        if self.offer is not None:
            self._offer_next(self.offer)

    def finish(self) -> None:
        """Another image or other labels are next, or the dock is gone: write now.

        The end of a job will write the session of what is in use then. When all layers
        go, prompts first, it was written before they did.
        """
        self.controller.runner.finish()
        busy, stage = self.controller.state.busy, self.controller.stage
        whole = stage.points is not None and stage.shapes is not None
        if self._waiting or (whole and busy in ("propagate", "clear")):
            self.autosave()

    def close(self) -> None:
        """Nothing will be written any more: others may find what was."""
        _close(self._open)

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
        left_out = self.elsewhere.left_out
        known_sums = {**record.sums.known, **left_out}
        sources = record.journal.sources
        for number, data in sources.unidentified(self._known):
            if not at_once:
                sources.identify(number, checksum(data))
        known = self._checksums.get(image) or checksum(full_resolution(image))
        return SessionFile(
            refer(image, known),
            {"name": state.model, "sha256": model_hash(state.model)},
            {name: getattr(state, name) for name in SETTINGS},
            labels_as_json(labels, on_disk(labels), known_sums, len(left_out)),
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

    # -- saving by itself ---------------------------------------------------------

    def autosave(self) -> None:
        """Write the session beside the user's files, in the background."""
        self._waiting = self._restoring  # its end writes
        if self._waiting:
            return
        image = self.controller.stage.image
        if image is None or image not in self._checksums:
            return
        try:
            session = self.describe(at_once=True)
        except Sam2Error:
            return
        autosave, part = self._autosave, is_stopped(self.controller.history)
        if not session.worked or (part and autosave is None):
            return
        labels, found = self.controller.stage.labels, self._checksums[image]
        assert labels is not None
        there = autosave is not None and autosave.path.exists()
        if session.work == self._filed and not there:
            labels.metadata[METADATA] = session.as_json()
            return
        if autosave is None:
            autosave = Autosave(self.folder, image.name, found)
            self._autosaves.setdefault(labels, {})[found] = autosave
            self._open.append(autosave)
        if failure := autosave.unsaid():
            self._warn(failure)
        content = session.as_json()
        labels.metadata[METADATA] = content
        autosave.write(content)
        self._written = time.monotonic()

    @property
    def _restoring(self) -> bool:
        """Whether the labels do not hold what the journal says yet."""
        return self.controller.runner.awaits("restore")

    @property
    def _autosave(self) -> Autosave | None:
        """That of the work in hand; None if it was never written."""
        image, labels = self.controller.stage.image, self.controller.stage.labels
        if image is None or labels is None:
            return None
        found = self._checksums.get(image, "")
        return self._autosaves.get(labels, {}).get(found)

    def _on_progress(self, *_: Any) -> None:
        if time.monotonic() - self._written > EVERY and self.controller.state.done:
            self.autosave()

    def _on_ended(self, kind: str) -> None:
        self._find_out()
        if self._waiting or kind not in ("prepare", "download", "count", "look"):
            self.autosave()

    def _on_history(self) -> None:
        history = self.controller.history
        history.added.connect(self.autosave, unique=True)
        history.changed.connect(self._on_change, unique=True)
        history.record.review.confirmed.connect(self._on_change, unique=True)

    def _on_change(self, *_: Any) -> None:
        """Something was done that needs no job, or before its job."""
        state, stage = self.controller.state, self.controller.stage
        if state.image is stage.image and not self._waiting:  # else it is exchanged
            self._waiting = True
            since = time.monotonic() - self._written
            self._later(max(0.0, APART - since), self._on_time)

    def _on_time(self) -> None:
        if self._waiting and self.controller.runner.busy:
            self._later(APART, self._on_time)  # unless the end of a job comes first
        elif self._waiting:
            self.autosave()

    def _on_image(self, *_: Any) -> None:
        """Another image: find out which one it is, and what is known of it."""
        self.offer = None
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
                    self._say_what_lacks()
                else:
                    sources.identify(number, item)
                    self.autosave()

        def on_end(error: Sam2Error | None) -> None:
            if error is None:  # there may be more
                self._find_out()

        self.controller.runner.submit(Job("identify", work, on_item, on_end))

    def _identify(self, image: Image, found: str) -> None:
        self._checksums[image] = found
        lacks = self.controller.history.record.lack is not None
        if self._untouched() or (lacks and not self._restoring):
            self._look_for_offer(found)
        elif not self._restoring:
            self.autosave()

    def _say_what_lacks(self) -> None:
        """A dock that was closed has told nobody."""
        lack = self.controller.history.record.lack
        if lack is not None and not self._restoring:
            self._warn(lack.text)

    def _warn(self, text: str) -> None:
        self.controller.state.status = text
        show_warning(text)

    def _look_for_offer(self, found: str) -> None:
        self._let_go()
        image = self.controller.stage.image
        path = "" if image is None else refer(image).path
        self.offer = find_offer(self.folder, found, path)
        if self.offer is None and self._earlier is not None:
            self.offer = find_offer(self._earlier, found, path)
        self.offered.emit()

    def _let_go(self) -> None:
        """Work in labels that were deleted is nobody's any more."""
        there = self.controller.viewer.layers
        self._autosaves = WeakKeyDictionary(
            {layer: saved for layer, saved in self._autosaves.items() if layer in there}
        )
        held = [each for saved in self._autosaves.values() for each in saved.values()]
        _close([autosave for autosave in self._open if autosave not in held])
        self._open[:] = held

    def _offer_next(self, offer: Offer, whole: bool = True) -> None:
        """Work is restored or not wanted: delete the file, offer what else there is.

        What was not restored as a ``whole`` is offered again.
        """
        image, found = self.controller.stage.image, offer.session.image.checksum
        if whole:
            offer.path.unlink(missing_ok=True)
        if image is not None and self._checksums.get(image) == found:
            self._look_for_offer(found)

    def _untouched(self) -> bool:
        stage = self.controller.stage
        layers = (stage.points, stage.shapes)
        drawn = any(layer is not None and len(layer.data) for layer in layers)
        return not drawn and not self.controller.history.steps

    def _known(self, data: Any) -> str:
        """Checksum of an array, if it is that of an image that was looked into."""
        known = self._checksums.items()
        return next((c for im, c in known if full_resolution(im) is data), "")


def _close(autosaves: list[Autosave]) -> None:
    for autosave in autosaves:
        autosave.close()
