"""Processes that train one network, each on windows of its own.

Started by ``torchrun --nproc-per-node N -m ...``; without it everything here does
nothing. Two threads share one batch of small convolutions badly; two processes are
nearly twice as fast as one.
"""

from __future__ import annotations

import os

import torch
import torch.distributed as dist
from torch import Tensor, nn


def join_others() -> int:
    """Meet the other processes, if there are any.

    Returns
    -------
    int
        Number of this process, from 0.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        dist.init_process_group("gloo")
    return dist.get_rank() if dist.is_initialized() else 0


def leave_others() -> None:
    """End what :func:`join_others` began."""
    if dist.is_initialized():
        dist.destroy_process_group()


def wait_for_others() -> None:
    """Go on when all processes have come here."""
    if dist.is_initialized():
        dist.barrier()


def as_first(module: nn.Module) -> None:
    """Give a module the parameters and buffers that it has in the first process."""
    if dist.is_initialized():
        for value in module.state_dict().values():
            dist.broadcast(value, 0)


def average(values: list[Tensor]) -> None:
    """Bring float tensors to their mean over all processes, in place."""
    if not dist.is_initialized():
        return
    flat = torch.cat([value.flatten() for value in values])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    parts = torch.split(flat, [value.numel() for value in values])
    for value, part in zip(values, parts, strict=True):
        value.copy_(part.view_as(value))
