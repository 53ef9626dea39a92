"""The builder functions of the ``sam2`` package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from sam2_core.compat.options import configure, variant_of
from sam2_core.compat.video import SAM2VideoPredictor
from sam2_core.devices import choose_device
from sam2_core.errors import CheckpointError, Sam2Error
from sam2_core.models import build_model, load_model

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from sam2_core.nn.sam2 import Sam2


def build_sam2(
    config_file: str,
    ckpt_path: str | os.PathLike[str] | None = None,
    device: str | torch.device | None = None,
    mode: str = "eval",
    hydra_overrides_extra: Sequence[str] = (),
    apply_postprocessing: bool = True,
    **kwargs: Any,
) -> Sam2:
    """Build a network for :class:`SAM2ImagePredictor`.

    Parameters
    ----------
    config_file : str
        Official configuration ("configs/sam2.1/sam2.1_hiera_t.yaml") or our name
        ("sam2.1_hiera_tiny").
    ckpt_path : path, optional
        Official or fine-tuned weights, ``.pt`` or ``.safetensors``; fresh random
        weights by default.
    device : str or torch.device, optional
        CUDA if there is a GPU, else the CPU; "auto" also tries Apple's GPU.
    mode : str
        "eval" for inference, anything else leaves the network in training mode.
    hydra_overrides_extra : sequence of str
        Options such as ``"++model.fill_hole_area=0"``.
    apply_postprocessing : bool
        Replace unstable single masks.
    **kwargs : Any
        Ignored, as in the original.

    Returns
    -------
    Sam2
        float32.

    Raises
    ------
    CheckpointError
        If the weights do not fit the configuration.
    Sam2Error
        If the configuration or an option is unknown.
    """
    return _build(
        config_file,
        ckpt_path,
        device,
        mode,
        hydra_overrides_extra,
        apply_postprocessing,
    )


def build_sam2_video_predictor(
    config_file: str,
    ckpt_path: str | os.PathLike[str] | None = None,
    device: str | torch.device | None = None,
    mode: str = "eval",
    hydra_overrides_extra: Sequence[str] = (),
    apply_postprocessing: bool = True,
    vos_optimized: bool = False,
    **kwargs: Any,
) -> SAM2VideoPredictor:
    """Build a video predictor; parameters as in :func:`build_sam2`.

    With ``apply_postprocessing`` holes of up to 8 pixels are filled and prompted masks
    binarised before they are remembered. ``vos_optimized`` (compilation) is ignored.
    """
    model = _build(
        config_file,
        ckpt_path,
        device,
        mode,
        hydra_overrides_extra,
        apply_postprocessing,
        video=True,
    )
    return SAM2VideoPredictor(model)


def build_sam2_hf(model_id: str, **kwargs: Any) -> Sam2:
    """Build a network from a model id such as "facebook/sam2.1-hiera-tiny".

    Nothing is downloaded here: the checkpoint must have been fetched with
    ``napari-sam2 models download`` before.
    """
    variant, path = _local(model_id)
    return build_sam2(variant, path, **kwargs)


def build_sam2_video_predictor_hf(model_id: str, **kwargs: Any) -> SAM2VideoPredictor:
    """Build a video predictor from a model id; see :func:`build_sam2_hf`."""
    variant, path = _local(model_id)
    return build_sam2_video_predictor(variant, path, **kwargs)


def _build(
    config_file: str,
    ckpt_path: str | os.PathLike[str] | None,
    device: str | torch.device | None,
    mode: str,
    overrides: Sequence[str],
    apply_postprocessing: bool,
    video: bool = False,
) -> Sam2:
    variant = variant_of(config_file)
    target = choose_device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if isinstance(overrides, str):
        raise Sam2Error("hydra_overrides_extra must be a list of options.")
    if ckpt_path is None:
        model = build_model(variant).to(target)
    else:
        model = load_model(ckpt_path, device=target, dtype="float32")
        _require_variant(model, variant)
    config = configure(model.config, overrides, apply_postprocessing, video)
    model.config = config
    model.sam_prompt_encoder.image_size = config.image_size
    model.sam_prompt_encoder.grid_size = config.grid_size
    return model.eval() if mode == "eval" else model.train().requires_grad_(True)


def _require_variant(model: Sam2, variant: str) -> None:
    """Refuse a checkpoint of another size, as strict loading would."""
    wanted = build_config(variant)
    got = model.config
    if (got.version, got.trunk, got.hidden_dim) != (
        wanted.version,
        wanted.trunk,
        wanted.hidden_dim,
    ):
        raise CheckpointError(
            f"The checkpoint holds {got.name} but {variant} was asked for: choose the "
            "configuration that fits the file."
        )


def build_config(variant: str) -> Any:
    """Configuration of a variant."""
    from sam2_core.config import VARIANTS

    return VARIANTS[variant]


def _local(model_id: str) -> tuple[str, str]:
    from sam2_core.registry import is_available, model_path

    name = model_id.rsplit("/", 1)[-1].replace("-", "_")
    variant = variant_of(name)
    if not is_available(variant):
        raise CheckpointError(
            f"The weights of {variant} are not on this computer: run "
            f"`napari-sam2 models download {variant}` first."
        )
    return variant, str(model_path(variant))
