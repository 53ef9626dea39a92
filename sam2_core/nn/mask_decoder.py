"""Tokens and image features become masks, their quality and the object's presence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from sam2_core.nn.layers import MLP, LayerNorm2d
from sam2_core.nn.two_way import TwoWayTransformer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sam2_core.nn.hints import DrawnHints

NUM_MASKS = 4
# How many prompts a CPU works on at a time: the maps of more leave its caches.
PROMPTS = 4


@dataclass
class DecodedMasks:
    """What the decoder says about N prompts.

    Attributes
    ----------
    logits : Tensor
        (N, M, 4g, 4g) mask logits; M is 4 (mask 0 for clear prompts, 1 to 3 for
        ambiguous ones) or what a selection left of them.
    iou : Tensor
        (N, M) predicted IoU in [0, 1].
    tokens : Tensor
        (N, M, dim) output tokens of the masks, from which object pointers are made.
    object_score : Tensor
        (N, 1) logit; the object is in the image where it is > 0.
    """

    logits: Tensor
    iou: Tensor
    tokens: Tensor
    object_score: Tensor


class MaskDecoder(nn.Module):
    """Draws four masks per prompt from one image embedding."""

    def __init__(self, dim: int, num_heads: int, ffn_dim: int) -> None:
        super().__init__()
        self.transformer = TwoWayTransformer(dim, num_heads, ffn_dim)
        self.iou_token = nn.Embedding(1, dim)
        self.mask_tokens = nn.Embedding(NUM_MASKS, dim)
        self.obj_score_token = nn.Embedding(1, dim)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(dim, dim // 4, kernel_size=2, stride=2),
            LayerNorm2d(dim // 4),
            nn.GELU(),
            nn.ConvTranspose2d(dim // 4, dim // 8, kernel_size=2, stride=2),
            nn.GELU(),
        )
        self.conv_s0 = nn.Conv2d(dim, dim // 8, kernel_size=1)
        self.conv_s1 = nn.Conv2d(dim, dim // 4, kernel_size=1)
        self.output_hypernetworks_mlps = nn.ModuleList(
            MLP(dim, dim, dim // 8, 3) for _ in range(NUM_MASKS)
        )
        self.iou_prediction_head = MLP(dim, dim, NUM_MASKS, 3)
        self.pred_obj_score_head = MLP(dim, dim, 1, 3)

    def forward(
        self,
        embedding: Tensor,
        embedding_pe: Tensor,
        high_res: tuple[Tensor, Tensor],
        sparse: Tensor,
        dense: Tensor,
        hints: DrawnHints | None = None,
    ) -> DecodedMasks:
        """All four masks of every prompt.

        Parameters
        ----------
        embedding : Tensor
            (1 or N, dim, g, g) image embedding.
        embedding_pe : Tensor
            (1 or N, dim, g, g) position code of the grid.
        high_res : tuple of Tensor
            Features at strides 4 and 8, (1 or N, dim / 8, 4g, 4g) and
            (1 or N, dim / 4, 2g, 2g).
        sparse : Tensor
            (N, P, dim) prompt tokens; P may be 0.
        dense : Tensor
            (1 or N, dim, g or 1, g or 1) dense prompt embedding.
        hints : DrawnHints, optional
            Finer clues about the prompted objects.
        """
        n = sparse.shape[0]
        if n > PROMPTS and hints is None and sparse.device.type == "cpu":
            return self._in_parts(embedding, embedding_pe, high_res, sparse, dense)
        own = torch.cat(
            (
                self.obj_score_token.weight,
                self.iou_token.weight,
                self.mask_tokens.weight,
            )
        )
        tokens = torch.cat((own.expand(n, -1, -1), sparse.to(own.dtype)), dim=1)
        image = embedding + dense
        height, width = image.shape[-2:]
        tokens, image = self.transformer(
            image.flatten(2).transpose(1, 2),
            embedding_pe.flatten(2).transpose(1, 2),
            tokens,
        )
        mask_tokens = tokens[:, 2 : 2 + NUM_MASKS]

        fine0, fine1 = high_res
        up1, norm, act1, up2, act2 = self.output_upscaling
        canvas = image.unflatten(1, (height, width)).permute(0, 3, 1, 2)
        canvas = act1(norm(up1(canvas) + fine1))
        canvas = act2(up2(canvas) + fine0)
        features = None
        if hints is not None:
            canvas, features = hints.refine(canvas)
        pens = torch.stack(
            [
                mlp(mask_tokens[:, i])
                for i, mlp in enumerate(self.output_hypernetworks_mlps)
            ],
            dim=1,
        )
        logits = (pens @ canvas.flatten(2)).unflatten(2, canvas.shape[2:])
        scores = self.iou_prediction_head(tokens[:, 1])
        if hints is not None and features is not None:
            scores = scores + hints.score(features, logits)
        return DecodedMasks(
            logits=logits,
            iou=scores.sigmoid(),
            tokens=mask_tokens,
            object_score=self.pred_obj_score_head(tokens[:, 0]),
        )

    def _in_parts(
        self,
        embedding: Tensor,
        embedding_pe: Tensor,
        high_res: tuple[Tensor, Tensor],
        sparse: Tensor,
        dense: Tensor,
    ) -> DecodedMasks:
        def part(x: Tensor, first: int) -> Tensor:
            return x if len(x) == 1 else x[first : first + PROMPTS]

        found = [
            self(
                part(embedding, first),
                part(embedding_pe, first),
                (part(high_res[0], first), part(high_res[1], first)),
                part(sparse, first),
                part(dense, first),
            )
            for first in range(0, len(sparse), PROMPTS)
        ]
        return joined_prompts(found)


def joined_prompts(parts: Sequence[DecodedMasks]) -> DecodedMasks:
    """Masks of prompts that were decoded in several goes."""
    return DecodedMasks(
        logits=torch.cat([part.logits for part in parts]),
        iou=torch.cat([part.iou for part in parts]),
        tokens=torch.cat([part.tokens for part in parts]),
        object_score=torch.cat([part.object_score for part in parts]),
    )


def ambiguous_masks(decoded: DecodedMasks) -> DecodedMasks:
    """The three masks meant for ambiguous prompts."""
    return DecodedMasks(
        decoded.logits[:, 1:],
        decoded.iou[:, 1:],
        decoded.tokens[:, 1:],
        decoded.object_score,
    )


def clear_mask(decoded: DecodedMasks, delta: float, threshold: float) -> DecodedMasks:
    """The mask meant for clear prompts; where it is unstable, the best of the others.

    Stability is the IoU of the mask cut at ``+delta`` with the mask cut at ``-delta``.
    The output token stays that of mask 0 either way, as in the original.
    """
    single = decoded.logits[:, :1]
    inner = (single > delta).flatten(1).sum(1).float()
    outer = (single > -delta).flatten(1).sum(1).float()
    stability = torch.where(outer > 0, inner / outer, torch.ones_like(outer))
    unstable = stability < threshold
    best = decoded.iou[:, 1:].argmax(1) + 1
    chosen = torch.where(unstable, best, torch.zeros_like(best))
    rows = torch.arange(len(chosen), device=chosen.device)
    return DecodedMasks(
        decoded.logits[rows, chosen][:, None],
        decoded.iou[rows, chosen][:, None],
        decoded.tokens[:, :1],
        decoded.object_score,
    )
