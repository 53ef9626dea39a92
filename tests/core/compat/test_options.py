"""Names, options and checkpoints of the `sam2` package."""

from __future__ import annotations

import inspect

import pytest
import torch
from micro import MICRO, moving_disc

from sam2_core.compat import (
    SAM2ImagePredictor,
    SAM2VideoPredictor,
    build_sam2,
    build_sam2_video_predictor,
)
from sam2_core.compat.options import configure, variant_of
from sam2_core.config import VARIANTS
from sam2_core.errors import CheckpointError, Sam2Error

HW = (40, 56)
FRAMES = moving_disc(5)


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
