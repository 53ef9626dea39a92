"""Frames of a stack as the network sees them, encoded when needed."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from sam2_core import transforms

if TYPE_CHECKING:
    from sam2_core.frames import FrameSource
    from sam2_core.nn.sam2 import ImageFeatures, Sam2


class FrameFeatures:
    """Encoded frames, least recently used ones dropped above a byte budget.

    Parameters
    ----------
    model : Sam2
        The network.
    frames : FrameSource
        The stack.
    budget : int
        Bytes of features to keep; the latest frame is always kept.
    """

    def __init__(self, model: Sam2, frames: FrameSource, budget: int = 2**28) -> None:
        self.model = model
        self.frames = frames
        self.budget = budget
        self._kept: OrderedDict[int, ImageFeatures] = OrderedDict()
        self._bytes = 0

    def __getitem__(self, frame_index: int) -> ImageFeatures:
        """Features of a frame, batch axis of 1."""
        if frame_index in self._kept:
            self._kept.move_to_end(frame_index)
            return self._kept[frame_index]
        pixels = transforms.frame_to_input(
            self.frames.frame(frame_index),
            self.model.config.image_size,
            self.model.device,
        )
        features = self.model.encode_image(pixels)
        self._kept[frame_index] = features
        self._bytes += _size(features)
        while self._bytes > self.budget and len(self._kept) > 1:
            _, dropped = self._kept.popitem(last=False)
            self._bytes -= _size(dropped)
        return features

    def clear(self) -> None:
        """Drop everything."""
        self._kept.clear()
        self._bytes = 0


def _size(features: ImageFeatures) -> int:
    tensors = (features.embedding, *features.high_res)
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
