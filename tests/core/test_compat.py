"""Signatures, names, options and habits of the `sam2` package."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch
from micro import MICRO, micro_model, moving_disc
from PIL import Image

from sam2_core.compat import (
    SAM2ImagePredictor,
    SAM2VideoPredictor,
    build_sam2,
    build_sam2_video_predictor,
)
from sam2_core.compat.options import configure, variant_of
from sam2_core.config import VARIANTS
from sam2_core.errors import CheckpointError, ImageError, PromptError, Sam2Error

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


@pytest.fixture
def video(model):
    predictor = SAM2VideoPredictor(model)
    return predictor, predictor.init_state(FRAMES)


# ------------------------------------------------------------------ names and options


@pytest.mark.parametrize(
    ("config_file", "variant"),
    [
        ("configs/sam2.1/sam2.1_hiera_t.yaml", "sam2.1_hiera_tiny"),
        ("configs/sam2.1/sam2.1_hiera_b+.yaml", "sam2.1_hiera_base_plus"),
        ("configs/sam2/sam2_hiera_l.yaml", "sam2_hiera_large"),
        ("sam2_hiera_s.yaml", "sam2_hiera_small"),
        ("sam2.1_hiera_t", "sam2.1_hiera_tiny"),
        ("sam2.1_hiera_tiny", "sam2.1_hiera_tiny"),
        ("sam2_nano", "sam2_nano"),
    ],
)
def test_configuration_names(config_file, variant):
    assert variant_of(config_file) == variant


def test_unknown_configurations_are_refused():
    with pytest.raises(Sam2Error, match="no configuration"):
        build_sam2("configs/sam3.yaml")


def test_options_of_the_original():
    config = configure(
        MICRO,
        [
            "++model.non_overlap_masks=true",
            "++model.add_all_frames_to_correct_as_cond=true",
            "++model.memory_temporal_stride_for_eval=2",
            "++model.non_overlap_masks_for_mem_enc=false",
            "++model.max_cond_frames_in_attn=4",
            "+model.fill_hole_area=3",
            "model.sam_mask_decoder_extra_args.dynamic_multimask_stability_thresh=0.9",
        ],
        apply_postprocessing=True,
        video=True,
    )
    assert config.non_overlap_masks
    assert config.all_corrections_condition
    assert config.memory_temporal_stride == 2
    assert not config.non_overlap_masks_for_memory
    assert config.max_conditioning_frames == 4
    assert config.fill_hole_area == 3
    assert config.stability_threshold == 0.9
    assert config.binarize_prompted_masks_for_memory


@pytest.mark.parametrize(
    ("postprocess", "is_video", "expected"),
    [
        (True, True, (8, True, 0.98)),
        (True, False, (0, False, 0.98)),
        (False, True, (0, False, 0.0)),
    ],
)
def test_post_processing_is_what_the_builders_choose(postprocess, is_video, expected):
    config = configure(VARIANTS["sam2_nano"], [], postprocess, is_video)
    assert expected == (
        config.fill_hole_area,
        config.binarize_prompted_masks_for_memory,
        config.stability_threshold,
    )


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("++model.nonsense=1", "not known"),
        ("fill_hole_area", "not understood"),
        ("++model.fill_hole_area=true", "must be a int"),
        ("++model.non_overlap_masks=1", "must be a bool"),
        ("++model.max_cond_frames_in_attn=1", "at least 2"),
        ("++model.memory_temporal_stride_for_eval=0", "at least 1"),
        ("++model.image_size=500", "multiple of 32"),
        ("++model.clear_non_cond_mem_around_input=true", "can only be"),
    ],
)
def test_bad_options_are_refused(override, message):
    with pytest.raises(Sam2Error, match=message):
        configure(MICRO, [override], True, True)


def test_signatures_begin_as_the_original_ones():
    for function, names in {
        build_sam2: "config_file ckpt_path device mode hydra_overrides_extra "
        "apply_postprocessing",
        build_sam2_video_predictor: "config_file ckpt_path device mode "
        "hydra_overrides_extra apply_postprocessing vos_optimized",
        SAM2ImagePredictor: "sam_model mask_threshold max_hole_area max_sprinkle_area",
        SAM2ImagePredictor.predict: "self point_coords point_labels box mask_input "
        "multimask_output return_logits normalize_coords",
        SAM2VideoPredictor.init_state: "self video_path offload_video_to_cpu "
        "offload_state_to_cpu async_loading_frames",
        SAM2VideoPredictor.add_new_points_or_box: "self inference_state frame_idx "
        "obj_id points labels clear_old_points normalize_coords box",
        SAM2VideoPredictor.propagate_in_video: "self inference_state start_frame_idx "
        "max_frame_num_to_track reverse",
        SAM2VideoPredictor.remove_object: "self inference_state obj_id strict "
        "need_output",
    }.items():
        wanted = names.split()
        assert list(inspect.signature(function).parameters)[: len(wanted)] == wanted


def test_checkpoints_are_read_and_must_fit(tmp_path):
    source = build_sam2("sam2_nano", device="cpu")
    torch.save({"model": source.state_dict()}, tmp_path / "nano.pt")
    predictor = build_sam2_video_predictor(
        "sam2_nano", tmp_path / "nano.pt", device="cpu"
    )
    for key, tensor in source.state_dict().items():
        assert torch.equal(predictor.state_dict()[key], tensor)
    assert not predictor.model.training
    assert predictor.image_size == 512
    with pytest.raises(CheckpointError, match="asked for"):
        build_sam2("sam2.1_hiera_t", tmp_path / "nano.pt", device="cpu")
    with pytest.raises(CheckpointError):
        build_sam2("sam2_nano", tmp_path / "absent.pt", device="cpu")


def test_another_input_size_reaches_the_network():
    predictor = build_sam2_video_predictor(
        "sam2_nano", device="cpu", hydra_overrides_extra=["++model.image_size=128"]
    )
    assert predictor.image_size == 128
    state = predictor.init_state(FRAMES)
    predictor.add_new_points_or_box(state, 0, 1, [[12, 20]], [1])
    frames = [frame for frame, _, _ in predictor.propagate_in_video(state)]
    assert frames == [0, 1, 2, 3, 4]
    memory = state.objects[1].bank.tracked[4]
    assert memory.logits.shape == (1, 1, 32, 32)
    assert state.features[4].embedding.shape[-2:] == (8, 8)


def test_training_mode():
    model = build_sam2("sam2_nano", device="cpu", mode="train")
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())


# ------------------------------------------------------------------ images


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


# ------------------------------------------------------------------ videos


def test_outputs_of_the_video_predictor(video):
    predictor, state = video
    frame, ids, logits = predictor.add_new_points_or_box(
        state, frame_idx=0, obj_id=3, points=[[12, 20]], labels=[1]
    )
    assert (frame, ids) == (0, [3])
    assert isinstance(logits, torch.Tensor)
    assert logits.shape == (1, 1, *HW)
    _, ids, logits = predictor.add_new_mask(state, 2, 1, np.ones(HW, bool))
    assert ids == [3, 1]
    assert (logits[0] == -1024).all()
    order = [frame for frame, _, _ in predictor.propagate_in_video(state)]
    assert order == [0, 1, 2, 3, 4]
    assert state["num_frames"] == 5
    assert (state["video_height"], state["video_width"]) == HW


@pytest.mark.parametrize(
    ("arguments", "order"),
    [
        ({"max_frame_num_to_track": 1}, [2, 3]),
        ({"start_frame_idx": 3}, [3, 4]),
        ({"reverse": True}, [2, 1, 0]),
        ({"reverse": True, "start_frame_idx": 0}, []),
        (
            {"reverse": True, "start_frame_idx": 4, "max_frame_num_to_track": 2},
            [4, 3, 2],
        ),
    ],
)
def test_order_of_frames(video, arguments, order):
    predictor, state = video
    predictor.add_new_points_or_box(state, 2, 1, [[12, 20]], [1])
    found = [frame for frame, _, _ in predictor.propagate_in_video(state, **arguments)]
    assert found == order


def test_tensors_and_normalised_points(video):
    predictor, state = video
    _, _, pixels = predictor.add_new_points_or_box(state, 0, 1, [[14, 20]], [1])
    predictor.reset_state(state)
    _, _, scaled = predictor.add_new_points_or_box(
        state,
        0,
        1,
        torch.tensor([[0.25, 0.5]]),
        torch.tensor([1]),
        normalize_coords=False,
    )
    assert torch.allclose(pixels, scaled, atol=1e-3)


def test_corrections_are_forgotten_unless_asked():
    changed = []
    for stays in (False, True):
        predictor = SAM2VideoPredictor(micro_model(all_corrections_condition=stays))
        state = predictor.init_state(FRAMES)
        predictor.add_new_points_or_box(state, 0, 1, [[12, 20]], [1])
        before = {f: m for f, _, m in predictor.propagate_in_video(state)}
        predictor.add_new_points_or_box(state, 3, 1, box=[2, 2, 30, 30])
        after = {f: m for f, _, m in predictor.propagate_in_video(state)}
        changed.append(bool((before[3] - after[3]).abs().max() > 1e-3))
    assert changed == [False, True]


def test_removing_objects(video):
    predictor, state = video
    predictor.add_new_points_or_box(state, 0, 1, [[12, 20]], [1])
    predictor.add_new_points_or_box(state, 0, 2, [[40, 20]], [1])
    ids, updated = predictor.remove_object(state, 1)
    assert ids == [2]
    assert [frame for frame, _ in updated] == [0]
    assert updated[0][1].shape == (1, 1, *HW)
    assert predictor.remove_object(state, 9) == ([2], [])
    with pytest.raises(PromptError, match="no object 9"):
        predictor.remove_object(state, 9, strict=True)
    assert predictor.remove_object(state, 2) == ([], [])
    with pytest.raises(PromptError, match="No object"):
        next(predictor.propagate_in_video(state))


def test_clearing_a_frame(video):
    predictor, state = video
    predictor.add_new_points_or_box(state, 0, 1, [[12, 20]], [1])
    _, ids, logits = predictor.clear_all_prompts_in_frame(state, 0, 1)
    assert ids == [1]
    assert (logits == -1024).all()
    with pytest.raises(PromptError, match="Object 1 has no prompt"):
        next(predictor.propagate_in_video(state))


def test_an_object_without_prompts_can_be_prompted_where_it_was_tracked(video):
    predictor, state = video
    predictor.add_new_points_or_box(state, 0, 1, [[12, 20]], [1])
    list(predictor.propagate_in_video(state))
    predictor.clear_all_prompts_in_frame(state, 0, 1)
    with pytest.raises(PromptError, match="Object 1 has no prompt"):
        next(predictor.propagate_in_video(state))
    predictor.add_new_points_or_box(state, 3, 1, [[24, 20]], [1])
    assert [f for f, _, _ in predictor.propagate_in_video(state)] == [3, 4]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "no prompt"),
        ({"points": [[1, 1]]}, "together"),
        ({"box": [1, 1, 4, 4], "clear_old_points": False}, "box"),
        ({"points": [[1, 1]], "labels": [1], "frame_idx": 5}, "no frame 5"),
    ],
)
def test_misuse_of_the_video_predictor(video, arguments, message):
    predictor, state = video
    with pytest.raises(PromptError, match=message):
        predictor.add_new_points_or_box(
            state, **{"frame_idx": 0, "obj_id": 1, **arguments}
        )
    with pytest.raises(PromptError, match="height"):
        predictor.add_new_mask(state, 0, 1, np.ones((1, *HW)))
    assert state["obj_ids"] == []


def test_a_folder_of_numbered_pictures(model, tmp_path):
    for i, frame in enumerate(FRAMES):
        Image.fromarray(frame).save(tmp_path / f"{i * 5}.png")
    (tmp_path / "notes.txt").write_text("not a frame")
    predictor = SAM2VideoPredictor(model)
    state = predictor.init_state(str(tmp_path))
    assert state.num_frames == 5
    for i, frame in enumerate(FRAMES):
        np.testing.assert_array_equal(state.frames.frame(i), frame)


def test_folders_that_are_no_videos(model, tmp_path):
    predictor = SAM2VideoPredictor(model)
    with pytest.raises(ImageError, match="no JPEG"):
        predictor.init_state(tmp_path)
    (tmp_path / "0.jpg").write_bytes(b"not a picture")
    with pytest.raises(ImageError, match="cannot be read"):
        predictor.init_state(tmp_path)
    (tmp_path / "0.jpg").rename(tmp_path / "first.jpg")
    with pytest.raises(ImageError, match="named by number"):
        predictor.init_state(tmp_path)
