"""Meta's calls on a model with close-ups: the answers of our own predictor."""

from __future__ import annotations

import numpy as np
import pytest
from bright import Bright, iou
from micro import micro_model

from sam2_core.compat import SAM2ImagePredictor, SAM2VideoPredictor
from sam2_core.image import ImagePredictor
from sam2_core.video import VideoSession

HW = (120, 160)
DISCS = [(30, 40, 5), (100, 60, 30)]  # x, y, radius
BOXES = [[x - r, y - r, x + r, y + r] for x, y, r in DISCS]


def disc(x, y, radius):
    rows, columns = np.mgrid[: HW[0], : HW[1]]
    return (columns - x) ** 2 + (rows - y) ** 2 <= radius**2


@pytest.fixture(scope="module")
def model():
    model = micro_model(guided=True, closeups=True)
    model.closeup = Bright().eval()
    return model


@pytest.fixture(scope="module")
def image():
    image = np.full((*HW, 3), 20, np.uint8)
    for each in DISCS:
        image[disc(*each)] = 200, 190, 180
    return image


def set_up(kind, model, image, **options):
    predictor = kind(model, **options)
    predictor.set_image(image)
    return predictor


PROMPTS = {
    "click": {"point_coords": [[100, 60]], "point_labels": [1]},
    "clicks": {"point_coords": [[100, 60], [90, 50]], "point_labels": [1, 0]},
    "negative": {"point_coords": [[10, 10]], "point_labels": [0]},
    "box": {"box": BOXES[0], "multimask_output": False},
    "boxes": {"box": BOXES, "multimask_output": False},
    "three masks of boxes": {"box": BOXES},
    "points of two": {
        "point_coords": [[[30, 40]], [[100, 60]]],
        "point_labels": [[1], [1]],
    },
    "points of two, one negative": {
        "point_coords": [[[30, 40]], [[100, 60]]],
        "point_labels": [[1], [0]],
    },
}


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS)
def test_answers_are_those_of_our_predictor(model, image, prompt):
    expected = set_up(ImagePredictor, model, image).predict(**prompt)
    found = set_up(SAM2ImagePredictor, model, image).predict(**prompt)
    for array, ours in zip(
        found, (expected.masks, expected.scores, expected.logits), strict=True
    ):
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, ours)


def test_masks_that_are_handed_back_are_known(model, image):
    clicks = {"point_coords": [[30, 40], [60, 20]], "point_labels": [1, 0]}
    ours = set_up(ImagePredictor, model, image)
    theirs = set_up(SAM2ImagePredictor, model, image)
    low_res = ours.predict([[30, 40]], [1]).logits[:1]
    np.testing.assert_array_equal(theirs.predict([[30, 40]], [1])[2][:1], low_res)
    for prompt in (clicks, {}):
        further = {**prompt, "mask_input": low_res, "multimask_output": False}
        masks, _, _ = theirs.predict(**further)
        assert iou(masks[0] > 0, disc(*DISCS[0])) > 0.85
        np.testing.assert_array_equal(masks, ours.predict(**further).masks)


def test_logits_thresholds_and_scaled_coordinates(model, image):
    predictor = set_up(SAM2ImagePredictor, model, image)
    masks, _, low_res = predictor.predict([[100, 60]], [1])
    logits, _, _ = predictor.predict([[100, 60]], [1], return_logits=True)
    assert masks.shape == logits.shape == (3, *HW)
    assert low_res.shape == (3, 32, 32)
    np.testing.assert_array_equal(masks, logits > 0)
    scaled, _, _ = predictor.predict(
        [[100 / 160, 60 / 120]], [1], normalize_coords=False
    )
    np.testing.assert_array_equal(scaled, masks)
    predictor.mask_threshold = 1.5
    np.testing.assert_array_equal(predictor.predict([[100, 60]], [1])[0], logits > 1.5)


def test_images_in_batches_and_as_floats(model, image):
    alone = set_up(SAM2ImagePredictor, model, image).predict([[100, 60]], [1])
    batch = SAM2ImagePredictor(model)
    batch.set_image_batch([image[:50, :60], image.astype(np.float32) / 255])
    masks, _, low_res = batch.predict_batch(
        [np.array([[30, 40]]), np.array([[100, 60]])], [np.array([1])] * 2
    )
    assert iou(masks[0][0] > 0, disc(*DISCS[0])[:50, :60]) > 0.85
    np.testing.assert_array_equal(masks[1], alone[0])
    np.testing.assert_array_equal(low_res[1], alone[2])
    assert batch.get_image_embedding().shape == (2, 32, 8, 8)


