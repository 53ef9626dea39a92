"""Strokes of napari's brush on labels that the plugin does not write into."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from napari_sam2.tasks._counting import count

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_sam2.tasks._tasks import Tasks


class OtherStrokes:
    """Tells whether napari's undo has its turn, or the plugin's.

    The strokes on other labels are napari's to undo, layer by layer. What the user did
    last goes first, be it a stroke or a step. Those on labels that were chosen after
    that are still napari's, where nothing of the plugin's lies above them.

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
        if self._is_ours(layer):
            if not drawn or self._is_worked_on():
                return False
        elif step and (not drawn or drawn[-1] < step.began):
            return False
        layer.undo()
        if drawn:
            self._undone.setdefault(layer, []).append(drawn.pop())
        self._tell(layer)
        return True

    def redo(self, layer: Labels) -> bool:
        """Do a stroke again, unless a step came before it."""
        steps, undone = self.tasks.history.undone, self._undone.get(layer, [])
        if self._is_ours(layer):
            if not undone or self._is_worked_on():
                return False
        elif steps and (not undone or undone[-1] > steps[-1].began):
            return False
        layer.redo()
        if undone:
            self._drawn.setdefault(layer, []).append(undone.pop())
        self._tell(layer)
        return True

    def _is_ours(self, layer: Labels) -> bool:
        return layer is self.tasks.stage.labels

    def _is_worked_on(self) -> bool:
        """Whether the labels in use show anything that the plugin has made."""
        entries = self.tasks.history.record.journal.entries
        return any(entry.do != "found" and not entry.undone for entry in entries)

    def _tell(self, layer: Labels) -> None:
        """Have labels counted anew that napari has changed without saying so."""
        if self._is_ours(layer):
            count(self.tasks)

    def _on_paint(self, event: Any) -> None:
        layer = event.source
        self._undone.pop(layer, None)
        if self._is_ours(layer):  # on top of napari's, which lie out of reach now
            self._drawn.pop(layer, None)
        else:
            self._drawn.setdefault(layer, []).append(time.monotonic())
