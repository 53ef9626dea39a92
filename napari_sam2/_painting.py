"""What the user paints with napari's own brush: undone, counted, taken seriously."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2 import _labels, _layers
from napari_sam2._ledger import count_labels
from napari_sam2._prompts import Key
from sam2_core.errors import Sam2Error

if TYPE_CHECKING:
    import napari.components
    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_sam2._history import Step
    from napari_sam2._layers import View
    from napari_sam2._ledger import Ledger
    from napari_sam2._starts import Starts
    from napari_sam2._steps import Steps

TOOLS = ("paint", "fill", "erase", "polygon")
DRAWN = ("set_data", "labels_update")  # events of a layer whose pixels are new


class Painting:
    """Turns strokes into steps, and painted objects into mask prompts.

    The plane on display is remembered while a brush is in hand and compared afterwards:
    what napari tells about a stroke differs between versions.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Shows the plane.
    starts : Starts
        Makes the mask prompts.
    steps : Steps
        Remembers the strokes.
    ledger : Ledger
        Counts the pixels.
    """

    def __init__(
        self,
        viewer: napari.components.ViewerModel,
        starts: Starts,
        steps: Steps,
        ledger: Ledger,
    ) -> None:
        self.viewer = viewer
        self.starts = starts
        self.steps = steps
        self.ledger = ledger
        self._labels: Labels | None = None
        self._view: View | None = None
        self._before: NDArray[Any] | None = None
        self._announced = False
        steps.state.events.labels.connect(self._on_labels)
        ledger.changed.connect(self._remember)
        for name in ("current_step", "order", "ndisplay"):
            viewer.dims.events[name].connect(self._remember)

    def _on_labels(self, labels: Labels | None) -> None:
        if self._labels is not None:
            self._labels.events.mode.disconnect(self._remember)
            self._labels.events.paint.disconnect(self._on_paint)
            for name in DRAWN:
                self._labels.events[name].disconnect(self._on_drawn)
        self._labels = labels
        if labels is not None:
            labels.events.mode.connect(self._remember)
            labels.events.paint.connect(self._on_paint)
            for name in DRAWN:
                labels.events[name].connect(self._on_drawn)
        self._remember()

    def _remember(self, event: Any = None) -> None:
        """Copy the plane on display, if a brush may change it."""
        self._before = self._view = None
        image, labels = self.steps.stage.image, self._labels
        if image is None or labels is None or str(labels.mode) not in TOOLS:
            return
        if image not in self.viewer.layers:
            return
        try:
            self._view = _layers.current_view(self.viewer, image)
        except Sam2Error:
            return
        self._before = self._plane().copy()

    def _plane(self) -> NDArray[Any]:
        assert self._view is not None
        assert self._labels is not None
        index = _layers.plane_index(self._view.plane, self._view.position)
        return np.asarray(self._labels.data[index])

    def _on_drawn(self, event: Any = None) -> None:
        if self._announced:
            self._on_paint()

    def _on_paint(self, event: Any = None) -> None:
        """A stroke has ended, or begins: one that a script makes is told first."""
        self._announced = event is not None
        view, before, labels = self._view, self._before, self._labels
        if view is None or before is None or labels is None:
            self._recount()
            return
        now = self._protect(before, labels, view)
        patch = _labels.difference(view.plane, view.position, before, now)
        if patch is None:
            return
        self._announced = False
        self.steps.look()
        step = self.steps.begin("painting")
        ids = set(np.unique(patch.old).tolist()) | set(np.unique(patch.new).tolist())
        self.steps.history.add(patch, step)
        self.steps.history.record.journal.paint(patch, step)
        self._take(view, now, {int(i) for i in ids if i}, step)

    def _protect(
        self, before: NDArray[Any], labels: Labels, view: View
    ) -> NDArray[Any]:
        """Give locked objects their pixels back; returns the plane, a copy."""
        now = self._plane().copy()
        locked = list(self.steps.notes.locked)
        if locked:
            kept = np.isin(before, locked) | np.isin(now, locked)
            if (now[kept] != before[kept]).any():
                now[kept] = before[kept]
                labels.data[_layers.plane_index(view.plane, view.position)] = now
                _labels.refresh(labels)
                self.steps.state.status = "Locked objects cannot be painted over."
        return now

    def _take(self, view: View, now: NDArray[Any], ids: set[int], step: Step) -> None:
        """Painting on a mask of the plugin's replaces its prompts in this plane."""
        prompted = {**self.steps.history.written, **self.starts.prompts()}
        keys = {i: Key(view.plane, view.position, i) for i in sorted(ids)}
        masks = {key: now == i for i, key in keys.items() if key in prompted}
        if masks:
            self.starts.replace(masks, step)
            self.steps.stage.style(self.steps.state.object_id)

    def _recount(self) -> None:
        """Somebody painted without a brush in hand: count the plane on display."""
        image, labels = self.steps.stage.image, self._labels
        if image is None or labels is None:
            return
        try:
            view = _layers.current_view(self.viewer, image)
        except Sam2Error:
            return
        if view.plane == (labels.ndim - 2, labels.ndim - 1):
            plane_hw = np.asarray(labels.data[view.position])
            self.ledger.count(view.position, count_labels(plane_hw))
