"""Group of controls: which layers the model sees, and how much of them."""

from __future__ import annotations

import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtWidgets import QFormLayout, QLabel

from napari_sam2.picture._outline import Outline
from napari_sam2.picture._sight import Sight
from napari_sam2.widgets._combos import NarrowComboBox
from napari_sam2.widgets._threads import DRAWN_MS

if TYPE_CHECKING:
    import napari.components

    from napari_sam2._state import SegmentationState

SEES_NAMES = {"layer": "The image alone", "shown": "What is shown"}
PART_NAMES = {
    "auto": "Large images in parts",
    "screen": "The part on screen",
    "whole": "All of the image",
}
SEES_TIP = (
    "The image alone: the layer, with its contrast limits, in grey.\n"
    "What is shown: all visible images of the same shape and place, blended as on "
    "screen, with their contrast, gamma, colours and opacity."
)
PART_TIP = (
    "Prompts are answered in a part of the image at full resolution, so that small "
    "objects in large images are seen as well as large ones. The part is outlined, and "
    "grows for objects that it cuts.\n"
    "What is followed through a stack is always looked at as a whole."
)
LOOKS = ("visible", "contrast_limits", "gamma", "colormap", "opacity", "blending")
HIDING = ("visible", "opacity", "blending")  # by which one image may hide another
SETTLED_MS = 400  # after a change of how things look, before they are encoded


class SeeingPanel(QObject):
    """What the model is shown: rows of a form, see :meth:`lay_out`.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    state : SegmentationState
    parts : bool
        Whether large images may be looked at in parts, which are outlined then.
    """

    option_requested = Signal(str, object)
    """A field of the state, and its new value."""

    looks_changed = Signal()
    """Layers look different now, and have done so for a moment."""

    def __init__(
        self,
        viewer: napari.components.ViewerModel,
        state: SegmentationState,
        parent: QObject | None = None,
        parts: bool = True,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._state, self._parts = viewer, state, parts
        self._sight = Sight(viewer, state)
        self.sees, self.part = NarrowComboBox(), NarrowComboBox()
        for combo, names in ((self.sees, SEES_NAMES), (self.part, PART_NAMES)):
            for name, text in names.items():
                combo.addItem(text, name)
        self.sees.setToolTip(SEES_TIP)
        self.part.setToolTip(PART_TIP)
        self.channels = QLabel()
        self.channels.setWordWrap(True)
        self.channels.setEnabled(False)  # dim, as it only explains
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(SETTLED_MS)
        self._settle.timeout.connect(self.looks_changed)
        self.sees.activated.connect(self._on_sees)
        self.part.activated.connect(self._on_part)
        for name in ("sees", "part", "image"):
            state.events[name].connect(self.refresh)
        viewer.layers.events.inserted.connect(self._on_inserted)
        viewer.layers.events.removed.connect(self._on_look)
        viewer.layers.events.reordered.connect(self._on_look)
        for layer in viewer.layers:
            self._listen(layer)
        if parts:
            soon = partial(QTimer.singleShot, DRAWN_MS)
            outline = Outline(viewer, state, soon)
            weakref.finalize(self, outline.remove)
        self.refresh()

    def lay_out(self, form: QFormLayout) -> None:
        """Add the rows to a form; they are in line with its others then."""
        form.addRow("Model sees", self.sees)
        form.addRow("", self.channels)
        if self._parts:
            form.addRow("Looks at", self.part)
        self.setParent(form.parentWidget())

    def refresh(self, *_: Any) -> None:
        """Show the state."""
        state = self._state
        self.sees.setCurrentIndex(self.sees.findData(state.sees))
        self.part.setCurrentIndex(self.part.findData(state.part))
        text = self._text() if state.sees == "shown" else ""
        self.channels.setText(text)
        self.channels.setVisible(bool(text))

    def _text(self) -> str:
        image = self._state.image
        if image is None or image not in self._viewer.layers:
            return ""
        shown, left_out = self._sight.shown(image)
        if not shown:
            return "Nothing: no image of this shape and place is visible."
        text = ", ".join(layer.name for layer in shown)
        if left_out:
            names = ", ".join(layer.name for layer in left_out)
            text += f". Not {names}: another shape or place."
        return text

    def _listen(self, layer: Any) -> None:
        if type(layer) is Image:
            for name in LOOKS:
                layer.events[name].connect(self._on_look)

    def _on_inserted(self, event: Any) -> None:
        self._listen(event.value)
        self._on_look(event)

    def _on_look(self, event: Any = None) -> None:
        source = getattr(event, "source", None)
        alone = self._state.sees == "layer"
        other = alone and type(source) is Image and source is not self._state.image
        if other and event.type not in HIDING:
            return
        self.refresh()
        values = getattr(event, "value", source), source
        if event.type == "reordered" or Image in map(type, values):
            self._settle.start()

    def _on_sees(self, index: int) -> None:
        self.option_requested.emit("sees", self.sees.itemData(index))

    def _on_part(self, index: int) -> None:
        self.option_requested.emit("part", self.part.itemData(index))
