"""The two-way transformer: prompt tokens read the image, the image reads the tokens."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from sam2_core.nn.attention import Attention
from sam2_core.nn.layers import MLP


class TwoWayBlock(nn.Module):
    """Self-attention of tokens, tokens to image, MLP, image to tokens."""

    def __init__(self, dim: int, num_heads: int, ffn_dim: int, first: bool) -> None:
        super().__init__()
        self.self_attn = Attention(dim, num_heads, dim)
        self.norm1 = nn.LayerNorm(dim)
        self.cross_attn_token_to_image = Attention(dim, num_heads, dim // 2)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = MLP(dim, ffn_dim, dim, 2)
        self.norm3 = nn.LayerNorm(dim)
        self.norm4 = nn.LayerNorm(dim)
        self.cross_attn_image_to_token = Attention(dim, num_heads, dim // 2)
        self.first = first

    def forward(
        self, tokens: Tensor, image: Tensor, token_pe: Tensor, image_pe: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Tokens (N, T, dim) and image (N or 1, L, dim), updated, N of each."""
        if self.first:
            tokens = self.self_attn(tokens, tokens, tokens)
        else:
            q = tokens + token_pe
            tokens = tokens + self.self_attn(q, q, tokens)
        tokens = self.norm1(tokens)
        keys = image + image_pe
        tokens = tokens + self.cross_attn_token_to_image(tokens + token_pe, keys, image)
        tokens = self.norm2(tokens)
        tokens = self.norm3(tokens + self.mlp(tokens))
        image = image + self.cross_attn_image_to_token(keys, tokens + token_pe, tokens)
        return tokens, cast("Tensor", self.norm4(image))


class TwoWayTransformer(nn.Module):
    """Two blocks and a last look of the tokens at the image."""

    def __init__(self, dim: int, num_heads: int, ffn_dim: int, depth: int = 2) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            TwoWayBlock(dim, num_heads, ffn_dim, first=i == 0) for i in range(depth)
        )
        self.final_attn_token_to_image = Attention(dim, num_heads, dim // 2)
        self.norm_final_attn = nn.LayerNorm(dim)

    def forward(
        self, image: Tensor, image_pe: Tensor, tokens: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Exchange information.

        Parameters
        ----------
        image : Tensor
            (N or 1, L, dim), one row per grid cell; 1 where prompts share it.
        image_pe : Tensor
            (1 or N, L, dim) position code of the grid.
        tokens : Tensor
            (N, T, dim); also serves as the tokens' own position code.

        Returns
        -------
        tuple of Tensor
            Tokens (N, T, dim) and image (N, L, dim).
        """
        token_pe = tokens
        for block in self.layers:
            tokens, image = block(tokens, image, token_pe, image_pe)
        attended = self.final_attn_token_to_image(
            tokens + token_pe, image + image_pe, image
        )
        return self.norm_final_attn(tokens + attended), image
