"""Optimiser, schedule, moving average, checkpoints: what runs the training steps."""

from __future__ import annotations

import copy
import json
import math
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from sam2_core.training.learning.checkpoints import Resumable, resume, save_checkpoint
from sam2_core.training.learning.clip_step import clip_step
from sam2_core.training.learning.image_step import StepResult, image_step

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sam2_core.nn.sam2 import Sam2
    from sam2_core.training.examples.batches import ClipBatch, ImageBatch


@dataclass(frozen=True)
class Schedule:
    """How long to train what.

    Attributes
    ----------
    steps : int
        Total number of steps.
    dense_steps : int
        First steps that train the guide alone.
    clip_from : int
        From this step on every third step is a clip.
    big_from : int
        From this step on some image steps use full-size images.
    lr : float
        Peak learning rate.
    warmup : int
        Steps of linear rise, then a cosine down to 2 % of the peak.
    ema : float
        Decay of the moving average of the weights, which is what is kept.
    """

    steps: int = 4000
    dense_steps: int = 250
    clip_from: int = 2500
    big_from: int = 2000
    lr: float = 1e-3
    warmup: int = 100
    ema: float = 0.998

    def lr_at(self, step: int) -> float:
        """Learning rate of a step."""
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        done = min((step - self.warmup) / max(self.steps - self.warmup, 1), 1.0)
        return self.lr * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))


class Trainer(Resumable):
    """Trains a model and survives being stopped.

    Parameters
    ----------
    model : Sam2
        Trained in place.
    schedule : Schedule
        Lengths and rates.
    folder : Path
        Where ``checkpoint.pt`` and ``log.jsonl`` go; an existing checkpoint is resumed.
    seed : int
        For corrective clicks and the mixing of steps.
    """

    model: Sam2
    average: Sam2

    def __init__(
        self, model: Sam2, schedule: Schedule, folder: Path, seed: int
    ) -> None:
        self.model = model
        self.average = copy.deepcopy(model).requires_grad_(False)
        self.schedule = schedule
        self.folder = folder
        self.step = 0
        self.seconds = 0.0
        self.generator = torch.Generator().manual_seed(seed)
        self.optimizer = torch.optim.AdamW(
            self._parameter_groups(), lr=schedule.lr, betas=(0.9, 0.98)
        )
        resume(self)

    def run(
        self,
        images: Iterator[ImageBatch],
        big_images: Iterator[ImageBatch] | None,
        clips: Iterator[ClipBatch] | None,
        deadline: float | None = None,
        save_every: int = 100,
    ) -> None:
        """Train until the schedule or the deadline (``time.time()`` seconds) ends."""
        self.model.train()
        last = time.time()
        while self.step < self.schedule.steps:
            if deadline is not None and time.time() > deadline:
                break
            result, kind = self._loss(images, big_images, clips)
            self._update(result)
            now = time.time()
            self.seconds += now - last
            self._log(kind, result, now - last)
            last = now
            self.step += 1
            if self.step % save_every == 0:
                self.save()
        self.save()

    def save(self) -> None:
        """Write the checkpoint atomically."""
        save_checkpoint(self, schedule=asdict(self.schedule))

    def _loss(
        self,
        images: Iterator[ImageBatch],
        big_images: Iterator[ImageBatch] | None,
        clips: Iterator[ClipBatch] | None,
    ) -> tuple[StepResult, str]:
        step, plan = self.step, self.schedule
        if clips is not None and step >= plan.clip_from and step % 3 == 2:
            return clip_step(self.model, next(clips), self.generator), "clip"
        source, kind = images, "image"
        if big_images is not None and step >= plan.big_from and step % 6 == 0:
            source, kind = big_images, "big"
        progress = step / plan.steps
        corrections = int(torch.randint(0, 3, (), generator=self.generator) > 0)
        if progress < 0.2:
            corrections = 0
        guide_only = step < plan.dense_steps
        result = image_step(
            self.model,
            next(source),
            self.generator,
            dense_weight=1.0 if guide_only else 0.3 * (1 - progress) + 0.05,
            corrections=corrections,
            prompts=not guide_only,
        )
        return result, kind

    def _update(self, result: StepResult) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.lr_at(self.step) * group["scale"]
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(result.loss)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        if torch.isfinite(norm):
            self.optimizer.step()
        decay = min(self.schedule.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for kept, new in zip(
                self.average.parameters(), self.model.parameters(), strict=True
            ):
                kept.lerp_(new, 1 - decay)

    def _parameter_groups(self) -> list[dict[str, Any]]:
        named = list(self.model.named_parameters())
        matrices = [p for _, p in named if p.ndim >= 2]
        vectors = [p for _, p in named if p.ndim < 2]
        return [
            {"params": matrices, "weight_decay": 0.02, "scale": 1.0},
            {"params": vectors, "weight_decay": 0.0, "scale": 1.0},
        ]

    def _log(self, kind: str, result: StepResult, seconds: float) -> None:
        entry = {
            "step": self.step,
            "kind": kind,
            "loss": round(float(result.loss.detach()), 4),
            "seconds": round(seconds, 2),
            **{k: round(v, 4) for k, v in result.report.items()},
        }
        with (self.folder / "log.jsonl").open("a") as file:
            file.write(json.dumps(entry) + "\n")
