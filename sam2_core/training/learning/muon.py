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
        wide = [
            module.weight
            for module in model.modules()
            if isinstance(module, nn.Conv2d) and min(module.weight.shape[:2]) >= least
        ]
        # Weights of one shape are moved together, which a GPU does in fewer calls.
        self.alike: dict[torch.Size, list[Tensor]] = {}
        for weight in wide:
            self.alike.setdefault(weight.shape, []).append(weight)
        super().__init__(
            model.parameters(), lr=lr, betas=(0.9, 0.99), weight_decay=weight_decay
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """Move all parameters."""
        group = self.param_groups[0]
        for shape, members in self.alike.items():
            weights = [weight for weight in members if weight.grad is not None]
            if not weights:
                continue
            grads = [torch.as_tensor(weight.grad) for weight in weights]
            moments = [self._momentum(weight) for weight in weights]
            torch._foreach_lerp_(moments, grads, 1 - MOMENTUM)
            ahead = torch._foreach_lerp(grads, moments, MOMENTUM)
            moves = orthogonal(torch.stack(list(ahead)).flatten(2))
            size = LIKE_ADAM * max(moves.shape[1:]) ** 0.5
            torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
            steps = list(moves.view(-1, *shape).unbind())
            torch._foreach_add_(weights, steps, alpha=-group["lr"] * size)
            for weight in weights:
                weight.grad = None  # AdamW passes over it
        return super().step(closure)

    def _momentum(self, weight: Tensor) -> Tensor:
        state = self.state[weight]
        if not state:  # AdamW expects a step of every state that it reads back
            state |= {"step": torch.zeros(()), "momentum": torch.zeros_like(weight)}
        return torch.as_tensor(state["momentum"])


def orthogonal(matrices: Tensor) -> Tensor:
    """Matrices (..., M, N) with all singular values brought near 1, roughly."""
    wide = matrices.shape[-2] <= matrices.shape[-1]
    x = matrices if wide else matrices.mT
    x = (x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)).bfloat16()
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = A * x + (B * gram + C * gram @ gram) @ x
    return torch.as_tensor(x if wide else x.mT, dtype=matrices.dtype)
