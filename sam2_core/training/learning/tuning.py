"""The loop that tunes a trained model to a few labelled images."""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from sam2_core.errors import ImageError, InferenceError, PromptError
from sam2_core.training.examples.object_windows import ObjectWindows
from sam2_core.training.generator.synthetic_stacks import generate_stack_pool
from sam2_core.training.learning.adapters import add_adapters, merge_adapters
from sam2_core.training.learning.closeup_step import closeup_step
from sam2_core.training.learning.whole_images import WholeImages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sam2_core.nn.sam2 import Sam2
    from sam2_core.training.dataset import LabelledImage, LabelledStack
    from sam2_core.training.examples.window_batch import WindowBatch
    from sam2_core.training.learning.image_step import StepResult

DECODER = "sam_mask_decoder."
# Features of a frozen encoder are kept with these in them.
ENCODER_TAIL = ("sam_mask_decoder.conv_s0.", "sam_mask_decoder.conv_s1.")
# Made-up stacks, lest a model that sees images alone forgets how to follow objects.
REMINDERS, REMINDER_SIZE, REMINDER_LENGTH = 6, 192, 6
# Mean IoU. Less is a pixel here and there, and +0.000 in the table.
LEAST_GAIN = 0.0005


@dataclass(frozen=True)
class TuningPlan:
    """How to tune.

    Attributes
    ----------
    steps : int
        At most so many.
    minutes : float
        At most so long, checks included.
    lr : float or None
        Peak learning rate, 0 or more; by default 5e-5 for models with close-ups, else
        1e-4.
    adapters : int
        Rank of adapters in the encoder; 0 leaves it as it is.
    checks : int
        How often the held-out part is looked at.
    patience : int
        Checks without a better result after which to stop.
    batch : int
        Windows a step, of models with close-ups.
    objects : int
        Prompted objects a step, of the others.
    ema : float
        Decay of the moving average of the weights, which is what is kept.
    seed : int
    """

    steps: int = 300
    minutes: float = 10.0
    lr: float | None = None
    adapters: int = 0
    checks: int = 8
    patience: int = 4
    batch: int = 24
    objects: int = 8
    ema: float = 0.97
    seed: int = 0

    def __post_init__(self) -> None:
        if self.lr is not None and not 0 <= self.lr < math.inf:
            raise ImageError(
                f"The learning rate must be a finite number from 0, not {self.lr:g}."
            )


@dataclass(frozen=True)
class TuningProgress:
    """Where a run stands: after each check, and at the start (step 0).

    Attributes
    ----------
    step, steps : int
    loss : float
        Mean since the last check; NaN at the start.
    iou : float
        Of the held-out part.
    best, first : float
        Best of these so far, and that of the weights it began with. What is better by
        less than 0.0005 counts as equal to it.
    seconds : float
        Since the start.
    diverged : bool
        Training broke down at the next step; the best weights so far are kept.
    """

    step: int
    steps: int
    loss: float
    iou: float
    best: float
    first: float
    seconds: float
    diverged: bool = False


class _Diverged(Exception):
    """Weights, or what the network makes with them, are no numbers any more."""


