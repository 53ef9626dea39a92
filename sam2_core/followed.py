"""What a session keeps of each object it follows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sam2_core.memory import Memory, MemoryBank, Outline

if TYPE_CHECKING:
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
