"""An optimiser for convolutions: their momentum is made orthogonal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable

ITERATIONS = 5
# Of the odd polynomial that brings all singular values near 1.
A, B, C = 3.4445, -4.7750, 2.0315
LIKE_ADAM = 0.2  # root mean square of an entry of AdamW's updates
MOMENTUM = 0.95


class Muon(torch.optim.AdamW):
    """AdamW, but weights of convolutions move by orthogonalised momentum.

    Every direction in which such a weight can move gets the same length, rare ones too
    (K. Jordan et al., Muon, 2024). Updates have AdamW's size, so that its rate and
    weight decay serve both (J. Liu et al., 2025).

    Parameters
    ----------
    model : Module
        Its convolutions with at least ``least`` channels in and out move by Muon.
    lr, weight_decay : float
        Of all parameters.
    least : int
        Narrower convolutions are AdamW's.
    """

    def __init__(
        self, model: nn.Module, lr: float, weight_decay: float, least: int = 16
    ) -> None:
        self.wide = [
            module.weight
            for module in model.modules()
            if isinstance(module, nn.Conv2d) and min(module.weight.shape[:2]) >= least
        ]
        super().__init__(
            model.parameters(), lr=lr, betas=(0.9, 0.99), weight_decay=weight_decay
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """Move all parameters."""
        group = self.param_groups[0]
        for weight in self.wide:
            if weight.grad is None:
                continue
            state = self.state[weight]
            if not state:  # AdamW expects a step of every state that it reads back
                state |= {"step": torch.zeros(()), "momentum": torch.zeros_like(weight)}
            momentum = state["momentum"]
            momentum.lerp_(weight.grad, 1 - MOMENTUM)
            ahead = weight.grad.lerp(momentum, MOMENTUM)
            rows = ahead.flatten(1)
            size = LIKE_ADAM * max(rows.shape) ** 0.5
            weight.mul_(1 - group["lr"] * group["weight_decay"])
            move = orthogonal(rows).view_as(weight)
            weight.sub_(move, alpha=group["lr"] * size)
            weight.grad = None  # AdamW passes over it
        return super().step(closure)


def orthogonal(matrix: Tensor) -> Tensor:
    """The matrix (M, N) with all its singular values brought near 1, roughly."""
    wide = matrix.shape[0] <= matrix.shape[1]
    x = matrix if wide else matrix.T
    x = (x / (x.norm() + 1e-7)).bfloat16()
    for _ in range(ITERATIONS):
        gram = x @ x.T
        x = A * x + (B * gram + C * gram @ gram) @ x
    return torch.as_tensor(x if wide else x.T, dtype=matrix.dtype)
