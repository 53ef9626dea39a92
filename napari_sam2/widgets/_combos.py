"""Combo boxes that follow the layer list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QSizePolicy, QWidget

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari.components


class NarrowComboBox(QComboBox):
    """Combo box that may become narrower than its longest entry."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizeAdjustPolicy(QComboBox.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(8)
        self.setSizePolicy(QSizePolicy.Expanding, QSizePolicy.Fixed)


class LayerComboBox(NarrowComboBox):
    """Choice among the layers of a viewer that pass a filter.

    ``layer_chosen`` is emitted when the user chooses, and never by itself.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Whose layers are listed, newest first.
    accepts : callable
        Says whether a layer is listed.
    nothing : str
        Text of an entry for "no layer", for choices where that makes sense.
    """

    layer_chosen = Signal(object)

    def __init__(
        self,
        viewer: napari.components.ViewerModel,
        accepts: Callable[[Any], bool],
        nothing: str = "",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._accepts = accepts
        self._nothing = nothing
        self.setPlaceholderText("none")
        events = viewer.layers.events
        for emitter in (
            events.inserted,
            events.removed,
            events.reordered,
            events.renamed,
        ):
            emitter.connect(self.reset_choices)
        self.activated.connect(self._on_activated)
        self.reset_choices()

    @property
    def layer(self) -> Any:
        """The layer shown, or None."""
        return self.currentData()

    def choose(self, layer: Any) -> None:
        """Show a layer, or that there is none, without telling anyone."""
        indices = [i for i in range(self.count()) if self.itemData(i) is layer]
        self.setCurrentIndex(indices[0] if indices else -1)

    def reset_choices(self, event: Any = None) -> None:
        """List the layers afresh; the choice stays if it can."""
        before = self.currentData()
        self.blockSignals(True)
        self.clear()
        if self._nothing:
            self.addItem(self._nothing, None)
        for layer in reversed(self._viewer.layers):
            if self._accepts(layer):
                self.addItem(layer.name, layer)
        self.choose(before)
        self.blockSignals(False)

    def _on_activated(self, index: int) -> None:
        self.layer_chosen.emit(self.itemData(index))
