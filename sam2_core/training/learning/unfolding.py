"""Batch normalisation given back to close-ups that were shipped without it."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from sam2_core.nn.closeup import CloseUp, Pair
from sam2_core.training.learning.closeup_step import closeup_step

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sam2_core.training.practice.asked import AnyBatch


# Root mean square of the entries of such weights late in training. With normalisation
# behind them it changes no answer, but says how fast they turn.
LATE = 0.035


class _Spread:
    """Mean and variance of the channels of what passes a convolution, bias aside."""

    def __init__(self) -> None:
        self.count = 0
        self.total: Tensor | float = 0.0
        self.squares: Tensor | float = 0.0

    def __call__(self, conv: nn.Conv2d, _: tuple[Tensor, ...], out: Tensor) -> None:
        assert conv.bias is not None
        values = (out.detach() - conv.bias.to(out.dtype)[:, None, None]).double()
        self.count += values.numel() // values.shape[1]
        self.total = self.total + values.sum((0, 2, 3))
        self.squares = self.squares + values.square().sum((0, 2, 3))

    def mean_and_variance(self) -> tuple[Tensor, Tensor]:
        mean = torch.as_tensor(self.total) / self.count
        variance = torch.as_tensor(self.squares) / self.count - mean.square()
        return mean.float(), variance.float().clamp(min=1e-8)


@torch.no_grad()
def unfolded(network: CloseUp, batches: Iterable[AnyBatch], seed: int = 0) -> CloseUp:
    """The same network as it learns, which `sam2_core.nn.closeup.folded` reverses.

    What its convolutions give on some windows is measured.

    Parameters
    ----------
    network : CloseUp
        As it is shipped.
    batches : iterable of WindowBatch or AskedBatch
        Like those that it is to learn from; a few hundred windows are enough.
    seed : int
        Of the corrective clicks.

    Returns
    -------
    CloseUp
        With the same answers when it does not learn, on the device of `network`.
    """
    device = next(network.parameters()).device
    network = copy.deepcopy(network)
    network.first = None  # first answers are to be learned with all else
    spreads: dict[tuple[str, int], _Spread] = {}
    hooks = []
    for name, pair in network.named_modules():
        if not isinstance(pair, Pair):
            continue
        for number, conv in ((1, pair.conv1), (2, pair.conv2)):
            spreads[name, number] = spread = _Spread()
            hooks.append(conv.register_forward_hook(spread))
    generator = torch.Generator(device).manual_seed(seed)
    for batch in batches:
        closeup_step(network, batch.to(device), generator, reported=False)
    for hook in hooks:
        hook.remove()
    learning = CloseUp(learning=True, widths=network.widths, deep=network.deep)
    state = learning.state_dict() | network.state_dict()
    for (name, number), measured in spreads.items():
        mean, variance = measured.mean_and_variance()
        key, norm = f"{name}.conv{number}", f"{name}.norm{number}"
        bias, weight = state.pop(f"{key}.bias"), state[f"{key}.weight"]
        change = LATE / weight.square().mean((1, 2, 3)).sqrt().clamp(min=1e-8)
        state[f"{key}.weight"] = weight * change[:, None, None, None]
        state[f"{norm}.running_mean"] = mean * change
        state[f"{norm}.running_var"] = variance * change.square()
        eps = getattr(learning.get_submodule(name), f"norm{number}").eps
        spread = (variance * change.square() + eps).sqrt()
        state[f"{norm}.weight"] = spread / change
        state[f"{norm}.bias"] = bias + mean
    learning.load_state_dict(state)
    return learning.to(device)
