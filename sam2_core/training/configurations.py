"""Sizes of the close-up network beside each other: ``--help`` says how.

Each is trained from random weights for the same time on the same windows of DATA/train,
and then tried on the images of DATA/dev.
"""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING

import torch
import typer

from sam2_core.config import NANO
from sam2_core.image import ImagePredictor
from sam2_core.models import load_model
from sam2_core.nn.closeup import DEEP, MAPS, SIDE, WIDTHS, CloseUp, folded
from sam2_core.training.closeup import new_trainer, training_batches
from sam2_core.training.evaluate import Effort, evaluate_folder
from sam2_core.training.learning.closeup_trainer import train
from sam2_core.training.measuring.scores import mean
from sam2_core.training.options import images_and_stacks, set_up, training_parser

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence
    from pathlib import Path

# Name, channels at strides 2, 4, 8 and 16, pairs of convolutions at the last.
SIZES: tuple[tuple[str, tuple[int, ...], int], ...] = (
    ("half as wide", (16, 32, 64, 96), DEEP),
    ("narrow", (24, 48, 96, 144), DEEP),
    ("as shipped", WIDTHS, DEEP),
    ("not so deep", WIDTHS, 0),
    ("wide", (48, 96, 160, 256), DEEP),
)
SCALES = 5  # a click in an image of 512 pixels is asked at
FOLLOWED = 20  # objects


def main(argv: Sequence[str] | None = None) -> None:
    """Train and try each size; print the table as it grows."""
    options = _parser().parse_args(argv)
    set_up(options)
    data = images_and_stacks(options, options.data / "train")
    typer.echo(
        "| network | parameters | steps | 1 click | box | click, ms | 20 objects, ms "
        "|\n"
        "|---|---|---|---|---|---|---|"
    )
    for name, widths, deep in SIZES:
        folder = options.out / name.replace(" ", "_")
        trainer = new_trainer(options, folder, widths, deep)
        seed = options.seed + trainer.step
        train([trainer], training_batches(*data, options, seed))
        network = folded(trainer.average.cpu().eval()).eval()
        click, box = _quality(network, options.data / "dev", options.max_objects)
        count = sum(p.numel() for p in network.parameters())
        times = [
            _milliseconds(network.bfloat16(), windows) for windows in (SCALES, FOLLOWED)
        ]
        typer.echo(
            f"| {name} {widths}, {deep} | {count / 1e6:.2f} M | {trainer.step} | "
            f"{click:.3f} | {box:.3f} | {times[0]:.0f} | {times[1]:.0f} |"
        )


def _quality(network: CloseUp, folder: Path, max_objects: int) -> tuple[float, float]:
    """Mean IoU over the sets of images, with one click and with a box."""
    model = load_model(NANO.name, device="cpu", dtype="float32")
    model.closeup = network
    sets, _ = evaluate_folder(
        folder, ImagePredictor(model), max_objects=max_objects, effort=Effort(noc=False)
    )
    click, box = mean(s.clicks[1] for s in sets), mean(s.box for s in sets)
    return click or 0.0, box or 0.0


@torch.inference_mode()
def _milliseconds(network: CloseUp, windows: int) -> float:
    """Median time of one call."""
    maps = torch.randn(windows, MAPS, SIDE, SIDE, dtype=torch.bfloat16)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return 1000 * median(_timed(lambda: network(maps)) for _ in range(20))


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _parser() -> argparse.ArgumentParser:
    parser = training_parser(
        "python -m sam2_core.training.configurations", __doc__, 3e-3, 32, (2400, 320)
    )
    add = parser.add_argument
    add("--minutes", type=float, default=20, help="of training, for each size")
    add("--device", default="auto", help="auto, cpu or cuda")
    add("--max-objects", type=int, default=15, help="of each set that are tried")
    return parser


if __name__ == "__main__":
    main()
