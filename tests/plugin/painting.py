"""What tests of napari's brush have in common."""

from __future__ import annotations

import numpy as np
import pytest

STACK = np.zeros((7, 40, 60), np.float32)


@pytest.fixture
def brush(tool):
    """A prompted object, followed through the stack, and a brush in hand."""
    t = tool(STACK)
    t.viewer.dims.set_current_step(0, 3)
    t.add_point((3, 10, 20))
    t.propagate()
    labels = t.stage.labels
    labels.mode = "paint"
    labels.brush_size = 4
    return t


def stroke(t, *position, label=1):
    t.stage.labels.selected_label = label
    t.stage.labels.paint(np.array(position), label)


def ball(shape, centre, radius):
    grid = np.indices(shape) - np.reshape(centre, (-1, 1, 1, 1))
    return (grid**2).sum(0) <= (radius + 0.5) ** 2
