"""The predictor of images, where the model sees objects at their own scale."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from bright import Bright, iou
from micro import micro_model
from two_discs import DISCS, HW, disc, picture

from sam2_core.closeups.closeups import CloseUps
from sam2_core.image import ImagePredictor, encode, encode_picture


@pytest.fixture(scope="module")
def model():
    model = micro_model(guided=True, closeups=True)
    model.closeup = Bright().eval()
    return model


def test_the_predictor_draws_close_ups(model):
    predictor = ImagePredictor(model)
    predictor.set_image(picture("small", "large"))
    x, y, r = DISCS["small"]
    three = predictor.predict([[x, y]], [1])
    assert three.masks.shape == (3, *HW)
    assert three.logits.shape == (3, 32, 32)
    assert iou(three.masks[0], disc(x, y, r)) > 0.85
    assert three.scores.argmax() == 0
    # A cell of the coarse logits is object where any of its pixels is.
    assert three.logits[0, int(y * 32 / 120), int(x * 32 / 160)] > 0
    one = predictor.predict([[x, y]], [1], multimask_output=False)
    np.testing.assert_array_equal(one.masks[0], three.masks[0])


def test_several_boxes_are_answered_in_order(model):
    predictor = ImagePredictor(model)
    predictor.set_image(picture("small", "large"))
    boxes = [[x - r, y - r, x + r, y + r] for x, y, r in DISCS.values()]
    found = predictor.predict(box=boxes, multimask_output=False)
    for mask, (x, y, r) in zip(found.masks[:, 0], DISCS.values(), strict=True):
        assert iou(mask, disc(x, y, r)) > 0.85


def test_the_chosen_candidate_is_corrected(model):
    predictor = ImagePredictor(model)
    predictor.set_image(picture("small", "large"))
    x, y, r = DISCS["large"]
    boxed = predictor.predict(box=[x - r, y - r, x + r, y + r], multimask_output=False)
    corrected = predictor.predict(
        [[x, y], [20, 100]], [1, 0], mask_input=boxed.logits, multimask_output=False
    )
    assert iou(corrected.masks[0], disc(x, y, r)) > 0.9


def test_negative_clicks_alone_are_left_to_the_whole_image(model):
    predictor = ImagePredictor(model)
    predictor.set_image(picture("large"))
    found = predictor.predict([[10, 10]], [0])
    assert found.masks.shape == (3, *HW)


def coarse(mask):
    """Logits of 32 x 32 cells, positive where more than half of a cell is in."""
    share = mask.reshape(1, 120, 160).astype(np.float32)
    rows = np.linspace(0, 120, 33).astype(int)
    columns = np.linspace(0, 160, 33).astype(int)
    sums = np.add.reduceat(np.add.reduceat(share, rows[:-1], 1), columns[:-1], 2)
    areas = np.diff(rows)[:, None] * np.diff(columns)
    return ((sums / areas - 0.5) * 20).astype(np.float32)


@pytest.mark.parametrize("growth", [0, -2, 2])
def test_a_mask_alone_is_refined(model, growth):
    predictor = ImagePredictor(model)
    predictor.set_image(picture("small", "large"))
    x, y, r = DISCS["large"]
    given = coarse(disc(x, y, r + growth))
    found = predictor.predict(mask_input=given, multimask_output=False)
    assert found.masks.shape == (1, *HW)
    assert found.logits.shape == (1, 32, 32)
    assert iou(found.masks[0], disc(x, y, r)) > (0.85 if growth else 0.93)


def test_a_mask_that_is_handed_back_alone_stays(model):
    predictor = ImagePredictor(model)
    predictor.set_image(picture("small", "large"))
    x, y, _ = DISCS["small"]
    first = predictor.predict([[x, y]], [1])
    again = predictor.predict(mask_input=first.logits[:1], multimask_output=False)
    assert iou(again.masks[0], first.masks[0]) > 0.9


def test_what_the_network_does_not_see_stays_of_a_mask_alone(model):
    predictor = ImagePredictor(model)
    predictor.set_image(picture("large"))
    given = disc(30, 90, 15)  # where there is nothing
    found = predictor.predict(mask_input=coarse(given), multimask_output=False)
    assert iou(found.masks[0], given) > 0.85


def test_masks_alone_come_in_batches_and_may_be_empty(model):
    predictor = ImagePredictor(model)
    predictor.set_image(picture("small", "large"))
    x, y, r = DISCS["large"]
    given = np.stack([coarse(disc(x, y, r)), np.full((1, 32, 32), -9.0)])
    found = predictor.predict(mask_input=given)
    assert found.masks.shape == (2, 3, *HW)
    assert found.scores.shape == (2, 3)
    assert iou(found.masks[0, 0], disc(x, y, r)) > 0.9
    assert not found.masks[1].any()
    assert not found.scores[1].any()


def test_one_prompt_goes_with_each_of_several_masks(model):
    predictor = ImagePredictor(model)
    predictor.set_image(picture("small", "large"))
    given = np.stack([coarse(disc(*DISCS[name])) for name in ("large", "large")])
    found = predictor.predict([[20, 100]], [0], mask_input=given)
    assert found.masks.shape == (2, 3, *HW)


def test_the_whole_image_is_encoded_as_it_was_given(model):
    image = picture("large")
    image[5, 6] = 10, 200, 30
    for pixels in (image, picture("large")):
        close = CloseUps(model.closeup, pixels)
        found, expected = encode_picture(model, close), encode(model, pixels)
        torch.testing.assert_close(found.embedding, expected.embedding, rtol=0, atol=0)
