"""Multi-head attention between two token sequences."""

from __future__ import annotations

from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from sam2_core.nn.linear import Linear


class Attention(nn.Module):
    """Projected scaled dot-product attention.

    ``inner_dim`` is the width all heads share; ``kv_dim`` the width of keys and values
    where it differs from that of the queries.
    """

    def __init__(
        self, dim: int, num_heads: int, inner_dim: int, kv_dim: int | None = None
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q_proj = Linear(dim, inner_dim)
        self.k_proj = Linear(kv_dim or dim, inner_dim)
        self.v_proj = Linear(kv_dim or dim, inner_dim)
        self.out_proj = Linear(inner_dim, dim)

    def split(self, x: Tensor) -> Tensor:
        """(B, L, C) -> (B, heads, L, C / heads)."""
        b, length, channels = x.shape
        return x.reshape(
            b, length, self.num_heads, channels // self.num_heads
        ).transpose(1, 2)

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attention of projected, split heads, merged and projected out."""
        out = F.scaled_dot_product_attention(q, k, v)
        merged = out.transpose(1, 2).flatten(2)
        return cast("Tensor", self.out_proj(merged))

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend: q (B or 1, Lq, dim), k and v (B or 1, Lk, kv_dim) -> (B, Lq, dim).

        What is the same for the whole batch is projected once.
        """
        batch = max(len(q), len(k))
        return self.attend(
            *(
                self.split(project(x)).expand(batch, -1, -1, -1)
                for project, x in ((self.q_proj, q), (self.k_proj, k), (self.v_proj, v))
            )
        )
