"""Hiding single objects of a Labels layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_sam2._ledger import Ledger
    from napari_sam2._object_notes import ObjectNotes
    from napari_sam2._stage import Stage


class Visibility:
    """Gives hidden objects no colour, and their colours back.

    napari can draw one label or all of them. Colours that the layer has are kept and
    come back once nothing is hidden.

    Parameters
    ----------
    stage, notes, ledger
        The layer, what is to be hidden, and which labels there are.
    """

    def __init__(self, stage: Stage, notes: ObjectNotes, ledger: Ledger) -> None:
        self._stage = stage
        self._notes = notes
        self._ledger = ledger
        self._layer: Labels | None = None
        self._colormap: Any = None
        self._shown: tuple[Any, ...] = ()
        notes.events.hidden.connect(self.apply)
        ledger.changed.connect(self._on_labels)

    def apply(self, *_: Any) -> None:
        """Draw what is to be drawn."""
        from napari.utils.colormaps import DirectLabelColormap

        labels, hidden = self._stage.labels, self._notes.hidden
        if labels is not self._layer:
            self._layer, self._colormap = labels, None
        if labels is None:
            return
        if not hidden:
            if self._colormap is not None:
                labels.colormap = self._colormap
                self._colormap = None
            return
        if self._colormap is None:
            self._colormap = labels.colormap
        ids = {*self._ledger.ids, int(labels.selected_label)}
        self._shown = (frozenset(ids), hidden)
        colors: dict[int | None, Any] = {
            i: self._colormap.map(i) for i in ids if i not in hidden
        }
        colors[None] = colors[0] = np.zeros(4)
        for object_id in hidden:
            colors[object_id] = np.zeros(4)
        labels.colormap = DirectLabelColormap(color_dict=colors)

    def _on_labels(self) -> None:
        """Labels that are new get their colour."""
        if self._notes.hidden and self._stage.labels is not None:
            ids = {*self._ledger.ids, int(self._stage.labels.selected_label)}
            if (frozenset(ids), self._notes.hidden) != self._shown:
                self.apply()
