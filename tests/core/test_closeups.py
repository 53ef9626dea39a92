"""Small objects of large images are answered in a window of full resolution."""

from __future__ import annotations

import numpy as np
import pytest
from micro import micro_model

from sam2_core import closeups
from sam2_core.image import ImagePredictor

SIDE = 128  # of the micro model's input


@pytest.fixture(scope="module")
def model():
    return micro_model(guided=True)


@pytest.fixture
def image():
    """Noise of 320 x 400 pixels; what it shows does not matter here."""
    return np.random.default_rng(0).integers(0, 255, (320, 400, 3), np.uint8)


@pytest.fixture
def windows(monkeypatch):
    """Shapes of all images that were encoded."""
    shapes = []
    encode = closeups.encode
    monkeypatch.setattr(
        closeups, "encode", lambda m, i: shapes.append(i.shape) or encode(m, i)
    )
    return shapes


BOX = np.array([200, 150, 220, 176])


def test_a_boxed_object_is_seen_as_in_its_window(model, image):
    predictor = ImagePredictor(model)
    predictor.set_image(image)
    found = predictor.predict(box=BOX, multimask_output=False)

    # Centre (210, 163), window of 128 on a grid of 32: from (160, 96) on.
    x, y = 160, 96
    alone = ImagePredictor(model)
    alone.set_image(image[y : y + SIDE, x : x + SIDE])
    expected = alone.predict(box=BOX - [x, y, x, y], multimask_output=False)
    np.testing.assert_array_equal(
        found.masks[0, y : y + SIDE, x : x + SIDE], expected.masks[0]
    )
    assert found.masks[0].sum() == expected.masks[0].sum()
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)
    assert found.logits.shape == (1, 32, 32)
    # 32 cells a side, 10 pixels high and 12.5 wide: those that hold part of the mask.
    for row, column in np.ndindex(32, 32):
        rows = slice(row * 10, row * 10 + 10)
        columns = slice(column * 25 // 2, -(-(column + 1) * 25 // 2))
        cell = found.masks[0, rows, columns]
        assert (found.logits[0, row, column] > 0) == cell.any()


def test_windows_are_encoded_once_and_shared(model, image, windows):
    predictor = ImagePredictor(model)
    predictor.set_image(image)
    predictor.predict(box=BOX, multimask_output=False)
    predictor.predict(box=BOX + 4, multimask_output=False)
    assert windows == [(SIDE, SIDE, 3)]
    predictor.predict(box=BOX - 140, multimask_output=False)
    assert len(windows) == 2


def test_several_prompts_are_each_answered_in_their_window(model, image):
    predictor = ImagePredictor(model)
    predictor.set_image(image)
    boxes = np.stack((BOX, BOX - 140))
    together = predictor.predict(box=boxes, multimask_output=False)
    for row, box in enumerate(boxes):
        alone = predictor.predict(box=box, multimask_output=False)
        np.testing.assert_array_equal(together.masks[row], alone.masks)


def test_large_objects_are_answered_by_the_whole_image(model, image, windows):
    predictor = ImagePredictor(model)
    predictor.set_image(image)
    predictor.predict(box=[20, 30, 300, 200], multimask_output=False)
    assert windows == []


def test_clicks_outside_the_window(model, image):
    predictor = ImagePredictor(model)
    predictor.set_image(image)
    far, near = [[390, 310]], [[212, 160]]
    plain = predictor.predict(near, [1], box=BOX, multimask_output=False)
    barred = predictor.predict(near + far, [1, 0], box=BOX, multimask_output=False)
    # A far negative click says nothing about the window; a positive one rules it out.
    np.testing.assert_array_equal(barred.masks, plain.masks)
    wide = predictor.predict(near + far, [1, 1], box=BOX, multimask_output=False)
    assert wide.masks.shape == plain.masks.shape


@pytest.mark.parametrize("guided", [True, False])
def test_small_images_and_official_models_are_seen_whole(image, windows, guided):
    predictor = ImagePredictor(micro_model(guided=guided))
    predictor.set_image(image[:150, :150] if guided else image)
    predictor.predict(box=[20, 30, 40, 50], multimask_output=False)
    assert windows == []
