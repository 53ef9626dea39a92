"""Small layers shared by the blocks."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sam2_core.nn.linear import Linear

if TYPE_CHECKING:
    from collections.abc import Callable

    from sam2_core.nn.linear import Activation

# What the widest map of a part may take on a CPU; larger ones leave the caches, and
# memory fresh from the system costs more than the arithmetic.
PART_BYTES = 6 * 2**20
FEW_CHANNELS = 8


def parts_pay_off(x: Tensor) -> bool:
    """Whether wide maps are better made a part at a time: on CPUs.

    Not where gradients are wanted, nor where a compiler would see every part anew.
    """
    if x.device.type != "cpu" or torch.is_grad_enabled():
        return False
    return not torch.compiler.is_compiling()


def in_parts(layers: Callable[[Tensor], Tensor], x: Tensor, widest: int) -> Tensor:
    """Layers that look at each token by itself, on a CPU a part of them at a time.

    Parameters
    ----------
    layers : callable
        Of (n, C) tokens, to (n, D).
    x : Tensor
        (..., C).
    widest : int
        Channels of the widest map between the layers.

    Returns
    -------
    Tensor
        (..., D).
    """
    if not parts_pay_off(x):
        return layers(x)
    count = max(1, PART_BYTES // (widest * x.itemsize))
    parts = [layers(part) for part in torch.split(x.flatten(0, -2), count)]
    return torch.cat(parts).reshape(*x.shape[:-1], -1)


class LayerNorm2d(nn.Module):
    """Layer normalisation over the channels of a (B, C, H, W) map."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each pixel; shape and dtype are kept."""
        if len(self.weight) <= FEW_CHANNELS and x.device.type == "cpu":
            # torch goes from pixel to pixel, for a handful of numbers each.
            centred = x - x.mean(1, keepdim=True)
            variance = centred.square().mean(1, keepdim=True)
            normed = centred * torch.rsqrt(variance + self.eps)
            return normed * self.weight[:, None, None] + self.bias[:, None, None]
        # Nothing is moved where channels come last in memory.
        pixels = x.permute(0, 2, 3, 1)
        normed = F.layer_norm(
            pixels, self.weight.shape, self.weight, self.bias, self.eps
        )
        return normed.permute(0, 3, 1, 2)


class MLP(nn.Module):
    """Linear layers with an activation between them (none after the last)."""

    def __init__(
        self,
        in_dim: int,
        hidden_dim: int,
        out_dim: int,
        num_layers: int,
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        dims = [in_dim, *[hidden_dim] * (num_layers - 1), out_dim]
        self.layers = nn.ModuleList(Linear(a, b) for a, b in pairwise(dims))
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in_dim) to (..., out_dim)."""
        *hidden, last = self.layers
        for layer in hidden:
            x = layer(x, self.activation)
        return cast("Tensor", last(x))


def chained_1x1(x: Tensor, first: nn.Conv2d, second: nn.Conv2d) -> Tensor:
    """``second(first(x))`` for two 1x1 convolutions, as a single one.

    Nothing stands between the two, so their weights multiply; the wide map in the
    middle, the largest of the whole network, is never made.
    """
    assert first.bias is not None
    assert second.bias is not None
    outer = second.weight.flatten(1)
    weight = outer @ first.weight.flatten(1)
    bias = outer @ first.bias + second.bias
    return F.conv2d(x, weight[:, :, None, None], bias)
