"""Low-rank changes of a network: a second one of the same shape for few numbers more.

The first answer to a click and following an object from frame to frame want different
things of the close-up network. What the one does otherwise than the other is kept as
products of narrow matrices, a third of the size.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class _Made:
    """A changed network, and in which state it was made from what."""

    network: nn.Module
    parts: Sequence[Tensor]
    state: list[tuple[int, int]]


def _state(parts: Sequence[Tensor]) -> list[tuple[int, int]]:
    return [
        (part.data_ptr(), 0 if part.is_inference() else part._version) for part in parts
    ]


class Changes(nn.Module):
    """What is added to the weights of a network; nothing at first.

    Parameters
    ----------
    network : Module
        Whose weights are changed.
    rank : int
        Of the change of each matrix that is so kept in fewer numbers; small ones are
        kept whole.
    """

    def __init__(self, network: nn.Module, rank: int) -> None:
        super().__init__()
        self.rank = rank
        self.up, self.down = nn.ParameterDict(), nn.ParameterDict()
        self.whole = nn.ParameterDict()
        self.names: list[str] = []
        for name, weight in network.named_parameters():
            self.names.append(name)
            outputs, inputs = len(weight), weight[0].numel()
            if rank * (outputs + inputs) < weight.numel():
                self.up[_key(name)] = nn.Parameter(weight.new_zeros(outputs, rank))
                self.down[_key(name)] = nn.Parameter(weight.new_zeros(rank, inputs))
            else:
                self.whole[_key(name)] = nn.Parameter(torch.zeros_like(weight))
        self._made: _Made | None = None

    def weights(self, network: nn.Module) -> dict[str, Tensor]:
        """The changed weights of the network, by name; gradients reach both parts."""
        return {
            name: weight + self._change(name).view_as(weight)
            for name, weight in self._weights(network).items()
        }

    @torch.no_grad()
    def approach(self, network: nn.Module, goal: nn.Module) -> None:
        """Change a network's weights into another's, as nearly as the rank allows."""
        wanted = self._weights(goal)
        for name, weight in self._weights(network).items():
            key, change = _key(name), wanted[name] - weight
            if key in self.whole:
                self.whole[key].copy_(change)
                continue
            u, s, v = torch.linalg.svd(change.flatten(1).float(), full_matrices=False)
            root = s[: self.rank].sqrt()
            self.up[key].copy_(u[:, : self.rank] * root)
            self.down[key].copy_(root[:, None] * v[: self.rank])

    @torch.no_grad()
    def put(self, network: nn.Module, name: str, weight: Tensor) -> None:
        """Change a weight that is kept whole to a value."""
        self.whole[_key(name)].copy_(weight - network.get_parameter(name))

    @torch.no_grad()
    def applied(self, network: Network) -> Network:
        """A copy of the network with its weights changed, without changes of its own.

        It is made once, and again when weights of either have been changed or moved.
        """
        made = self._made
        if made is None or made.state != _state(made.parts):
            self._made = None  # not to be copied, too
            changed = copy.deepcopy(network)
            vars(changed).pop("forward", None)  # compiled, for the other weights
            for name, child in network.named_children():
                if child is self:
                    setattr(changed, name, None)
            for name, weight in self.weights(network).items():
                changed.get_parameter(name).copy_(weight)
            parts = [*self.parameters(), *self._weights(network).values()]
            changed.requires_grad_(False).eval()
            self._made = made = _Made(changed, parts, _state(parts))
        found = made.network
        assert isinstance(found, type(network))
        return found

    def _change(self, name: str) -> Tensor:
        key = _key(name)
        if key in self.whole:
            change: Tensor = self.whole[key]
        else:
            change = self.up[key] @ self.down[key]
        return change

    def _weights(self, network: nn.Module) -> dict[str, nn.Parameter]:
        return {name: network.get_parameter(name) for name in self.names}


def raised(
    state: Mapping[str, Tensor], wanted: Mapping[str, tuple[int, ...]]
) -> dict[str, Tensor]:
    """A state dict whose changes have a lower rank, with the rank that is wanted.

    Parameters
    ----------
    state : mapping of str to Tensor
        All that is not of a lower rank stays as it is.
    wanted : mapping of str to tuple of int
        Keys and shapes of the changes.
    """
    new = dict(state)
    for key, shape in wanted.items():
        start, kind, name = key.rpartition("whole.")
        pair = f"{start}up.{name}", f"{start}down.{name}"
        if key in new and not kind:
            new[key] = _widened(new[key], shape)
        elif kind and key not in new and all(part in new for part in pair):
            up, down = (new[part] for part in pair)
            if [*up.shape, *down.shape] == _shapes_of_pair(shape, len(down)):
                new[key] = (up @ down).view(shape)
                del new[pair[0]], new[pair[1]]
    return new


def _shapes_of_pair(shape: tuple[int, ...], rank: int) -> list[int]:
    """Sizes of the two narrow matrices that make a change of this shape."""
    return [shape[0], rank, rank, prod(shape[1:])]


def _widened(narrow: Tensor, shape: tuple[int, ...]) -> Tensor:
    """One of two narrow matrices, with zeros for what it lacks of its rank."""
    if narrow.dim() != len(shape):
        return narrow
    lack = [new - old for old, new in zip(narrow.shape, shape, strict=True)]
    if min(lack) < 0 or min(lack) == max(lack):
        return narrow
    return F.pad(narrow, (0, lack[1], 0, lack[0]))


def _key(name: str) -> str:
    """The name as a key of a `ParameterDict`, in which no dots may be."""
    return name.replace(".", "-")
