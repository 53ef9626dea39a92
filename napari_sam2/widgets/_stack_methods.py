"""What the dock can do with stacks and sessions, for scripts, keys and panels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels
from napari.utils.notifications import show_error
from qtpy.QtCore import QTimer

from napari_sam2._settings import load_settings, writable_folder
from napari_sam2.dock._lineage import LineageTools
from napari_sam2.dock._stacking import StackTools
from napari_sam2.following._marks import ABSENT, BEGIN, END
from napari_sam2.sessions._autosaves import autosave_folder
from napari_sam2.sessions._keeping import SessionKeeper
from napari_sam2.sessions._session_layers import SESSION_PATH
from napari_sam2.stage._specks import Specks
from napari_sam2.tasks._disk_labels import Doubles, move_to_disk
from napari_sam2.widgets._banners import OfferBanner, RemedyBanner
from napari_sam2.widgets._fold import Fold
from napari_sam2.widgets._review import ReviewPanel
from napari_sam2.widgets._session import SessionPanel
from sam2_core.errors import Sam2Error

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_sam2._controller import SegmentController
    from napari_sam2._state import SegmentationState
    from napari_sam2.asking._remedies import Remedy
    from napari_sam2.widgets._stack import StackPanel


class StackMethods:
    """Half of :class:`napari_sam2.widgets.segment.SegmentWidget`.

    It is apart only to keep both halves short; it needs the other one.
    """

    controller: SegmentController
    state: SegmentationState
    stack: StackPanel
    _try: Any

    # -- for scripts --------------------------------------------------------------

    def save_session(self, path: str | Path) -> Path:
        """Save prompts, settings and what was computed as a session file."""
        return self.keeper.save(path)

    def load_session(self, path: str | Path) -> None:
        """Open a session file; its masks are computed again in the background."""
        self.keeper.load(path)

    def mark_absent(self, object_id: int | None = None) -> bool:
        """Say that the object is not on this frame; the same again takes it back."""
        return self.tools.toggle_mark(ABSENT, object_id)

    def mark_begin(self, object_id: int | None = None) -> bool:
        """Say that this is the object's first frame; the same again takes it back."""
        return self.tools.toggle_mark(BEGIN, object_id)

    def mark_end(self, object_id: int | None = None) -> bool:
        """Say that this is the object's last frame; the same again takes it back."""
        return self.tools.toggle_mark(END, object_id)

    def next_uncertain(self) -> int | None:
        """Show the least certain frame that was not looked at yet."""
        return self.tools.next_uncertain()

    def check_frame(self, on: bool | None = None) -> bool:
        """Mark the frame on display as checked, or not; None switches."""
        return self.tools.check(on)

    def make_tracks(self) -> None:
        """Make a Tracks layer from the labels, in the background."""
        self.lineage.make_tracks()

    def labels_to_disk(self, path: str | Path) -> None:
        """Let the labels live in a new zarr store; copied in the background."""
        labels = self.controller.stage.ensure()[3]
        move_to_disk(self.controller.tasks, labels, Path(path))

    # -- setting up ---------------------------------------------------------------

    def _make_stack_parts(self) -> None:
        folder = self._session_folder()
        self.keeper = SessionKeeper(
            self.controller, folder, _later, autosave_folder() if folder else None
        )
        self.tools = StackTools(self.controller)
        self.lineage = LineageTools(self.tools)
        self.specks = Specks(self.controller.stage)
        self.doubles = Doubles(self.controller.viewer)
        self.offer = OfferBanner(self.keeper)
        self.remedy = RemedyBanner()
        color = self.controller.stage.label_color
        self.review = ReviewPanel(self.tools, self.lineage, color)
        self.session = SessionPanel(self.state)
        self.session_fold = Fold("Session and output", self.session, is_open=False)

    def _connect_stack_parts(self) -> None:
        self.stack.axis_requested.connect(self._on_axis)
        self.stack.range_requested.connect(self._on_range)
        self.stack.direction_requested.connect(self._on_direction)
        self.stack.propagate_requested.connect(self._on_propagate)
        self.stack.mark_requested.connect(self._on_mark)
        self.stack.patience_requested.connect(self._on_patience)
        self.stack.follow_requested.connect(self._on_follow)
        self.stack.alone_requested.connect(self._on_alone)
        self.review.next_requested.connect(self._on_next_uncertain)
        self.review.check_requested.connect(self._on_check)
        self.review.strip.frame_requested.connect(self._on_frame)
        self.review.strip.object_requested.connect(self._on_object)
        self.review.answer_requested.connect(self._on_answer)
        self.session.tracks_requested.connect(self._on_tracks)
        self.session.disk_requested.connect(self._on_disk)
        self.session.save_requested.connect(self._on_save_session)
        self.session.open_requested.connect(self._on_open_session)
        self.offer.restore_requested.connect(self.keeper.accept_offer)
        self.offer.discard_requested.connect(self.keeper.discard_offer)
        self.remedy.chosen.connect(self._on_remedy)
        self.controller.tasks.remedies_found.connect(self.remedy.show_remedies)
        self.tools.changed.connect(self._show_marks)
        self.tools.moved.connect(self._show_marks)
        self.state.events.object_id.connect(self._show_marks)
        self.controller.viewer.layers.events.inserted.connect(self._on_inserted)

    def _session_folder(self) -> Path | None:
        """The folder for unsaved work under Preferences, if it can be used."""
        try:
            return writable_folder(load_settings().session_folder)
        except Sam2Error as error:
            show_error(str(error))
            return None

    def _load_session_of(self, layer: Any) -> None:
        """An image brings its session file along, now or when it is given one."""
        if type(layer) is not Image:
            return
        layer.events.metadata.connect(self._on_metadata)
        path = layer.metadata.pop(SESSION_PATH, None)
        if path is not None:
            self._try("choose_image", layer)
            self._try("load_session", path)

    # -- slots --------------------------------------------------------------------

    def _show_marks(self, *_: Any) -> None:
        self.stack.show_marks(self.tools.marks_here())

    def _on_axis(self, axis: int | None) -> None:
        self._try("choose_axis", axis)
        self.stack.refresh()

    def _on_propagate(self) -> None:
        self._try("propagate")

    def _on_range(self, start: int | None, stop: int | None) -> None:
        self.state.update(start=start, stop=stop)

    def _on_direction(self, direction: str) -> None:
        self.state.direction = direction

    def _on_mark(self, kind: str) -> None:
        methods = {ABSENT: "mark_absent", BEGIN: "mark_begin", END: "mark_end"}
        self._try(methods[kind])
        self._show_marks()

    def _on_patience(self, on: bool, patience: int) -> None:
        self.state.update(stop_when_lost=on, patience=patience)

    def _on_follow(self, on: bool) -> None:
        self.state.follow_corrections = on

    def _on_alone(self, on: bool) -> None:
        self.state.alone = on

    def _on_next_uncertain(self) -> None:
        self._try("next_uncertain")

    def _on_check(self, on: bool) -> None:
        self._try("check_frame", on)

    def _on_answer(self, suspect: Any, divided: bool) -> None:
        self._try("answer", suspect, divided, target=self.lineage)

    def _on_tracks(self) -> None:
        self._try("make_tracks")

    def _on_disk(self, path: str) -> None:
        self._try("labels_to_disk", path)

    def _on_remedy(self, remedy: Remedy) -> None:
        self.state.preset = remedy.preset
        self._try("choose_model", remedy.model, remedy.device)
        self.controller.sync()

    def _on_frame(self, index: int) -> None:
        self.tools.go_to(index)

    def _on_object(self, object_id: int) -> None:
        self.controller.select_object(object_id)

    def _on_save_session(self, path: str) -> None:
        self._try("save_session", path)

    def _on_open_session(self, path: str) -> None:
        self._try("load_session", path)

    def _on_metadata(self, event: Any) -> None:
        self._load_session_of(event.source)

    def _on_inserted(self, event: Any) -> None:
        self._load_session_of(event.value)
        if type(event.value) is Labels:
            self.controller.tasks.rest()  # perhaps there is something to begin from


def _later(seconds: float, function: Callable[[], None]) -> None:
    QTimer.singleShot(round(1000 * seconds), function)
