"""What docks are given, and what they say."""

from __future__ import annotations

import numpy as np
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt

FLAT = np.zeros((40, 60), np.float32)
STACK = np.zeros((7, 40, 60), np.float32)


def press(qtbot, button):
    assert button.isEnabled()
    qtbot.mouseClick(button, Qt.LeftButton)


def messages():
    return [note.message for note in notification_manager.records]
