"""The sessions of a model that were used last."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_sam2._images import LayerFrames
    from napari_sam2._prompts import ObjectPrompts
    from napari_sam2.asking._models import Session

MAX_SESSIONS = 2


@dataclass
class OpenSession:
    """A session, the prompts it was given per (frame, object), what it has followed."""

    session: Session
    applied: dict[tuple[int, int], ObjectPrompts] = field(default_factory=dict)
    followed: set[int] = field(default_factory=set)

    def forget_all_but(self, wanted: set[tuple[int, int]]) -> None:
        """Take back the prompts of all other (frame, object)."""
        left = {object_id for _, object_id in wanted}
        for index, object_id in sorted(set(self.applied) - wanted):
            del self.applied[index, object_id]
            if object_id in left:
                self.session.clear_prompts(index, object_id)
            elif all(other != object_id for _, other in self.applied):
                self.session.remove_object(object_id)


class Sessions:
    """Those that were given prompts last, and the one that was only looked at last.

    Looking is in no journal, so that it does not decide which of them are kept.

    Attributes
    ----------
    opened : int
        Sessions that were given prompts so far; so a job knows a fresh one.
    """

    def __init__(self) -> None:
        self.opened = 0
        self._told: OrderedDict[LayerFrames, OpenSession] = OrderedDict()
        self._looked: tuple[LayerFrames, OpenSession] | None = None

    def find(self, frames: LayerFrames) -> OpenSession | None:
        """The session of these frames, if there is one."""
        if self._looked is not None and self._looked[0] == frames:
            return self._looked[1]
        return self._told.get(frames)

    def look(
        self, frames: LayerFrames, make: Callable[[LayerFrames], Session]
    ) -> OpenSession:
        """The session of these frames, which is told nothing."""
        opened = self.find(frames)
        if opened is None:
            opened = OpenSession(make(frames))
            self._looked = frames, opened
        return opened

    def tell(
        self, frames: LayerFrames, make: Callable[[LayerFrames], Session]
    ) -> OpenSession:
        """The session of these frames, which is about to be given prompts."""
        opened = self.look(frames, make)
        if frames not in self._told:
            self._told[frames], self._looked = opened, None
            self.opened += 1
        self._told.move_to_end(frames)
        while len(self._told) > MAX_SESSIONS:
            self._told.popitem(last=False)
        return opened

    def forget(self, frames: LayerFrames) -> None:
        """Begin afresh with these frames."""
        self._told.pop(frames, None)

    def clear(self) -> None:
        """Let go of all."""
        self._told.clear()
        self._looked = None
