"""Frames from your own code: each one is the mean of three neighbouring slices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_sam2._sample_data import sample_nuclei
from sam2_core import VideoSession, load_model
from sam2_core.intensity import to_rgb8

if TYPE_CHECKING:
    import numpy as np


class SmoothedStack:
    """A stack is anything with a length, a shape and frame(index)."""

    def __init__(self, stack: np.ndarray, value_range: tuple[float, float]) -> None:
        self.stack = stack
        self.value_range = value_range

    def __len__(self) -> int:
        return len(self.stack)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        height, width = self.stack.shape[1:]
        return height, width

    def frame(self, index: int) -> np.ndarray:
        """One frame, (H, W, 3) uint8."""
        slices = self.stack[max(index - 1, 0) : index + 2]
        return to_rgb8(slices.mean(axis=0), self.value_range)


((stack, attributes, _),) = sample_nuclei()
frames = SmoothedStack(stack, attributes["contrast_limits"])
session = VideoSession(load_model("sam2_nano"), frames)
session.add_prompts(20, object_id=1, point_coords=[[112, 156]], point_labels=[1])
for result in session.propagate(start=18, stop=22):
    print(result.frame_index, int(result.masks[1].sum()))
