"""The image predictor's public behaviour, on a network that takes milliseconds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from micro import micro_model, moving_disc

from sam2_core.errors import ImageError, InferenceError, PromptError
from sam2_core.image import ImagePredictor
from sam2_core.inference import inference
from sam2_core.masks import highest

HW = (40, 56)


@pytest.fixture(scope="module")
def model():
    return micro_model()


@pytest.fixture
def predictor(model):
    predictor = ImagePredictor(model)
    predictor.set_image(moving_disc(1)[0])
    return predictor


def test_one_click_gives_three_masks(predictor):
    prediction = predictor.predict([[12, 20]], [1])
    assert prediction.masks.shape == (3, *HW)
    assert prediction.masks.dtype == bool
    assert prediction.scores.shape == (3,)
    assert prediction.scores.dtype == np.float32
    assert ((prediction.scores > 0) & (prediction.scores < 1)).all()
    assert prediction.logits.shape == (3, 32, 32)
    assert prediction.logits.dtype == np.float32
    assert np.abs(prediction.logits).max() <= 32


def test_one_mask_where_the_prompt_is_clear(predictor):
    prediction = predictor.predict(box=[4, 10, 20, 30], multimask_output=False)
    assert prediction.masks.shape == (1, *HW)
    assert prediction.scores.shape == (1,)
    assert prediction.logits.shape == (1, 32, 32)


def test_masks_are_the_logits_drawn_at_image_size(predictor):
    prediction = predictor.predict([[12, 20]], [1])
    drawn = torch.nn.functional.interpolate(
        torch.from_numpy(prediction.logits)[None], size=HW, mode="bilinear"
    )
    np.testing.assert_array_equal(prediction.masks, drawn[0] > 0)


def test_prompts_matter(predictor):
    one = predictor.predict([[12, 20]], [1]).logits
    other = predictor.predict([[44, 20]], [1]).logits
    negative = predictor.predict([[12, 20]], [0]).logits
    assert np.abs(one - other).max() > 0.1
    assert np.abs(one - negative).max() > 0.1


def test_a_batch_equals_its_members(predictor):
    points = np.array([[[12, 20], [3, 3]], [[40, 9], [5, 30]]], float)
    labels = np.array([[1, 0], [1, 1]])
    batch = predictor.predict(points, labels, multimask_output=False)
    assert batch.masks.shape == (2, 1, *HW)
    assert batch.scores.shape == (2, 1)
    for i in range(2):
        single = predictor.predict(points[i], labels[i], multimask_output=False)
        np.testing.assert_allclose(batch.logits[i], single.logits, atol=1e-4)
        np.testing.assert_allclose(batch.scores[i], single.scores, atol=1e-5)


def test_boxes_come_in_batches_too(predictor):
    boxes = [[1, 1, 9, 9], [20, 5, 50, 38], [0, 0, 56, 40]]
    batch = predictor.predict(box=boxes, multimask_output=False)
    assert batch.masks.shape == (3, 1, *HW)
    single = predictor.predict(box=boxes[1], multimask_output=False)
    np.testing.assert_allclose(batch.logits[1], single.logits, atol=1e-4)
    assert predictor.predict(box=boxes[:1]).masks.shape == (1, 3, *HW)


def test_many_prompts_are_answered_in_several_goes(predictor):
    x = np.linspace(1, 54, 70)
    points = np.stack([x, x / 2], 1)[:, None]
    many = predictor.predict(points, np.ones((70, 1)))
    assert many.masks.shape == (70, 3, *HW)
    for i in (0, 31, 32, 69):
        one = predictor.predict(points[i], [1])
        np.testing.assert_allclose(many.logits[i], one.logits, atol=1e-4)


def test_one_earlier_mask_serves_many_prompts(predictor):
    mask = np.full((1, 32, 32), 3.0)
    boxes = np.tile([4, 4, 30, 30], (40, 1))
    many = predictor.predict(box=boxes, mask_input=mask)
    one = predictor.predict(box=boxes[0], mask_input=mask)
    assert len(many.masks) == 40
    np.testing.assert_allclose(many.logits[39], one.logits, atol=1e-4)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (3, 2, 3)])
def test_the_smallest_images(model, shape):
    predictor = ImagePredictor(model)
    predictor.set_image(np.ones(shape, np.uint8))
    assert predictor.predict([[0, 0]], [1]).masks.shape == (3, *shape[:2])


def test_an_earlier_mask_can_be_refined(predictor):
    first = predictor.predict([[12, 20]], [1])
    best = first.logits[first.scores.argmax()][None]
    alone = predictor.predict([[12, 20]], [1], multimask_output=False)
    refined = predictor.predict(
        [[12, 20]], [1], mask_input=best, multimask_output=False
    )
    assert np.abs(alone.logits - refined.logits).max() > 0.01
    assert predictor.predict(mask_input=best).masks.shape == (3, *HW)


@pytest.mark.parametrize(
    "image",
    [
        np.arange(40 * 56, dtype=np.uint16).reshape(HW),
        np.linspace(-1, 1, 40 * 56, dtype=np.float32).reshape(HW),
        np.eye(40, 56, dtype=bool),
    ],
    ids=["uint16", "float32", "bool"],
)
def test_any_numeric_image(model, image):
    predictor = ImagePredictor(model)
    predictor.set_image(image)
    assert predictor.predict([[3, 4]], [1]).masks.shape == (3, *HW)


def test_the_value_range_reaches_the_network(model):
    image = np.arange(40 * 56, dtype=np.uint16).reshape(HW)
    logits = []
    for value_range in (None, (0, 65535)):
        predictor = ImagePredictor(model)
        predictor.set_image(image, value_range)
        logits.append(predictor.predict([[3, 4]], [1]).logits)
    assert np.abs(logits[0] - logits[1]).max() > 0.01


def test_reset_forgets_the_image(predictor):
    assert predictor.is_image_set
    predictor.reset()
    assert not predictor.is_image_set
    with pytest.raises(ImageError, match="set_image"):
        predictor.predict([[3, 4]], [1])


def test_a_refused_image_leaves_the_old_one(predictor):
    before = predictor.predict([[3, 4]], [1]).logits
    with pytest.raises(ImageError):
        predictor.set_image(np.zeros((0, 4)))
    np.testing.assert_array_equal(predictor.predict([[3, 4]], [1]).logits, before)


@pytest.mark.parametrize(
    "prompt",
    [
        {},
        {"point_coords": np.zeros((0, 2)), "point_labels": []},
        {"point_coords": [[56, 4]], "point_labels": [1]},
        {"point_coords": [[3, 4]], "point_labels": [7]},
        {"box": [9, 9, 3, 3]},
        {"mask_input": np.zeros((1, 256, 256))},
    ],
)
def test_bad_prompts_are_refused(predictor, prompt):
    with pytest.raises(PromptError):
        predictor.predict(**prompt)


def test_reduced_precision_stays_close(predictor):
    model = micro_model()
    for parameter in model.parameters():
        parameter.data = parameter.data.bfloat16()
    reduced = ImagePredictor(model)
    reduced.set_image(moving_disc(1)[0])
    prediction = reduced.predict([[12, 20]], [1])
    assert prediction.logits.dtype == np.float32
    exact = predictor.predict([[12, 20]], [1])
    assert np.corrcoef(prediction.logits.ravel(), exact.logits.ravel())[0, 1] > 0.98


def test_no_gradient_is_recorded(predictor, model):
    weights = next(model.parameters()).requires_grad_(True)
    predictor.set_image(moving_disc(1)[0])
    predictor.predict([[3, 4]], [1])
    weights.requires_grad_(False)
    assert torch.is_grad_enabled()
    assert predictor._features.embedding.grad_fn is None


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried ..."), "Not enough memory"),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
            "Not",
        ),
        (MemoryError(), "Not enough memory"),
        (RuntimeError("CUDA error: device lost\nsecond line"), "device lost"),
    ],
)
def test_errors_of_torch_become_ours(error, message):
    with pytest.raises(InferenceError, match=message) as caught, inference():
        raise error
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is error


def test_a_device_error_reaches_the_caller_as_ours(predictor, monkeypatch):
    def fail(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(predictor.model, "decode_masks", fail)
    with pytest.raises(InferenceError, match="smaller model"):
        predictor.predict([[3, 4]], [1])


@pytest.mark.parametrize("hw", [(64, 96), (50, 96)])
def test_highest_value_of_each_cell(hw):
    maps = torch.randn(2, *hw, generator=torch.Generator().manual_seed(1))
    found = highest(maps, 16)
    for row in range(16):
        for column in range(16):
            # Cells of a size that does not divide overlap, as torch's do.
            rows = slice(row * hw[0] // 16, -(-(row + 1) * hw[0] // 16))
            columns = slice(column * hw[1] // 16, -(-(column + 1) * hw[1] // 16))
            expected = maps[:, rows, columns].amax((1, 2))
            torch.testing.assert_close(found[:, row, column], expected)


def test_rows_of_different_lengths_are_no_image(model):
    with pytest.raises(ImageError, match="equally long rows"):
        ImagePredictor(model).set_image([[1], [2, 3]])
