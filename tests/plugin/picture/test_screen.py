"""Which part of an image the window shows."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_sam2.picture._screen import region_on_screen


def test_region_on_screen():
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((200, 300)), scale=(2, 2), translate=(10, 20))
    height, width = viewer.canvas.size
    viewer.reset_view()
    assert region_on_screen(viewer, image, (0, 1)) == (0, 0, 300, 200)
    # Pixel (row 50, column 100) in the middle, 20 x 10 pixels of canvas on a pixel.
    viewer.scene.camera.center = (10 + 2 * 50, 20 + 2 * 100)
    viewer.scene.camera.zoom = 10
    x0, y0, x1, y1 = region_on_screen(viewer, image, (0, 1))
    assert (x0 + x1 - 1) / 2 == pytest.approx(100, abs=1)
    assert (y0 + y1 - 1) / 2 == pytest.approx(50, abs=1)
    assert x1 - x0 == pytest.approx(width / 20, abs=2)
    assert y1 - y0 == pytest.approx(height / 20, abs=2)
    viewer.scene.camera.center = (-1000, -1000)
    assert region_on_screen(viewer, image, (0, 1)) is None


def test_region_on_screen_of_a_turned_stack_in_other_units():
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((200, 4, 300)), units=("um", "um", "um"))
    viewer.add_points(np.zeros((1, 3)), units=("nm", "nm", "nm"))
    viewer.dims.order = (1, 2, 0)  # columns of data run down the screen
    height, width = viewer.canvas.size
    viewer.scene.camera.center = (150_000, 100_000)  # column, row
    viewer.scene.camera.zoom = 10 / 1000
    x0, y0, x1, y1 = region_on_screen(viewer, image, (0, 2))
    assert (x0 + x1 - 1) / 2 == pytest.approx(150, abs=1)
    assert (y0 + y1 - 1) / 2 == pytest.approx(100, abs=1)
    assert x1 - x0 == pytest.approx(height / 10, abs=2)
    assert y1 - y0 == pytest.approx(width / 10, abs=2)
