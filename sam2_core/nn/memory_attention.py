"""The current frame reads the memories of other frames."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sam2_core.nn.attention import Attention
from sam2_core.nn.positions import rotary_tables, rotate


class RotaryAttention(Attention):
    """Attention whose queries and keys are turned by their place on the grid."""

    def forward_grid(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        grid_hw: tuple[int, int],
        unplaced: int = 0,
    ) -> Tensor:
        """Attend on a grid.

        Parameters
        ----------
        q : Tensor
            (B, h * w, dim).
        k, v : Tensor
            (B, n * h * w + unplaced, kv_dim): n grids, then tokens without a place.
        grid_hw : tuple of int
            Height and width of the grid.
        unplaced : int
            How many of the last keys have no place (object pointers).
        """
        q, k, v = self.q_proj(q), self.k_proj(k), self.v_proj(v)
        tables = rotary_tables(q.shape[-1] // self.num_heads, *grid_hw, device=q.device)
        q, k, v = self.split(q), self.split(k), self.split(v)
        placed = k.shape[2] - unplaced
        q = rotate(q, tables)
        if placed:
            turned = rotate(k[:, :, :placed], tables)
            k = torch.cat((turned, k[:, :, placed:]), dim=2) if unplaced else turned
        return self.attend(q, k, v)


class MemoryAttentionLayer(nn.Module):
    """Self-attention, cross-attention to the memories, feed-forward; pre-norm."""

    def __init__(self, dim: int, memory_dim: int, ffn_dim: int) -> None:
        super().__init__()
        self.self_attn = RotaryAttention(dim, 1, dim)
        self.cross_attn_image = RotaryAttention(dim, 1, dim, kv_dim=memory_dim)
        self.linear1 = nn.Linear(dim, ffn_dim)
        self.linear2 = nn.Linear(ffn_dim, dim)
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.norm3 = nn.LayerNorm(dim)

    def forward(
        self,
        x: Tensor,
        keys: Tensor,
        values: Tensor,
        grid_hw: tuple[int, int],
        num_pointer_tokens: int,
    ) -> Tensor:
        """(B, h * w, dim) tokens of the frame, enriched."""
        own = self.norm1(x)
        x = x + self.self_attn.forward_grid(own, own, own, grid_hw)
        own = self.norm2(x)
        x = x + self.cross_attn_image.forward_grid(
            own, keys, values, grid_hw, num_pointer_tokens
        )
        own = self.norm3(x)
        return x + cast("Tensor", self.linear2(F.relu(self.linear1(own))))


class MemoryAttention(nn.Module):
    """A stack of memory-attention layers."""

    def __init__(self, dim: int, memory_dim: int, ffn_dim: int, depth: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            MemoryAttentionLayer(dim, memory_dim, ffn_dim) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(dim)

    def forward(
        self,
        x: Tensor,
        x_pe: Tensor,
        memory: Tensor,
        memory_pe: Tensor,
        grid_hw: tuple[int, int],
        num_pointer_tokens: int = 0,
    ) -> Tensor:
        """Condition a frame on its memories.

        Parameters
        ----------
        x, x_pe : Tensor
            (B or 1, h * w, dim) tokens of the frame and their position code.
        memory, memory_pe : Tensor
            (B, L, memory_dim) spatial memories (grid after grid), then pointer tokens.
        grid_hw : tuple of int
            Height and width of the grid.
        num_pointer_tokens : int
            Trailing entries of ``memory`` that are pointer tokens.

        Returns
        -------
        Tensor
            (B, h * w, dim).
        """
        x = (x + 0.1 * x_pe).expand(memory.shape[0], -1, -1)
        keys = memory + memory_pe
        for layer in self.layers:
            x = layer(x, keys, memory, grid_hw, num_pointer_tokens)
        return cast("Tensor", self.norm(x))
