"""Along which axis a stack is followed, from its shape and the names of its axes."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_sam2.picture._axes import default_axis, may_be_time, missing_axis


@pytest.mark.parametrize(
    ("shape", "names", "axis"),
    [
        ((5, 8, 9), None, 0),
        ((3, 5, 8, 9), None, 0),
        ((1, 5, 8, 9), None, 1),
        ((1, 1, 5, 8, 9), None, 2),
        ((2, 5, 8, 9), ("C", "z", "y", "x"), 1),
        ((1, 2, 5, 8, 9), ("t", "c", "z", "y", "x"), 2),
        ((1, 8, 9), None, 0),
        ((8, 9), None, None),
    ],
)
@pytest.mark.parametrize("ndisplay", [2, 3])
def test_stacks_are_followed_along_the_first_axis_of_frames(
    shape, names, axis, ndisplay
):
    viewer = ViewerModel(ndisplay=ndisplay)
    image = viewer.add_image(np.zeros(shape, np.uint8), axis_labels=names)
    assert default_axis(viewer, image) == axis


@pytest.mark.parametrize(
    ("name", "may"), [("t", True), ("0", True), ("Z", False), (" z ", False)]
)
def test_only_an_axis_that_is_named_z_is_no_time(name, may):
    image = ViewerModel().add_image(np.zeros((3, 8, 9)), axis_labels=(name, "y", "x"))
    assert may_be_time(image, 0) is may
    assert not may_be_time(image, None)
    assert not may_be_time(None, 0)


def test_a_missing_axis_can_be_chosen_only_in_a_stack():
    viewer = ViewerModel()
    flat, stack = (viewer.add_image(np.zeros(shape)) for shape in ((8, 9), (3, 8, 9)))
    assert "single plane" in str(missing_axis(flat))
    assert "axis to follow" in str(missing_axis(stack))
    assert str(missing_axis(None)).startswith("Open an image")
