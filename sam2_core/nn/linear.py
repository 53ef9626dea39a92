"""Linear layers that come with their activation."""

from __future__ import annotations

from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Activation = Literal["none", "relu", "gelu"]

# Below so many numbers the operator's own preparations take longer than it saves.
WORTHWHILE = 2**14


class Linear(nn.Linear):
    """A linear layer, followed by ``activation``."""

    def forward(self, x: Tensor, activation: Activation = "none") -> Tensor:
        """(..., in) -> (..., out)."""
        return linear(x, self.weight, self.bias, activation)


def linear(
    x: Tensor, weight: Tensor, bias: Tensor, activation: Activation = "none"
) -> Tensor:
    """Project tokens.

    Parameters
    ----------
    x : Tensor
        (..., in).
    weight, bias : Tensor
        (out, in) and (out,).
    activation : {"none", "relu", "gelu"}
        What follows.

    Returns
    -------
    Tensor
        (..., out).
    """
    if joining_pays_off(x, weight):
        # torch first fills a map with the bias and reads it again for the activation.
        join = torch.ops.mkldnn._linear_pointwise
        return cast("Tensor", join(x, weight, bias, activation, [], "none"))
    y = F.linear(x, weight, bias)
    if activation == "relu":
        return F.relu(y, inplace=not torch.is_grad_enabled())
    return F.gelu(y) if activation == "gelu" else y


def joining_pays_off(x: Tensor, weight: Tensor) -> bool:
    """Whether oneDNN adds the bias and applies the activation, as was measured.

    In bfloat16 on CPUs that have instructions for it. Not where gradients are wanted,
    nor where a compiler joins operations itself, nor where autocast is to bring the
    weight to bfloat16.
    """
    if x.device.type != "cpu" or {x.dtype, weight.dtype} != {torch.bfloat16}:
        return False
    if torch.is_grad_enabled() or torch.compiler.is_compiling():
        return False
    return x.numel() >= WORTHWHILE and _has_joined()


def _has_joined() -> bool:
    # Private in torch, so they may vanish; then nothing is lost but speed.
    names = ("_linear_pointwise", "_is_mkldnn_bf16_supported")
    if not all(hasattr(torch.ops.mkldnn, name) for name in names):
        return False
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
