"""What trains the close-up network: optimiser, schedule, average, checkpoints."""

from __future__ import annotations

import copy
import json
import math
import os
import time
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save_file

from sam2_core.nn.closeup import DEEP, WIDTHS, CloseUp
from sam2_core.training.learning import together
from sam2_core.training.learning.checkpoints import Resumable, resume, save_checkpoint
from sam2_core.training.learning.closeup_step import UNASKED, closeup_step
from sam2_core.training.learning.muon import Muon

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from sam2_core.training.learning.image_step import StepResult
    from sam2_core.training.practice.asked import AnyBatch

SAVE_EVERY = 120  # seconds
REPORT_EVERY = 20  # steps on a GPU, which would have to be waited for


class CloseUpTrainer(Resumable):
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
    keep_norms : bool
        Normalise by the statistics that the weights came with, not by those of the
        batch: then several small batches are as good as a large one.
    """

    model: CloseUp
    average: CloseUp
    warmup, ema = 200, 0.998  # steps; decay of the average of the weights
    rounds, unasked = 3, UNASKED  # see :func:`closeup_step`

    def __init__(
        self,
        folder: Path,
        minutes: float,
        lr: float,
        seed: int,
        widths: tuple[int, ...] = WIDTHS,
        deep: int = DEEP,
        device: torch.device | str = "cpu",
        keep_norms: bool = False,
    ) -> None:
        torch.manual_seed(seed)
        self.folder = folder
        self.keep_norms = keep_norms
        self.writes = together.rank() == 0  # of those that train together
        self.seconds_planned = 60 * minutes
        self.lr = lr
        self.device = torch.device(device)
        self.model = self.new_network(widths, deep).to(self.device)
        if self.device.type == "cuda":
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.model).requires_grad_(False)
        own_seed = seed + together.rank()
        self.generator = torch.Generator(self.device).manual_seed(own_seed)
        self.step = 0
        self.seconds = 0.0
        self.optimizer = self.new_optimizer()
        resume(self)

    def new_network(self, widths: tuple[int, ...], deep: int) -> CloseUp:
        """What learns, before its first step."""
        return CloseUp(learning=True, widths=widths, deep=deep)

    def new_optimizer(self) -> torch.optim.Optimizer:
        """What moves its weights."""
        return Muon(self.model, lr=self.lr, weight_decay=0.02)

    def loss(self, batch: AnyBatch, reported: bool) -> StepResult:
        """Of a batch on the device of the trainer; see :func:`closeup_step`."""
        return closeup_step(
            self.model, batch, self.generator, self.rounds, reported, self.unasked
        )

    @property
    def done(self) -> float:
        """Part of the planned time that is over, 1 at most."""
        return min(self.seconds / self.seconds_planned, 1.0)

    @property
    def weights(self) -> Path:
        """The moving average of the weights, float32."""
        return self.folder / "closeup.safetensors"

    def start_from(self, state: Mapping[str, torch.Tensor]) -> None:
        """Begin with other weights."""
        self.model.load_state_dict(state)
        self.average.load_state_dict(self.model.state_dict())

    def learn(self, batches: Sequence[AnyBatch]) -> None:
        """Take one step, on batches that are learned from one after the other."""
        self.model.train(not self.keep_norms)
        reported = self.device.type == "cpu" or self.step % REPORT_EVERY == 0
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate()
        self.optimizer.zero_grad(set_to_none=True)
        results = []
        for batch in batches:
            result = self.loss(batch, reported)
            torch.autograd.backward(result.loss / len(batches))
            results.append(result)
        self._share_gradients()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), 2.0)
        if torch.isfinite(norm):
            self.optimizer.step()
            self._follow()
        if reported and self.writes:
            self._log(results)
        self.step += 1

    def save(self) -> None:
        """Write checkpoint and weights, each atomically, in the first process."""
        if not self.writes:
            return
        save_checkpoint(self)
        average = {
            k: v.cpu().contiguous() for k, v in self.average.state_dict().items()
        }
        part = self.weights.with_suffix(".part")
        save_file(average, part)
        os.replace(part, self.weights)

    def _share_gradients(self) -> None:
        together.average(
            [p.grad for p in self.model.parameters() if p.grad is not None]
        )

    def _log(self, results: Sequence[StepResult]) -> None:
        told: dict[str, list[float]] = {}
        for result in results:
            told.setdefault("loss", []).append(float(result.loss.detach()))
            for name, iou in result.report.items():
                told.setdefault(name, []).append(iou)
        entry = {"step": self.step, "seconds": round(self.seconds, 1)}
        entry |= {name: round(sum(v) / len(v), 4) for name, v in told.items()}
        with (self.folder / "log.jsonl").open("a") as file:
            file.write(json.dumps(entry) + "\n")

    def _rate(self) -> float:
        rise = min((self.step + 1) / self.warmup, 1.0)
        fall = 0.5 * (1 + math.cos(math.pi * self.done))
        return self.lr * rise * (0.01 + 0.99 * fall)

    @torch.no_grad()
    def _follow(self) -> None:
        decay = min(self.ema, (1 + self.step) / (10 + self.step))
        new = self.model.state_dict()
        floats: tuple[list[torch.Tensor], list[torch.Tensor]] = ([], [])
        for name, kept in self.average.state_dict().items():
            if kept.is_floating_point():
                floats[0].append(kept)
                floats[1].append(new[name])
            else:
                kept.copy_(new[name])
        torch._foreach_lerp_(*floats, 1 - decay)


def train(
    trainers: Sequence[CloseUpTrainer], batches: Iterator[AnyBatch], each: int = 1
) -> None:
    """Train networks on the same batches until the time of the first is over.

    Parameters
    ----------
    trainers : sequence of CloseUpTrainer
        On the same device.
    batches : iterator of WindowBatch or AskedBatch
    each : int
        Batches a step.
    """
    first = trainers[0]
    last = saved = time.time()
    while first.seconds < first.seconds_planned:
        some = [next(batches).to(first.device) for _ in range(each)]
        for trainer in trainers:
            trainer.learn(some)
        now = time.time()
        # All processes are to agree on the rate of the next step, and whether it comes.
        seconds = torch.tensor([first.seconds + now - last], dtype=torch.float64)
        together.average([seconds])
        for trainer in trainers:
            trainer.seconds = float(seconds)
        last = now
        if now - saved > SAVE_EVERY:
            for trainer in trainers:
                trainer.save()
            saved = now
    for trainer in trainers:
        trainer.save()
