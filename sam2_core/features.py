"""Frames of a stack as the network sees them, encoded when needed and then kept."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from sam2_core import transforms
from sam2_core.devices import free_memory

if TYPE_CHECKING:
    import torch

    from sam2_core.frames import FrameSource
    from sam2_core.nn.sam2 import ImageFeatures, Sam2

# Part of the free memory that features may take where nobody says how much, and how
# much they get in any case.
SHARE = 8
LEAST_BYTES = 2**27


class FeatureCache:
    """Encoded frames; above a byte budget the least recently used ones are dropped.

    Whatever reads a frame again, a click, the second direction, a correction, finds it
    here without running the encoder.

    Parameters
    ----------
    model : Sam2
        The network.
    frames : FrameSource
        The stack.
    cache_bytes : int, optional
        Bytes of features to keep; :func:`default_cache_bytes` if not given. The latest
        frame is kept in any case.

    Attributes
    ----------
    cache_bytes : int
        The budget; may be changed, and holds from the next frame on.
    """

    def __init__(
        self, model: Sam2, frames: FrameSource, cache_bytes: int | None = None
    ) -> None:
        self.model = model
        self.frames = frames
        self.cache_bytes = (
            default_cache_bytes(model.device) if cache_bytes is None else cache_bytes
        )
        self._kept: OrderedDict[int, ImageFeatures] = OrderedDict()
        self._nbytes = 0

    @property
    def nbytes(self) -> int:
        """Bytes of the features kept."""
        return self._nbytes

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, frame_index: int) -> bool:
        return frame_index in self._kept

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
        self._nbytes += features.nbytes
        while self._nbytes > self.cache_bytes and len(self._kept) > 1:
            _, dropped = self._kept.popitem(last=False)
            self._nbytes -= dropped.nbytes
        return features

    def clear(self) -> None:
        """Drop everything."""
        self._kept.clear()
        self._nbytes = 0


def default_cache_bytes(device: torch.device) -> int:
    """An eighth of the memory that is free now where the model runs, at least 128 MB.

    Several sessions may be open, beside other programs.
    """
    free = free_memory(device)
    return LEAST_BYTES if free is None else max(LEAST_BYTES, free // SHARE)
