"""A search whose finds everybody knows, on an image of 60 x 80 pixels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from fakes import FakeBackend, disc

from sam2_core.errors import Cancelled
from sam2_core.everything.candidates import MaskCandidate

if TYPE_CHECKING:
    from collections.abc import Callable

SHAPE = (60, 80)
LARGE = disc(SHAPE, 30, 30, 20)
SMALL = disc(SHAPE, 30, 30, 5)
UNSURE = disc(SHAPE, 65, 15, 7)
SHAKY = disc(SHAPE, 65, 45, 7)
THREAD = np.zeros(SHAPE, bool)
THREAD[56:58, 5:75] = True
# Name: mask, predicted IoU, stability.
SCENE = {
    "large": (LARGE, 0.90, 0.99),
    "small": (SMALL, 0.95, 0.99),
    "unsure": (UNSURE, 0.40, 0.99),
    "shaky": (SHAKY, 0.92, 0.50),
    "thread": (THREAD, 0.85, 0.99),
}


def scene(shape: tuple[int, int] = SHAPE) -> list[MaskCandidate]:
    """Candidates of the scene, in the corner of a plane at least that large."""
    found = []
    for mask, iou, stability in SCENE.values():
        full = np.zeros(shape, bool)
        full[: SHAPE[0], : SHAPE[1]] = mask
        candidate = MaskCandidate.of(full, iou, stability)
        assert candidate is not None
        found.append(candidate)
    return sorted(found, key=lambda c: -c.predicted_iou)


@dataclass
class FakeSearchBackend(FakeBackend):
    """Finds the scene in every image, in a few slow steps."""

    steps: int = 4
    good: tuple[float, float] = (0.8, 0.9)
    searches: list[tuple[Any, Any]] = field(default_factory=list)

    def candidates(
        self,
        model: Any,
        image: Any,
        options: Any,
        progress: Callable[[int, int], None],
        cancel: Callable[[], bool],
    ) -> list[MaskCandidate]:
        assert image.dtype == np.uint8
        assert image.ndim == 3
        self.searches.append((image, options))
        total = options.points_per_side**2
        for step in range(self.steps):
            progress(total * step // self.steps, total)
            self.answer()
            if cancel():
                raise Cancelled("Stopped.")
        progress(total, total)
        return scene(image.shape[:2])

    def thresholds(self, model: Any) -> tuple[float, float]:
        return self.good


FLAT = np.zeros(SHAPE, np.float32)


def preview(controller):
    return np.asarray(controller.viewer.layers["SAM2 candidates"].data)


def shown(controller):
    """Names of the scene's masks whose pixels the preview shows somewhere."""
    ids = preview(controller)
    at = {"large": (15, 30), "small": (30, 30), "unsure": (15, 65)}
    at |= {"shaky": (45, 65), "thread": (56, 40)}
    return {name for name, where in at.items() if ids[where]}
