"""Strokes of napari's brush on labels that the plugin does not write into."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_sam2._tasks import Tasks


class OtherStrokes:
    """Tells whether napari's undo has its turn, or the plugin's.

    The strokes on other labels are napari's to undo, layer by layer. What the user did
    last goes first, be it a stroke or a step.

    Parameters
    ----------
    tasks : Tasks
        Has the history in use, and the layer it belongs to.
    """

    def __init__(self, tasks: Tasks) -> None:
        self.tasks = tasks
        self._drawn: WeakKeyDictionary[Labels, list[float]] = WeakKeyDictionary()
        self._undone: WeakKeyDictionary[Labels, list[float]] = WeakKeyDictionary()

    def watch(self, layer: Labels) -> None:
        """Note from now on when something is drawn on this layer."""
        layer.events.paint.connect(self._on_paint)

    def forget(self, layer: Labels) -> None:
        """Take no notice of this layer any more."""
        layer.events.paint.disconnect(self._on_paint)

    def undo(self, layer: Labels) -> bool:
        """Take back the newest stroke, unless a step came later."""
        step, drawn = self.tasks.history.last, self._drawn.get(layer, [])
        if self._is_ours(layer) or (step and (not drawn or drawn[-1] < step.began)):
            return False
        layer.undo()
        if drawn:
            self._undone.setdefault(layer, []).append(drawn.pop())
        return True

    def redo(self, layer: Labels) -> bool:
        """Do a stroke again, unless a step came before it."""
        steps, undone = self.tasks.history.undone, self._undone.get(layer, [])
        if self._is_ours(layer) or (
            steps and (not undone or undone[-1] > steps[-1].began)
        ):
            return False
        layer.redo()
        if undone:
            self._drawn.setdefault(layer, []).append(undone.pop())
        return True

    def _is_ours(self, layer: Labels) -> bool:
        return layer is self.tasks.stage.labels

    def _on_paint(self, event: Any) -> None:
        layer = event.source
        if not self._is_ours(layer):
            self._drawn.setdefault(layer, []).append(time.monotonic())
            self._undone.pop(layer, None)
