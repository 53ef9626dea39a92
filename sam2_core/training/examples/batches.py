"""Training batches: crops and clips with objects to prompt, made in a side process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from sam2_core.training.examples.clicks import sample_error_click, tight_box
from sam2_core.training.examples.dense import DenseTargets, dense_targets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sam2_core.training.examples.samples import ClipSampler, CropSampler


@dataclass
class ImageBatch:
    """B crops with K prompted objects each, and whole label images for the dense head.

    Attributes
    ----------
    images : Tensor
        (B, S, S, 3) uint8.
    windows : list of tuple of int
        (x0, y0) of each crop in the virtual model input.
    masks : Tensor
        (B, K, S, S) bool, the prompted objects.
    clicks : Tensor
        (B, K, 2) float32 xy in crop pixels, inside the objects.
    boxes : Tensor
        (B, K, 4) float32 xyxy in crop pixels, loosely around the objects.
    dense : list of DenseTargets
        One per crop.
    """

    images: Tensor
    windows: list[tuple[int, int]]
    masks: Tensor
    clicks: Tensor
    boxes: Tensor
    dense: list[DenseTargets]


@dataclass
class ClipBatch:
    """One clip of T frames with K objects, some of which may be absent on some frames.

    Attributes
    ----------
    images : Tensor
        (T, S, S, 3) uint8.
    window : tuple of int
        (x0, y0) in the virtual model input.
    masks : Tensor
        (K, T, S, S) bool.
    clicks, boxes : Tensor
        (K, 2) and (K, 4) float32 on the first frame.
    """

    images: Tensor
    window: tuple[int, int]
    masks: Tensor
    clicks: Tensor
    boxes: Tensor


def jittered_box(
    rng: np.random.Generator, mask: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float32]:
    """A box as people draw it: each side off by about 6 % of it, at least a pixel."""
    tight = tight_box(mask)
    side = np.array([tight[2] - tight[0], tight[3] - tight[1]] * 2)
    jitter = rng.normal(0, 1, 4) * np.clip(0.06 * side, 0.7, 8)
    limit = np.array([mask.shape[1], mask.shape[0]] * 2) - 1
    box = np.clip(tight + jitter, 0, limit)
    # A box must keep an area whatever the jitter did.
    box[2:] = np.maximum(box[2:], box[:2] + 1)
    return box.astype(np.float32)


def _prompts(
    rng: np.random.Generator, masks: npt.NDArray[np.bool_]
) -> tuple[Tensor, Tensor]:
    clicks = [sample_error_click(rng, mask) for mask in masks]
    boxes = [jittered_box(rng, mask) for mask in masks]
    return (
        torch.tensor(clicks, dtype=torch.float32),
        torch.from_numpy(np.stack(boxes)),
    )


class ImageBatches(IterableDataset[ImageBatch]):
    """Endless image batches; each worker and each start draws its own."""

    def __init__(
        self, sampler: CropSampler, batch_size: int, objects: int, seed: int
    ) -> None:
        self.sampler = sampler
        self.batch_size = batch_size
        self.objects = objects
        self.seed = seed

    def __iter__(self) -> Iterator[ImageBatch]:
        """Yield batches for ever."""
        rng = np.random.default_rng(self.seed)
        while True:
            yield self.draw(rng)

    def draw(self, rng: np.random.Generator) -> ImageBatch:
        """One batch."""
        crops = [self.sampler.sample(rng) for _ in range(self.batch_size)]
        masks, clicks, boxes = [], [], []
        for crop in crops:
            few = len(crop.candidates) < self.objects
            ids = rng.choice(crop.candidates, self.objects, replace=few)
            chosen = crop.labels[None] == ids[:, None, None]
            click, box = _prompts(rng, chosen)
            masks.append(torch.from_numpy(chosen))
            clicks.append(click)
            boxes.append(box)
        return ImageBatch(
            images=torch.from_numpy(np.stack([crop.image for crop in crops])),
            windows=[crop.window[:2] for crop in crops],
            masks=torch.stack(masks),
            clicks=torch.stack(clicks),
            boxes=torch.stack(boxes),
            dense=[dense_targets(crop.labels, crop.partial) for crop in crops],
        )


class ClipBatches(IterableDataset[ClipBatch]):
    """Endless clips with up to K objects seen on their first frame."""

    def __init__(self, sampler: ClipSampler, objects: int, seed: int) -> None:
        self.sampler = sampler
        self.objects = objects
        self.seed = seed

    def __iter__(self) -> Iterator[ClipBatch]:
        """Yield clips for ever."""
        rng = np.random.default_rng(self.seed)
        while True:
            yield self.draw(rng)

    def draw(self, rng: np.random.Generator) -> ClipBatch:
        """One clip."""
        clip = self.sampler.sample(rng)
        first = clip.candidates[0]
        ids = rng.choice(first, min(self.objects, len(first)), replace=False)
        # Objects that leave are rare and teach presence: take one where there is one.
        last = set(np.unique(clip.labels[-1]).tolist())
        leaving = [i for i in first.tolist() if i not in last]
        if leaving and rng.random() < 0.7 and not set(leaving) & set(ids.tolist()):
            ids[0] = leaving[rng.integers(len(leaving))]
        masks = clip.labels[None] == ids[:, None, None, None]
        clicks, boxes = _prompts(rng, masks[:, 0])
        return ClipBatch(
            images=torch.from_numpy(np.ascontiguousarray(clip.images)),
            window=clip.window[:2],
            masks=torch.from_numpy(masks),
            clicks=clicks,
            boxes=boxes,
        )
