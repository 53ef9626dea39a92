"""The outline of what the model has looked at."""

from __future__ import annotations

import numpy as np
from napari.components import ViewerModel

from napari_sam2._state import SegmentationState
from napari_sam2.picture._outline import NAME, Outline
from napari_sam2.picture._region import Looked


def test_the_outline_can_wait_for_the_mask_to_be_drawn():
    viewer, state, later = ViewerModel(), SegmentationState(), []
    state.image = viewer.add_image(np.zeros((100, 200)))
    outline = Outline(viewer, state, later.append)
    state.looked = Looked((0, 1), (), (10, 20, 60, 80))
    assert NAME not in viewer.layers
    later.pop()()
    corners = viewer.layers[NAME].data[0]
    np.testing.assert_array_equal(corners.min(0), [19.5, 9.5])
    np.testing.assert_array_equal(corners.max(0), [79.5, 59.5])
    state.looked = Looked((0, 1), (), (30, 20, 80, 80))
    state.looked = None  # it is the last word that counts
    for show in later:
        show()
    assert NAME not in viewer.layers
    assert outline.layer is None
