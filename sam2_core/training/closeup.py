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
from sam2_core.devices import choose_device
from sam2_core.nn.closeup import DEEP, WIDTHS, CloseUp, folded
from sam2_core.nn.sam2 import Sam2
from sam2_core.training.checkpoints import resume, save_checkpoint
from sam2_core.training.closeup_step import closeup_step
from sam2_core.training.muon import Muon
from sam2_core.training.object_windows import ObjectWindows
from sam2_core.training.options import images_and_stacks, set_up, training_parser
from sam2_core.weights import model_path, read_state_dict, save_weights

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from sam2_core.training.dataset import LabelledImage, LabelledStack
    from sam2_core.training.window_batch import WindowBatch

SET_WEIGHTS = {
    "ndev_scratch": 0.3,  # its automatic labels are poor
    "usiigaci_phase": 1.5,  # spread cells, branched and long ones are few and hard
    "omnipose_bacteria": 1.5,
}
WARMUP = 200
EMA = 0.998
SAVE_EVERY = 120  # seconds
REPORT_EVERY = 20  # steps on a GPU, which would have to be waited for


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
    device : torch.device or str
        Where it learns.
    """

    def __init__(
        self,
        folder: Path,
        minutes: float,
        lr: float,
        seed: int,
        widths: tuple[int, ...] = WIDTHS,
        deep: int = DEEP,
        device: torch.device | str = "cpu",
    ) -> None:
        torch.manual_seed(seed)
        self.folder = folder
        self.seconds_planned = 60 * minutes
        self.lr = lr
        self.device = torch.device(device)
        self.model = CloseUp(learning=True, widths=widths, deep=deep).to(self.device)
        if self.device.type == "cuda":
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.model).requires_grad_(False)
        self.generator = torch.Generator(self.device).manual_seed(seed)
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

    def learn(self, batch: WindowBatch) -> None:
        """Take one step."""
        self.model.train()
        reported = self.device.type == "cpu" or self.step % REPORT_EVERY == 0
        result = closeup_step(self.model, batch, self.generator, reported=reported)
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate()
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(result.loss)
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), 2.0)
        if torch.isfinite(norm):
            self.optimizer.step()
            self._follow()
        if reported:
            entry = {"step": self.step, "seconds": round(self.seconds, 1)}
            entry |= {"loss": round(float(result.loss.detach()), 4)}
            entry |= {name: round(iou, 3) for name, iou in result.report.items()}
            with (self.folder / "log.jsonl").open("a") as file:
                file.write(json.dumps(entry) + "\n")
        self.step += 1

    def save(self) -> None:
        """Write checkpoint and weights, each atomically."""
        save_checkpoint(self.checkpoint, self)
        average = {
            k: v.cpu().contiguous() for k, v in self.average.state_dict().items()
        }
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
        floats: tuple[list[torch.Tensor], list[torch.Tensor]] = ([], [])
        for name, kept in self.average.state_dict().items():
            if kept.is_floating_point():
                floats[0].append(kept)
                floats[1].append(new[name])
            else:
                kept.copy_(new[name])
        torch._foreach_lerp_(*floats, 1 - decay)


def train(trainers: Sequence[CloseUpTrainer], batches: Iterator[WindowBatch]) -> None:
    """Train networks on the same batches until the time of the first is over.

    Parameters
    ----------
    trainers : sequence of CloseUpTrainer
        On the same device.
    batches : iterator of WindowBatch
    """
    last = saved = time.time()
    while trainers[0].seconds < trainers[0].seconds_planned:
        batch = next(batches).to(trainers[0].device)
        for trainer in trainers:
            trainer.learn(batch)
        now = time.time()
        for trainer in trainers:
            trainer.seconds += now - last
        last = now
        if now - saved > SAVE_EVERY:
            for trainer in trainers:
                trainer.save()
            saved = now
    for trainer in trainers:
        trainer.save()


def main(argv: list[str] | None = None) -> None:
    """Train, or go on training, and write the weights."""
    options = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    set_up(options)
    trainers = [new_trainer(options, options.out)]
    for widths, deep in options.also:
        folder = options.out / "-".join(map(str, (*widths, deep)))
        trainers.append(new_trainer(options, folder, widths, deep))
    first = trainers[0]
    if options.start_from and first.step == 0:
        first.start_from(options.start_from)
    images, stacks = images_and_stacks(options, options.data)
    # Another seed after each resume, or the same windows would come again.
    seed = options.seed + first.step
    train(trainers, training_batches(images, stacks, options, seed))
    for trainer in trainers:
        # Other sizes are for comparing; the bundled model has one.
        if (trainer.model.widths, trainer.model.deep) == (WIDTHS, DEEP):
            model = joined(options.base or model_path(NANO.name), trainer.average)
            save_weights(trainer.folder / f"{NANO.name}.safetensors", model)


def new_trainer(
    options: argparse.Namespace,
    folder: Path,
    widths: tuple[int, ...] = WIDTHS,
    deep: int = DEEP,
) -> CloseUpTrainer:
    """A trainer of a network of some size, told the rest on the command line.

    Parameters
    ----------
    options : Namespace
        ``minutes``, ``lr``, ``seed`` and ``device``.
    folder, widths, deep
        See :class:`CloseUpTrainer`.
    """
    return CloseUpTrainer(
        folder,
        options.minutes,
        options.lr,
        options.seed,
        widths,
        deep,
        choose_device(options.device),
    )


def training_batches(
    images: Sequence[LabelledImage],
    stacks: Sequence[LabelledStack],
    options: argparse.Namespace,
    seed: int,
) -> Iterator[WindowBatch]:
    """Endless batches, drawn with a seed in other processes.

    Parameters
    ----------
    images, stacks : sequence
    options : Namespace
        ``batch`` windows each, by so many ``workers``.
    seed : int
    """
    windows = ObjectWindows(images, stacks, options.batch, seed, SET_WEIGHTS)
    loader = DataLoader(
        windows,
        batch_size=None,
        num_workers=options.workers,
        prefetch_factor=8 if options.workers == 1 else 2,
        pin_memory=choose_device(options.device).type == "cuda",
    )
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
    network = folded(network.cpu().eval())
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
    add("--device", default="auto", help="auto, cpu or cuda")
    add(
        "--also",
        type=_size,
        nargs="*",
        default=[],
        metavar="WIDTHS:DEEP",
        help="further networks trained from nothing on the same windows, for example "
        "48,96,144,160:2; each in a folder of its own in OUT",
    )
    return parser


def _size(text: str) -> tuple[tuple[int, ...], int]:
    widths, _, deep = text.partition(":")
    return tuple(int(width) for width in widths.split(",")), int(deep)


if __name__ == "__main__":
    main()
