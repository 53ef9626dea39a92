"""Let torchvision be imported beside a torch that it was not built for.

Opponents import it; of its operators they need non-maximum suppression at most, which
is here in plain torch.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import Tensor

KEPT: list[Any] = []  # torch forgets the operators of a library that is collected


def make_importable() -> None:
    """Declare the operators that torchvision describes at import, if it needs that."""
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        for module in [m for m in sys.modules if m.partition(".")[0] == "torchvision"]:
            del sys.modules[module]
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou) -> Tensor")
        library.impl("nms", suppress, "CPU")
        KEPT.append(library)


def suppress(boxes: Tensor, scores: Tensor, iou: float) -> Tensor:
    """Indices of the (N, 4) boxes that overlap no better one, best first."""
    kept = []
    left = scores.argsort(descending=True)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    while len(left):
        best, left = left[0], left[1:]
        kept.append(best)
        low = torch.maximum(boxes[best, :2], boxes[left, :2])
        high = torch.minimum(boxes[best, 2:], boxes[left, 2:])
        both = (high - low).clamp(min=0).prod(1)
        left = left[both <= iou * (area[best] + area[left] - both)]
    return torch.stack(kept) if kept else scores.new_zeros(0, dtype=torch.int64)
