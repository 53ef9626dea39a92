"""Prompts and labels of images that another image has replaced, out of sight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakSet

if TYPE_CHECKING:
    from collections.abc import Iterable


class Aside:
    """Hides layers and shows them again; what the user hides stays hidden."""

    def __init__(self) -> None:
        self._hidden: WeakSet[Any] = WeakSet()

    def put(self, layers: Iterable[Any]) -> None:
        """Hide these layers, None among them left out."""
        for layer in layers:
            if layer is not None and layer.visible:
                layer.visible = False
                self._hidden.add(layer)

    def bring_back(self, layers: Iterable[Any]) -> None:
        """Show those of them that were put aside."""
        for layer in layers:
            if layer in self._hidden:
                self._hidden.remove(layer)
                layer.visible = True
