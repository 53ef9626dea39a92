"""How far a click spreads before it meets an outline."""

from __future__ import annotations

import torch
from torch import Tensor


def flood(barrier: Tensor, seeds: Tensor) -> Tensor:
    """What has to be crossed to reach each cell from the nearest seed.

    The cost of a path is its highest barrier, the cost of a cell that of its best
    path: small inside an object with a closed outline, large beyond it.

    Parameters
    ----------
    barrier : Tensor
        (N, 1, h, w) in [0, 1].
    seeds : Tensor
        (N, 1, h, w) bool; the barrier under a seed does not count.

    Returns
    -------
    Tensor
        (N, 1, h, w) in [0, 1]; 1 everywhere where there is no seed.
    """
    crossed = torch.where(seeds, 0.0, 1.0).to(barrier.dtype)
    # Half the image is as far as an object is followed.
    for _ in range(max(barrier.shape[-2:]) // 2):
        crossed = torch.minimum(crossed, torch.maximum(lowest_around(crossed), barrier))
    return crossed


def lowest_around(x: Tensor) -> Tensor:
    """Minimum over 3 x 3 cells; ten times faster on a CPU than pooling."""
    for axis in (2, 3):
        last = x.shape[axis] - 1
        lowest = x.clone()
        for here, there in ((1, 0), (0, 1)):
            mine = lowest.narrow(axis, here, last)
            torch.minimum(mine, x.narrow(axis, there, last), out=mine)
        x = lowest
    return x
