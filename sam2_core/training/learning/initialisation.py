"""First weights from which the bundled model learns to obey its prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import nn

from sam2_core.nn.attention import Attention
from sam2_core.nn.memory_encoder import ConvNextBlock

if TYPE_CHECKING:
    from sam2_core.nn.hiera import Hiera
    from sam2_core.nn.sam2 import Sam2

SHARED_GAIN = 2.0
POSITION_SCALE = 2.0


def initialise(model: Sam2) -> None:
    """Set the weights of a fresh model in place.

    Prompts and image share one random Fourier code. Where queries and keys of the
    cross-attentions start from the same orthogonal projection of it, a prompt token
    attends to its own place from the first step; started independently, the model
    draws the same mask whatever the prompt for a thousand steps or more.
    """
    for name, module in model.named_modules():
        if isinstance(module, Attention) and "_to_" in name:
            _tie(module)
        elif isinstance(module, ConvNextBlock):
            # The official start of 1e-6 would need more steps than we have.
            nn.init.constant_(module.gamma, 0.1)
    # The grid has 32 cells a side where the official one has 64: twice the frequency
    # lets a click tell a cell from its neighbours (1.1 cells wide otherwise).
    matrix = model.sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix
    matrix.mul_(POSITION_SCALE)
    trunk = cast("Hiera", model.image_encoder.trunk)
    for parameter in (
        trunk.pos_embed,
        trunk.pos_embed_window,
        model.maskmem_tpos_enc,
        model.no_mem_embed,
        model.no_obj_ptr,
        model.no_obj_embed_spatial,
    ):
        nn.init.trunc_normal_(parameter, std=0.02)
    # Objects start as present.
    head = cast("nn.Linear", model.sam_mask_decoder.pred_obj_score_head.layers[-1])
    nn.init.constant_(head.bias, 2.0)


def _tie(attention: Attention) -> None:
    weight = torch.empty_like(attention.q_proj.weight)
    nn.init.orthogonal_(weight, gain=SHARED_GAIN)
    for projection in (attention.q_proj, attention.k_proj):
        with torch.no_grad():
            projection.weight.copy_(weight)
            projection.bias.zero_()
