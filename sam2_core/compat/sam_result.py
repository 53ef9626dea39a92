"""From masks to a result."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from sam2_core.compat.results import Results

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


def result_of(
    image: NDArray[np.uint8],
    path: str,
    masks: Tensor,
    scores: Tensor,
    numbers: list[int],
    names: dict[int, str],
    ids: list[int] | None = None,
) -> Results:
    """A result for masks, with tight boxes around them.

    Parameters
    ----------
    image : ndarray
        (H, W, 3) uint8 RGB.
    path : str
        Where it comes from.
    masks : Tensor
        (N, H, W) bool.
    scores : Tensor
        (N,).
    numbers : list of int
        Class of each.
    names : dict of int to str
        Names of classes.
    ids : list of int, optional
        Object ids.
    """
    columns = [boxes_around(masks), scores.float().cpu()[:, None]]
    if ids is not None:
        columns.insert(1, torch.tensor(ids, dtype=torch.float32)[:, None])
    columns.append(torch.tensor(numbers, dtype=torch.float32)[:, None])
    boxes = torch.cat(columns, dim=1)
    picture = np.ascontiguousarray(image[..., ::-1])
    return Results(picture, path, names, boxes, masks if len(masks) else None)


def boxes_around(masks: Tensor) -> Tensor:
    """(N, 4) float32 x0, y0, x1, y1, last pixel included; zeros for an empty mask."""
    boxes = torch.zeros(len(masks), 4)
    for box, mask in zip(boxes, masks, strict=True):
        columns, rows = mask.any(0).nonzero(), mask.any(1).nonzero()
        if len(rows):
            edges = columns[0], rows[0], columns[-1], rows[-1]
            box[:] = torch.cat(edges).to(box)
    return boxes
