"""Processes that train one network, each on windows of its own.

Started by ``torchrun --nproc-per-node N -m ...``; without it everything here does
nothing. Two threads share one batch of small convolutions badly; two processes are
nearly twice as fast as one.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Iterator

OF_PROCESS = 1_000_003  # between the seeds of processes that train together


def own_seed(seed: int) -> int:
    """A seed of this process, from one of all of them."""
    return seed + OF_PROCESS * rank()


def join_others() -> None:
    """Meet the other processes, if there are any."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        dist.init_process_group("gloo")


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def leave_others() -> None:
    """End what :func:`join_others` began."""
    if dist.is_initialized():
        dist.destroy_process_group()


@contextmanager
def first_alone() -> Iterator[None]:
    """The first process does something before the others do."""
    if rank() > 0:
        dist.barrier()
    yield
    if dist.is_initialized() and rank() == 0:
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