class Tuner:
    """Tunes a model in place.

    Models with close-ups draw their masks there, so the close-ups are what learns. Of
    the others it is the mask decoder.

    Parameters
    ----------
    model : Sam2
        In float32, on the device to work on.
    images : sequence of LabelledImage
        What to learn from, slices of stacks included.
    stacks : sequence of LabelledStack
        What following objects is learned from, by models with close-ups.
    plan : TuningPlan

    Raises
    ------
    ImageError
        There is nothing to learn from, or the model has no encoder to adapt.
    """

    def __init__(
        self,
        model: Sam2,
        images: Sequence[LabelledImage],
        stacks: Sequence[LabelledStack],
        plan: TuningPlan,
    ) -> None:
        self.model = model
        close = model.closeup is not None
        if close and plan.adapters:
            raise ImageError(
                "Adapters are for the official models: this one looks at objects with "
                "a small network that learns as a whole."
            )
        lr = plan.lr
        if lr is None:
            lr = 5e-5 if close else 1e-4
        self.plan = replace(plan, lr=lr)
        self.generator = torch.Generator(model.device).manual_seed(plan.seed)
        self.rng = np.random.default_rng(plan.seed)
        self.windows: Iterator[WindowBatch] | None = None
        self.whole: WholeImages | None = None
        if close:
            reminders = generate_stack_pool(
                REMINDERS, REMINDER_SIZE, REMINDER_LENGTH, plan.seed
            )
            both = [*stacks, *reminders]
            self.windows = iter(ObjectWindows(images, both, plan.batch, plan.seed))
        else:
            frozen = plan.adapters == 0
            self.whole = WholeImages(model, images, plan.objects, frozen, plan.seed)
        self.learned = self._choose_parameters()
        self.optimizer = torch.optim.AdamW(
            self.learned, lr=lr, betas=(0.9, 0.98), weight_decay=0.01
        )

    def _choose_parameters(self) -> list[nn.Parameter]:
        model = self.model.requires_grad_(False)
        if model.closeup is not None:
            return list(model.closeup.requires_grad_().parameters())
        learned: list[nn.Parameter] = []
        for name, parameter in model.named_parameters():
            if name.startswith(DECODER) and not name.startswith(ENCODER_TAIL):
                parameter.requires_grad_()
                learned.append(parameter)
        if self.plan.adapters:
            learned += add_adapters(model, self.plan.adapters)
        return learned

    def run(
        self,
        check: Callable[[], float],
        progress: Callable[[TuningProgress], None] | None = None,
    ) -> TuningProgress:
        """Train; the model ends with the weights that did best on the held-out part.

        Parameters
        ----------
        check : callable
            Quality of the model, as it is then, on the held-out part.
        progress : callable, optional
            Told after each check; an error it raises ends the run.

        Returns
        -------
        TuningProgress
            The last one.

        Raises
        ------
        InferenceError
            Training diverged before anything better was found; the model is as before.
        """
        torch.set_flush_denormal(True)  # denormals make a CPU crawl
        try:
            return self._run(check, progress)
        finally:
            torch.set_flush_denormal(False)

    def _run(
        self,
        check: Callable[[], float],
        progress: Callable[[TuningProgress], None] | None,
    ) -> TuningProgress:
        start = time.monotonic()
        steps, limit = self.plan.steps, self.plan.minutes * 60
        average = [p.detach().clone() for p in self.learned]
        first = best = self._checked(check)
        kept = copy.deepcopy(average)
        seconds = time.monotonic() - start
        now = TuningProgress(0, steps, math.nan, best, best, first, seconds)
        if progress:
            progress(now)
        losses: list[float] = []
        checked, misses = 0, 0
        for step in range(steps):
            seconds = time.monotonic() - start
            try:
                losses.append(self._step(step, max(step / steps, seconds / limit)))
            except _Diverged:
                now = replace(now, diverged=True)
                break
            decay = min(self.plan.ema, (1 + step) / (10 + step))
            for mean, parameter in zip(average, self.learned, strict=True):
                mean.lerp_(parameter.detach(), 1 - decay)
            done = max((step + 1) / steps, (time.monotonic() - start) / limit)
            if done < (checked + 1) / self.plan.checks:
                continue
            checked = int(done * self.plan.checks)
            try:
                iou = self._with(average, check)
            except _Diverged:
                now = replace(now, diverged=True)
                break
            if iou > max(best, first + LEAST_GAIN):
                best, misses = iou, 0
                kept = copy.deepcopy(average)
            else:
                misses += 1
            seconds = time.monotonic() - start
            loss = float(np.mean(losses))
            now = TuningProgress(step + 1, steps, loss, iou, best, first, seconds)
            losses = []
            if progress:
                progress(now)
            if misses >= self.plan.patience or done >= 1:
                break
        self._load(kept)
        merge_adapters(self.model)
        self.model.eval().requires_grad_(False)
        if now.diverged and best == first:
            raise InferenceError(
                "Training diverged, so the weights stay as they were: choose a "
                f"learning rate (--lr) lower than {self.plan.lr:g}."
            )
        return now

    def _step(self, step: int, done: float) -> float:
        assert self.plan.lr is not None
        warm = min((step + 1) / 10, 1.0)
        cosine = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
        for group in self.optimizer.param_groups:
            group["lr"] = self.plan.lr * warm * cosine
        self.model.train()
        # New tensors of the steps belong on the model's device.
        with torch.device(self.model.device):
            result = self._loss()
        if not torch.isfinite(result.loss):
            raise _Diverged
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(result.loss)
        norm = nn.utils.clip_grad_norm_(self.learned, 1.0)
        if torch.isfinite(norm):
            self.optimizer.step()
        return float(result.loss.detach())

    def _loss(self) -> StepResult:
        if self.whole is not None:
            corrections = int(self.rng.integers(0, 3) > 0)
            return self.whole.step(self.generator, corrections)
        assert self.windows is not None
        assert self.model.closeup is not None
        batch = next(self.windows).to(self.model.device)
        return closeup_step(self.model.closeup, batch, self.generator)

    def _with(
        self, weights: Sequence[torch.Tensor], check: Callable[[], float]
    ) -> float:
        """Check other weights than those that are being trained."""
        if not all(bool(torch.isfinite(value).all()) for value in weights):
            raise _Diverged
        training = [p.detach().clone() for p in self.learned]
        self._load(weights)
        try:
            iou = self._checked(check)
        except PromptError as error:
            # Prompts are what they were at the start, but for masks found: not numbers.
            raise _Diverged from error
        self._load(training)
        return iou

    def _checked(self, check: Callable[[], float]) -> float:
        self.model.eval()
        with torch.no_grad():
            return check()

    @torch.no_grad()
    def _load(self, weights: Sequence[torch.Tensor]) -> None:
        for parameter, value in zip(self.learned, weights, strict=True):
            parameter.copy_(value)
