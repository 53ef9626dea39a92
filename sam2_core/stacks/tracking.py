"""The steps of tracking objects: look with memory, segment, remember.

Nothing here keeps state; `sam2_core.video` and `sam2_core.compat` do.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sam2_core import masks, transforms
from sam2_core.cell_windows import CellWindow
from sam2_core.devices import free_memory
from sam2_core.image import MAX_LOGIT, select_masks
from sam2_core.memory import Memory, Recollection
from sam2_core.nn.positions import at_cells
from sam2_core.nn.sam2 import NO_OBJECT_LOGIT, ImageFeatures, Sam2

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

# Logits of a mask that was given instead of predicted: 10 inside, -10 outside.
MASK_SCALE, MASK_BIAS = 20.0, -10.0
# What the objects of a frame that are worked on together may need at a time.
WORKING_BYTES = 2**29


def look(
    model: Sam2, features: ImageFeatures, recollections: Sequence[Recollection]
) -> Tensor:
    """Embedding of a frame, or of a window of it, for each of N objects.

    Parameters
    ----------
    model : Sam2
        The network.
    features : ImageFeatures
        Of the frame, or of a window of it for each object.
    recollections : sequence of Recollection
        What each object remembers, equally much each. None of them for a first prompt,
        which sees the frame alone.

    Returns
    -------
    Tensor
        (N, dim, g, g), without recollections (1, dim, g, g).
    """
    if not recollections:
        return model.without_memory(features)
    memory = torch.cat([_memory_tokens(model, known) for known in recollections])
    codes = {known.ages: known for known in recollections}
    if len(codes) == 1:
        code = _age_code(model, recollections[0])
    else:
        code = torch.cat([_age_code(model, known) for known in recollections])
    cells = None
    if any(known.windows for known in recollections):
        cells = torch.stack(
            [torch.cat(_memory_cells(model, known)) for known in recollections]
        ).to(model.device)
    return model.attend_to_memory(
        features.embedding,
        memory,
        code,
        memory.shape[1] - recollections[0].length[0],
        cells=features.cells,
        memory_cells=cells,
    )


def segment(
    model: Sam2,
    features: ImageFeatures,
    embedding: Tensor,
    point_xy: Tensor | None = None,
    labels: Tensor | None = None,
    previous: Tensor | None = None,
) -> Memory:
    """Find N objects on a frame, from prompts or from memory alone.

    Parameters
    ----------
    model : Sam2
        The network.
    features : ImageFeatures
        Of the frame; of a window of it for each object if there are no points.
    embedding : Tensor
        From :func:`look`.
    point_xy, labels : Tensor, optional
        (N, P, 2) in pixels of the network input and (N, P).
    previous : Tensor, optional
        (N, 1, h, w) logits to refine.

    Returns
    -------
    Memory
        Without spatial memory; holes not filled.
    """
    if point_xy is None or labels is None:
        num_points = 0
        point_xy, labels = model.empty_points(len(embedding))
    else:
        num_points = labels.shape[1]
    if previous is not None:
        previous = previous.clamp(-MAX_LOGIT, MAX_LOGIT)
    place = None
    if features.cells is not None:
        place = at_cells(model.sam_prompt_encoder.dense_positions(), features.cells)
    decoded = model.decode_masks(
        embedding,
        features.high_res,
        point_xy,
        labels,
        previous,
        embedding_pe=place,
        guide=features.guide,
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
    """Spatial memory of N objects on a frame.

    Parameters
    ----------
    model : Sam2
        The network.
    features : ImageFeatures
        Of the frame, or of a window of it for each object.
    memory : Memory
        The objects as found, in the same part of the frame.
    prompted : bool
        Whether a user's prompt shaped the mask; such masks are binarised.

    Returns
    -------
    Tensor
        (N, memory_dim, g, g) bfloat16, the type memories are kept in everywhere.
    """
    config = model.config
    size = features.embedding.shape[-1] * config.stride
    logits = transforms.logits_to_input(memory.logits, size)
    if prompted and config.binarize_prompted_masks_for_memory:
        mask = (logits > 0).float()
    else:
        mask = logits.sigmoid()
    mask = mask * config.sigmoid_scale + config.sigmoid_bias
    spatial = model.encode_memory(features.embedding, mask, memory.object_score > 0)
    return spatial.to(torch.bfloat16)


def follow(
    model: Sam2, features: ImageFeatures, recollections: Sequence[Recollection]
) -> list[Memory]:
    """Find N objects on a frame from memory alone, and remember them.

    Objects that remember equally much are worked on together, as many at a time as
    :func:`objects_at_once` allows; what is found of an object does not depend on the
    others.
    """
    found: dict[int, Memory] = {}
    alike: dict[tuple[int, int, bool], list[int]] = {}
    for row, known in enumerate(recollections):
        alike.setdefault(known.length, []).append(row)
    size = objects_at_once(model)
    for rows in alike.values():
        for first in range(0, len(rows), size):
            part = rows[first : first + size]
            together = _follow_alike(model, features, [recollections[i] for i in part])
            found.update(zip(part, together.split(), strict=True))
    return [found[row] for row in range(len(recollections))]


def objects_at_once(
    model: Sam2, side: int | None = None, memory_tokens: int | None = None
) -> int:
    """How many objects are worked on together, so that memory stays bounded.

    As many as fit into half a gigabyte, on a GPU into a quarter of what is free.

    Parameters
    ----------
    model : Sam2
        The network.
    side : int, optional
        Of the window that each is looked for in, in cells; by default the whole frame.
    memory_tokens : int, optional
        What each reads of earlier frames; by default what whole frames would give.
    """
    config = model.config
    area = (side or config.grid_size) ** 2
    if memory_tokens is None:
        memory_tokens = area * (config.memories_read + 1)
    # About what one object needs at once: its mask at the size of the network's input,
    # a few times, and keys and values of all its memories.
    tokens = area + memory_tokens
    pixels = 8 * area * config.stride**2
    needed = (pixels + 4 * tokens * config.hidden_dim) * model.dtype.itemsize
    budget = WORKING_BYTES
    if model.device.type != "cpu":
        budget = max(budget, (free_memory(model.device) or 0) // 4)
    return max(1, budget // needed)


def _follow_alike(
    model: Sam2, features: ImageFeatures, recollections: Sequence[Recollection]
) -> Memory:
    found = segment(
        model,
        features,
        look(model, features, recollections),
        previous=last_logits(model, recollections),
    )
    spatial = remember(model, features, found, prompted=False)
    return replace(fill_holes(model, found), spatial=spatial)


def last_logits(model: Sam2, recollections: Sequence[Recollection]) -> Tensor | None:
    """(N, 1, h, w) masks of the frame before, for models that draw them."""
    if not model.config.guided:
        return None
    last = [k.last_logits for k in recollections if k.last_logits is not None]
    return torch.cat(last) if last else None


def _memory_tokens(model: Sam2, recollection: Recollection) -> Tensor:
    """What one object remembers as tokens, (1, L, memory_dim)."""
    memory = [
        spatial.flatten(2).transpose(1, 2).to(model.dtype)
        for _, spatial in recollection.spatial
    ]
    if recollection.pointers:
        pointers = torch.cat([pointer for _, pointer in recollection.pointers])
        memory.append(pointers.reshape(1, -1, model.config.memory_dim).to(model.dtype))
    return torch.cat(memory, dim=1)


def _memory_cells(model: Sam2, recollection: Recollection) -> list[Tensor]:
    """Numbers of the cells that each spatial memory is of."""
    grid = model.config.grid_size
    whole = CellWindow(0, 0, grid)
    windows = recollection.windows or (None,) * len(recollection.spatial)
    return [(window or whole).cells(grid).flatten() for window in windows]


def _age_code(model: Sam2, recollection: Recollection) -> Tensor:
    """Position and age of those tokens, (1, L, memory_dim)."""
    place = model.memory_positions()
    places = [place] * len(recollection.spatial)
    if recollection.windows:
        places = [place[:, cells] for cells in _memory_cells(model, recollection)]
    code = [
        place + model.temporal_code(index)
        for (index, _), place in zip(recollection.spatial, places, strict=True)
    ]
    if recollection.pointers:
        distances = [distance for distance, _ in recollection.pointers]
        distance = torch.tensor(distances, device=model.device, dtype=torch.float32)
        age = model.pointer_positions(distance / recollection.longest_distance)
        parts = model.config.hidden_dim // model.config.memory_dim
        code.append(age.repeat_interleave(parts, dim=0)[None])
    return torch.cat(code, dim=1)
