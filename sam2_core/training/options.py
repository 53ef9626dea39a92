"""What all training commands are told on the command line, and load from it."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from torch.utils.data import DataLoader, IterableDataset

from sam2_core.config import NANO
from sam2_core.devices import choose_device
from sam2_core.errors import Sam2Error
from sam2_core.training.dataset import load_split, stack_slices
from sam2_core.training.generator.synthetic import generate_pool
from sam2_core.training.generator.synthetic_stacks import generate_stack_pool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sam2_core.training.dataset import LabelledImage, LabelledStack

Batch = TypeVar("Batch")


def training_parser(
    prog: str,
    description: str | None,
    lr: float,
    batch: int,
    synthetic: tuple[int, int],
    threads: int = 1,
) -> argparse.ArgumentParser:
    """A parser with the options that every training command has.

    Parameters
    ----------
    prog, description : str
        Of the command.
    lr : float
        Default of the peak learning rate.
    batch : int
        Default number of crops or windows a step.
    synthetic : (int, int)
        Default numbers of synthetic images and stacks.
    threads : int
        Default number of threads.
    """
    parser = argparse.ArgumentParser(prog=prog, description=description)
    add = parser.add_argument
    add("--data", type=Path, required=True, help="training folder, docs/training.md")
    add("--out", type=Path, required=True, help="folder of checkpoint, log and weights")
    add("--pool", type=Path, help="cache of synthetic images (default: OUT/pool)")
    add("--lr", type=float, default=lr, help="peak learning rate")
    add("--batch", type=int, default=batch, help="crops or windows a step")
    add("--synthetic", type=int, default=synthetic[0], help="synthetic images")
    add("--synthetic-stacks", type=int, default=synthetic[1])
    add("--threads", type=int, default=threads)
    add("--workers", type=int, default=1, help="processes that make training images")
    add("--seed", type=int, default=0)
    return parser


def answers_parser(
    prog: str, description: str | None, lr: float, synthetic: tuple[int, int]
) -> argparse.ArgumentParser:
    """A parser of what trains the close-ups of a model further.

    Parameters
    ----------
    prog, description, lr, synthetic
        See :func:`training_parser`.
    """
    parser = training_parser(prog, description, lr, 16, synthetic)
    add = parser.add_argument
    add(
        "--start-from",
        metavar="MODEL",
        default=NANO.name,
        help="name or path of a model with close-ups",
    )
    add("--minutes", type=float, default=60, help="whole length over all starts")
    add("--device", default="auto", help="auto, cpu or cuda")
    add("--accumulate", type=int, default=8, help="batches a step, one after the other")
    return parser


def drawn(
    batches: IterableDataset[Batch], options: argparse.Namespace
) -> Iterator[Batch]:
    """Batches drawn by other processes, ``workers`` of them.

    Parameters
    ----------
    batches : IterableDataset
    options : Namespace
        Of :func:`training_parser`, with ``device``.
    """
    loader = DataLoader(
        batches,
        batch_size=None,
        num_workers=options.workers,
        prefetch_factor=8 if options.workers == 1 else 2,
        pin_memory=choose_device(options.device).type == "cuda",
    )
    return iter(loader)


def set_up(options: argparse.Namespace) -> None:
    """Set torch up for training."""
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)  # denormals in dying units make a CPU crawl
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True  # windows come in few sizes


def run(
    work: Callable[[argparse.Namespace], None], options: argparse.Namespace
) -> None:
    """Do the work of a command with a log; an error of ours is one sentence."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        work(options)
    except Sam2Error as error:
        raise SystemExit(str(error)) from error


def images_and_stacks(
    options: argparse.Namespace, folder: Path
) -> tuple[list[LabelledImage], list[LabelledStack]]:
    """Images and stacks of a training folder, and synthetic ones.

    Slices of stacks count as images too.

    Parameters
    ----------
    options : Namespace
        Of :func:`training_parser`.
    folder : Path
        The training folder.
    """
    split = load_split(folder)
    pool, seed = options.pool or options.out / "pool", options.seed
    images = list(split.images)
    for stack in split.stacks:
        images += stack_slices(stack, every=3)
    images += generate_pool(
        options.synthetic, seed=seed, processes=options.workers, cache=pool
    )
    stacks = split.stacks + generate_stack_pool(
        options.synthetic_stacks,
        size=256,
        length=12,
        seed=seed,
        processes=options.workers,
        cache=pool,
    )
    return images, stacks
