"""What an object leaves behind on each frame, and which of it a frame reads again."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from sam2_core.cell_windows import CellWindow
    from sam2_core.config import ModelConfig

_RECALLED_LOGIT = 10.0


@dataclass(frozen=True)
class Memory:
    """One object on one frame; N objects while they are worked on together.

    Attributes
    ----------
    logits : Tensor
        (N, 1, h, w) float32 low-resolution mask logits, holes filled.
    iou : Tensor
        (N,) float32 predicted IoU.
    object_score : Tensor
        (N, 1) float32 logit; the object is in the frame where it is > 0.
    pointer : Tensor
        (N, dim) object pointer.
    spatial : Tensor, optional
        (N, memory_dim, g, g) bfloat16; missing until the frame's prompts are final.
    window : CellWindow, optional
        The part of the frame that the spatial memory is of, if not all of it.
    """

    logits: Tensor
    iou: Tensor
    object_score: Tensor
    pointer: Tensor
    spatial: Tensor | None = None
    window: CellWindow | None = None

    @property
    def there(self) -> bool:
        """Whether anything of the object is seen."""
        return bool((self.object_score > 0).all() and (self.logits > 0).any())

    def shrunk(self) -> Memory:
        """With the pointer and the scores only."""
        return replace(self, logits=self.logits[..., :0, :0], spatial=None)

    def unseen(self) -> Memory:
        """Without the mask."""
        return replace(self, logits=self.logits[..., :0, :0])

    def outline(self) -> Outline:
        """What stays of the mask when the memory is forgotten."""
        return Outline.of(self.logits)

    def split(self) -> list[Memory]:
        """The memory of each object for itself."""
        if len(self.iou) == 1:
            return [self]

        def rows(tensor: Tensor) -> list[Tensor]:
            # Copies: a view would keep the memories of all objects alive.
            return [tensor[i : i + 1].clone() for i in range(len(tensor))]

        count = len(self.iou)
        spatial = [None] * count if self.spatial is None else rows(self.spatial)
        parts = zip(
            rows(self.logits),
            rows(self.iou),
            rows(self.object_score),
            rows(self.pointer),
            spatial,
            strict=True,
        )
        return [Memory(*part) for part in parts]


@dataclass(frozen=True)
class Recollection:
    """What one object remembers when it comes to a frame.

    Attributes
    ----------
    spatial : list of (int, Tensor)
        Index of the temporal code, and the (1, memory_dim, g, g) memory.
    pointers : list of (int, Tensor)
        Distance in frames, and the (1, dim) pointer.
    longest_distance : int
        What distances are divided by.
    last_logits : Tensor, optional
        (1, 1, h, w) mask logits of the frame just before, for models that draw them.
    windows : tuple of (CellWindow or None)
        What part of the frame each spatial memory is of; empty if all are whole.
    """

    spatial: list[tuple[int, Tensor]]
    pointers: list[tuple[int, Tensor]]
    longest_distance: int
    last_logits: Tensor | None = None
    windows: tuple[CellWindow | None, ...] = ()

    @property
    def ages(self) -> tuple[Hashable, ...]:
        """Objects of which this is equal share the codes of their memories."""
        return (
            self.windows,
            tuple(code for code, _ in self.spatial),
            tuple(distance for distance, _ in self.pointers),
            self.longest_distance,
        )

    @property
    def length(self) -> tuple[int, int, bool]:
        """Objects of which this is equal can be worked on together."""
        tokens = sum(spatial[0, 0].numel() for _, spatial in self.spatial)
        return tokens, len(self.pointers), self.last_logits is not None


@dataclass(frozen=True)
class Outline:
    """A low-resolution mask, packed to a few hundred bytes."""

    bits: bytes
    shape: tuple[int, ...]

    @classmethod
    def of(cls, logits: Tensor) -> Outline:
        """Pack logits; only their signs are kept."""
        mask = (logits > 0).cpu().numpy()
        return cls(zlib.compress(np.packbits(mask).tobytes(), 1), mask.shape)

    def logits(self, device: torch.device) -> Tensor:
        """Logits of +-10 in the shape they had."""
        bits = np.frombuffer(zlib.decompress(self.bits), dtype=np.uint8)
        mask = np.unpackbits(bits)[: int(np.prod(self.shape))].reshape(self.shape)
        return (torch.from_numpy(mask).to(device).float() * 2 - 1) * _RECALLED_LOGIT


def logits_of(seen: Memory | Outline, device: torch.device) -> Tensor:
    """(1, 1, h, w) low-resolution logits of a mask that is remembered."""
    return seen.logits if isinstance(seen, Memory) else seen.logits(device)


@dataclass
class MemoryBank:
    """All one object remembers.

    Memories of conditioning (prompted) frames are kept. Of tracked frames only those
    that tracking reads again are kept whole (:meth:`forget`); the older ones shrink to
    an outline, so that the bank hardly grows with the length of a stack.

    Attributes
    ----------
    conditioning, tracked : dict
        Memory by frame index.
    outlines : dict
        Masks of tracked frames whose memories are gone or out of date.
    """

    conditioning: dict[int, Memory] = field(default_factory=dict)
    tracked: dict[int, Memory] = field(default_factory=dict)
    outlines: dict[int, Outline] = field(default_factory=dict)

    def seen(self, frame_index: int) -> Memory | Outline | None:
        """What is still known of the mask on a frame."""
        memory = self.find(frame_index)
        if memory is not None and memory.logits.numel():
            return memory
        return self.outlines.get(frame_index)

    def find(self, frame_index: int) -> Memory | None:
        """Memory of a frame, conditioning or tracked."""
        if frame_index in self.conditioning:
            return self.conditioning[frame_index]
        return self.tracked.get(frame_index)

    def logits(self, frame_index: int, device: torch.device) -> Tensor | None:
        """Last known (1, 1, h, w) logits on a frame, from an outline if need be."""
        seen = self.seen(frame_index)
        return None if seen is None else logits_of(seen, device)

    def condition(self, frame_index: int, memory: Memory) -> None:
        """Keep the memory of a frame whose prompts are final."""
        self.conditioning[frame_index] = memory
        self.tracked.pop(frame_index, None)

    def track(self, frame_index: int, memory: Memory) -> None:
        """Keep the memory of a frame the object was followed to."""
        self.tracked[frame_index] = memory
        self.outlines.pop(frame_index, None)

    def outdate(self, frame_index: int) -> None:
        """The mask of a tracked frame is no longer the one that is shown."""
        if frame_index in self.tracked:
            self.tracked[frame_index] = self.tracked[frame_index].unseen()

    def forget(self, frame_index: int, config: ModelConfig, reverse: bool) -> None:
        """Shrink what no frame after this one, in this direction, will read."""
        reach = config.memories_read * config.memory_temporal_stride
        sign = -1 if reverse else 1
        for index in [t for t in self.tracked if (frame_index - t) * sign > reach]:
            memory = self.tracked[index]
            if memory.logits.numel():
                self.outlines[index] = memory.outline()
            if (frame_index - index) * sign >= config.max_object_pointers:
                del self.tracked[index]
            elif memory.logits.numel():
                self.tracked[index] = memory.shrunk()

    def restart(self) -> None:
        """Take all tracked frames out of memory; their outlines stay."""
        for index, memory in self.tracked.items():
            if memory.logits.numel():
                self.outlines[index] = memory.outline()
        self.tracked.clear()

    def recall(
        self,
        frame_index: int,
        num_frames: int,
        config: ModelConfig,
        reverse: bool = False,
        correcting: bool = False,
    ) -> Recollection:
        """Choose what a frame reads.

        Parameters
        ----------
        frame_index : int
            The frame that is about to be segmented.
        num_frames : int
            Length of the stack.
        config : ModelConfig
            Says how many frames and pointers are read.
        reverse : bool
            Whether tracking goes back in time, so that "before" means later frames.
        correcting : bool
            Read other conditioning frames only: neither tracked ones nor the frame
            itself, whose memory is about to be replaced.
        """
        known, tracked = self.conditioning, self.tracked
        if correcting:
            known = {t: m for t, m in known.items() if t != frame_index}
            tracked = {}
        chosen = closest_frames(frame_index, known, config.max_conditioning_frames)
        newest_first = _steps_back(frame_index, config, reverse)
        chosen_memories = [(config.num_maskmem - 1, known[t]) for t in chosen]
        for steps, index in reversed(list(enumerate(newest_first))):
            memory = tracked.get(index)
            if memory is None and index not in chosen:
                memory = known.get(index)
            if memory is not None:
                chosen_memories.append((steps, memory))

        limit = min(num_frames, config.max_object_pointers)
        sign = -1 if reverse else 1
        pointers = [
            ((frame_index - t) * sign, known[t].pointer)
            for t in chosen
            if (frame_index - t) * sign >= 0
        ]
        for distance in range(1, limit):
            index = frame_index - distance * sign
            memory = tracked.get(index)
            if memory is None and index not in chosen:
                memory = known.get(index)
            if memory is not None:
                pointers.append((distance, memory.pointer))
        read = [(code, m) for code, m in chosen_memories if m.spatial is not None]
        spatial = [(code, m.spatial) for code, m in read if m.spatial is not None]
        windows = tuple(m.window for _, m in read)
        last = tracked.get(frame_index - sign) or known.get(frame_index - sign)
        last_logits = last.logits if last is not None and last.logits.numel() else None
        return Recollection(
            spatial,
            pointers,
            max(1, limit - 1),
            last_logits,
            windows if any(windows) else (),
        )


def closest_frames(frame_index: int, frames: Iterable[int], limit: int) -> list[int]:
    """Conditioning frames that are read: all, or the ``limit`` closest ones.

    The closest one before the frame and the closest one from it on come first.
    """
    indices = list(frames)
    if limit == -1 or len(indices) <= limit:
        return indices
    before = [t for t in indices if t < frame_index]
    after = [t for t in indices if t >= frame_index]
    chosen = [max(before)] if before else []
    chosen += [min(after)] if after else []
    rest = sorted(
        (t for t in indices if t not in chosen), key=lambda t: abs(t - frame_index)
    )
    return chosen + rest[: limit - len(chosen)]


def _steps_back(frame_index: int, config: ModelConfig, reverse: bool) -> list[int]:
    """Frames whose tracked memories are read, the most recent first."""
    stride = config.memory_temporal_stride
    if reverse:
        anchor, step, latest = -(-(frame_index + 2) // stride) * stride, stride, 1
    else:
        anchor, step, latest = (frame_index - 2) // stride * stride, -stride, -1
    older = [anchor + step * i for i in range(config.memories_read - 1)]
    return [frame_index + latest, *older][: config.memories_read]
