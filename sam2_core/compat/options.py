"""Names of configurations and hydra overrides, understood without hydra."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any

from sam2_core.config import VARIANTS, ModelConfig
from sam2_core.errors import Sam2Error

if TYPE_CHECKING:
    from collections.abc import Iterable

_SIZES = {"t": "tiny", "s": "small", "b+": "base_plus", "l": "large"}

# Option of the original -> field of ModelConfig.
_OPTIONS = {
    "image_size": "image_size",
    "fill_hole_area": "fill_hole_area",
    "non_overlap_masks": "non_overlap_masks",
    "non_overlap_masks_for_mem_enc": "non_overlap_masks_for_memory",
    "add_all_frames_to_correct_as_cond": "all_corrections_condition",
    "max_cond_frames_in_attn": "max_conditioning_frames",
    "memory_temporal_stride_for_eval": "memory_temporal_stride",
    "max_obj_ptrs_in_encoder": "max_object_pointers",
    "binarize_mask_from_pts_for_mem_enc": "binarize_prompted_masks_for_memory",
    "sigmoid_scale_for_mem_enc": "sigmoid_scale",
    "sigmoid_bias_for_mem_enc": "sigmoid_bias",
    "multimask_max_pt_num": "multimask_max_points",
    "sam_mask_decoder_extra_args.dynamic_multimask_stability_delta": "stability_delta",
    "sam_mask_decoder_extra_args.dynamic_multimask_stability_thresh": (
        "stability_threshold"
    ),
}
_DYNAMIC = "sam_mask_decoder_extra_args.dynamic_multimask_via_stability"

# Options the predictors accept only with the value they always have.
_FIXED: dict[str, Any] = {
    "clear_non_cond_mem_around_input": False,
    "num_maskmem": 7,
    "use_high_res_features_in_sam": True,
    "multimask_output_in_sam": True,
    "multimask_min_pt_num": 0,
    "use_mask_input_as_output_without_sam": True,
    "compile_image_encoder": False,
}


def variant_of(config_file: str) -> str:
    """Our name of a configuration.

    Parameters
    ----------
    config_file : str
        ``configs/sam2.1/sam2.1_hiera_t.yaml``, its file name with or without
        ``.yaml``, or one of :func:`sam2_core.list_models`.

    Raises
    ------
    Sam2Error
        If no such configuration is known.
    """
    name = str(config_file).replace("\\", "/").rsplit("/", 1)[-1]
    name = name.removesuffix(".yaml")
    if name in VARIANTS:
        return name
    prefix, _, size = name.rpartition("_")
    ours = f"{prefix}_{_SIZES.get(size, size)}"
    if ours in VARIANTS:
        return ours
    known = ", ".join(VARIANTS)
    raise Sam2Error(f"There is no configuration {config_file!r}: use one of {known}.")


def configure(
    config: ModelConfig,
    overrides: Iterable[str],
    apply_postprocessing: bool,
    video: bool,
) -> ModelConfig:
    """The configuration a builder of the original would end up with.

    Parameters
    ----------
    config : ModelConfig
        Of the network.
    overrides : iterable of str
        Hydra overrides, such as ``"++model.non_overlap_masks=true"``.
    apply_postprocessing : bool
        Fall back to another mask where the single one is unstable, and in videos fill
        holes and binarise prompted masks for the memory.
    video : bool
        Whether a video predictor is built.

    Raises
    ------
    Sam2Error
        If an override is malformed or unknown.
    """
    defaults = ModelConfig(config.name, config.version, config.trunk)
    fields: dict[str, Any] = {"stability_threshold": 0.0}
    if apply_postprocessing:
        fields["stability_threshold"] = defaults.stability_threshold
    on = apply_postprocessing and video
    fields["binarize_prompted_masks_for_memory"] = on
    fields["fill_hole_area"] = defaults.fill_hole_area if on else 0
    for override in overrides:
        option, value = _parse(override)
        if option in _FIXED:
            if value != _FIXED[option]:
                raise Sam2Error(
                    f"The option {option} can only be {_FIXED[option]}: leave it out."
                )
        elif option == _DYNAMIC:
            fields["stability_threshold"] = (
                defaults.stability_threshold if value else 0.0
            )
        elif option in _OPTIONS:
            field = _OPTIONS[option]
            fields[field] = _like(getattr(defaults, field), value, option)
        else:
            known = ", ".join([*_OPTIONS, _DYNAMIC])
            raise Sam2Error(
                f"The option {option!r} of hydra_overrides_extra is not known: use one "
                f"of {known}."
            )
    limit = fields.get("max_conditioning_frames", -1)
    if limit != -1 and limit < 2:
        raise Sam2Error("max_cond_frames_in_attn must be -1 (all) or at least 2.")
    if fields.get("memory_temporal_stride", 1) < 1:
        raise Sam2Error("memory_temporal_stride_for_eval must be at least 1.")
    if fields.get("image_size", 32) < 32 or fields.get("image_size", 32) % 32:
        raise Sam2Error("image_size must be a multiple of 32.")
    return dataclasses.replace(config, **fields)


def _parse(override: str) -> tuple[str, Any]:
    match = re.fullmatch(r"\+{0,2}model\.([\w.]+)=(.*)", str(override).strip())
    if match is None:
        raise Sam2Error(
            f"The override {override!r} is not understood: write it like "
            '"++model.fill_hole_area=0".'
        )
    option, text = match[1], match[2].strip().strip("'\"")
    if text.lower() in ("true", "false"):
        return option, text.lower() == "true"
    for kind in (int, float):
        try:
            return option, kind(text)
        except ValueError:
            continue
    return option, text


def _like(default: object, value: object, option: str) -> object:
    if isinstance(default, bool):
        good = isinstance(value, bool)
    elif isinstance(default, int):
        good = isinstance(value, int) and not isinstance(value, bool)
    else:
        good = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not good:
        kind = type(default).__name__
        raise Sam2Error(f"The option {option} must be a {kind}, not {value!r}.")
    return float(value) if isinstance(default, float) else value  # type: ignore[arg-type]
