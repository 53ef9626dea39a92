"""Hiera: the hierarchical vision transformer that looks at the image."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sam2_core.nn.chunked import attend, pays_off
from sam2_core.nn.layers import MLP, PART_BYTES, parts_pay_off
from sam2_core.nn.linear import Linear

if TYPE_CHECKING:
    from sam2_core.config import TrunkConfig

PATCH_STRIDE = 4


def split_windows(x: Tensor, size: int) -> tuple[Tensor, tuple[int, int]]:
    """Cut (B, H, W, C) into (B * n, size, size, C), zero-padded right and bottom.

    Returns
    -------
    tuple
        The windows and the padded (H, W).
    """
    b, h, w, c = x.shape
    pad_h, pad_w = -h % size, -w % size
    if pad_h or pad_w:
        x = F.pad(x, (0, 0, 0, pad_w, 0, pad_h))
    ph, pw = h + pad_h, w + pad_w
    x = x.view(b, ph // size, size, pw // size, size, c)
    # A row of windows need not be copied, but linear layers are slow on it then.
    windows = x.permute(0, 1, 3, 2, 4, 5).contiguous()
    return windows.view(-1, size, size, c), (ph, pw)


def join_windows(
    windows: Tensor, size: int, padded_hw: tuple[int, int], hw: tuple[int, int]
) -> Tensor:
    """Undo :func:`split_windows` and drop the padding."""
    ph, pw = padded_hw
    n = (ph // size) * (pw // size)
    x = windows.view(windows.shape[0] // n, ph // size, pw // size, size, size, -1)
    x = x.permute(0, 1, 3, 2, 4, 5).reshape(-1, ph, pw, windows.shape[-1])
    return x[:, : hw[0], : hw[1]].contiguous()


def pool_2x2(x: Tensor) -> Tensor:
    """Max-pool (B, H, W, C) by two in both directions."""
    # Several times faster on a CPU than pooling, and right on MPS, where pooling of
    # strided views is not.
    x = torch.maximum(x[:, ::2], x[:, 1::2])
    return torch.maximum(x[:, :, ::2], x[:, :, 1::2])


class WindowAttention(nn.Module):
    """Self-attention inside one window, optionally with queries pooled 2x2."""

    def __init__(
        self, dim: int, dim_out: int, num_heads: int, pool_queries: bool
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.pool_queries = pool_queries
        self.qkv = Linear(dim, dim_out * 3)
        self.proj = Linear(dim_out, dim_out)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, dim) -> (B, H', W', dim_out), halved where queries are pooled."""
        b, h, w, _ = x.shape
        qkv = self.qkv(x).reshape(b, h * w, 3, -1)
        q, k, v = qkv.unbind(2)
        if self.pool_queries:
            q = pool_2x2(q.reshape(b, h, w, -1))
            h, w = q.shape[1:3]
            q = q.reshape(b, h * w, -1)
        heads = self._heads(q), self._heads(k), self._heads(v)
        if pays_off(q, narrower=False) and not torch.compiler.is_compiling():
            out = attend(*(x.flatten(0, 1) for x in heads))
            out = out.reshape(b, -1, *out.shape[1:])
        else:
            out = F.scaled_dot_product_attention(*heads)
        return cast("Tensor", self.proj(out.transpose(1, 2).reshape(b, h, w, -1)))

    def _heads(self, x: Tensor) -> Tensor:
        b, length, c = x.shape
        return x.reshape(b, length, self.num_heads, c // self.num_heads).transpose(1, 2)


class Block(nn.Module):
    """One Hiera block; ``window_size`` 0 means attention over the whole grid."""

    def __init__(
        self, dim: int, dim_out: int, num_heads: int, window_size: int, pool: bool
    ) -> None:
        super().__init__()
        self.window_size = window_size
        self.dim_out = dim_out
        self.pool = pool
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = WindowAttention(dim, dim_out, num_heads, pool)
        self.norm2 = nn.LayerNorm(dim_out, eps=1e-6)
        self.mlp = MLP(dim_out, dim_out * 4, dim_out, 2, "gelu")
        if dim != dim_out:
            self.proj = Linear(dim, dim_out)
        self.widens = dim != dim_out

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, dim) -> (B, H', W', dim_out)."""
        rows = self._rows(x)
        if rows >= x.shape[1]:
            return self._whole(x)
        strips = torch.split(x, rows, dim=1)
        return torch.cat([self._whole(strip) for strip in strips], dim=1)

    def _rows(self, x: Tensor) -> int:
        """How many rows to work on at a time; windows know nothing of each other."""
        height = x.shape[1]
        if not self.window_size or not parts_pay_off(x):
            return height
        window = self.window_size
        widest = x[:, :window, ..., 0].numel() * 4 * self.dim_out * x.itemsize
        return window * max(1, PART_BYTES // widest)

    def _whole(self, x: Tensor) -> Tensor:
        shortcut = x
        x = self.norm1(x)
        if self.widens:
            shortcut = self.proj(x)
            if self.pool:
                shortcut = pool_2x2(shortcut)
        x = shortcut + self._attend(x, (shortcut.shape[1], shortcut.shape[2]))
        return x + cast("Tensor", self.mlp(self.norm2(x)))

    def _attend(self, x: Tensor, out_hw: tuple[int, int]) -> Tensor:
        if self.window_size == 0:
            return cast("Tensor", self.attn(x))
        windows, padded_hw = split_windows(x, self.window_size)
        windows = self.attn(windows)
        size = self.window_size
        if self.pool:
            size //= 2
            padded_hw = (
                out_hw[0] + -out_hw[0] % size,
                out_hw[1] + -out_hw[1] % size,
            )
        return join_windows(windows, size, padded_hw, out_hw)


class PatchEmbed(nn.Module):
    """Overlapping 7x7 patches at stride 4."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, kernel_size=7, stride=PATCH_STRIDE, padding=3)

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, H / 4, W / 4, dim)."""
        # What comes out has channels last, too: what the blocks read as it lies.
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        return cast("Tensor", self.proj(pixels)).permute(0, 2, 3, 1).contiguous()


class Hiera(nn.Module):
    """The trunk: four stages, each halving the grid and doubling the width."""

    def __init__(self, config: TrunkConfig) -> None:
        super().__init__()
        dim = config.embed_dim
        self.patch_embed = PatchEmbed(dim)
        self.pos_embed = nn.Parameter(torch.zeros(1, dim, *config.background_size))
        window = config.window_sizes[0]
        self.pos_embed_window = nn.Parameter(torch.zeros(1, dim, window, window))
        self._known_positions: tuple[tuple[object, ...], Tensor] | None = None
        self.blocks = nn.ModuleList()
        self.stage_ends: list[int] = []
        heads = config.num_heads
        for stage, depth in enumerate(config.stages):
            for i in range(depth):
                first_of_later_stage = stage > 0 and i == 0
                dim_out = config.widths[stage]
                heads = config.num_heads * 2**stage
                # The block that pools still works in the windows of the stage before.
                window = config.window_sizes[
                    stage - 1 if first_of_later_stage else stage
                ]
                if len(self.blocks) in config.global_attention_blocks:
                    window = 0
                self.blocks.append(
                    Block(dim, dim_out, heads, window, pool=first_of_later_stage)
                )
                dim = dim_out
            self.stage_ends.append(len(self.blocks) - 1)

    def positions(self, height: int, width: int) -> Tensor:
        """Position embedding of a stride-4 grid, (1, height, width, dim)."""
        if torch.is_grad_enabled():
            return self._positions(height, width)
        # Made once; again if weights were loaded or trained meanwhile.
        embeds = (self.pos_embed, self.pos_embed_window)
        # Weights made in inference mode have no version, and nobody trains them.
        versions = (0 if p.is_inference() else p._version for p in embeds)
        key = (height, width, *(p.data_ptr() for p in embeds), *versions)
        if self._known_positions is None or self._known_positions[0] != key:
            self._known_positions = key, self._positions(height, width)
        return self._known_positions[1]

    def _positions(self, height: int, width: int) -> Tensor:
        background = F.interpolate(self.pos_embed, size=(height, width), mode="bicubic")
        window = self.pos_embed_window
        repeats = (height // window.shape[2], width // window.shape[3])
        whole = background + window.tile(1, 1, *repeats)
        return whole.permute(0, 2, 3, 1).contiguous()

    def forward(self, pixels: Tensor, positions: Tensor | None = None) -> list[Tensor]:
        """Stage outputs of normalised pixels.

        Parameters
        ----------
        pixels : Tensor
            (B, 3, H, W), sides multiples of 32.
        positions : Tensor, optional
            (1 or B, H / 4, W / 4, dim) position code; :meth:`positions` by default.

        Returns
        -------
        list of Tensor
            (B, C, h, w) at strides 4, 8, 16, 32.
        """
        x = self.patch_embed(pixels)
        if positions is None:
            positions = self.positions(x.shape[1], x.shape[2])
        x = x + positions
        outputs = []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in self.stage_ends:
                outputs.append(x.permute(0, 3, 1, 2))
        return outputs
