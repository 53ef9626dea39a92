"""Clicks on layers, as the mouse makes them."""

from __future__ import annotations

import numpy as np
from napari.utils._test_utils import read_only_mouse_event
from napari.utils.interactions import mouse_press_callbacks, mouse_release_callbacks


def click(layer, world, viewer):
    """Press and release the left mouse button at world coordinates."""
    where = {
        "pos": np.array([5.0, 5.0]),
        "position": tuple(world),
        "button": 1,
        "dims_displayed": list(viewer.dims.displayed),
        "view_direction": None if viewer.dims.ndisplay == 2 else np.array([1.0, 0, 0]),
    }
    mouse_press_callbacks(layer, read_only_mouse_event(type="mouse_press", **where))
    mouse_release_callbacks(layer, read_only_mouse_event(type="mouse_release", **where))
