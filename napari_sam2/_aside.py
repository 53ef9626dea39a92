"""Prompts and labels of images that another image has replaced, out of sight."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari.layers import Labels, Points, Shapes

    from napari_sam2._history import History
    from napari_sam2._prompts import Key, MaskPrompt

# Outlives the dock: the next one shows what the last one has hidden.
_HIDDEN: WeakSet[Any] = WeakSet()


@dataclass(eq=False)
class Companions:
    """What waits for an image while another is in use; its channels share it."""

    points: Points | None = None
    shapes: Shapes | None = None
    labels: Labels | None = None
    masks: dict[Key, MaskPrompt] = field(default_factory=dict)
    history: History | None = None

    @property
    def layers(self) -> tuple[Any, ...]:
        """Points, shapes and labels; None for what there is not."""
        return self.points, self.shapes, self.labels

    def lost(self, present: Iterable[Any]) -> bool:
        """Whether a layer with prompts is not among these any more."""
        gone = [layer for layer in self.layers[:2] if layer not in present]
        return any(layer is not None and len(layer.data) for layer in gone)


def put(layers: Iterable[Any]) -> None:
    """Hide these layers, None among them left out."""
    for layer in layers:
        if layer is not None and layer.visible:
            layer.visible = False
            _HIDDEN.add(layer)


def bring_back(layers: Iterable[Any]) -> None:
    """Show those of them that were put aside; what the user hides stays hidden."""
    for layer in layers:
        if layer in _HIDDEN:
            _HIDDEN.remove(layer)
            layer.visible = True
