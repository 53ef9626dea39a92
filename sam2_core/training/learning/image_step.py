"""One training step on images: encode once, prompt many objects, correct them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from sam2_core.nn.sam2 import ImageFeatures, Sam2
from sam2_core.training.examples.clicks import sample_error_clicks
from sam2_core.training.examples.dense import dense_loss
from sam2_core.training.learning.losses import prompt_loss, soft_targets

if TYPE_CHECKING:
    from sam2_core.nn.hiera import Hiera
    from sam2_core.nn.mask_decoder import DecodedMasks
    from sam2_core.training.examples.batches import ImageBatch

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
EMBEDDING_PENALTY = 0.01
CLICK_SHARE = 0.7  # of the first prompts; boxes are learned much sooner


@dataclass
class StepResult:
    """Loss to minimise and IoUs to report, by name."""

    loss: Tensor
    report: dict[str, float] = field(default_factory=dict)


def normalise(images: Tensor) -> Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float32, normalised."""
    pixels = images.permute(0, 3, 1, 2).float() / 255
    mean = torch.tensor(MEAN, device=images.device)[:, None, None]
    std = torch.tensor(STD, device=images.device)[:, None, None]
    return (pixels - mean) / std


def encode_windows(
    model: Sam2, images: Tensor, windows: list[tuple[int, int]]
) -> tuple[ImageFeatures, Tensor]:
    """Encode crops as if each were a window of a full-size model input.

    A crop a quarter of the input costs a quarter, and position codes keep the meaning
    they have when the model is used.

    Returns
    -------
    tuple
        Features of the crops and the windows of the prompt encoder's position grid,
        (B, dim, g, g).
    """
    trunk = cast("Hiera", model.image_encoder.trunk)
    side = model.config.image_size
    size = images.shape[1]
    whole = trunk.positions(side // 4, side // 4)
    grid = model.sam_prompt_encoder.dense_positions()
    fine, coarse = size // 4, size // 16
    positions, codes = [], []
    for x0, y0 in windows:
        x4, y4, x16, y16 = x0 // 4, y0 // 4, x0 // 16, y0 // 16
        positions.append(whole[:, y4 : y4 + fine, x4 : x4 + fine])
        codes.append(grid[:, :, y16 : y16 + coarse, x16 : x16 + coarse])
    features = model.encode_image(normalise(images), torch.cat(positions))
    return features, torch.cat(codes)


def embedding_size(features: ImageFeatures) -> Tensor:
    """Mean square of the embedding.

    Nothing in the network bounds it, and where it outgrows the position code that is
    added to it, clicks are no longer heard.
    """
    return features.embedding.square().mean()


def image_step(
    model: Sam2,
    batch: ImageBatch,
    generator: torch.Generator,
    dense_weight: float,
    corrections: int,
    prompts: bool = True,
) -> StepResult:
    """Loss of one batch.

    Parameters
    ----------
    model : Sam2
        What learns.
    batch : ImageBatch
        Crops and objects.
    generator : torch.Generator
        Draws corrective clicks and the kind of prompt.
    dense_weight : float
        Weight of what the guide must find whatever the prompts.
    corrections : int
        Rounds of corrective clicks after the first prompt.
    prompts : bool
        False trains the guide alone.
    """
    assert model.guide is not None
    if not prompts:
        loss = dense_loss(model.guide(normalise(batch.images))[0], batch.dense)
        return StepResult(loss, {"dense": float(loss.detach())})
    features, codes = encode_windows(model, batch.images, batch.windows)
    assert features.guide is not None
    dense = dense_loss(features.guide, batch.dense)
    loss = dense_weight * dense + EMBEDDING_PENALTY * embedding_size(features)
    report = {"dense": float(dense.detach())}
    k = batch.masks.shape[1]
    split = max(1, round(k * CLICK_SHARE))
    for name, part in (("click", slice(0, split)), ("box", slice(split, k))):
        n = part.stop - part.start
        if n <= 0:
            continue
        offset = torch.tensor(batch.windows, dtype=torch.float32)
        offset = offset.repeat_interleave(n, 0)[:, None]
        if name == "click":
            points = batch.clicks[:, part].reshape(-1, 1, 2)
            labels = torch.ones(points.shape[:2], dtype=torch.int32)
        else:
            points = batch.boxes[:, part].reshape(-1, 2, 2)
            labels = torch.tensor([[2, 3]], dtype=torch.int32).expand(len(points), 2)
        rounds = _prompt_rounds(
            model,
            _repeat(features, model, n),
            codes.repeat_interleave(n, 0),
            points,
            labels,
            offset,
            batch.masks[:, part].flatten(0, 1),
            generator,
            corrections,
            ambiguous=name == "click",
        )
        loss = loss + rounds.loss * (n / k)
        for key, value in rounds.report.items():
            report[f"{name}{key}"] = value
    return StepResult(loss, report)


def _repeat(features: ImageFeatures, model: Sam2, n: int) -> ImageFeatures:
    fine, middle = features.high_res
    return ImageFeatures(
        model.without_memory(features).repeat_interleave(n, 0),
        (fine.repeat_interleave(n, 0), middle.repeat_interleave(n, 0)),
        None if features.guide is None else features.guide.repeat_interleave(n, 0),
    )


def _prompt_rounds(
    model: Sam2,
    features: ImageFeatures,
    codes: Tensor,
    points: Tensor,
    labels: Tensor,
    offset: Tensor,
    masks: Tensor,
    generator: torch.Generator,
    corrections: int,
    ambiguous: bool,
) -> StepResult:
    target = soft_targets(
        masks, cast("tuple[int, int]", features.high_res[0].shape[-2:])
    )
    present = torch.ones(len(masks), dtype=torch.bool)
    previous: Tensor | None = None
    loss = features.embedding.new_zeros(())
    report: dict[str, float] = {}
    for i in range(corrections + 1):
        decoded = model.decode_masks(
            features.embedding,
            features.high_res,
            points + offset,
            labels,
            mask_logits=previous,
            embedding_pe=codes,
            window_xy=offset,
            guide=features.guide,
        )
        lone_click = ambiguous and i == 0
        reached = prompt_loss(decoded, target, present, lone_click)
        loss = loss + reached.total / (corrections + 1)
        report[str(i + 1)] = float(reached.iou.mean())
        if i == corrections:
            break
        previous = shown_logits(decoded, reached.shown).clamp(-32, 32)
        at, kind = sample_error_clicks(target > 0.5, previous[:, 0] > 0, generator)
        # Centre of the low-resolution cell, in pixels of the crop.
        scale = masks.shape[-1] / target.shape[-1]
        points = torch.cat((points, (at + 0.5) * scale - 0.5), dim=1)
        labels = torch.cat((labels, kind), dim=1)
    return StepResult(loss, report)


def shown_logits(decoded: DecodedMasks, shown: Tensor) -> Tensor:
    """Logits of the chosen masks, detached: (N, 1, h, w)."""
    rows = torch.arange(len(shown), device=shown.device)
    return decoded.logits.detach()[rows, shown][:, None]
