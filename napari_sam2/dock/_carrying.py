"""Corrections that follow through the stack by themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakSet

from sam2_core.errors import Sam2Error

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_sam2._controller import SegmentController
    from napari_sam2._images import LayerFrames
    from napari_sam2.history._history import Step


class Carrying:
    """Propagates what was corrected, where the user wants that.

    A new prompt comes first: a propagation begun here waits until it is answered.

    Parameters
    ----------
    controller : SegmentController
        Propagates.
    frames : callable
        Gives the line of frames on display; None where there is none.
    """

    def __init__(
        self,
        controller: SegmentController,
        frames: Callable[[], LayerFrames | None],
    ) -> None:
        self.controller = controller
        self.frames = frames
        self._corrected = False
        self._running = False  # a propagation that was begun here
        self._unfinished = False  # one that gave way to a prompt
        self._dealt: WeakSet[Step] = WeakSet()  # with these
        controller.painting.prompted.connect(self.corrected)
        controller.tasks.asking.connect(self._on_asking)

    def corrected(self) -> None:
        """Prompts have changed, or masks were painted."""
        self._corrected = True
        self._carry()

    def on_ended(self, kind: str) -> None:
        """A job of this kind is over."""
        if kind == "propagate":  # or is another begun here already?
            self._running &= self.controller.runner.awaits("propagate")
        if kind == "predict" and self._corrected:
            self._carry()

    def _on_asking(self) -> None:
        if self._running:
            self._running, self._unfinished = False, True
            self.controller.runner.cancel("propagate")

    def _carry(self) -> None:
        """Propagate, unless masks of prompts are about to come: then after them."""
        controller, step = self.controller, self.controller.history.last
        if controller.runner.awaits("predict") or controller.ids.held:
            return
        unfinished, self._unfinished, self._corrected = self._unfinished, False, False
        frames = self.frames()
        if frames is None or not controller.state.follow_corrections:
            return
        followed = controller.pending.followed(frames)
        changed = set[int]()
        if step is not None and step not in self._dealt and step.text != "propagation":
            self._dealt.add(step)
            changed = {key.object_id for key in step.written}
        if not followed or not (unfinished or changed & followed):
            return
        self._running = True
        try:
            controller.propagate(changes=followed)
        except Sam2Error as error:
            self._running = False
            controller.state.status = str(error)
