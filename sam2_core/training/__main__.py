"""Train the bundled model: ``python -m sam2_core.training --data DIR --out DIR``."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch.utils.data import DataLoader, IterableDataset

from sam2_core.config import NANO
from sam2_core.nn.sam2 import Sam2
from sam2_core.training.examples.batches import ClipBatches, ImageBatches
from sam2_core.training.examples.samples import ClipSampler, CropSampler
from sam2_core.training.learning.initialisation import initialise
from sam2_core.training.learning.trainer import Schedule, Trainer
from sam2_core.training.options import (
    images_and_stacks,
    run,
    set_up,
    training_parser,
)
from sam2_core.weights import read_state_dict, save_weights

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from sam2_core.training.dataset import LabelledImage

SET_WEIGHTS = {"ndev_scratch": 0.3}  # its automatic labels are poor
NATIVE_FRACTION = 0.6  # crops at the scale at which the model is used


def main(argv: list[str] | None = None) -> None:
    """Train, or go on training, and write the weights."""
    run(_train, _parser().parse_args(argv))


def _train(options: argparse.Namespace) -> None:
    set_up(options)
    images, stacks = images_and_stacks(options, options.data)
    torch.manual_seed(options.seed)
    # With memories, from which it learns too; they are not shipped.
    model = Sam2(replace(NANO, closeups=False))
    initialise(model)
    if options.start_from:
        known = model.state_dict()
        earlier = read_state_dict(options.start_from)
        model.load_state_dict(known | {k: v for k, v in earlier.items() if k in known})
    schedule = Schedule(
        steps=options.steps,
        dense_steps=options.dense_steps,
        clip_from=options.clip_from,
        big_from=options.big_from,
        lr=options.lr,
    )
    trainer = Trainer(model, schedule, options.out, options.seed)
    clips = ClipSampler(stacks, size=256, length=5, seed=options.seed)
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
    parser = training_parser(
        "python -m sam2_core.training", __doc__, Schedule.lr, 4, (1200, 120), threads=2
    )
    add = parser.add_argument
    add("--start-from", type=Path, help="weights to begin with instead of random ones")
    add("--steps", type=int, default=Schedule.steps)
    add("--dense-steps", type=int, default=Schedule.dense_steps)
    add("--clip-from", type=int, default=Schedule.clip_from)
    add("--big-from", type=int, default=Schedule.big_from)
    add("--objects", type=int, default=10, help="prompted objects a crop")
    add("--minutes", type=float, help="stop after this time; run again to go on")
    return parser


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
