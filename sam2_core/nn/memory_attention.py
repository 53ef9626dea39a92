"""The current frame reads the memories of other frames."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from sam2_core.nn.attention import Attention
from sam2_core.nn.chunked import attend, pays_off
from sam2_core.nn.layers import in_parts, parts_pay_off
from sam2_core.nn.linear import Linear, linear
from sam2_core.nn.positions import pair_tables, rotary_tables, rotate


class RotaryAttention(Attention):
    """Attention whose queries and keys are turned by their place on the grid."""

    def forward_grid(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        grid_hw: tuple[int, int],
        unplaced: int = 0,
        cells: Tensor | None = None,
        key_cells: Tensor | None = None,
    ) -> Tensor:
        """Attend on a grid.

        Parameters
        ----------
        q : Tensor
            (B or 1, h * w, dim).
        k, v : Tensor
            (B, n * h * w + unplaced, kv_dim): n grids, then tokens without a place.
        grid_hw : tuple of int
            Height and width of the grid.
        unplaced : int
            How many of the last keys have no place (object pointers).
        cells, key_cells : Tensor, optional
            (B, Lq) and (B, Lk - unplaced) cells, row by row of the grid, that queries
            and keys stand for, where those are not whole grids.
        """
        if torch.is_grad_enabled() or self.num_heads > 1:
            return self._plain(q, k, v, grid_hw, unplaced, cells, key_cells)
        turned_q = self._turned(self.q_proj, q, grid_hw, 0, cells)
        turned_k = self._turned(self.k_proj, k, grid_hw, unplaced, key_cells)
        narrower = v.shape[-1] < turned_k.shape[-1]
        if pays_off(turned_q, narrower):
            if not narrower:
                return cast(
                    "Tensor", self.out_proj(attend(turned_q, turned_k, self.v_proj(v)))
                )
            # The shares of each query sum to 1, so values may be projected afterwards,
            # when there are fewer of them.
            return cast(
                "Tensor", self.out_proj(self.v_proj(attend(turned_q, turned_k, v)))
            )
        turned_q = turned_q.expand(len(turned_k), -1, -1)
        return self.attend(
            self.split(turned_q), self.split(turned_k), self.split(self.v_proj(v))
        )

    def _turned(
        self,
        project: nn.Module,
        x: Tensor,
        grid_hw: tuple[int, int],
        unplaced: int,
        cells: Tensor | None,
    ) -> Tensor:
        """Project and turn; the pairs come swapped from a second projection."""
        layer = cast("nn.Linear", project)
        batch, length, channels = len(x), x.shape[1], layer.out_features
        weight, bias = (
            parameter.reshape(channels // 2, 2, -1).flip(1)
            for parameter in (layer.weight, layer.bias)
        )
        weight, bias = weight.reshape(channels, -1), bias.flatten()
        cos, sin = pair_tables(channels, *grid_hw, x.dtype, x.device)
        placed = length - unplaced
        if cells is None and parts_pay_off(x):
            # A grid at a time, which stays in the caches.
            turned = x.new_empty(batch, length, channels)
            for i in range(batch):
                for first in range(0, placed, len(cos)):
                    grid = x[i, first : first + len(cos)]
                    place = turned[i, first : first + len(cos)]
                    torch.mul(layer(grid), cos, out=place)
                    place.addcmul_(linear(grid, weight, bias), sin)
            if unplaced:
                turned[:, placed:] = layer(x[:, placed:])
            return turned
        turned = cast("Tensor", layer(x))
        others = linear(x[:, :placed], weight, bias)
        grids = (batch, placed // len(cos), len(cos), channels)
        if cells is not None:
            cos, sin = cos[cells][:, None], sin[cells][:, None]
            grids = (batch, 1, placed, channels)
        turned[:, :placed].view(grids).mul_(cos).addcmul_(others.view(grids), sin)
        return turned

    def _plain(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        grid_hw: tuple[int, int],
        unplaced: int,
        cells: Tensor | None,
        key_cells: Tensor | None,
    ) -> Tensor:
        """The same in operations that have gradients."""
        q, k, v = self.q_proj(q), self.k_proj(k), self.v_proj(v)
        tables = rotary_tables(q.shape[-1] // self.num_heads, *grid_hw, device=q.device)
        q, k, v = self.split(q), self.split(k), self.split(v)
        placed = k.shape[2] - unplaced
        q = rotate(q, tables, cells)
        if placed:
            turned = rotate(k[:, :, :placed], tables, key_cells)
            k = torch.cat((turned, k[:, :, placed:]), dim=2) if unplaced else turned
        return self.attend(q.expand(len(k), -1, -1, -1), k, v)


class MemoryAttentionLayer(nn.Module):
    """Self-attention, cross-attention to the memories, feed-forward; pre-norm."""

    def __init__(self, dim: int, memory_dim: int, ffn_dim: int) -> None:
        super().__init__()
        self.self_attn = RotaryAttention(dim, 1, dim)
        self.cross_attn_image = RotaryAttention(dim, 1, dim, kv_dim=memory_dim)
        self.linear1 = Linear(dim, ffn_dim)
        self.linear2 = Linear(ffn_dim, dim)
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
        cells: Tensor | None = None,
        memory_cells: Tensor | None = None,
    ) -> Tensor:
        """(B or 1, L, dim) tokens of the frame, enriched."""
        own = self.norm1(x)
        x = x + self.self_attn.forward_grid(own, own, own, grid_hw, 0, cells, cells)
        own = self.norm2(x)
        x = x + self.cross_attn_image.forward_grid(
            own, keys, values, grid_hw, num_pointer_tokens, cells, memory_cells
        )
        return x + in_parts(self._feed_forward, x, self.linear1.out_features)

    def _feed_forward(self, x: Tensor) -> Tensor:
        hidden = self.linear1(self.norm3(x), "relu")
        return cast("Tensor", self.linear2(hidden))


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
        cells: Tensor | None = None,
        memory_cells: Tensor | None = None,
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
        cells, memory_cells : Tensor, optional
            Cells of the grid that the tokens of the frame, (B, L), and those of the
            memories, (B, number of them), stand for; without, these are whole grids.

        Returns
        -------
        Tensor
            (B, h * w or L, dim).
        """
        # One for all objects until they have read their memories.
        x = x + 0.1 * x_pe
        keys = memory + memory_pe
        for layer in self.layers:
            x = layer(x, keys, memory, grid_hw, num_pointer_tokens, cells, memory_cells)
        return cast("Tensor", self.norm(x))
