"""Train the close-up network: ``python -m sam2_core.training.closeup --help``."""

from __future__ import annotations

import copy
import json
import logging
import math
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file, save_file
from torch.utils.data import DataLoader

from sam2_core.config import NANO
from sam2_core.nn.closeup import DEEP, WIDTHS, CloseUp, folded
from sam2_core.nn.sam2 import Sam2
from sam2_core.training.checkpoints import resume, save_checkpoint
from sam2_core.training.closeup_step import closeup_step
from sam2_core.training.muon import Muon
from sam2_core.training.object_windows import ObjectWindows
from sam2_core.training.options import images_and_stacks, training_parser, use_threads
from sam2_core.weights import model_path, read_state_dict, save_weights

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from sam2_core.training.dataset import LabelledImage, LabelledStack
    from sam2_core.training.window_batch import WindowBatch

SET_WEIGHTS = {
    "ndev_scratch": 0.3,  # its automatic labels are poor
    "synthetic": 1.5,  # many kinds of images in one set
    "usiigaci_phase": 1.5,  # spread cells, branched and long ones are few and hard
    "omnipose_bacteria": 1.5,
}
WARMUP = 200
EMA = 0.999
SAVE_EVERY = 250


class CloseUpTrainer:
    """Trains the network for a given time and survives being stopped.

    Parameters
    ----------
    folder : Path
        Where ``checkpoint.pt``, ``log.jsonl`` and ``closeup.safetensors`` go; an
        existing checkpoint is resumed.
    minutes : float
        Whole length over all starts; sets the learning-rate schedule.
    lr : float
        Peak learning rate.
    seed : int
        Of weights and corrective clicks.
    widths, deep
        Of the network, see :class:`CloseUp`.
    """

    def __init__(
        self,
        folder: Path,
        minutes: float,
        lr: float,
        seed: int,
        widths: tuple[int, ...] = WIDTHS,
        deep: int = DEEP,
    ) -> None:
        torch.manual_seed(seed)
        self.folder = folder
        self.seconds_planned = 60 * minutes
        self.lr = lr
        self.model = CloseUp(learning=True, widths=widths, deep=deep)
        self.average = copy.deepcopy(self.model).requires_grad_(False)
        self.generator = torch.Generator().manual_seed(seed)
        self.step = 0
        self.seconds = 0.0
        self.optimizer = Muon(self.model, lr=lr, weight_decay=0.02)
        folder.mkdir(parents=True, exist_ok=True)
        if self.checkpoint.exists():
            resume(self.checkpoint, self)

    @property
    def checkpoint(self) -> Path:
        """File from which training goes on."""
        return self.folder / "checkpoint.pt"

    @property
    def weights(self) -> Path:
        """The moving average of the weights, float32."""
        return self.folder / "closeup.safetensors"

    def start_from(self, weights: Path) -> None:
        """Begin with the weights of an earlier run."""
        self.model.load_state_dict(load_file(weights))
        self.average.load_state_dict(self.model.state_dict())

    def run(self, batches: Iterator[WindowBatch]) -> None:
        """Train until the planned time is over."""
        self.model.train()
        last = time.time()
        while self.seconds < self.seconds_planned:
            result = closeup_step(self.model, next(batches), self.generator)
            for group in self.optimizer.param_groups:
                group["lr"] = self._rate()
            self.optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(result.loss)
            norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), 2.0)
            if torch.isfinite(norm):
                self.optimizer.step()
                self._follow()
            now = time.time()
            self.seconds += now - last
            last = now
            entry = {"step": self.step, "seconds": round(self.seconds, 1)}
            entry |= {"loss": round(float(result.loss.detach()), 4)}
            entry |= {name: round(iou, 3) for name, iou in result.report.items()}
            with (self.folder / "log.jsonl").open("a") as file:
                file.write(json.dumps(entry) + "\n")
            self.step += 1
            if self.step % SAVE_EVERY == 0:
                self.save()
        self.save()

    def save(self) -> None:
        """Write checkpoint and weights, each atomically."""
        save_checkpoint(self.checkpoint, self)
        average = {k: v.contiguous() for k, v in self.average.state_dict().items()}
        part = self.weights.with_suffix(".part")
        save_file(average, part)
        os.replace(part, self.weights)

    def _rate(self) -> float:
        rise = min((self.step + 1) / WARMUP, 1.0)
        done = min(self.seconds / self.seconds_planned, 1.0)
        return self.lr * rise * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))

    @torch.no_grad()
    def _follow(self) -> None:
        decay = min(EMA, (1 + self.step) / (10 + self.step))
        new = self.model.state_dict()
        for name, kept in self.average.state_dict().items():
            if kept.is_floating_point():
                kept.lerp_(new[name], 1 - decay)
            else:
                kept.copy_(new[name])


def main(argv: list[str] | None = None) -> None:
    """Train, or go on training, and write the weights."""
    options = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    use_threads(options)
    trainer = CloseUpTrainer(options.out, options.minutes, options.lr, options.seed)
    if options.start_from and trainer.step == 0:
        trainer.start_from(options.start_from)
    data = images_and_stacks(options, options.data)
    # Another seed after each resume, or the same windows would come again.
    trainer.run(training_batches(*data, options.batch, options.seed + trainer.step))
    model = joined(options.base or model_path(NANO.name), trainer.average)
    save_weights(options.out / f"{NANO.name}.safetensors", model)


def training_batches(
    images: Sequence[LabelledImage],
    stacks: Sequence[LabelledStack],
    batch: int,
    seed: int,
) -> Iterator[WindowBatch]:
    """Endless batches of so many windows, drawn with a seed in another process."""
    windows = ObjectWindows(images, stacks, batch, seed, SET_WEIGHTS)
    loader = DataLoader(windows, batch_size=None, num_workers=1, prefetch_factor=8)
    return iter(loader)


def joined(base: Path, network: CloseUp) -> Sam2:
    """The bundled model with other close-ups.

    Parameters
    ----------
    base : Path
        Weights of the bundled model, with or without close-ups.
    network : CloseUp
        As trained; it is folded.
    """
    model = Sam2(NANO)
    state = read_state_dict(base)
    network = folded(network.eval())
    state |= {f"closeup.{key}": value for key, value in network.state_dict().items()}
    model.load_state_dict(state)
    return model


def _parser() -> argparse.ArgumentParser:
    parser = training_parser(
        "python -m sam2_core.training.closeup", __doc__, 2e-3, 32, (1200, 160)
    )
    add = parser.add_argument
    add("--start-from", type=Path, help="weights to begin with instead of random ones")
    add("--base", type=Path, help="weights of all else (default: the bundled ones)")
    add("--minutes", type=float, default=90, help="whole length over all starts")
    return parser


if __name__ == "__main__":
    main()
