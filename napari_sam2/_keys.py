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
    """A key, what it does, and where.

    Attributes
    ----------
    key : str
        As napari writes it.
    method : str
        Method of the widget that it calls.
    text : str
        As people write it.
    does : str
        What it does, for the page of keys.
    on_labels : bool
        Whether it goes before a key of napari's in the labels layer, too.
    on_shapes : bool
        Whether it does in the layer of shapes.
    """

    key: str
    method: str
    text: str
    does: str
    on_labels: bool = True
    on_shapes: bool = True


SHORTCUTS = {
    "point": Shortcut("P", "take_point", "P", "point tool", on_labels=False),
    "box": Shortcut("B", "take_box", "B", "box tool", on_labels=False),
    "scribble": Shortcut("D", "take_scribble", "D", "scribble tool", on_labels=False),
    "lasso": Shortcut("L", "take_lasso", "L", "lasso tool", on_labels=False),
    "polarity": Shortcut(
        "T", "toggle_polarity", "T", "switch between positive and negative prompts"
    ),
    "candidates": Shortcut(
        "Q", "next_candidate", "Q", "next of the masks that one click may mean"
    ),
    "next": Shortcut("M", "next_object", "M", "next object"),
    "each": Shortcut("J", "toggle_each", "J", "one object per prompt, on or off"),
    "hover": Shortcut("G", "toggle_hover", "G", "preview under the cursor, on or off"),
    "undo": Shortcut("Control-Z", "undo", "Ctrl+Z", "undo"),
    "redo": Shortcut("Control-Shift-Z", "redo", "Ctrl+Shift+Z", "redo"),
    "clear": Shortcut(
        "Shift-C", "clear_object", "Shift+C", "delete the object: mask and prompts"
    ),
    "track_all": Shortcut(
        "Shift-A", "track_all", "Shift+A", "track all labels of this frame"
    ),
    "propagate": Shortcut("Shift-S", "propagate", "Shift+S", "propagate"),
    "uncertain": Shortcut("N", "next_uncertain", "N", "next uncertain frame"),
    "check": Shortcut("K", "check_frame", "K", "this frame is checked"),
    "absent": Shortcut(
        "H", "mark_absent", "H", "the object is not on this frame (hidden)"
    ),
    "begins": Shortcut(
        "Shift-B", "mark_begin", "Shift+B", "this is the first frame with the object"
    ),
    "ends": Shortcut(
        "Shift-H", "mark_end", "Shift+H", "this is the last frame with the object"
    ),
    "cancel": Shortcut(
        "Escape", "cancel", "Esc", "cancel", on_labels=False, on_shapes=False
    ),
}
"""All keys. They work whichever layer is selected; where a layer has other plans with a
key (brushes in the labels layer, Esc while a shape is being drawn) those come first."""

GESTURES = {
    "click": "positive point, with the point tool; negative while T is switched",
    "Shift + click": "negative point",
    "middle click": "positive point, whichever layer or tool is selected",
    "Ctrl + middle click": "negative point, likewise",
}


def hint(name: str) -> str:
    """Text of a shortcut for a tooltip, such as " (Ctrl+Z)"."""
    return f" ({SHORTCUTS[name].text})"


def keys_page() -> str:
    """The page of keys in the docs, as Markdown."""
    lines = [
        "# Keys",
        "",
        "Made from the table in `napari_sam2/_keys.py` by `docs/make_keys.py`. Keys",
        "work whichever layer is selected. In the labels layer napari's brushes keep",
        "their letters, and Esc ends a shape that is being drawn.",
        "",
        "| key | what it does |",
        "|---|---|",
    ]
    lines += [f"| {key.text} | {key.does} |" for key in SHORTCUTS.values()]
    lines += ["", "| mouse | what it does |", "|---|---|"]
    lines += [f"| {gesture} | {does} |" for gesture, does in GESTURES.items()]
    return "\n".join(lines) + "\n"


def bind(
    viewer: napari.components.ViewerModel,
    owner: Any,
    call: Callable[[Any, str], None],
    stage: Any = None,
) -> Callable[[], Any]:
    """Bind all shortcuts and the middle mouse button for as long as ``owner`` lives.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Gets the bindings. It does not keep ``owner`` alive.
    owner : object
        Has the methods named in :data:`SHORTCUTS`, and ``add_click``.
    call : callable
        ``call(owner, method)`` runs a method and reports errors.
    stage : Stage, optional
        Its layers get the bindings, too: a key of a layer goes before the viewer's.

    Returns
    -------
    callable
        Unbinds them before that.
    """
    reference = weakref.ref(owner)
    ours: set[Any] = set()

    def handler(method: str) -> Callable[[Any], None]:
        def run(_: Any) -> None:
            target = reference()
            if target is not None:
                call(target, method)

        ours.add(run)
        return run

    for shortcut in SHORTCUTS.values():
        viewer.bind_key(shortcut.key, handler(shortcut.method), overwrite=True)
    bound: weakref.WeakSet[Any] = weakref.WeakSet()

    def bind_layers() -> None:
        for layer in (stage.points, stage.shapes, stage.labels):
            if layer is None or layer in bound:
                continue
            bound.add(layer)
            for shortcut in SHORTCUTS.values():
                if (layer is not stage.labels or shortcut.on_labels) and (
                    layer is not stage.shapes or shortcut.on_shapes
                ):
                    run = handler(shortcut.method)
                    layer.bind_key(shortcut.key, run, overwrite=True)

    if stage is not None:
        stage.layers_changed.connect(bind_layers)
        bind_layers()

    def middle_click(_viewer: Any, event: Any) -> None:
        target = reference()
        if target is not None and event.button == 3:
            modifiers = [str(getattr(m, "name", m)) for m in event.modifiers]
            target.add_click(event.position, "Control" not in modifiers)
            event.handled = True

    viewer.mouse_drag_callbacks.append(middle_click)
    kept = weakref.ref(viewer), middle_click, bound, ours
    return weakref.finalize(owner, _unbind, *kept)


def _unbind(
    reference: weakref.ref[Any],
    callback: Any,
    layers: weakref.WeakSet[Any],
    ours: set[Any],
) -> None:
    viewer = reference()
    if viewer is None:
        return
    for target in (viewer, *layers):
        for key, run in list(target.keymap.items()):
            if run in ours:  # another dock may have taken the key since
                del target.keymap[key]
    if callback in viewer.mouse_drag_callbacks:
        viewer.mouse_drag_callbacks.remove(callback)
