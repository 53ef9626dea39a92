"""A frame and the mask found on it become a memory."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from sam2_core.nn.layers import LayerNorm2d, in_parts
from sam2_core.nn.linear import Linear


class MaskDownsampler(nn.Module):
    """A mask at model-input size down to the embedding grid (stride 16)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for _ in range(4):
            layers += [
                nn.Conv2d(channels, channels * 4, kernel_size=3, stride=2, padding=1),
                LayerNorm2d(channels * 4),
                nn.GELU(),
            ]
            channels *= 4
        layers.append(nn.Conv2d(channels, dim, kernel_size=1))
        self.encoder = nn.Sequential(*layers)

    def forward(self, mask: Tensor) -> Tensor:
        """(N, 1, H, W) -> (N, dim, H / 16, W / 16), channels last in memory."""
        # The first map, of few channels, is worked on fastest the usual way around.
        conv, norm, act, *others = self.encoder
        x = act(norm(conv(mask))).contiguous(memory_format=torch.channels_last)
        for layer in others:
            x = layer(x)
        return cast("Tensor", x)


class ConvNextBlock(nn.Module):
    """Depth-wise 7x7 convolution and a pointwise MLP, scaled and added."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(dim, dim, kernel_size=7, padding=3, groups=dim)
        self.norm = LayerNorm2d(dim)
        self.pwconv1 = Linear(dim, 4 * dim)
        self.pwconv2 = Linear(4 * dim, dim)
        self.gamma = nn.Parameter(torch.full((dim,), 1e-6))

    def forward(self, x: Tensor) -> Tensor:
        """(N, dim, h, w) -> the same shape."""
        y = self.norm(self.dwconv(x)).permute(0, 2, 3, 1).contiguous()
        y = in_parts(self._pointwise, y, self.pwconv1.out_features)
        return x + y.permute(0, 3, 1, 2)

    def _pointwise(self, y: Tensor) -> Tensor:
        return self.gamma * cast("Tensor", self.pwconv2(self.pwconv1(y, "gelu")))


class Fuser(nn.Module):
    """Two ConvNeXt blocks."""

    def __init__(self, dim: int, depth: int = 2) -> None:
        super().__init__()
        self.layers = nn.ModuleList(ConvNextBlock(dim) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        """(N, dim, h, w) -> the same shape."""
        for layer in self.layers:
            x = layer(x)
        return x


class MemoryEncoder(nn.Module):
    """Fuses raw image features with a mask into a compact memory."""

    def __init__(self, dim: int, memory_dim: int) -> None:
        super().__init__()
        self.mask_downsampler = MaskDownsampler(dim)
        self.pix_feat_proj = nn.Conv2d(dim, dim, kernel_size=1)
        self.fuser = Fuser(dim)
        self.out_proj = nn.Conv2d(dim, memory_dim, kernel_size=1)

    def forward(self, embedding: Tensor, mask: Tensor) -> Tensor:
        """Memory of N objects on one frame.

        Parameters
        ----------
        embedding : Tensor
            (1 or N, dim, g, g) raw image embedding (no memory mixed in).
        mask : Tensor
            (N, 1, 16g, 16g) mask, already scaled by the sigmoid scale and bias.

        Returns
        -------
        Tensor
            (N, memory_dim, g, g).
        """
        fused = self.pix_feat_proj(embedding) + self.mask_downsampler(mask)
        return cast("Tensor", self.out_proj(self.fuser(fused)))
