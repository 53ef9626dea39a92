"""What a session keeps of each object it follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sam2_core.errors import PromptError
from sam2_core.memory import Memory, MemoryBank, Outline

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from sam2_core.prompts import SparsePrompt


@dataclass(frozen=True)
class Start:
    """What a frame's prompts work on, fixed when the frame gets its first prompt.

    A frame that propagation has visited is corrected: ``seen`` is its mask then and
    ``reverse`` the direction it was visited in. Any other frame is seen by itself.
    """

    seen: Memory | Outline | None = None
    reverse: bool = False


@dataclass
class FollowedObject:
    """Prompts of one object and what it remembers.

    Attributes
    ----------
    prompts, starts, drafts : dict
        By frame index: the prompts, what they work on, and what they gave as long as it
        has not been propagated.
    changed : set of int
        Frames whose prompts were given or cleared and not yet carried both ways.
    directions : dict
        Frames visited by propagation, and whether in reverse.
    bank : MemoryBank
        Results that tracking reads.
    """

    prompts: dict[int, SparsePrompt | NDArray[np.bool_]] = field(default_factory=dict)
    starts: dict[int, Start] = field(default_factory=dict)
    drafts: dict[int, Memory] = field(default_factory=dict)
    changed: set[int] = field(default_factory=set)
    directions: dict[int, bool] = field(default_factory=dict)
    bank: MemoryBank = field(default_factory=MemoryBank)

    @property
    def first(self) -> int:
        """First prompted frame."""
        return min(self.prompts)

    def forget_prompts(self, frame_index: int) -> None:
        """Forget a frame's prompts and all that came of them there."""
        for known in (self.prompts, self.starts, self.drafts, self.bank.conditioning):
            known.pop(frame_index, None)
        self.changed.add(frame_index)


class SomeObjects(Mapping[int, FollowedObject]):
    """Some of a session's objects, as long as the session has them.

    Parameters
    ----------
    objects : mapping
        All of them; may change.
    object_ids : collection of int
        Those to be seen; PromptError if one is not there now.
    """

    def __init__(
        self, objects: Mapping[int, FollowedObject], object_ids: Collection[int]
    ) -> None:
        self._objects = objects
        self._ids = frozenset(object_ids)
        if missing := self._ids - objects.keys():
            raise PromptError(f"Object {min(missing)} has no prompts to be followed.")
        if not self._ids:
            raise PromptError("Say which objects to follow, or None for all.")

    def __getitem__(self, object_id: int) -> FollowedObject:
        if object_id not in self._ids:
            raise KeyError(object_id)
        return self._objects[object_id]

    def __iter__(self) -> Iterator[int]:
        return (object_id for object_id in self._objects if object_id in self._ids)

    def __len__(self) -> int:
        return len(self._ids & self._objects.keys())
