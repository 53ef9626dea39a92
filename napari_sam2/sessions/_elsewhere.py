"""Label pixels that came from elsewhere: noticed, and told to the journal."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2 import _layers
from napari_sam2._jobs import Job, Stop
from napari_sam2.history._plain_json import labels_as_json
from napari_sam2.history._sums import plane_sum
from napari_sam2.tasks._counting import count
from sam2_core.errors import Sam2Error

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping

    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_sam2._controller import SegmentController
    from napari_sam2.history._history import History
    from napari_sam2.history._ledger import Place
    from napari_sam2.history._sums import PlaneSums

SECONDS = 0.05  # of looking, before other work has its turn
QUICK_PIXELS = 10**8  # labels so large are looked at as a whole in about half a second
MAX_BYTES = 48 * 2**20  # of packed labels in a session file


@dataclass(frozen=True)
class _Seen:
    """A plane as it was when something at its place had changed ``version`` times."""

    place: Place
    version: int
    total: int
    content: dict[str, Any] | None  # packed, if it is not what the journal tells


class Elsewhere:
    """Compares the labels in use with what the journal tells.

    Labels that were there before the dock, and those that other plugins or scripts
    write, become entries of the journal, plane by plane, so that a session can be
    repeated. It looks in the background when labels are chosen and when they seem to
    have been changed, and once more before a session is saved.

    Parameters
    ----------
    controller : SegmentController
        Whose labels are watched.

    Attributes
    ----------
    left_out : dict of Place to int
        Planes that are too large for a session file, and their checksums.
    """

    def __init__(self, controller: SegmentController) -> None:
        self.controller = controller
        self.left_out: dict[Place, int] = {}
        self._history: History | None = None
        self._nbytes = 0
        self._labels: Labels | None = None
        controller.tasks.ended.connect(self._on_ended)
        controller.state.events.labels.connect(self._on_labels)
        self._on_labels(controller.state.labels)
        self._on_ended("count")

    def look(self, places: Iterable[Place], adopting: bool = False) -> None:
        """Compare planes in the background.

        ``adopting``: what is found was there before everything else.
        """
        labels, history = self.controller.stage.labels, self.controller.history
        left, found = dict.fromkeys(places), 0
        if labels is None or not left:
            return
        data: Any = labels.data
        sums = history.record.sums

        def work(stop: Stop) -> Iterator[_Seen]:
            end = time.monotonic() + SECONDS
            for place in list(left):
                yield _see(place, np.asarray(data[place]), sums)
                if stop() or time.monotonic() > end:
                    return

        def on_item(seen: _Seen) -> None:
            nonlocal found
            if history is not self.controller.history:
                left.clear()
            elif seen.version == sums.version(seen.place):
                left.pop(seen.place, None)
                found += self._take(seen, np.asarray(data[seen.place]), adopting)

        def on_end(error: Sam2Error | None) -> None:
            if left and error is None and labels is self.controller.stage.labels:
                self.controller.runner.submit(Job("look", work, on_item, on_end))
            else:
                self.controller.tasks.ended.emit("found" if found else "look")

        self.controller.runner.submit(Job("look", work, on_item, on_end))

    def settle(self) -> None:
        """Compare at once, before a session is saved: all that can be done quickly."""
        labels, sums = self.controller.stage.labels, self.controller.history.record.sums
        if labels is None:
            return
        every = int(np.prod(labels.data.shape, dtype=np.int64)) <= QUICK_PIXELS
        lead = tuple(labels.data.shape[:-2])
        for place in list(np.ndindex(*lead) if every else sums.doubts):
            plane = np.asarray(labels.data[place])
            self._take(_see(place, plane, sums), plane, adopting=False)

    # -- helpers ------------------------------------------------------------------

    def _begin(self) -> None:
        """Know what the history in use holds."""
        history = self.controller.history
        if history is self._history:
            return
        self._history = history
        self.left_out.clear()
        entries = history.record.journal.entries
        self._nbytes = sum(len(e.what["bits"]) for e in entries if e.do == "found")

    def _take(self, seen: _Seen, plane: NDArray[Any], adopting: bool) -> bool:
        """Tell the journal of a plane; returns whether there was news."""
        self._begin()
        history, place = self.controller.history, seen.place
        sums = history.record.sums
        sums.doubts.discard(place)
        if seen.content is None:
            return False
        if adopting and seen.version:
            before = _without(history, place, plane)
            gained = plane_sum(before)
            if gained and sums.known.get(place, 0) + gained & (2**64 - 1) == seen.total:
                return self._tell(seen, labels_as_json(before), gained)
        return self._tell(seen, seen.content)

    def _tell(
        self, seen: _Seen, content: Mapping[str, Any], gained: int | None = None
    ) -> bool:
        """Note a plane; what it ``gained`` had been there before everything else."""
        history, place = self.controller.history, seen.place
        size = len(content["bits"])
        if self._nbytes + size > MAX_BYTES:
            self.left_out[place] = seen.total
            return False
        self._nbytes += size
        self.left_out.pop(place, None)
        history.record.journal.found(place, content, gained is not None)
        if gained is not None:
            history.record.sums.add(place, gained)
        else:
            steps = history.steps + history.undone
            history.record.sums.seal(place, seen.total, steps)
        return True

    def _on_ended(self, kind: str) -> None:
        if kind == "count":
            self._begin()
            told = self.controller.history.record.journal.entries
            self.look(self._counted(), adopting=not told)
        elif kind not in ("look", "found"):
            self.look(self.controller.history.record.sums.doubts)

    def _counted(self) -> list[Place]:
        """Where there are labels, or were."""
        ledger, sums = self.controller.ledger, self.controller.history.record.sums
        return sorted(
            {place for object_id in ledger.ids for place in ledger.places(object_id)}
            | set(sums.known)
        )

    def _on_labels(self, labels: Labels | None) -> None:
        if self._labels is not None:
            self._labels.events.data.disconnect(self._on_data)
            self._labels.events.paint.disconnect(self._on_paint)
        self._labels = labels
        if labels is not None:
            labels.events.data.connect(self._on_data)
            labels.events.paint.connect(self._on_paint)

    def _on_data(self, event: Any = None) -> None:
        """Somebody has exchanged the array: count anew, then compare."""
        if self._labels is self.controller.stage.labels:
            count(self.controller.tasks)

    def _on_paint(self, event: Any = None) -> None:
        """A stroke, perhaps one that nobody has followed."""
        labels, image = self._labels, self.controller.stage.image
        if labels is None or image is None:
            return
        doubts = self.controller.history.record.sums.doubts
        try:
            view = _layers.current_view(self.controller.viewer, image)
        except Sam2Error:
            view = None
        if view is not None and view.plane == (labels.ndim - 2, labels.ndim - 1):
            doubts.add(view.position)
        else:
            doubts.update(np.ndindex(*labels.data.shape[:-2]))


def missing(session: Any, sums: PlaneSums, edited: Container[Place] = ()) -> str:
    """One sentence on labels that a repeated session lacks; "" if there are none.

    Parameters
    ----------
    session : SessionFile
        That was repeated.
    sums : PlaneSums
        Of the labels that came of it.
    edited : container of Place
        Planes that the user has changed meanwhile, which are not compared.
    """
    expected = session.checksums
    if expected is None:
        return ""
    places = list(np.ndindex(*session.labels["shape"][:-2]))
    wrong = [
        place
        for place, total in zip(places, expected, strict=True)
        if place not in edited and sums.known.get(place, 0) != int(total)
    ]
    if not wrong:
        return ""
    first = ", ".join(str(i) for i in wrong[0])
    differ = "differ" if len(wrong) > 1 else "differs"
    many = f": {len(wrong)} of {len(places)} planes (first: {first}) {differ}"
    left_out = int(session.labels.get("left_out", 0))
    if left_out:
        return (
            f"Labels from elsewhere on {left_out} planes were too many for the session "
            "file and are missing; save the labels layer as well."
        )
    return (
        f"The labels are not those that were saved{many if first else ''}, because "
        "another device or version computed them, or something else than the dock "
        "wrote them."
    )


def _see(place: Place, plane: NDArray[Any], sums: PlaneSums) -> _Seen:
    version, total = sums.version(place), plane_sum(plane)
    same = total == sums.known.get(place, 0)
    return _Seen(place, version, total, None if same else labels_as_json(plane))


def _without(history: History, place: Place, plane: NDArray[Any]) -> NDArray[Any]:
    """A plane before the steps that can be undone."""
    before = np.array(plane)
    for step in reversed(history.steps):
        for patch in reversed(step.patches):
            native = patch.plane == (len(place), len(place) + 1)
            if native and patch.position == place:
                before[patch.rows, patch.columns][patch.changed()] = patch.old
    return before
