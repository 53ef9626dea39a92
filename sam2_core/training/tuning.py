"""The loop that tunes a trained model to a few labelled images."""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch import nn

from sam2_core.errors import ImageError
from sam2_core.training.adapters import add_adapters, merge_adapters
from sam2_core.training.batches import ClipBatch, ClipBatches, ImageBatch, ImageBatches
from sam2_core.training.clip_step import clip_step
from sam2_core.training.closeup_step import closeup_step
from sam2_core.training.image_step import StepResult, image_step
from sam2_core.training.object_windows import ObjectWindows, WindowBatch
from sam2_core.training.samples import ClipSampler, CropSampler
from sam2_core.training.whole_images import WholeImages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sam2_core.nn.sam2 import Sam2
    from sam2_core.training.dataset import LabelledImage, LabelledStack

AnyBatch = TypeVar("AnyBatch", ImageBatch, ClipBatch, WindowBatch)

CROP, CLIP_LENGTH = 256, 4
WINDOWS = 24  # a step, of models with close-ups
# What learns beside the adapters: never the trunk and its neck.
HEADS = ("sam_mask_decoder.", "prompt_hints.", "guide.")
MEMORY = ("memory_attention.", "memory_encoder.", "obj_ptr_proj.", "no_obj_embed")
# Features of a frozen encoder are kept with these in them.
ENCODER_TAIL = ("sam_mask_decoder.conv_s0.", "sam_mask_decoder.conv_s1.")


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
        Peak learning rate; by default 4e-4 for models with a guide, else 1e-4.
    adapters : int
        Rank of adapters in the encoder; 0 leaves it as it is.
    checks : int
        How often the held-out part is looked at.
    patience : int
        Checks without a better result after which to stop.
    batch, objects : int
        Crops a step (models with a guide) and prompted objects of each.
    ema : float
        Decay of the moving average of the weights, which is what is kept.
    seed : int
    """

    steps: int = 400
    minutes: float = 10.0
    lr: float | None = None
    adapters: int = 0
    checks: int = 8
    patience: int = 4
    batch: int = 4
    objects: int = 8
    ema: float = 0.97
    seed: int = 0


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
        Best of these so far, and that of the weights it began with.
    seconds : float
        Since the start.
    """

    step: int
    steps: int
    loss: float
    iou: float
    best: float
    first: float
    seconds: float


class Tuner:
    """Tunes a model in place.

    Parameters
    ----------
    model : Sam2
        In float32, on the device to work on.
    images : sequence of LabelledImage
        What to learn from, slices of stacks included.
    stacks : sequence of LabelledStack
        What tracking learns from; only models with a guide do.
    plan : TuningPlan

    Raises
    ------
    ImageError
        No image is large enough.
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
        guided = model.guide is not None and not close
        lr = plan.lr or (4e-4 if guided or close else 1e-4)
        self.plan = replace(plan, lr=lr)
        self.generator = torch.Generator(model.device).manual_seed(plan.seed)
        self.rng = np.random.default_rng(plan.seed)
        self.clips = _clips(stacks, plan) if guided else None
        self.images: Iterator[Any] | None = None
        self.whole: WholeImages | None = None
        self.windows: Iterator[Any] | None = None
        if close:
            self.windows = iter(ObjectWindows(images, stacks, WINDOWS, plan.seed))
        elif guided:
            sampler = CropSampler(images, CROP, plan.seed, native_fraction=0.6)
            self.images = iter(
                ImageBatches(sampler, plan.batch, plan.objects, plan.seed)
            )
        else:
            frozen = plan.adapters == 0
            self.whole = WholeImages(model, images, plan.objects, frozen, plan.seed)
        self.learned = self._choose_parameters()
        self.optimizer = torch.optim.AdamW(
            self.learned, lr=lr, betas=(0.9, 0.98), weight_decay=0.01
        )

    def _choose_parameters(self) -> list[nn.Parameter]:
        model = self.model.requires_grad_(False)
        if self.windows is not None:
            assert model.closeup is not None
            return list(model.closeup.requires_grad_().parameters())
        prefixes = HEADS + (MEMORY if self.clips is not None else ())
        learned: list[nn.Parameter] = []
        for name, parameter in model.named_parameters():
            tail = name.startswith(ENCODER_TAIL) and self.whole is not None
            if name.startswith(prefixes) and not tail:
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
        """
        start = time.monotonic()
        steps, limit = self.plan.steps, self.plan.minutes * 60
        average = [p.detach().clone() for p in self.learned]
        best = self._checked(check)
        kept = copy.deepcopy(average)
        first = best
        seconds = time.monotonic() - start
        now = TuningProgress(0, steps, math.nan, best, best, first, seconds)
        if progress:
            progress(now)
        losses: list[float] = []
        checked, misses = 0, 0
        for step in range(steps):
            seconds = time.monotonic() - start
            done = max(step / steps, seconds / limit)
            losses.append(self._step(step, done))
            decay = min(self.plan.ema, (1 + step) / (10 + step))
            for mean, parameter in zip(average, self.learned, strict=True):
                mean.lerp_(parameter.detach(), 1 - decay)
            done = max((step + 1) / steps, (time.monotonic() - start) / limit)
            if done < (checked + 1) / self.plan.checks:
                continue
            checked = int(done * self.plan.checks)
            iou = self._with(average, check)
            if iou > best:
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
            result = self._loss(step)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(result.loss)
        norm = nn.utils.clip_grad_norm_(self.learned, 1.0)
        if torch.isfinite(norm):
            self.optimizer.step()
        return float(result.loss.detach())

    def _loss(self, step: int) -> StepResult:
        if self.windows is not None:
            assert self.model.closeup is not None
            windows = _on_device(next(self.windows), self.model.device)
            return closeup_step(self.model.closeup, windows, self.generator)
        corrections = int(self.rng.integers(0, 3) > 0)
        if self.whole is not None:
            return self.whole.step(self.generator, corrections)
        if self.clips is not None and step % 3 == 2:
            clip = _on_device(next(self.clips), self.model.device)
            return clip_step(self.model, clip, self.generator)
        assert self.images is not None
        batch = _on_device(next(self.images), self.model.device)
        return image_step(
            self.model,
            batch,
            self.generator,
            dense_weight=0.3,
            corrections=corrections,
        )

    def _with(
        self, weights: Sequence[torch.Tensor], check: Callable[[], float]
    ) -> float:
        """Check other weights than those that are being trained."""
        training = [p.detach().clone() for p in self.learned]
        self._load(weights)
        iou = self._checked(check)
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


def _clips(stacks: Sequence[LabelledStack], plan: TuningPlan) -> Iterator[Any] | None:
    """Endless clips, None where no stack is long and large enough."""
    try:
        sampler = ClipSampler(stacks, CROP, CLIP_LENGTH, plan.seed, native_fraction=0.6)
    except ImageError:
        return None
    return iter(ClipBatches(sampler, 3, plan.seed))


def _on_device(batch: AnyBatch, device: torch.device) -> AnyBatch:
    """The batch with its tensors on a device."""
    moved: dict[str, Any] = {
        name: value.to(device)
        for name, value in vars(batch).items()
        if isinstance(value, torch.Tensor)
    }
    return replace(batch, **moved)
