"""What the user says of objects besides where they are: names, locks, visibility."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

from psygnal import SignalGroupDescriptor


class Notes(NamedTuple):
    """Names, locked and hidden objects, as :class:`ObjectNotes` has them."""

    names: dict[int, str]
    locked: frozenset[int]
    hidden: frozenset[int]


NO_NOTES = Notes({}, frozenset(), frozenset())


@dataclass
class ObjectNotes:
    """Names, locks and visibility of the objects of one Labels layer.

    Fields are replaced, never changed in place, so that each change is an event.

    Attributes
    ----------
    names : dict of int to str
        Names that were given.
    locked : frozenset of int
        Objects that nothing may change.
    hidden : frozenset of int
        Objects that are not drawn.
    """

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()

    names: dict[int, str] = field(default_factory=dict)
    locked: frozenset[int] = frozenset()
    hidden: frozenset[int] = frozenset()

    @property
    def all(self) -> Notes:
        """Everything, to be kept while other labels are in use."""
        return Notes(self.names, self.locked, self.hidden)

    def replace(self, notes: Notes) -> None:
        """Have these notes and no others."""
        self.names, self.locked, self.hidden = notes

    def name(self, object_id: int) -> str:
        """Name of an object, "Object 3" if it was given none."""
        return self.names.get(object_id, f"Object {object_id}")

    def refusal(self, object_id: int) -> str:
        """Why a locked object is not changed."""
        return f"{self.name(object_id)} is locked; unlock it to change it."

    def rename(self, object_id: int, name: str) -> None:
        """Give a name; an empty one takes it back."""
        names = {i: text for i, text in self.names.items() if i != object_id}
        if name.strip() and name.strip() != f"Object {object_id}":
            names[object_id] = name.strip()
        self.names = names

    def forget(self, object_id: int) -> None:
        """The object is no more: what has its id later has no name and is drawn."""
        self.rename(object_id, "")
        self.hide(object_id, False)

    def lock(self, object_id: int, on: bool) -> None:
        """Protect an object from every change, or allow changes again."""
        self.locked = self.locked | {object_id} if on else self.locked - {object_id}

    def hide(self, object_id: int, on: bool) -> None:
        """Do not draw an object, or draw it again."""
        self.hidden = self.hidden | {object_id} if on else self.hidden - {object_id}
