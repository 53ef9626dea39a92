"""Low-rank adapters: a frozen encoder that learns a little after all."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from sam2_core.nn.hiera import WindowAttention

if TYPE_CHECKING:
    from sam2_core.nn.sam2 import Sam2


class Adapted(nn.Module):
    """A linear layer with a low-rank change of its weight, which starts at zero.

    Parameters
    ----------
    linear : nn.Linear
        Stays as it is.
    rank : int
        Of the change.
    """

    def __init__(self, linear: nn.Linear, rank: int) -> None:
        super().__init__()
        self.linear = linear.requires_grad_(False)
        weight = linear.weight
        self.down = nn.Parameter(weight.new_empty(rank, linear.in_features))
        self.up = nn.Parameter(weight.new_zeros(linear.out_features, rank))
        nn.init.normal_(self.down, std=linear.in_features**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        return cast("Tensor", self.linear(x)) + (x @ self.down.T) @ self.up.T

    def merged(self) -> nn.Linear:
        """The layer with the change in its weight."""
        with torch.no_grad():
            self.linear.weight.add_(self.up @ self.down)
        return self.linear


def add_adapters(model: Sam2, rank: int) -> list[nn.Parameter]:
    """Put adapters on all attention layers of the trunk; return what they learn."""
    learned: list[nn.Parameter] = []
    for attention in _attentions(model):
        for name in ("qkv", "proj"):
            adapted = Adapted(getattr(attention, name), rank)
            setattr(attention, name, adapted)
            learned += [adapted.down, adapted.up]
    return learned


def merge_adapters(model: Sam2) -> None:
    """Fold all adapters into their layers, so that the model is plain again."""
    for attention in _attentions(model):
        for name in ("qkv", "proj"):
            layer = getattr(attention, name)
            if isinstance(layer, Adapted):
                setattr(attention, name, layer.merged())


def _attentions(model: Sam2) -> list[WindowAttention]:
    return [m for m in model.image_encoder.modules() if isinstance(m, WindowAttention)]
