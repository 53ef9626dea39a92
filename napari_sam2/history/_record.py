"""All that is remembered of the work on one labels layer, besides its pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import WeakKeyDictionary

from napari_sam2.asking._facts import measure, measure_labels
from napari_sam2.following._divisions import Answers, joined, without
from napari_sam2.following._marks import ABSENT, Mark, Marks
from napari_sam2.following._review import Fact, Plane, Position, Review
from napari_sam2.history._journal import Journal
from napari_sam2.history._object_notes import NO_NOTES
from napari_sam2.history._sums import PlaneSums

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from numpy.typing import NDArray

    from napari_sam2._prompts import Key
    from napari_sam2.asking._messages import PlaneMasks, Relabelled
    from napari_sam2.history._object_notes import Notes


Frame: TypeAlias = tuple[Plane, Position]


@dataclass(frozen=True)
class Lack:
    """A session that the labels do not show as it was saved.

    Attributes
    ----------
    text : str
        One sentence for the user.
    labels : dict
        What the session says of its labels.
    """

    text: str
    labels: dict[str, Any]


class Record:
    """Journal, marks, review and answers; each step of the history can be flipped.

    Attributes
    ----------
    journal : Journal
        What was computed, to be done again.
    marks : Marks
        Where objects are said to be absent or to end.
    review : Review
        Scores and measures, frames looked at and checked.
    notes : Notes
        Names, locks and visibility, while the object table shows other labels.
    divisions : dict
        Answers to "did it divide?", by parent, frame, and the daughter asked about (0:
        the parent was in two parts): daughters, or () for no.
    sums : PlaneSums
        Checksums of the labels as the journal tells them.
    going : set of int
        Objects whose pixels go, or become another's, once it is their turn.
    lack : Lack or None
        Of the session that was restored, or is being restored; None once it is whole.
    """

    def __init__(self, journal: Journal | None = None) -> None:
        self.journal = journal or Journal()
        self.marks = Marks()
        self.review = Review()
        self.notes: Notes = NO_NOTES
        self.divisions: Answers = {}
        self.sums = PlaneSums()
        self.going: set[int] = set()
        self.lack: Lack | None = None
        self._facts: WeakKeyDictionary[Any, list[Fact]] = WeakKeyDictionary()
        self._marks: WeakKeyDictionary[Any, list[Mark]] = WeakKeyDictionary()
        self._answers: WeakKeyDictionary[Any, Answers] = WeakKeyDictionary()
        self._doubts: WeakKeyDictionary[Any, set[Frame]] = WeakKeyDictionary()

    def note(self, masks: PlaneMasks, objects: Collection[int], step: Any) -> None:
        """New masks of these objects came into the labels, on behalf of a step."""
        facts: list[Fact] = [
            (masks.plane, masks.position, object_id, facts)
            for object_id, facts in masks.facts.items()
            if object_id in objects
        ]
        self._remember(step, self.review.put(facts))

    def doubt(self, plane: Plane, position: Position, step: Any) -> None:
        """A propagation has changed a frame: if it was checked, it is not any more."""
        if self.review.doubt(plane, position):
            self._doubts.setdefault(step, set()).add((plane, position))

    def searched(
        self,
        plane: tuple[int, int],
        position: tuple[int, ...],
        ids: NDArray[Any],
        about: Mapping[str, Any],
        step: Any,
    ) -> None:
        """A search has added objects to a plane, which is now (H, W) ``ids``.

        ``about`` is what the journal says of the search.
        """
        first, last = about["labels"]
        sure = about.get("sure", ())  # files of the first versions have none
        ious = dict(zip(range(first, last + 1), sure, strict=False))
        found = measure_labels(ids, ious)
        facts: list[Fact] = [(plane, position, i, known) for i, known in found.items()]
        self._remember(step, self.review.put(facts))

    def drawn(self, key: Key, mask: NDArray[Any] | None, step: Any) -> None:
        """The user has drawn this mask, (H, W), or erased it."""
        facts = None
        if mask is not None:
            facts = measure({key.object_id: mask}, {}, {}, {key.object_id})
        entry = None if facts is None else facts[key.object_id]
        known = (key.plane, key.position, key.object_id, entry)
        self._remember(step, self.review.put([known]))

    def relabelled(
        self, change: Relabelled, left: Mapping[int, NDArray[Any]], step: Any
    ) -> None:
        """Labels of a plane became others; ``left`` are (H, W) masks of these."""
        plane, position = change.plane, change.position
        known = {
            object_id: facts[position]
            for object_id, facts in self.review.facts.get(plane, {}).items()
            if position in facts
        }
        entries: list[Fact] = [
            (plane, position, old, None) for old in change.table if old in known
        ]
        for new, mask in left.items():
            if new in known:
                iou, score = {new: known[new].iou}, {new: known[new].object_score}
                prompted = {new} if known[new].prompted else ()
                facts = measure({new: mask}, iou, score, prompted)
                entries.append((plane, position, new, facts[new]))
        self._remember(step, self.review.put(entries))

    def unite(self, object_id: int, into: int, step: Any) -> None:
        """An object becomes part of another, which is as certain as the lesser."""
        entries: list[Fact] = []
        for plane, objects in self.review.facts.items():
            known = objects.get(into, {})
            for position, facts in objects.get(object_id, {}).items():
                other = known.get(position)
                sure = other.certainty if other is not None and other.area else 2.0
                if facts.area and facts.certainty < sure:
                    entries.append((plane, position, into, facts))
        self._remember(step, self.review.put(entries))

    def mark(
        self, mark: Mark, step: Any, shown: Iterable[Key] = (), axis: int | None = None
    ) -> bool:
        """Set or take away a mark; returns whether it is set now.

        An object that begins or ends on a frame is on it, as on those on which prompts
        have ``shown`` it along an axis: marks that deny that go, and so do those of the
        same kind beyond it.
        """
        self._marks.setdefault(step, list(self.marks))
        if shown and mark.kind != ABSENT and mark not in self.marks:
            shown = list(shown)
            self.marks.contradict([*shown, mark], axis)
            self.marks.supersede(mark, shown, axis)
        return self.marks.toggle(mark)

    def contradict(self, keys: Iterable[Any], axis: int | None, step: Any) -> None:
        """Prompts count more than marks that deny them along an axis."""
        before = list(self.marks)
        self.marks.contradict(keys, axis)
        if step is not None and before != list(self.marks):
            self._marks.setdefault(step, before)

    def clear(self, object_id: int, what: str, step: Any) -> None:
        """An object is deleted: "mask", "prompts" or "both".

        Without a step the work is being repeated; marks come from the session file.
        """
        if what == "both" and step is not None:
            self._marks.setdefault(step, list(self.marks))
            self.marks.drop(object_id)
            self._have(without(self.divisions, object_id), step)
        if what != "prompts":
            self._remember(step, self.review.forget(object_id))

    def answer(
        self, key: tuple[int, int, int], daughters: tuple[int, ...], step: Any
    ) -> None:
        """Keep the answer to "did it divide?"; () for no."""
        self._have({**self.divisions, key: daughters}, step)

    @property
    def divided(self) -> set[tuple[int, int]]:
        """Objects that divided, and the first frames with their daughters."""
        return {key[:2] for key, daughters in self.divisions.items() if daughters}

    def join(self, others: Collection[int], first: int, step: Any) -> None:
        """Objects become one: what is said of each is said of that."""
        self._marks.setdefault(step, list(self.marks))
        self.marks.replace(
            replace(mark, object_id=first) if mark.object_id in others else mark
            for mark in self.marks
        )
        self._have(joined(self.divisions, others, first), step)

    def flip(self, step: Any, undone: bool) -> None:
        """A step of the history was undone, or done again."""
        self.journal.flip(step, undone)
        if step in self._facts:
            self._facts[step] = self.review.put(self._facts[step])
        if step in self._marks:
            before = list(self.marks)
            self.marks.replace(self._marks[step])
            self._marks[step] = before
        if step in self._answers:
            answers, self.divisions = self.divisions, self._answers[step]
            self._answers[step] = answers
        for frame in self._doubts.get(step, ()):
            if undone:
                self.review.check(*frame, True)
            else:
                self.review.doubt(*frame)

    def _have(self, answers: Answers, step: Any) -> None:
        if answers != self.divisions:
            self._answers.setdefault(step, self.divisions)
            self.divisions = answers

    def _remember(self, step: Any, facts: list[Fact]) -> None:
        if step is not None and facts:
            self._facts[step] = facts + self._facts.get(step, [])
