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

    A frame that propagation has visited, or that is shown with a mask, is corrected:
    ``seen`` is its mask then and ``reverse`` the direction it was visited in. Any other
    frame is seen by itself.
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
    changed : (set of int, set of int)
        Frames whose prompts were given or cleared and not yet carried forward, and
        those not yet carried backward.
    directions : dict
        Frames visited by propagation, and whether in reverse the last time.
    unsettled : set of int
        Frames visited by runs that were not finished.
    bank, back : MemoryBank
        Results that tracking reads going forward, and going backward. Prompted frames
        and outlines are the same in both; what was tracked is each direction's own.
    """

    prompts: dict[int, SparsePrompt | NDArray[np.bool_]] = field(default_factory=dict)
    starts: dict[int, Start] = field(default_factory=dict)
    drafts: dict[int, Memory] = field(default_factory=dict)
    changed: tuple[set[int], set[int]] = field(default_factory=lambda: (set(), set()))
    directions: dict[int, bool] = field(default_factory=dict)
    unsettled: set[int] = field(default_factory=set)
    bank: MemoryBank = field(default_factory=MemoryBank)
    back: MemoryBank = field(init=False)

    def __post_init__(self) -> None:
        shared = self.bank.conditioning, dict[int, Memory](), self.bank.outlines
        self.back = MemoryBank(*shared)

    @property
    def first(self) -> int:
        """First prompted frame."""
        return min(self.prompts)

    def forget_prompts(self, frame_index: int) -> None:
        """Forget a frame's prompts and all that came of them there."""
        for known in (self.prompts, self.starts, self.drafts, self.bank.conditioning):
            known.pop(frame_index, None)
        self.change(frame_index)

    def change(self, frame_index: int) -> None:
        """The prompts of a frame are to be carried both ways."""
        for changed in self.changed:
            changed.add(frame_index)

    def settle(self, reverse: bool) -> None:
        """What has changed has been carried in a direction."""
        # Prompts that came on the way are drafts still.
        self.changed[reverse].intersection_update(self.drafts)
        self.unsettled = {
            t for t in self.unsettled if self.directions.get(t) is not reverse
        }

    def seen(self, frame_index: int) -> Memory | Outline | None:
        """What is known of the mask on a frame, from the direction it was found in."""
        reverse = self.directions.get(frame_index, False)
        return (self.back if reverse else self.bank).seen(frame_index)

    def condition(self, frame_index: int, memory: Memory) -> None:
        """Keep the memory of a frame whose prompts are final."""
        for bank in (self.bank, self.back):
            bank.condition(frame_index, memory)

    def track(self, frame_index: int, memory: Memory, reverse: bool) -> None:
        """Keep the memory of a frame the object was followed to."""
        one, other = (self.back, self.bank) if reverse else (self.bank, self.back)
        other.outdate(frame_index)
        one.track(frame_index, memory)

    def visit(self, frame_index: int, reverse: bool) -> None:
        """Propagation has been on a frame."""
        self.directions[frame_index] = reverse
        self.unsettled.add(frame_index)


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
