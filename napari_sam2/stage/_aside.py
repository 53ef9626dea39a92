"""Prompts and labels of images that another image has replaced, out of sight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakSet

if TYPE_CHECKING:
    from collections.abc import Iterable

# Outlives the dock: the next one shows what the last one has hidden.
_HIDDEN: WeakSet[Any] = WeakSet()


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
