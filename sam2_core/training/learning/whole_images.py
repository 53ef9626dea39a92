"""Training steps for models without a guide, on whole images as they are used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from sam2_core.errors import ImageError
from sam2_core.training.examples.augment import Warp, warp_images, warp_labels
from sam2_core.training.examples.batches import jittered_box
from sam2_core.training.examples.clicks import sample_error_click, sample_error_clicks
from sam2_core.training.learning.image_step import StepResult, normalise, shown_logits
from sam2_core.training.learning.losses import prompt_loss, soft_targets

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from torch import Tensor

    from sam2_core.nn.sam2 import ImageFeatures, Sam2
    from sam2_core.training.dataset import LabelledImage

MIN_PIXELS = 12
MAX_ATTEMPTS = 200
CLICK_SHARE = 0.7
KEPT_VIEWS = 80  # encoded images, about 16 MB each for a model of 1024 pixels


@dataclass(frozen=True)
class View:
    """An image in one of four mirror positions."""

    image: LabelledImage
    flip_y: bool
    flip_x: bool


class WholeImages:
    """Draws whole images with objects to prompt; encodes each view once if frozen.

    Parameters
    ----------
    model : Sam2
        Without a guide.
    images : sequence of LabelledImage
    objects : int
        Objects a step.
    frozen : bool
        The encoder does not learn, so that what it sees can be kept.
    seed : int
    """

    def __init__(
        self,
        model: Sam2,
        images: Sequence[LabelledImage],
        objects: int,
        frozen: bool,
        seed: int,
    ) -> None:
        self.model = model
        self.objects = objects
        self.frozen = frozen
        self.rng = np.random.default_rng(seed)
        flips = [(y, x) for y in (False, True) for x in (False, True)]
        views = [View(image, y, x) for image in images for y, x in flips]
        self.views = views[:KEPT_VIEWS] if frozen else views
        self._seen: dict[int, ImageFeatures] = {}

    def step(self, generator: torch.Generator, corrections: int) -> StepResult:
        """Loss of clicks and boxes on one image, with corrective clicks.

        Parameters
        ----------
        generator : torch.Generator
            Draws corrective clicks, on the model's device.
        corrections : int
            Rounds of corrective clicks after the first prompt.
        """
        for _ in range(MAX_ATTEMPTS):
            index = int(self.rng.integers(len(self.views)))
            pixels, labels = self._draw(self.views[index])
            masks = self._choose(labels)
            if len(masks):
                break
        else:
            raise ImageError(
                "The objects vanish at the size at which the model sees the images: "
                "cut the images into smaller ones."
            )
        features = self._encode(index, pixels)
        click = bool(self.rng.random() < CLICK_SHARE)
        if click:
            found = [sample_error_click(self.rng, mask) for mask in masks]
            points = torch.tensor(found, dtype=torch.float32)[:, None]
            flags = torch.ones(points.shape[:2], dtype=torch.int32)
        else:
            boxes = np.stack([jittered_box(self.rng, mask) for mask in masks])
            points = torch.from_numpy(boxes).reshape(-1, 2, 2)
            flags = torch.tensor([[2, 3]], dtype=torch.int32).expand(len(points), 2)
        device = self.model.device
        return self._prompt(
            features,
            points.to(device),
            flags.to(device),
            torch.from_numpy(masks).to(device),
            generator,
            corrections,
            click,
        )

    def _draw(self, view: View) -> tuple[torch.Tensor, npt.NDArray[np.int32]]:
        """Pixels (1, S, S, 3) uint8 and labels (S, S) of a view at the input size."""
        size = self.model.config.image_size
        height, width = view.image.labels.shape
        signs = (-1 if view.flip_y else 1, -1 if view.flip_x else 1)
        matrix = np.diag([signs[0] * height / size, signs[1] * width / size])
        warp = Warp((height / 2, width / 2), matrix, size)
        shown = warp_images(view.image.image[None], warp)
        pixels = (shown * 255 + 0.5).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
        labels = warp_labels(view.image.labels[None], warp)[0]
        return pixels.expand(-1, -1, -1, 3), labels

    def _choose(self, labels: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
        """Masks (K, S, S) of some objects."""
        areas = np.bincount(labels.ravel())
        areas[0] = 0
        ids = np.flatnonzero(areas >= MIN_PIXELS)
        if len(ids) > self.objects:
            ids = self.rng.choice(ids, self.objects, replace=False)
        chosen: npt.NDArray[np.bool_] = labels[None] == ids[:, None, None]
        return chosen

    def _encode(self, index: int, pixels: Tensor) -> ImageFeatures:
        if self.frozen and index in self._seen:
            return self._seen[index]
        shown = normalise(pixels.to(self.model.device))
        with torch.set_grad_enabled(not self.frozen):
            features = self.model.encode_image(shown)
        if self.frozen:
            self._seen[index] = features
        return features

    def _prompt(
        self,
        features: ImageFeatures,
        points: Tensor,
        labels: Tensor,
        masks: Tensor,
        generator: torch.Generator,
        corrections: int,
        click: bool,
    ) -> StepResult:
        model = self.model
        side = model.config.low_res_size
        target = soft_targets(masks, (side, side))
        present = torch.ones(len(masks), dtype=torch.bool, device=masks.device)
        previous: Tensor | None = None
        loss = features.embedding.new_zeros(())
        report: dict[str, float] = {}
        for i in range(corrections + 1):
            decoded = model.decode_masks(
                model.without_memory(features),
                features.high_res,
                points,
                labels,
                mask_logits=previous,
            )
            reached = prompt_loss(decoded, target, present, click and i == 0)
            loss = loss + reached.total / (corrections + 1)
            report[f"{'click' if click else 'box'}{i + 1}"] = float(reached.iou.mean())
            if i == corrections:
                break
            previous = shown_logits(decoded, reached.shown).clamp(-32, 32)
            at, kind = sample_error_clicks(target > 0.5, previous[:, 0] > 0, generator)
            scale = masks.shape[-1] / side
            points = torch.cat((points, (at + 0.5) * scale - 0.5), dim=1)
            labels = torch.cat((labels, kind), dim=1)
        return StepResult(loss, report)
