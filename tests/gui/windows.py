"""A real window with a stack of noise, worked on with the mouse."""

from __future__ import annotations

import numpy as np
from dock import open_dock
from mouse import click

SHAPE = (40, 60)
STACK = np.random.default_rng(5).integers(0, 99, (8, *SHAPE), dtype=np.uint8)


def open_stack(viewer, frame=3):
    """A window with the stack, the dock, and one object prompted by the mouse."""
    viewer.add_image(STACK, name="cells")
    viewer.dims.set_current_step(0, frame)
    segment = open_dock(viewer)
    segment.wait(30)
    click(segment.controller.stage.points, (frame, 10, 20), viewer)
    segment.wait(30)
    return segment


def filled(labels):
    return np.flatnonzero(labels.data.any((1, 2))).tolist()
