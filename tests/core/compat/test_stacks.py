"""What `init_state` opens, and habits of scripts written for `sam2`."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch
from micro import micro_model, moving_disc
from PIL import Image

from sam2_core.compat import SAM2ImagePredictor, SAM2VideoPredictor, build_sam2_hf
from sam2_core.errors import CheckpointError, ImageError

FRAMES = moving_disc(3)


@pytest.fixture(scope="module")
def model():
    return micro_model()


def masks_of(predictor: SAM2VideoPredictor, video: object) -> list[np.ndarray]:
    state = predictor.init_state(video)
    predictor.add_new_points_or_box(state, 0, 1, [[12, 20]], [1])
    return [masks.numpy() for _, _, masks in predictor.propagate_in_video(state)]


def test_a_folder_and_an_array_are_the_same_video(model, tmp_path):
    for i, frame in enumerate(FRAMES):
        Image.fromarray(frame).save(tmp_path / f"{i:05d}.png")
    predictor = SAM2VideoPredictor(model)
    of_folder = masks_of(predictor, str(tmp_path))
    of_array = masks_of(predictor, FRAMES)
    assert len(of_folder) == 3
    for ours, theirs in zip(of_folder, of_array, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_video_file(model, tmp_path):
    iio = pytest.importorskip("imageio.v3")
    pytest.importorskip("av")
    file = tmp_path / "video.mp4"
    iio.imwrite(file, FRAMES, plugin="pyav", codec="libx264")
    state = SAM2VideoPredictor(model).init_state(file)
    assert (state.num_frames, state.video_height, state.video_width) == (3, 40, 56)
    shown = np.stack([state.frames.frame(i) for i in range(3)]).astype(float)
    assert np.abs(shown - FRAMES).mean() < 40  # compressed, and in this order
    y, x = np.mgrid[:40, :56]
    for i, frame in enumerate(shown):
        disc = (y - 20) ** 2 + (x - 12 - 4 * i) ** 2 < 64
        assert frame[disc].mean() > 2 * frame[~disc].mean()


def test_videos_that_are_none(model, tmp_path):
    (tmp_path / "notes.mp4").write_text("not a video")
    predictor = SAM2VideoPredictor(model)
    for video in (tmp_path / "absent.mp4", tmp_path / "notes.mp4", 5):
        with pytest.raises(ImageError):
            predictor.init_state(video)


def test_scripts_use_autocast_and_inference_mode(model):
    predictor = SAM2ImagePredictor(model)
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        predictor.set_image(FRAMES[0])
        masks, scores, low_res = predictor.predict([[12, 20]], [1])
    assert masks.dtype == scores.dtype == low_res.dtype == np.float32
    assert masks.shape == (3, 40, 56)


def test_batch_calls_have_the_names_of_the_original():
    for function, names in {
        SAM2ImagePredictor.set_image_batch: "self image_list",
        SAM2ImagePredictor.predict_batch: "self point_coords_batch "
        "point_labels_batch box_batch mask_input_batch multimask_output "
        "return_logits normalize_coords",
        SAM2VideoPredictor.add_new_mask: "self inference_state frame_idx obj_id mask",
        SAM2VideoPredictor.clear_all_prompts_in_frame: "self inference_state "
        "frame_idx obj_id need_output",
    }.items():
        assert list(inspect.signature(function).parameters) == names.split()


def test_hugging_face_names_are_found_locally_or_explained():
    for build in (
        build_sam2_hf,
        SAM2ImagePredictor.from_pretrained,
        SAM2VideoPredictor.from_pretrained,
    ):
        with pytest.raises(CheckpointError, match="models download sam2_hiera_large"):
            build("facebook/sam2-hiera-large")
