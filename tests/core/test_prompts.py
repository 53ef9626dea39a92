"""Prompts are checked before they reach the network."""

from __future__ import annotations

import numpy as np
import pytest

from sam2_core.errors import PromptError
from sam2_core.prompts import mask_logits_prompt, mask_prompt, sparse_prompt

HW = (30, 50)


def test_points_of_one_object_gain_a_leading_axis():
    prompt = sparse_prompt([[1, 2], [3, 4.5]], [1, 0], image_hw=HW)
    np.testing.assert_array_equal(prompt.point_xy, [[[1, 2], [3, 4.5]]])
    np.testing.assert_array_equal(prompt.labels, [[1, 0]])
    assert prompt.point_xy.dtype == np.float32
    assert prompt.labels.dtype == np.int32
    assert (len(prompt), prompt.num_points, prompt.has_box) == (1, 2, False)


def test_points_are_positive_by_default():
    np.testing.assert_array_equal(sparse_prompt([[1, 2]]).labels, [[1]])


def test_box_corners_come_before_points():
    prompt = sparse_prompt([[5, 6]], [0], [1, 2, 10, 12], HW)
    np.testing.assert_array_equal(prompt.point_xy, [[[1, 2], [10, 12], [5, 6]]])
    np.testing.assert_array_equal(prompt.labels, [[2, 3, 0]])
    assert prompt.has_box


def test_one_set_of_points_serves_several_boxes():
    prompt = sparse_prompt([[5, 6]], [1], [[1, 2, 9, 9], [3, 3, 8, 8]], HW)
    assert prompt.point_xy.shape == (2, 3, 2)
    np.testing.assert_array_equal(prompt.point_xy[:, 2], [[5, 6], [5, 6]])


def test_points_can_be_appended():
    first = sparse_prompt([[1, 2]], [1])
    both = first.followed_by(sparse_prompt([[3, 4]], [0]))
    np.testing.assert_array_equal(both.point_xy, [[[1, 2], [3, 4]]])
    np.testing.assert_array_equal(both.labels, [[1, 0]])


def test_nothing_is_no_prompt():
    assert sparse_prompt() is None
    assert sparse_prompt(np.zeros((0, 2)), np.zeros(0)) is None


@pytest.mark.parametrize("xy", [(-0.5, -0.5), (49.5, 29.5), (0, 0)])
def test_points_up_to_the_edge_of_pixels_are_inside(xy):
    assert sparse_prompt([xy], image_hw=HW) is not None


def test_the_box_of_the_whole_image_is_inside():
    assert sparse_prompt(box=[0, 0, 50, 30], image_hw=HW) is not None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"point_coords": [[50, 5]]}, "outside"),
        ({"point_coords": [[5, -1]]}, "outside"),
        ({"point_coords": [[np.nan, 5]]}, "NaN"),
        ({"point_coords": [[1, 2, 3]]}, "shape"),
        ({"point_coords": [5, 6]}, "shape"),
        ({"point_coords": "here"}, "numbers"),
        ({"point_coords": [[1, 2], [3]]}, "numbers"),
        ({"point_coords": [[5, 6]], "point_labels": [2]}, "1 .positive. or 0"),
        ({"point_coords": [[5, 6]], "point_labels": [0.5]}, "1 .positive. or 0"),
        ({"point_coords": [[5, 6]], "point_labels": [1, 1]}, "one label"),
        ({"point_labels": [1]}, "without points"),
        ({"box": [5, 5, 5, 9]}, "empty"),
        ({"box": [9, 5, 5, 9]}, "turned around"),
        ({"box": [0, 0, 51, 9]}, "outside"),
        ({"box": [0, 0, np.inf, 9]}, "infinite"),
        ({"box": [0, 0, 9]}, "shape"),
        ({"box": [[[0, 0, 9, 9]]]}, "shape"),
        (
            {"point_coords": np.ones((3, 1, 2)), "box": [[0, 0, 9, 9], [0, 0, 8, 8]]},
            "same number",
        ),
    ],
)
def test_bad_prompts_are_refused(arguments, message):
    with pytest.raises(PromptError, match=message):
        sparse_prompt(**arguments, image_hw=HW)


def test_the_original_allows_more():
    prompt = sparse_prompt([[60, 40]], [-1], [9, 9, 5, 5], low_level=True)
    np.testing.assert_array_equal(prompt.labels, [[2, 3, -1]])


def test_masks_are_the_size_of_the_image():
    mask = np.zeros(HW, np.uint8)
    mask[3, 4] = 7
    checked = mask_prompt(mask, HW)
    assert checked.dtype == bool
    assert checked.sum() == 1
    assert checked[3, 4]
    with pytest.raises(PromptError, match="size of the image"):
        mask_prompt(mask.T, HW)


@pytest.mark.parametrize("shape", [(16, 16), (1, 16, 16), (1, 1, 16, 16)])
def test_logits_of_one_object(shape):
    assert mask_logits_prompt(np.zeros(shape), 16).shape == (1, 1, 16, 16)


@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 8, 8), (0, 1, 16, 16), (16,)])
def test_logits_of_another_shape_are_refused(shape):
    with pytest.raises(PromptError, match="must be"):
        mask_logits_prompt(np.zeros(shape), 16)


def test_logits_must_be_finite():
    with pytest.raises(PromptError, match="NaN"):
        mask_logits_prompt(np.full((1, 16, 16), np.nan), 16)
