"""Keyboard shortcuts and mouse gestures, in one table."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari.components


@dataclass(frozen=True)
class Shortcut:
    """A key of the viewer, the method of the widget it calls, and how to write it."""

    key: str
    method: str
    text: str


SHORTCUTS = {
    "polarity": Shortcut("T", "toggle_polarity", "T"),
    "next": Shortcut("M", "next_object", "M"),
    "undo": Shortcut("Control-Z", "undo", "Ctrl+Z"),
    "redo": Shortcut("Control-Shift-Z", "redo", "Ctrl+Shift+Z"),
    "clear": Shortcut("Shift-C", "clear_object", "Shift+C"),
    "propagate": Shortcut("Shift-S", "propagate", "Shift+S"),
    "uncertain": Shortcut("N", "next_uncertain", "N"),
    "check": Shortcut("K", "check_frame", "K"),
    "absent": Shortcut("H", "mark_absent", "H"),
    "ends": Shortcut("Shift-H", "mark_end", "Shift+H"),
    "cancel": Shortcut("Escape", "cancel", "Esc"),
}
"""Keys that no napari layer uses for prompts; a layer's own key of the same name wins
(M makes a new label in a Labels layer, which comes to the same)."""


def hint(name: str) -> str:
    """Text of a shortcut for a tooltip, such as " (Ctrl+Z)"."""
    return f" ({SHORTCUTS[name].text})"


def bind(
    viewer: napari.components.ViewerModel, owner: Any, call: Callable[[Any, str], None]
) -> None:
    """Bind all shortcuts and the middle mouse button for as long as ``owner`` lives.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Gets the bindings. It does not keep ``owner`` alive.
    owner : object
        Has the methods named in :data:`SHORTCUTS`, and ``add_click``.
    call : callable
        ``call(owner, method)`` runs a method and reports errors.
    """
    reference = weakref.ref(owner)

    def handler(method: str) -> Callable[[Any], None]:
        def run(_viewer: Any) -> None:
            target = reference()
            if target is not None:
                call(target, method)

        return run

    for shortcut in SHORTCUTS.values():
        viewer.bind_key(shortcut.key, handler(shortcut.method), overwrite=True)

    def middle_click(_viewer: Any, event: Any) -> None:
        target = reference()
        if target is not None and event.button == 3:
            modifiers = [str(getattr(m, "name", m)) for m in event.modifiers]
            target.add_click(event.position, "Control" not in modifiers)
            event.handled = True

    viewer.mouse_drag_callbacks.append(middle_click)
    weakref.finalize(owner, _unbind, weakref.ref(viewer), middle_click)


def _unbind(reference: weakref.ref[Any], callback: Any) -> None:
    viewer = reference()
    if viewer is None:
        return
    for shortcut in SHORTCUTS.values():
        viewer.bind_key(shortcut.key, None)
    if callback in viewer.mouse_drag_callbacks:
        viewer.mouse_drag_callbacks.remove(callback)
