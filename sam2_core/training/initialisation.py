"""First weights from which the bundled model learns to obey its prompts."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sam2_core.nn.attention import Attention
from sam2_core.nn.memory_encoder import ConvNextBlock
from sam2_core.nn.sam2 import Sam2
from sam2_core.nn.two_way import TwoWayTransformer

SHARED_GAIN = 2.0
POSITION_SCALE = 2.0


def initialise(model: Sam2) -> None:
    """Set the weights of a fresh model in place.

    Prompts and image share one random Fourier code. Where queries and keys of the
    cross-attentions start from the same orthogonal projection of it, a prompt token
    attends to its own place from the first step; started independently, the model
    draws the same mask whatever the prompt for a thousand steps or more.
    """
    for module in model.modules():
        if isinstance(module, TwoWayTransformer):
            _tie(module.final_attn_token_to_image)
            for block in module.layers:
                _tie(block.cross_attn_token_to_image)
                _tie(block.cross_attn_image_to_token)
        elif isinstance(module, ConvNextBlock):
            # The official start of 1e-6 would need more steps than we have.
            nn.init.constant_(module.gamma, 0.1)
    # The grid has 32 cells a side where the official one has 64: twice the frequency
    # lets a click tell a cell from its neighbours (1.1 cells wide otherwise).
    matrix = model.sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix
    matrix.mul_(POSITION_SCALE)
    trunk = model.image_encoder.trunk
    for parameter in (trunk.pos_embed, trunk.pos_embed_window):
        _truncated(parameter, 0.02)
    for parameter in (
        model.maskmem_tpos_enc,
        model.no_mem_embed,
        model.no_obj_ptr,
        model.no_obj_embed_spatial,
    ):
        _truncated(parameter, 0.02)
    # IoU predictions start near one half, objects start as present.
    head = model.sam_mask_decoder.pred_obj_score_head.layers[-1]
    nn.init.constant_(head.bias, 2.0)


def _tie(attention: Attention) -> None:
    weight = torch.empty_like(attention.q_proj.weight)
    nn.init.orthogonal_(weight, gain=SHARED_GAIN)
    for projection in (attention.q_proj, attention.k_proj):
        with torch.no_grad():
            projection.weight.copy_(weight)
            projection.bias.zero_()


def _truncated(parameter: Tensor, std: float) -> None:
    nn.init.trunc_normal_(parameter, std=std)
