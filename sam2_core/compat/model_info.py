"""How large a model is, counted."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

if TYPE_CHECKING:
    from pathlib import Path

    from sam2_core.nn.sam2 import Sam2

logger = logging.getLogger(__name__)


class _Counts(NamedTuple):
    layers: int
    parameters: int
    gradients: int
    gflops: float


class ModelInfo(_Counts):
    """Layers, parameters, gradients and GFLOPs, as ultralytics returns them.

    Attributes
    ----------
    layers : int
        Modules without parts.
    parameters, gradients : int
        Numbers of them; a model that only predicts has no gradients.
    gflops : float
        Billions of operations (a multiplication and an addition are two) for one image
        with one click.
    name : str
        Model name.
    megabytes : float
        Size of the weight file, or of the weights in memory where there is no file.
    """

    name: str = ""
    megabytes: float = 0.0

    def __str__(self) -> str:
        return (
            f"{self.name}: {self.layers} layers, {self.parameters:,} parameters, "
            f"{self.gradients:,} gradients, {self.gflops:.1f} GFLOPs, "
            f"{self.megabytes:.1f} MB"
        )


def model_info(model: Sam2, file: Path | None = None) -> ModelInfo:
    """Count what a model is made of.

    Parameters
    ----------
    model : Sam2
        The network.
    file : Path, optional
        Where its weights come from.
    """
    parameters = list(model.parameters())
    info = ModelInfo(
        sum(not list(module.children()) for module in model.modules()),
        sum(p.numel() for p in parameters),
        sum(p.numel() for p in parameters if p.requires_grad),
        gflops(model),
    )
    size = sum(p.numel() * p.element_size() for p in parameters)
    if file is not None and file.is_file():
        size = file.stat().st_size
    info.name, info.megabytes = model.config.name, size / 1e6
    return info


def log_info(model: Sam2, info: ModelInfo, detailed: bool = False) -> None:
    """Log the numbers, and with ``detailed`` the shape of every parameter."""
    if detailed:
        for name, parameter in model.named_parameters():
            logger.info("%s %s", name, tuple(parameter.shape))
    logger.info("%s", info)


def gflops(model: Sam2) -> float:
    """Billions of operations of the encoder on one image and the decoder on one click.

    They are counted on a twin without weights, which computes nothing; a model that
    draws its prompts needs values and is run.
    """
    runs = model.config.guided
    twin = model if runs else _without_weights(model)
    device, size = twin.device, model.config.image_size
    counter = FlopCounterMode(display=False)
    # Fused attention would not be counted on every device.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        features = twin.encode_image(torch.zeros(1, 3, size, size, device=device))
        twin.decode_masks(
            twin.without_memory(features),
            features.high_res,
            torch.full((1, 1, 2), size / 2, device=device),
            torch.ones(1, 1, device=device, dtype=torch.int32),
            guide=features.guide,
        )
    return float(counter.get_total_flops() / 1e9)


def _without_weights(model: Sam2) -> Sam2:
    with torch.device("meta"):
        return type(model)(model.config).eval().requires_grad_(False)
