"""What docks are given, what is done to them, and what they say."""

from __future__ import annotations

import gc
import weakref

import numpy as np
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt

FLAT = np.zeros((40, 60), np.float32)
STACK = np.zeros((7, 40, 60), np.float32)
FRAMES = np.zeros((8, 40, 60), np.float32)  # of the fixture `stack`


def open_dock(viewer):
    """The dock Segment of a viewer, as its menu opens it."""
    return viewer.window.add_plugin_dock_widget("napari-sam2", "Segment")[1]


def press(qtbot, button):
    assert button.isEnabled()
    qtbot.mouseClick(button, Qt.LeftButton)


def lit(w):
    return [name for name, button in w.prompts.tools.items() if button.isChecked()]


def at(w, frame):
    w.viewer_model.dims.set_current_step(0, frame)


def shown_frame(w):
    return w.viewer_model.dims.current_step[0]


def key(w, text):
    """What napari calls when a key is pressed."""
    bound = {str(key): run for key, run in w.viewer_model.keymap.items()}
    bound[text](w.viewer_model)


def messages():
    return [note.message for note in notification_manager.records]


def silent():
    return not notification_manager.records


def close_and_forget(docks, backend, qtbot):
    """Close the only dock of a list, while it works; it goes, and asks no more."""
    widget = docks.pop()
    gone, runner = weakref.ref(widget), widget.runner
    widget.deleteLater()
    del widget
    qtbot.wait(50)
    gc.collect()
    assert gone() is None
    asked = backend.answers
    qtbot.wait(150)
    assert backend.answers <= asked + 1
    runner.close()
