"""The mouse on the canvas of a real window, as Qt tells of it."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QPoint, Qt

from napari_sam2.picture._screen import camera_of


def point_of(viewer, world):
    """Where world coordinates are on the canvas."""
    canvas, camera = viewer.window._qt_viewer.canvas.native, camera_of(viewer)
    away = np.asarray(world)[-2:] - np.asarray(camera.center)[-2:]
    down, right = away * camera.zoom
    return QPoint(round(canvas.width() / 2 + right), round(canvas.height() / 2 + down))


def press(qtbot, viewer, world, button=Qt.LeftButton, modifier=Qt.NoModifier):
    """Move there, press and release."""
    canvas, at = viewer.window._qt_viewer.canvas.native, point_of(viewer, world)
    qtbot.mouseMove(canvas, at)
    qtbot.mousePress(canvas, button, modifier, at)
    qtbot.mouseRelease(canvas, button, modifier, at)
