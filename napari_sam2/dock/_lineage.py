"""Time-lapses: tracks from the labels, and the question whether an object divided."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2._images import LayerFrames, split_position
from napari_sam2._jobs import Job, Stop
from napari_sam2._layers import add_aside
from napari_sam2._masks import PackedMask
from napari_sam2.following._divisions import Suspect, divide, find_suspects
from napari_sam2.following._marks import BEGIN, END, Mark
from napari_sam2.following._tracks import MADE_FROM, collect_rows, make_tracks
from napari_sam2.history._entry import Entry
from sam2_core.errors import Cancelled, PromptError, Sam2Error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari.layers import Layer, Tracks

    from napari_sam2.dock._stacking import StackTools
    from napari_sam2.history._history import Step


class LineageTools:
    """Tracks and divisions of a stack.

    Parameters
    ----------
    tools : StackTools
        Knows the line of frames and the record.
    """

    def __init__(self, tools: StackTools) -> None:
        self.tools = tools
        self.controller = tools.controller
        self.tracks: Tracks | None = None

    def suspects(self) -> list[Suspect]:
        """Likely divisions that were not asked about yet; none along z."""
        if not self.tools.in_time:  # neighbours in space are no daughters
            return []
        return find_suspects(self.tools.line(), self.tools.record.divisions)

    def answer(self, suspect: Suspect, divided: bool) -> tuple[int, ...]:
        """The user says whether it was a division; it is never asked again.

        An object in two parts becomes two objects from that frame on, on all slices,
        and ends before it: its prompts from there on go. A daughter beside her mother
        begins there.
        Undo takes the answer back, and so does stopping before all frames are divided.

        Returns
        -------
        tuple of int
            The daughters; () if it was none.

        Raises
        ------
        PromptError
            If the object divided and is locked, or nothing looks like that division
            any more.
        """
        controller, record = self.controller, self.tools.record
        frames, labels = self.tools.need_frames(), controller.stage.labels
        assert frames.axis is not None
        assert labels is not None
        if divided and suspect.parent in controller.notes.locked:
            raise PromptError(controller.notes.refusal(suspect.parent))
        if suspect not in self.suspects():
            self.tools.refresh()  # the question goes
            raise PromptError("The masks have changed since then; look at them again.")
        splits = divided and not suspect.daughter
        # May be refused.
        first = controller.ids.reserve(2, labels) if splits else 0
        step = controller.steps.begin("answer")
        daughters: tuple[int, ...] = ()
        if divided and suspect.daughter:
            daughters = (suspect.daughter,)
            here = frames.position(suspect.frame)
            begins = Mark(suspect.daughter, frames.plane, here, BEGIN)
            if begins not in record.marks:
                record.mark(begins, step)
        elif splits:
            pair = (first, first + 1)
            self._drop_prompts(suspect, step)
            for line in self._lines(frames, suspect.parent):
                before = line.position(max(0, suspect.frame - 1))
                ends = Mark(suspect.parent, line.plane, before, END)
                if ends not in record.marks:
                    record.mark(ends, step)
            daughters = pair
        record.answer(suspect.key, daughters, step)
        if splits:
            self._divide(suspect, pair, frames, step)
        self.tools.refresh()
        if not splits:
            self._reply(suspect, daughters)
        return daughters

    def _reply(self, suspect: Suspect, daughters: tuple[int, ...]) -> None:
        notes, state = self.controller.notes, self.controller.state
        state.status = suspect.reply(notes.name, daughters)

    def _drop_prompts(self, suspect: Suspect, step: Step) -> None:
        """The parent is not asked for any more where its daughters are."""
        frames, starts = self.tools.need_frames(), self.controller.starts
        nothing = PackedMask.of(np.zeros(frames.shape, bool))
        gone = {
            key: nothing
            for key in starts.prompts()
            if key.object_id == suspect.parent
            and frames.axis not in key.plane
            and split_position(key.plane, key.position, frames.axis)[1] >= suspect.frame
        }
        starts.replace(gone, step)
        self.controller.steps.look()

    def _lines(self, frames: LayerFrames, object_id: int) -> list[LayerFrames]:
        """The line on display, and the others along its axis that an object is on."""
        labels, ledger = self.controller.stage.labels, self.controller.tasks.ledger
        assert labels is not None
        plane, ndim = frames.plane, frames.ndim
        places = ledger.places(object_id)
        if ledger.uncounted or plane != (ndim - 2, ndim - 1):  # it may be on any
            others = [n for i, n in enumerate(labels.data.shape) if i not in plane]
            places = list(np.ndindex(*others))
        found = {split_position(plane, place, frames.axis)[0] for place in places}
        rest = sorted(found - {frames.fixed})
        return [frames, *(replace(frames, fixed=fixed) for fixed in rest)]

    def _divide(
        self, suspect: Suspect, pair: tuple[int, int], frames: LayerFrames, step: Step
    ) -> None:
        """Write the daughters into the labels: on all their frames, or on none."""
        controller, journal = self.controller, self.tools.record.journal
        labels, entries = controller.stage.labels, list[Entry]()
        lines, positions = list[LayerFrames](), list[tuple[int, ...]]()

        def begin() -> None:
            lines.extend(self._lines(frames, suspect.parent))
            there = range(suspect.frame, len(frames))
            positions.extend(line.position(i) for line in lines for i in there)
            where = (frames.plane, positions, len(lines))
            entries.append(journal.divide(suspect.parent, pair, *where, step))

        def work(stop: Stop) -> Iterator[Any]:
            where = (frames.plane, positions)
            return divide(labels, *where, suspect.parent, pair, len(lines))

        def failed(error: Sam2Error) -> None:
            history = controller.history
            if history.last is not step:  # undone, or there is later work on top
                return
            undone = history.undone.copy()
            controller.undo()
            history.withdraw(undone)
            if isinstance(error, Cancelled):
                controller.state.status = "Not divided; the question is still open."

        def then() -> None:
            if controller.history.last is step:
                self._reply(suspect, pair)

        controller.tasks.submit(
            "divide", work, step, then, begin=begin, entries=entries, failed=failed
        )

    def make_tracks(self) -> None:
        """Show the paths of all objects as a Tracks layer; the old one is replaced.

        Raises
        ------
        Sam2Error
            If there are no labels, or time is not the first axis.
        """
        controller, state = self.controller, self.controller.state
        image, _, _, labels = controller.stage.ensure()
        if state.axis != 0 or image.ndim < 3:
            raise PromptError("Tracks need a stack whose first axis is time.")
        rows: list[Any] = []
        data, total = labels.data, int(labels.data.shape[0])
        record = self.tools.record  # of these labels; others may be in use at the end

        def work(stop: Stop) -> Iterator[Any]:
            return collect_rows(data, stop)

        def on_start() -> None:
            state.update(busy="tracks", done=0, total=total)

        def on_item(item: Any) -> None:
            rows.append(item[1])
            state.done = item[0] + 1

        def on_end(error: Sam2Error | None) -> None:
            state.update(busy="", done=0, total=0)
            try:
                if error is not None:
                    raise error
                found = np.concatenate(rows)
                self._show(make_tracks(found, record.divisions, image, labels))
            except Cancelled as stopped:
                controller.tasks.rest(str(stopped))
            except Sam2Error as problem:
                controller.tasks.fail(problem)

        controller.runner.submit(Job("tracks", work, on_item, on_end, on_start))

    def _show(self, tracks: Tracks) -> None:
        viewer = self.controller.viewer
        for old in [layer for layer in viewer.layers if _replaces(tracks, layer)]:
            viewer.layers.remove(old)
        self.tracks = tracks
        add_aside(viewer, tracks)
        number = len(np.unique(tracks.data[:, 0]))
        self.controller.state.status = f"{number} track{'s' * (number > 1)}."


def _replaces(tracks: Tracks, layer: Layer) -> bool:
    """Whether a layer holds earlier tracks of the same labels, whichever dock's."""
    made_from = tracks.metadata[MADE_FROM]
    return bool(layer.metadata.get(MADE_FROM) == made_from)
