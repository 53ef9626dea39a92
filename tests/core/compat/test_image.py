"""Habits of the image predictor of the `sam2` package."""

from __future__ import annotations

import numpy as np
import pytest
from micro import micro_model, moving_disc
from PIL import Image

from sam2_core.compat import (
    SAM2ImagePredictor,
)
from sam2_core.errors import ImageError, PromptError

HW = (40, 56)
FRAMES = moving_disc(5)


@pytest.fixture(scope="module")
def model():
    return micro_model()


@pytest.fixture
def predictor(model):
    predictor = SAM2ImagePredictor(model)
    predictor.set_image(FRAMES[0])
    return predictor


def test_masks_are_float_arrays(predictor):
    masks, scores, low_res = predictor.predict(np.array([[12, 20]]), np.array([1]))
    assert (masks.shape, scores.shape, low_res.shape) == ((3, *HW), (3,), (3, 32, 32))
    assert masks.dtype == scores.dtype == low_res.dtype == np.float32
    assert set(np.unique(masks)) <= {0.0, 1.0}
    assert np.abs(low_res).max() <= 32


def test_logits_and_normalised_coordinates(predictor):
    masks, _, _ = predictor.predict([[12, 20]], [1])
    logits, _, _ = predictor.predict([[12, 20]], [1], return_logits=True)
    np.testing.assert_array_equal(masks, logits > 0)
    scaled, _, _ = predictor.predict(
        [[12 / 56, 20 / 40]], [1], return_logits=True, normalize_coords=False
    )
    np.testing.assert_allclose(scaled, logits, atol=1e-3)


def test_no_prompt_and_points_on_the_far_edge_are_allowed(predictor):
    assert predictor.predict(multimask_output=False)[0].shape == (1, *HW)
    assert predictor.predict([[56, 40]], [1])[0].shape == (3, *HW)


def test_batches_keep_their_axis(predictor):
    masks, scores, low_res = predictor.predict(
        box=np.array([[1, 1, 9, 9], [20, 5, 50, 38]]), multimask_output=False
    )
    assert masks.shape == (2, 1, *HW)
    assert scores.shape == (2, 1)
    assert low_res.shape == (2, 1, 32, 32)


def test_several_images_at_once(model, predictor):
    other = moving_disc(1, (30, 24))[0]
    batch = SAM2ImagePredictor(model)
    batch.set_image_batch([FRAMES[0], other])
    masks, scores, low_res = batch.predict_batch(
        [np.array([[12, 20]]), np.array([[5, 5]])], [np.array([1]), np.array([0])]
    )
    assert [m.shape for m in masks] == [(3, *HW), (3, 30, 24)]
    alone = predictor.predict([[12, 20]], [1])
    for ours, theirs in zip((masks[0], scores[0], low_res[0]), alone, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert batch.get_image_embedding().shape == (2, 32, 8, 8)
    last = batch.predict([[5, 5]], [0])
    for ours, theirs in zip((masks[1], scores[1], low_res[1]), last, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_labels_without_points_are_ignored(predictor):
    wanted = predictor.predict(box=[1, 1, 30, 30], multimask_output=False)
    found = predictor.predict(None, [1], [1, 1, 30, 30], multimask_output=False)
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_pil_images_and_float_images(model, predictor):
    wanted = predictor.predict([[12, 20]], [1])[2]
    for image in (Image.fromarray(FRAMES[0]), FRAMES[0].astype(np.float32) / 255):
        other = SAM2ImagePredictor(model)
        other.set_image(image)
        np.testing.assert_allclose(other.predict([[12, 20]], [1])[2], wanted, atol=1e-3)


def test_misuse_of_the_image_predictor(model, predictor):
    empty = SAM2ImagePredictor(model)
    with pytest.raises(ImageError, match="set_image"):
        empty.predict([[1, 1]], [1])
    with pytest.raises(ImageError, match="RGB"):
        empty.set_image(FRAMES[0, ..., 0])
    with pytest.raises(ImageError, match="uint8"):
        empty.set_image(FRAMES[0].astype(np.int64))
    with pytest.raises(PromptError, match="point_labels"):
        predictor.predict([[1, 1]])
    predictor.reset_predictor()
    with pytest.raises(ImageError):
        predictor.get_image_embedding()


def test_holes_and_specks_are_cleaned_before_drawing(model):
    """Thresholds larger than any component leave nothing but the background."""
    predictor = SAM2ImagePredictor(model, max_sprinkle_area=10_000)
    predictor.set_image(FRAMES[0])
    masks, _, _ = predictor.predict([[12, 20]], [1])
    assert not masks.any()
    predictor = SAM2ImagePredictor(model, max_hole_area=10_000)
    predictor.set_image(FRAMES[0])
    masks, _, _ = predictor.predict([[12, 20]], [1])
    assert masks.all()
