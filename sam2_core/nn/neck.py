"""The feature pyramid that brings the trunk's stages to one width."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from sam2_core.config import TrunkConfig


class Lateral(nn.Module):
    """A 1x1 convolution, wrapped as the official key names ask."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, h, w) -> (B, out, h, w)."""
        return cast("Tensor", self.conv(x))


class Neck(nn.Module):
    """Lateral convolutions, coarsest stage first; only stride 16 is fed from above."""

    def __init__(self, trunk: TrunkConfig, hidden_dim: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            Lateral(width, hidden_dim) for width in reversed(trunk.widths)
        )

    def lateral(self, level: int) -> nn.Conv2d:
        """The convolution of a level, counted from the finest (stride 4) as 0."""
        return cast("Lateral", self.convs[len(self.convs) - 1 - level]).conv

    def embedding(self, stages: list[Tensor]) -> Tensor:
        """The stride-16 map: its own lateral plus the upsampled stride-32 one."""
        coarse = self.lateral(3)(stages[3])
        # Summed in float32, as in the original.
        up = F.interpolate(coarse.float(), scale_factor=2.0, mode="nearest")
        return cast("Tensor", self.lateral(2)(stages[2])) + up.to(coarse.dtype)


class ImageEncoder(nn.Module):
    """Trunk and neck under one name, as in the state dict."""

    def __init__(self, trunk: nn.Module, neck: Neck) -> None:
        super().__init__()
        self.trunk = trunk
        self.neck = neck
