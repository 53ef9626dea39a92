"""Group of controls: what prompts mean and what happens to labels that are there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QFormLayout, QWidget

from napari_sam2._settings import takes_preset, usable
from napari_sam2.dock._keys import hint
from napari_sam2.widgets._combos import NarrowComboBox
from sam2_core.presets import PRESETS

if TYPE_CHECKING:
    from napari_sam2._state import SegmentationState
    from napari_sam2.dock._hover import Hover

WRITING_NAMES = {
    "keep": "Keep them",
    "overwrite": "Overwrite them",
    "empty": "Fill empty pixels only",
}
PRESET_NAMES = {"": "As trained", **{name: name.capitalize() for name in PRESETS}}
WRITING_TIPS = (
    "Keep: pixels of other labels stay.\n"
    "Overwrite: the mask takes them, unless the other object is locked.\n"
    "Fill empty pixels only: nothing that is labelled changes, not even the object's "
    "own older pixels."
)


class OptionsPanel(QWidget):
    """Existing labels, neighbours, one object per prompt, preview."""

    option_requested = Signal(str, object)
    """A field of the state, and its new value."""

    def __init__(
        self, state: SegmentationState, hover: Hover, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._state = state
        self._hover = hover
        self.writing = NarrowComboBox()
        for name, text in WRITING_NAMES.items():
            self.writing.addItem(text, name)
        self.writing.setToolTip(WRITING_TIPS)
        self.neighbours = QCheckBox("Stay out of neighbours")
        self.neighbours.setToolTip(
            "All other labels act as negative prompts, so that a mask does not leak "
            "into the next cell. Locked objects always do."
        )
        self.each = QCheckBox("One object per prompt")
        self.each.setToolTip(
            "Every positive point, box or outline is an object of its own"
            + hint("each")
        )
        self.hover = QCheckBox("Preview under the cursor")
        self.preset = NarrowComboBox()
        for name, text in PRESET_NAMES.items():
            self.preset.addItem(text, name)
        form = QFormLayout(self)
        form.setContentsMargins(8, 2, 8, 4)
        form.setVerticalSpacing(4)
        form.setFieldGrowthPolicy(QFormLayout.AllNonFixedFieldsGrow)
        form.addRow("Other labels", self.writing)
        for box in (self.neighbours, self.each, self.hover):
            form.addRow(box)
        form.addRow("Preset", self.preset)
        self.writing.activated.connect(self._on_writing)
        self.neighbours.clicked.connect(self._on_neighbours)
        self.each.clicked.connect(self._on_each)
        self.hover.clicked.connect(self._on_hover)
        self.preset.activated.connect(self._on_preset)
        for name in ("writing", "neighbours", "each", "hover", "glimpse_ms"):
            state.events[name].connect(self.refresh)
        for name in ("preset", "model"):
            state.events[name].connect(self.refresh)
        self.refresh()

    def refresh(self, *_: Any) -> None:
        """Show the state."""
        state = self._state
        self.writing.setCurrentIndex(self.writing.findData(state.writing))
        self.neighbours.setChecked(state.neighbours)
        self.each.setChecked(state.each)
        self.hover.setChecked(self._hover.is_on)
        took = state.glimpse_ms
        self.hover.setToolTip(
            "Show the mask that a click would give" + hint("hover")
            if took is None
            else f"Show the mask that a click would give; the model takes {took:.0f} ms"
            + hint("hover")
        )
        takes = takes_preset(state.model)
        self.preset.setEnabled(takes)
        self.preset.setCurrentIndex(
            self.preset.findData(usable(state.model, state.preset))
        )
        self.preset.setToolTip(
            preset_tip()
            if takes
            else f"{state.model} follows objects in close-ups, which no preset changes"
        )

    def _on_writing(self, index: int) -> None:
        self.option_requested.emit("writing", self.writing.itemData(index))

    def _on_neighbours(self, on: bool) -> None:
        self.option_requested.emit("neighbours", on)

    def _on_each(self, on: bool) -> None:
        self.option_requested.emit("each", on)

    def _on_hover(self, on: bool) -> None:
        self.option_requested.emit("hover", on)

    def _on_preset(self, index: int) -> None:
        self.option_requested.emit("preset", self.preset.itemData(index))


def preset_tip() -> str:
    """What the presets do."""
    lines = ["How stacks are followed; prompts and masks stay when it changes."]
    for name, preset in PRESETS.items():
        lines.append(
            f"{name.capitalize()}: frames at {preset.image_size} pixels, "
            f"{preset.tracked_memories} remembered, {preset.dtype} precision"
        )
    return "\n".join(lines)
