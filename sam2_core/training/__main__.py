"""Train the bundled model: ``python -m sam2_core.training --data DIR --out DIR``."""

from __future__ import annotations

import argparse
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch.utils.data import DataLoader, IterableDataset

from sam2_core.config import NANO
from sam2_core.nn.sam2 import Sam2
from sam2_core.training.batches import ClipBatches, ImageBatches
from sam2_core.training.dataset import LabelledImage, load_split, stack_slices
from sam2_core.training.initialisation import initialise
from sam2_core.training.samples import ClipSampler, CropSampler
from sam2_core.training.synthetic import generate_pool
from sam2_core.training.synthetic_stacks import generate_stack_pool
from sam2_core.training.trainer import Schedule, Trainer
from sam2_core.weights import read_state_dict, save_weights

if TYPE_CHECKING:
    from collections.abc import Iterator

SET_WEIGHTS = {"ndev_scratch": 0.3}  # its automatic labels are poor
NATIVE_FRACTION = 0.6  # crops at the scale at which the model is used


def main(argv: list[str] | None = None) -> None:
    """Train, or go on training, and write the weights."""
    options = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(options.threads)
    # Denormals in dying units make a CPU crawl.
    torch.set_flush_denormal(True)
    torch.manual_seed(options.seed)
    model = Sam2(NANO)
    initialise(model)
    if options.start_from:
        model.load_state_dict(read_state_dict(options.start_from))
    schedule = Schedule(
        steps=options.steps,
        dense_steps=options.dense_steps,
        clip_from=options.clip_from,
        big_from=options.big_from,
        lr=options.lr,
    )
    trainer = Trainer(model, schedule, options.out, options.seed)
    images, clips = _data(options)
    deadline = time.time() + 60 * options.minutes if options.minutes else None
    # Another seed after each resume, or the same crops would come again.
    seed = options.seed + trainer.step
    side = NANO.image_size
    crops, whole = _sampler(images, side // 2), _sampler(images, side)
    trainer.run(
        _stream(ImageBatches(crops, options.batch, options.objects, seed)),
        _stream(ImageBatches(whole, 1, options.objects * 2, seed + 1)),
        _stream(ClipBatches(clips, objects=3, seed=seed + 2)),
        deadline,
    )
    save_weights(options.out / f"{NANO.name}.safetensors", trainer.average)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sam2_core.training", description=__doc__
    )
    add = parser.add_argument
    add(
        "--data", type=Path, required=True, help="training folder, see docs/training.md"
    )
    add("--out", type=Path, required=True, help="folder of checkpoint, log and weights")
    add("--pool", type=Path, help="cache of synthetic images (default: OUT/pool)")
    add("--start-from", type=Path, help="weights to begin with instead of random ones")
    add("--steps", type=int, default=Schedule.steps)
    add("--dense-steps", type=int, default=Schedule.dense_steps)
    add("--clip-from", type=int, default=Schedule.clip_from)
    add("--big-from", type=int, default=Schedule.big_from)
    add("--lr", type=float, default=Schedule.lr)
    add("--batch", type=int, default=4, help="crops a step")
    add("--objects", type=int, default=10, help="prompted objects a crop")
    add("--synthetic", type=int, default=1200, help="synthetic images")
    add("--synthetic-stacks", type=int, default=120)
    add("--minutes", type=float, help="stop after this time; run again to go on")
    add("--threads", type=int, default=2)
    add("--seed", type=int, default=0)
    return parser


def _data(options: argparse.Namespace) -> tuple[list[LabelledImage], ClipSampler]:
    split = load_split(options.data)
    pool = options.pool or options.out / "pool"
    images = list(split.images)
    for stack in split.stacks:
        images += stack_slices(stack, every=3)
    images += generate_pool(
        options.synthetic, size=256, seed=options.seed, processes=1, cache=pool
    )
    stacks = split.stacks + generate_stack_pool(
        options.synthetic_stacks,
        size=256,
        length=12,
        seed=options.seed,
        processes=1,
        cache=pool,
    )
    return images, ClipSampler(stacks, size=256, length=5, seed=options.seed)


def _sampler(images: list[LabelledImage], size: int) -> CropSampler:
    return CropSampler(
        images, size, weights=SET_WEIGHTS, native_fraction=NATIVE_FRACTION
    )


def _stream(batches: IterableDataset[Any]) -> Iterator[Any]:
    loader = DataLoader(
        batches,
        batch_size=None,
        num_workers=1,
        prefetch_factor=4,
        persistent_workers=True,
    )
    return cast("Iterator[Any]", iter(loader))


if __name__ == "__main__":
    main()