def test_holes_and_specks_are_measured_in_low_resolution_pixels(model, image):
    holed = image.copy()
    holed[disc(100, 60, 4)] = 20
    prompt = {"box": BOXES[1], "multimask_output": False}
    # A cell of the 32 x 32 logits has 18.75 pixels, the hole 49.
    cells = 49 / (120 * 160 / 32**2)
    for area, filled in ((cells / 2, False), (cells * 2, True)):
        predictor = set_up(SAM2ImagePredictor, model, holed, max_hole_area=area)
        mask = predictor.predict(**prompt)[0][0] > 0
        assert mask[60, 100] == filled
        assert iou(mask, disc(*DISCS[1])) > 0.9
    cleared = set_up(SAM2ImagePredictor, model, image, max_sprinkle_area=10_000)
    assert not cleared.predict(**prompt)[0].any()


@pytest.mark.parametrize(
    "prompt",
    [
        {},
        {"box": [140, 100, 90, 20]},  # turned around
        {"box": [-50, -60, -20, -10]},  # outside
        {"point_coords": [[500, 700]], "point_labels": [1]},
        {"point_coords": [[50, 70]], "point_labels": [2]},  # half a box
        {"point_coords": [[50, 70]], "point_labels": [-1]},
    ],
)
def test_whatever_the_original_takes_has_an_answer(model, image, prompt):
    masks, scores, low_res = set_up(SAM2ImagePredictor, model, image).predict(**prompt)
    assert masks.shape == (3, *HW)
    assert scores.shape == (3,)
    assert low_res.shape == (3, 32, 32)


# ------------------------------------------------------------------ videos


@pytest.fixture(scope="module")
def frames(image):
    return np.stack([np.roll(image, 2 * t, axis=1) for t in range(5)])


@pytest.fixture
def video(model, frames):
    predictor = SAM2VideoPredictor(model)
    return predictor, predictor.init_state(frames)


def test_a_video_is_followed_as_in_a_session(model, frames, video):
    predictor, state = video
    session = VideoSession(model, frames)
    given = [
        {"points": [[104, 60]], "labels": [1]},
        {"box": [29, 35, 39, 45]},
    ]
    for number, prompt in enumerate(given, start=1):
        _, ids, logits = predictor.add_new_points_or_box(state, 2, number, **prompt)
        prompt = {
            {"points": "point_coords", "labels": "point_labels"}.get(k, k): v
            for k, v in prompt.items()
        }
        expected = session.add_prompts(2, number, **prompt)
        assert logits.shape == (number, 1, *HW)
        np.testing.assert_array_equal(
            logits[ids.index(number), 0] > 0, expected.masks[number]
        )
    for reverse, direction in ((False, "forward"), (True, "backward")):
        results = list(session.propagate(direction=direction))
        found = list(predictor.propagate_in_video(state, reverse=reverse))
        assert len(found) == len(results) == 3
        for (frame, ids, logits), expected in zip(found, results, strict=True):
            assert (frame, ids) == (expected.frame_index, [1, 2])
            for number, mask in zip(ids, logits[:, 0], strict=True):
                np.testing.assert_array_equal(mask > 0, expected.masks[number])
            assert iou(logits[0, 0].numpy() > 0, disc(100 + 2 * frame, 60, 30)) > 0.9


def test_points_are_added_to_and_frames_corrected_in_a_video(model, frames, video):
    predictor, state = video
    session = VideoSession(model, frames)
    for frame, xy, label in ((0, [100, 60], 1), (0, [90, 50], 0), (3, [112, 66], 0)):
        _, _, logits = predictor.add_new_points_or_box(
            state, frame, 1, [xy], [label], clear_old_points=False
        )
        expected = session.add_prompts(frame, 1, [xy], [label], clear_old=False)
        np.testing.assert_array_equal(logits[0, 0] > 0, expected.masks[1])
        if frame == 0 and label == 0:
            list(predictor.propagate_in_video(state))
            list(session.propagate())


def test_scaled_coordinates_and_masks_in_a_video(video):
    predictor, state = video
    pixels = predictor.add_new_points_or_box(state, 0, 1, [[100, 60]], [1])[2]
    scaled = predictor.add_new_points_or_box(
        state, 0, 1, [[100 / 160, 60 / 120]], [1], normalize_coords=False
    )[2]
    np.testing.assert_array_equal(scaled, pixels)
    mask = disc(102, 60, 30)
    _, _, logits = predictor.add_new_mask(state, 1, 2, mask)
    assert iou(logits[1, 0].numpy() > 0, mask) > 0.97
    assert not (logits[0] > 0).any()  # nothing is known of it there


def test_an_object_is_followed_to_where_a_video_begins(video):
    predictor, state = video
    predictor.add_new_points_or_box(state, 0, 1, [[100, 60]], [1])
    frame, _, logits = next(predictor.propagate_in_video(state, start_frame_idx=3))
    assert frame == 3
    assert iou(logits[0, 0].numpy() > 0, disc(106, 60, 30)) > 0.9
