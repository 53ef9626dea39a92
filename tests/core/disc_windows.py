"""Training windows of a bright disc, for tests of the close-up network's training."""

from __future__ import annotations

import numpy as np

from sam2_core.training.dataset import LabelledImage
from sam2_core.training.examples.object_windows import ObjectWindows


def disc(radius: int = 20) -> LabelledImage:
    """A disc in an image of 120 x 120 pixels."""
    rows, columns = np.mgrid[:120, :120]
    labels = ((rows - 60) ** 2 + (columns - 55) ** 2 < radius**2).astype(np.int32)
    image = np.where(labels > 0, 200, 40).astype(np.uint8)
    return LabelledImage("a", "disc", image, labels)


def disc_windows(batch: int = 8) -> ObjectWindows:
    """Windows of that image."""
    return ObjectWindows([disc()], [], batch, seed=0)
