"""One training step on a clip: prompt the first frame, follow through the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from sam2_core.nn.positions import sine_grid
from sam2_core.nn.sam2 import NO_OBJECT_LOGIT, ImageFeatures, Sam2
from sam2_core.training.learning.image_step import (
    EMBEDDING_PENALTY,
    StepResult,
    embedding_size,
    encode_windows,
    shown_logits,
)
from sam2_core.training.learning.losses import prompt_loss, soft_targets

if TYPE_CHECKING:
    from sam2_core.training.examples.batches import ClipBatch


def clip_step(model: Sam2, batch: ClipBatch, generator: torch.Generator) -> StepResult:
    """Loss of one clip, gradients through the memories included.

    The first frame gets a click, a box or the true mask for all objects alike; every
    other frame is found from memory and the mask of the frame before, as when the
    model propagates.
    """
    frames, objects = batch.masks.shape[1], batch.masks.shape[0]
    features, codes = encode_windows(model, batch.images, [batch.window] * frames)
    size = (features.high_res[0].shape[-2], features.high_res[0].shape[-1])
    memory = ClipMemory(model, features.embedding.shape[-1])
    loss = EMBEDDING_PENALTY * embedding_size(features)
    report: dict[str, float] = {}
    tracked: list[float] = []
    choice = float(torch.rand((), generator=generator))
    kind = "click" if choice < 0.45 else "box" if choice < 0.7 else "mask"
    for t in range(frames):
        seen = features[t]
        target = soft_targets(batch.masks[:, t], size)
        present = batch.masks[:, t].flatten(1).any(1)
        prompted = t == 0
        if prompted and kind == "mask":
            points, labels = model.empty_points(objects)
            logits = 20.0 * (target - 0.5)
            # As in tracking, the pointer of a given mask is read off the raw embedding.
            decoded = model.decode_masks(
                seen.embedding,
                seen.high_res,
                points,
                labels,
                mask_logits=_downsampled(model, batch.masks[:, t]),
                embedding_pe=codes[t : t + 1],
            )
            memory.add(
                seen, logits[:, None], decoded.tokens[:, 0], present, prompted=True
            )
            continue
        offset = torch.tensor(batch.window, dtype=torch.float32)
        if prompted:
            embedding = model.without_memory(seen)
            if kind == "click":
                points = batch.clicks[:, None] + offset
                labels = torch.ones(objects, 1, dtype=torch.int32)
            else:
                points = batch.boxes.reshape(-1, 2, 2) + offset
                labels = torch.tensor([[2, 3]], dtype=torch.int32).expand(objects, 2)
        else:
            embedding = memory.condition(seen)
            points, labels = model.empty_points(objects)
        decoded = model.decode_masks(
            embedding,
            seen.high_res,
            points,
            labels,
            mask_logits=None if prompted else memory.last_logits.clamp(-32, 32),
            embedding_pe=codes[t : t + 1],
            window_xy=offset,
            guide=seen.guide,
        )
        ambiguous = not prompted or kind == "click"
        reached = prompt_loss(decoded, target, present, ambiguous)
        loss = loss + reached.total * (0.5 if prompted else 1.0)
        iou = reached.iou[present]
        if len(iou):
            if prompted:
                report[f"clip_{kind}"] = float(iou.mean())
            else:
                tracked.append(float(iou.mean()))
        # Teacher forcing now and then keeps early memories worth reading.
        logits = shown_logits(decoded, reached.shown)
        rows = torch.arange(objects)
        alive = decoded.object_score.detach()[:, 0] > 0
        forced = 0.6 if prompted else 0.3
        if float(torch.rand((), generator=generator)) < forced:
            logits, alive = (20.0 * (target - 0.5))[:, None], present
        memory.add(seen, logits, decoded.tokens[rows, reached.shown], alive, prompted)
    if tracked:
        report["track"] = sum(tracked) / len(tracked)
    return StepResult(loss / max(frames - 1, 1), report)


def _downsampled(model: Sam2, masks: Tensor) -> Tensor:
    """True masks as the decoder gets them from a mask prompt, (N, 1, 4g, 4g)."""
    down: Tensor = model.mask_downsample(masks[:, None].float())
    return down


class ClipMemory:
    """Memories of a clip's objects, differentiable, oldest first."""

    def __init__(self, model: Sam2, grid: int) -> None:
        self.model = model
        self.grid = grid
        self.spatial: list[Tensor] = []
        self.pointers: list[Tensor] = []
        self.last_logits = torch.empty(0)

    def add(
        self,
        seen: ImageFeatures,
        logits: Tensor,
        tokens: Tensor,
        present: Tensor,
        prompted: bool,
    ) -> None:
        """Remember a frame: logits (N, 1, 4g, 4g), tokens (N, dim), present (N,)."""
        config = self.model.config
        there = present[:, None]
        logits = torch.where(there[:, :, None, None], logits, NO_OBJECT_LOGIT)
        self.last_logits = logits
        side = self.grid * config.stride
        full = F.interpolate(logits, (side, side), mode="bilinear", align_corners=False)
        mask = (full > 0).float() if prompted else full.sigmoid()
        mask = mask * config.sigmoid_scale + config.sigmoid_bias
        memory = self.model.encode_memory(seen.embedding, mask, there)
        self.spatial.append(memory.flatten(2).transpose(1, 2))
        self.pointers.append(self.model.object_pointer(tokens, there))

    def condition(self, seen: ImageFeatures) -> Tensor:
        """Embedding of the next frame, conditioned on what is remembered."""
        model, config = self.model, self.model.config
        now = len(self.spatial)
        sine = sine_grid(config.memory_dim, self.grid, self.grid, model.device)
        place = sine.flatten(2).transpose(1, 2)
        parts, codes = [], []
        kept = [0, *range(max(1, now - config.num_maskmem + 1), now)]
        for t in kept:
            age = config.num_maskmem - 1 if t == 0 else now - t - 1
            parts.append(self.spatial[t])
            codes.append((place + model.temporal_code(age)).expand_as(self.spatial[t]))
        chunks = config.hidden_dim // config.memory_dim
        distance = torch.tensor([now - t for t in range(now)], dtype=torch.float32)
        tpos = model.pointer_positions(distance / (config.max_object_pointers - 1))
        for t, pointer in enumerate(self.pointers):
            tokens = pointer.reshape(len(pointer), chunks, config.memory_dim)
            parts.append(tokens)
            codes.append(tpos[t].expand_as(tokens))
        return model.attend_to_memory(
            seen.embedding,
            torch.cat(parts, 1),
            torch.cat(codes, 1),
            num_pointer_tokens=chunks * now,
        )
