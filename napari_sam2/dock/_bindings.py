"""The shortcuts at work: on the viewer, on its layers, and who goes first."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from napari.layers import Labels
from napari.utils.key_bindings import coerce_keybinding

from napari_sam2._drawing import is_half_drawn
from napari_sam2.dock._keys import PROMPT_SHORTCUTS, SHORTCUTS

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari.components

    from napari_sam2.dock._keys import Shortcut
    from napari_sam2.dock._other_strokes import OtherStrokes
    from napari_sam2.stage._stage import Stage

AT_REST = "pan_zoom", "transform", "pick"  # modes in which nothing is drawn
_RUNS: weakref.WeakSet[Any] = weakref.WeakSet()  # what keys are bound to, by any dock


class Bindings:
    """All shortcuts and the middle mouse button, for as long as a dock is there.

    In napari a key of the selected layer goes before the viewer's, so the layers get
    the bindings, too; each press then decides whose key it is. What a user has bound on
    a layer stays.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Gets the bindings. It does not keep ``owner`` alive.
    owner : object
        Has the methods named in :data:`SHORTCUTS`, and ``add_click``.
    call : callable
        ``call(owner, method)`` runs a method and reports errors.
    stage : Stage
        Knows which layers are the plugin's.
    strokes : OtherStrokes
        Says when undoing is napari's.
    """

    def __init__(
        self,
        viewer: napari.components.ViewerModel,
        owner: Any,
        call: Callable[[Any, str], None],
        stage: Stage,
        strokes: OtherStrokes,
    ) -> None:
        self._viewer = weakref.ref(viewer)
        self._owner = weakref.ref(owner)
        self._call = call
        self._stage = stage
        self._strokes = strokes
        self._layers: weakref.WeakSet[Any] = weakref.WeakSet()
        keys = *SHORTCUTS.values(), *PROMPT_SHORTCUTS.values()
        self._runs = {shortcut: self._make_run(shortcut) for shortcut in keys}
        for shortcut in SHORTCUTS.values():
            viewer.bind_key(shortcut.key, self._runs[shortcut], overwrite=True)
        for layer in viewer.layers:
            self._bind(layer)
        self._bind_prompts()
        stage.layers_changed.connect(self._bind_prompts)
        viewer.layers.events.inserted.connect(self._on_inserted)
        viewer.mouse_drag_callbacks.append(self._on_press)

    def press(self, shortcut: Shortcut) -> Any:
        """Do what a key does with the layer that is selected now."""
        viewer, owner = self._viewer(), self._owner()
        if viewer is None or owner is None:
            return None
        layer = viewer.layers.selection.active
        if isinstance(layer, Labels) and shortcut.method in ("undo", "redo"):
            done: bool = getattr(self._strokes, shortcut.method)(layer)
            return None if done else self._call(owner, shortcut.method)
        own = None if layer is None else _own(layer, shortcut.key)
        if own is not None and self._is_napari_first(shortcut, layer):
            return own(layer)
        return self._call(owner, shortcut.method)

    def close(self) -> None:
        """Take them off again, but for keys that another dock has taken since."""
        viewer = self._viewer()
        if viewer is None:
            return
        for target in (viewer, *self._layers):
            for key, run in list(target.keymap.items()):
                if run in self._runs.values():
                    del target.keymap[key]
            if isinstance(target, Labels):
                self._strokes.forget(target)
        self._stage.layers_changed.disconnect(self._bind_prompts)
        viewer.layers.events.inserted.disconnect(self._on_inserted)
        if self._on_press in viewer.mouse_drag_callbacks:
            viewer.mouse_drag_callbacks.remove(self._on_press)

    def _bind(self, layer: Any, shortcuts: Any = SHORTCUTS) -> None:
        for shortcut in shortcuts.values():
            before = layer.keymap.get(coerce_keybinding(shortcut.key))
            if before is None or before in _RUNS:
                layer.bind_key(shortcut.key, self._runs[shortcut], overwrite=True)
        self._layers.add(layer)
        if isinstance(layer, Labels):
            self._strokes.watch(layer)

    def _bind_prompts(self) -> None:
        for layer in (self._stage.points, self._stage.shapes):
            if layer is not None:
                self._bind(layer, PROMPT_SHORTCUTS)

    def _is_napari_first(self, shortcut: Shortcut, layer: Any) -> bool:
        """Whether the layer keeps its own key now: while something is drawn on it."""
        if shortcut is SHORTCUTS["cancel"]:
            return is_half_drawn(layer)
        prompts = self._stage.points, self._stage.shapes
        if str(layer.mode) in AT_REST or any(layer is own for own in prompts):
            return False
        return layer is not self._stage.labels or not shortcut.on_labels

    def _make_run(self, shortcut: Shortcut) -> Callable[[Any], Any]:
        def run(_: Any) -> Any:  # napari wants functions with a name
            return self.press(shortcut)

        _RUNS.add(run)
        return run

    def _on_inserted(self, event: Any) -> None:
        self._bind(event.value)

    def _on_press(self, viewer: Any, event: Any) -> None:
        """The middle button adds a point, whichever layer and tool are selected."""
        owner = self._owner()
        if owner is not None and event.button == 3:
            modifiers = [str(getattr(m, "name", m)) for m in event.modifiers]
            owner.add_click(event.position, "Control" not in modifiers)
            event.handled = True
            _skip_press(viewer.layers.selection.active)


def _skip_press(layer: Any) -> None:
    """Let a layer miss the press that the viewer is being told of.

    napari tells the active layer next, whose tool would draw, whatever the button and
    also if the press was handled.
    """
    if layer is None:
        return
    callbacks = layer.mouse_drag_callbacks

    def miss(_layer: Any, _event: Any) -> None:
        layer.mouse_drag_callbacks = callbacks

    layer.mouse_drag_callbacks = [miss]


def _own(layer: Any, key: str) -> Callable[[Any], Any] | None:
    """What napari does with a key on layers of this kind."""
    for kind in type(layer).__mro__:
        keymap: dict[Any, Callable[[Any], Any]] = getattr(kind, "class_keymap", {})
        run = keymap.get(coerce_keybinding(key))
        if callable(run):
            return run
    return None
