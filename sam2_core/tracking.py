"""The steps of tracking one object: look with memory, segment, remember.

Nothing here keeps state; `sam2_core.video` and `sam2_core.compat` do.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sam2_core import masks, transforms
from sam2_core.image import MAX_LOGIT, select_masks
from sam2_core.memory import Memory, Recollection
from sam2_core.nn.sam2 import NO_OBJECT_LOGIT, ImageFeatures, Sam2

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Logits of a mask that was given instead of predicted: 10 inside, -10 outside.
MASK_SCALE, MASK_BIAS = 20.0, -10.0


def look(
    model: Sam2, features: ImageFeatures, recollection: Recollection | None
) -> Tensor:
    """Embedding of a frame for an object, (1, dim, g, g).

    Parameters
    ----------
    model : Sam2
        The network.
    features : ImageFeatures
        Of the frame.
    recollection : Recollection, optional
        What the object remembers; None for a first prompt, which sees the frame alone.
    """
    if recollection is None:
        return model.without_memory(features)
    place = model.memory_positions()
    memory = [_tokens(spatial).float() for _, spatial in recollection.spatial]
    code = [place + model.temporal_code(index) for index, _ in recollection.spatial]
    num_pointer_tokens = 0
    if recollection.pointers:
        distances, pointers = zip(*recollection.pointers, strict=True)
        stacked = torch.stack(pointers, dim=1)  # (1, P, dim)
        parts = stacked.shape[2] // model.config.memory_dim
        memory.append(stacked.reshape(1, -1, model.config.memory_dim).float())
        distance = torch.tensor(distances, device=model.device, dtype=torch.float32)
        age = model.pointer_positions(distance / recollection.longest_distance)
        code.append(age.repeat_interleave(parts, dim=0)[None])
        num_pointer_tokens = len(pointers) * parts
    return model.attend_to_memory(
        features.embedding,
        torch.cat(memory, dim=1),
        torch.cat(code, dim=1),
        num_pointer_tokens,
    )


def segment(
    model: Sam2,
    features: ImageFeatures,
    embedding: Tensor,
    point_xy: Tensor | None = None,
    labels: Tensor | None = None,
    previous: Tensor | None = None,
) -> Memory:
    """Find an object on a frame, from prompts or from memory alone.

    Parameters
    ----------
    model : Sam2
        The network.
    features : ImageFeatures
        Of the frame.
    embedding : Tensor
        From :func:`look`.
    point_xy, labels : Tensor, optional
        (1, N, 2) in pixels of the network input and (1, N).
    previous : Tensor, optional
        (1, 1, h, w) logits to refine.

    Returns
    -------
    Memory
        Without spatial memory; holes not filled.
    """
    if point_xy is None or labels is None:
        num_points = 0
        point_xy, labels = model.empty_points(1)
    else:
        num_points = labels.shape[1]
    if previous is not None:
        previous = previous.clamp(-MAX_LOGIT, MAX_LOGIT)
    decoded = model.decode_masks(
        embedding, features.high_res, point_xy, labels, previous, guide=features.guide
    )
    multimask = num_points <= model.config.multimask_max_points
    found = select_masks(model, decoded, multimask)
    best = found.iou.float().argmax(dim=1)
    rows = torch.arange(len(best), device=best.device)
    score = found.object_score.float()
    present = score > 0
    logits = found.logits[rows, best][:, None].float()
    token = found.tokens[rows, best if multimask else torch.zeros_like(best)]
    return Memory(
        logits=torch.where(
            present[:, :, None, None], logits, logits.new_tensor(NO_OBJECT_LOGIT)
        ),
        iou=found.iou[rows, best].float(),
        object_score=score,
        pointer=model.object_pointer(token, present),
    )


def segment_mask(
    model: Sam2, features: ImageFeatures, mask_hw: NDArray[np.bool_]
) -> Memory:
    """Take a given mask for the object on a frame.

    Parameters
    ----------
    model : Sam2
        The network.
    features : ImageFeatures
        Of the frame.
    mask_hw : ndarray
        Bool, of any size.

    Returns
    -------
    Memory
        Without spatial memory.
    """
    config = model.config
    mask = transforms.mask_to_input(mask_hw, config.image_size, model.device)
    logits = mask * MASK_SCALE + MASK_BIAS
    point_xy, labels = model.empty_points(1)
    decoded = model.decode_masks(
        features.embedding,
        features.high_res,
        point_xy,
        labels,
        model.mask_downsample(mask.to(model.dtype)),
    )
    pointer = model.object_pointer(decoded.tokens[:, 0], decoded.object_score > 0)
    present = mask.flatten(1).any(dim=1, keepdim=True)
    return Memory(
        logits=transforms.input_to_low_res(logits, config.low_res_size),
        iou=torch.ones(1, device=model.device),
        object_score=present.float() * MASK_SCALE + MASK_BIAS,
        pointer=model.absent_pointer(pointer, present),
    )


def fill_holes(model: Sam2, memory: Memory) -> Memory:
    """The same with small holes of the mask filled."""
    filled = masks.fill_holes(memory.logits, model.config.fill_hole_area)
    return replace(memory, logits=filled)


def remember(
    model: Sam2, features: ImageFeatures, memory: Memory, prompted: bool
) -> Tensor:
    """Spatial memory of an object on a frame.

    Parameters
    ----------
    model : Sam2
        The network.
    features : ImageFeatures
        Of the frame.
    memory : Memory
        The object as found.
    prompted : bool
        Whether a user's prompt shaped the mask; such masks are binarised.

    Returns
    -------
    Tensor
        (1, memory_dim, g, g) bfloat16, the type memories are kept in everywhere.
    """
    config = model.config
    logits = transforms.logits_to_input(memory.logits, config.image_size)
    if prompted and config.binarize_prompted_masks_for_memory:
        mask = (logits > 0).float()
    else:
        mask = logits.sigmoid()
    mask = mask * config.sigmoid_scale + config.sigmoid_bias
    spatial = model.encode_memory(features.embedding, mask, memory.object_score > 0)
    return spatial.to(torch.bfloat16)


def follow(model: Sam2, features: ImageFeatures, recollection: Recollection) -> Memory:
    """Find an object on a frame from memory alone, and remember it."""
    previous = recollection.last_logits if model.config.guided else None
    found = segment(
        model, features, look(model, features, recollection), previous=previous
    )
    spatial = remember(model, features, found, prompted=False)
    return replace(fill_holes(model, found), spatial=spatial)


def _tokens(spatial: Tensor) -> Tensor:
    return spatial.flatten(2).transpose(1, 2)
