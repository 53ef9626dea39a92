"""Hiding single objects of a Labels layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2._label_colors import HIDING, Hiding, map_label, own_colormap

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_sam2.history._ledger import Ledger
    from napari_sam2.history._object_notes import ObjectNotes
    from napari_sam2.stage._stage import Stage


class Visibility:
    """Gives hidden objects no colour, and their colours back.

    napari can draw one label or all of them. Colours that the layer has are kept and
    come back once nothing is hidden; those that it is given meanwhile, too. Prompts of
    hidden objects are not drawn either. In a duplicate of the layer nothing is hidden.

    Parameters
    ----------
    stage, notes, ledger
        The layer, what is to be hidden, and which labels there are.
    """

    def __init__(self, stage: Stage, notes: ObjectNotes, ledger: Ledger) -> None:
        self._stage = stage
        self._notes = notes
        self._ledger = ledger
        self._shown: tuple[Any, ...] = ()
        self._labels: Labels | None = None
        stage.layers_changed.connect(self._on_layers)
        stage.viewer.layers.events.inserted.connect(self._on_inserted)
        self._on_layers()
        notes.events.hidden.connect(self.apply)
        ledger.changed.connect(self._on_labels)

    def apply(self, *_: Any) -> None:
        """Draw what is to be drawn."""
        from napari.utils.colormaps import DirectLabelColormap

        labels, hidden = self._stage.labels, self._notes.hidden
        if labels is None or (not hidden and labels not in HIDING):
            return
        own, selected = own_colormap(labels), int(labels.selected_label)
        alone = {"use_selection": labels.show_selected_label, "selection": selected}
        if hidden:
            ids = {*self._ledger.ids, selected}
            self._shown = (frozenset(ids), hidden)
            colors: dict[int | None, Any] = {i: map_label(own, i) for i in ids - hidden}
            for nothing in (None, 0, *hidden):
                colors[nothing] = np.zeros(4)
            instead = DirectLabelColormap(color_dict=colors, **alone)
            HIDING[labels] = Hiding(hidden, own, instead)
            labels.colormap = instead
        else:
            del HIDING[labels]
            own.use_selection, own.selection = alone.values()
            labels.colormap = own
        self._stage.style(selected)

    def _on_layers(self) -> None:
        if self._labels is self._stage.labels:
            return
        if self._labels is not None:
            self._labels.events.colormap.disconnect(self._on_colormap)
            self._labels.events.selected_label.disconnect(self._on_labels)
        self._labels = self._stage.labels
        if self._labels is not None:
            self._labels.events.colormap.connect(self._on_colormap)
            self._labels.events.selected_label.connect(self._on_labels)

    def _on_colormap(self, event: Any = None) -> None:
        """Colours that the layer was given draw what is hidden: not so."""
        labels = self._labels
        if labels is None or labels not in HIDING:
            return
        if labels.colormap is not HIDING[labels].instead:
            self.apply()

    def _on_inserted(self, event: Any) -> None:
        """A duplicate has the colours that draw no hidden objects: give it its own."""
        labels = event.value
        shown = getattr(labels, "colormap", None)
        for hiding in list(HIDING.values()):
            if shown is hiding.instead and labels not in HIDING:
                own = hiding.own.model_copy(deep=True)
                own.use_selection = labels.show_selected_label
                own.selection = labels.selected_label
                labels.colormap = own

    def _on_labels(self, event: Any = None) -> None:
        """Labels that are new, or about to be painted, get their colour."""
        if self._notes.hidden and self._stage.labels is not None:
            ids = {*self._ledger.ids, int(self._stage.labels.selected_label)}
            if (frozenset(ids), self._notes.hidden) != self._shown:
                self.apply()
