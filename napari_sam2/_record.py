"""All that is remembered of the work on one labels layer, besides its pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import WeakKeyDictionary

from napari_sam2._journal import Journal
from napari_sam2._marks import Mark, Marks
from napari_sam2._review import Fact, Review

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_sam2._messages import PlaneMasks


Answers: TypeAlias = dict[tuple[int, int], tuple[int, ...]]


class Record:
    """Journal, marks, review and names; each step of the history can be flipped.

    Attributes
    ----------
    journal : Journal
        What was computed, to be done again.
    marks : Marks
        Where objects are said to be absent or to end.
    review : Review
        Scores and measures, frames looked at and checked.
    names : dict of int to str
        What the user calls the objects.
    divisions : dict
        Answers to "did it divide?", by (parent, frame): daughters, or () for no.
    """

    def __init__(self, journal: Journal | None = None) -> None:
        self.journal = journal or Journal()
        self.marks = Marks()
        self.review = Review()
        self.names: dict[int, str] = {}
        self.divisions: Answers = {}
        self._facts: WeakKeyDictionary[Any, list[Fact]] = WeakKeyDictionary()
        self._marks: WeakKeyDictionary[Any, list[Mark]] = WeakKeyDictionary()
        self._answers: WeakKeyDictionary[Any, Answers] = WeakKeyDictionary()

    def note(self, masks: PlaneMasks, step: Any) -> None:
        """New masks came into the labels, on behalf of a step."""
        self._remember(step, self.review.note(masks))

    def mark(self, mark: Mark, step: Any) -> bool:
        """Set or take away a mark; returns whether it is set now."""
        self._marks.setdefault(step, list(self.marks))
        return self.marks.toggle(mark)

    def contradict(self, keys: Iterable[Any], step: Any) -> None:
        """Prompts count more than marks on the same frames."""
        before = list(self.marks)
        self.marks.contradict(keys)
        if step is not None and before != list(self.marks):
            self._marks.setdefault(step, before)

    def clear(self, object_id: int, plane: tuple[int, int], step: Any) -> None:
        """An object is deleted."""
        self.journal.clear(object_id, plane, step)
        self._marks.setdefault(step, list(self.marks))
        self.marks.drop(object_id)
        self._remember(step, self.review.forget(object_id))

    def answer(
        self, parent: int, frame: int, daughters: tuple[int, ...], step: Any
    ) -> None:
        """Keep the answer to "did it divide?"; () for no."""
        self._answers.setdefault(step, dict(self.divisions))
        self.divisions[parent, frame] = daughters

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

    def _remember(self, step: Any, facts: list[Fact]) -> None:
        if step is not None:
            self._facts[step] = facts + self._facts.get(step, [])
