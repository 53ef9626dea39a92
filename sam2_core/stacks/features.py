"""Frames of a stack as the network sees them, encoded when needed and then kept."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from sam2_core import transforms
from sam2_core.devices import free_memory
from sam2_core.stacks.spill import FeatureStore

if TYPE_CHECKING:
    import os

    import torch

    from sam2_core.frames import FrameSource
    from sam2_core.nn.sam2 import ImageFeatures, Sam2

# Part of the free memory that features may take where nobody says how much, and how
# much they get in any case.
SHARE = 8
LEAST_BYTES = 2**27


class FeatureCache:
    """Encoded frames; above a byte budget the least recently used ones leave memory.

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
    spill : path-like, optional
        Folder in which frames that leave memory are stored; they are dropped if not
        given.
    spill_bytes : int, optional
        What the store may hold, see :class:`sam2_core.stacks.spill.FeatureStore`.

    Attributes
    ----------
    cache_bytes : int
        The budget; may be changed, and holds from the next frame on.
    """

    def __init__(
        self,
        model: Sam2,
        frames: FrameSource,
        cache_bytes: int | None = None,
        spill: str | os.PathLike[str] | None = None,
        spill_bytes: int | None = None,
    ) -> None:
        self.model = model
        self.frames = frames
        self.cache_bytes = (
            default_cache_bytes(model.device) if cache_bytes is None else cache_bytes
        )
        self._kept: OrderedDict[int, ImageFeatures] = OrderedDict()
        self._nbytes = 0
        self._store = None if spill is None else FeatureStore(spill, spill_bytes)

    @property
    def nbytes(self) -> int:
        """Bytes of the features kept in memory."""
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
        features = self._stored(frame_index)
        if features is None:
            features = self._encoded(frame_index)
        self._kept[frame_index] = features
        self._nbytes += features.nbytes
        while self._nbytes > self.cache_bytes and len(self._kept) > 1:
            index, dropped = self._kept.popitem(last=False)
            self._nbytes -= dropped.nbytes
            if self._store is not None:
                self._store.put(index, dropped)
        return features

    def clear(self) -> None:
        """Drop everything."""
        self._kept.clear()
        self._nbytes = 0
        if self._store is not None:
            self._store.clear()

    def _stored(self, frame_index: int) -> ImageFeatures | None:
        return None if self._store is None else self._store.get(frame_index)

    def _encoded(self, frame_index: int) -> ImageFeatures:
        pixels = transforms.frame_to_input(
            self.frames.frame(frame_index),
            self.model.config.image_size,
            self.model.device,
        )
        return self.model.encode_image(pixels)


def default_cache_bytes(device: torch.device) -> int:
    """An eighth of the memory that is free now where the model runs, at least 128 MB.

    Several sessions may be open, beside other programs.
    """
    free = free_memory(device)
    return LEAST_BYTES if free is None else max(LEAST_BYTES, free // SHARE)
