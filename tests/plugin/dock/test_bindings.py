"""Whose key it is, the plugin's or napari's on the selected layer; without a window."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from napari.utils.key_bindings import KeymapHandler

from napari_sam2.dock._bindings import Bindings
from napari_sam2.dock._keys import PROMPT_SHORTCUTS, SHORTCUTS
from napari_sam2.dock._other_strokes import OtherStrokes

SHAPE = (40, 60)


class Owner(SimpleNamespace):
    """Takes note of what is called."""

    def add_click(self, world, positive):
        self.called.append((tuple(world), positive))


def names(keys):
    return [key.method for key in keys]


@pytest.fixture
def bound(tool):
    t = tool(np.zeros(SHAPE))
    t.prepare()
    t.owner = Owner(called=[])
    call = lambda owner, method: owner.called.append(method)  # noqa: E731
    t.bindings = Bindings(t.viewer, t.owner, call, t.stage, OtherStrokes(t.tasks))
    return t


def press(t, layer, *keys):
    """Press keys with a layer selected, as the canvas does; returns what was called."""
    t.viewer.layers.selection.active = layer
    handler = KeymapHandler()
    handler.keymap_providers = [layer, t.viewer] if layer is not None else [t.viewer]
    t.owner.called.clear()
    for key in keys:
        handler.press_key(key.key)
    return list(t.owner.called)


def own_layers(t):
    """A layer of the user's of every kind that has keys."""
    return [
        t.viewer.add_labels(np.zeros(SHAPE, np.uint8)),
        t.viewer.add_points(np.zeros((1, 2))),
        t.viewer.add_shapes(np.array([[0, 0], [5, 5], [5, 0]]), shape_type="polygon"),
        t.viewer.add_tracks(np.array([[1, 0, 1, 1], [1, 1, 2, 2.0]])),
        t.viewer.add_image(np.zeros(SHAPE)),
    ]


def test_every_key_works_whichever_layer_is_selected(bound):
    t = bound
    for layer in (*own_layers(t), t.state.image, t.stage.labels, None):
        # With an empty history napari's undo has its turn on labels of the user's.
        keys = [k for k in SHORTCUTS.values() if k.method not in ("undo", "redo")]
        assert press(t, layer, *keys) == names(keys), layer
    for layer, mode in ((t.stage.points, "add"), (t.stage.shapes, "add_rectangle")):
        layer.mode = mode
        assert press(t, layer, *SHORTCUTS.values()) == names(SHORTCUTS.values())


def test_keys_of_prompts_are_for_layers_of_prompts_alone(bound):
    t = bound
    keys = PROMPT_SHORTCUTS.values()
    for layer in (*own_layers(t), t.state.image, t.stage.labels, None):
        assert press(t, layer, *keys) == [], layer
    t.viewer.layers.remove(t.stage.points)  # the next one has them as well
    t.stage.ensure()
    for layer in (t.stage.points, t.stage.shapes):
        assert press(t, layer, *keys) == names(keys), layer


def test_undo_is_for_what_came_last(bound):
    t = bound
    mine = own_layers(t)[0]
    t.add_point((20, 40))
    for mode in ("paint", "pan_zoom"):
        mine.mode = mode
        mine.paint((20, 10), 3)
        assert mine.data[20, 10] == 3
        assert press(t, mine, SHORTCUTS["undo"]) == []
        assert mine.data[20, 10] == 0
        assert press(t, mine, SHORTCUTS["undo"]) == ["undo"]
        assert press(t, mine, SHORTCUTS["redo"]) == []
        assert mine.data[20, 10] == 3
        assert press(t, mine, SHORTCUTS["undo"]) == []


def test_what_the_user_has_bound_stays(bound):
    t = bound
    pressed = []
    layer = own_layers(t)[2]
    t.viewer.layers.remove(layer)
    t.bindings.close()
    layer.bind_key("T", pressed.append, overwrite=True)
    t.viewer.add_layer(layer)
    call = lambda owner, method: owner.called.append(method)  # noqa: E731
    strokes = OtherStrokes(t.tasks)
    t.bindings = Bindings(t.viewer, t.owner, call, t.stage, strokes)
    assert press(t, layer, SHORTCUTS["polarity"], SHORTCUTS["point"]) == ["take_point"]
    assert pressed == [layer]
    t.bindings.close()
    press(t, layer, SHORTCUTS["polarity"])
    assert pressed == [layer, layer]


def test_all_is_taken_off_with_the_dock(bound):
    t = bound
    layers = own_layers(t)
    number = len(t.viewer.layers.events.inserted.callbacks)
    t.bindings.close()
    assert len(t.viewer.layers.events.inserted.callbacks) == number - 1
    assert not t.viewer.keymap
    assert not any(layer.keymap for layer in t.viewer.layers)
    for layer in layers:
        assert press(t, layer, *SHORTCUTS.values()) == []
    layers[0].paint((20, 10), 3)
    press(t, layers[0], SHORTCUTS["undo"])
    assert not layers[0].data.any()
    assert len(t.viewer.mouse_drag_callbacks) == 1  # napari's
