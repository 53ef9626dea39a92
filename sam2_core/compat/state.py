"""What a video predictor of the ``sam2`` package keeps between calls."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch

from sam2_core import transforms
from sam2_core.inference import inference
from sam2_core.memory import Memory, MemoryBank
from sam2_core.stacks import tracking
from sam2_core.stacks.close_tracker import CloseMemory, CloseTracker
from sam2_core.stacks.features import FeatureCache

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from sam2_core.frames import FrameSource
    from sam2_core.nn.sam2 import Sam2
    from sam2_core.prompts import SparsePrompt


@dataclass
class TrackedObject:
    """Everything known of one object.

    Attributes
    ----------
    prompts : dict
        Points and boxes, or a mask, by frame index; points in network input pixels, or
        in those of the frame if the model has close-ups.
    drafts : dict
        Results of prompts that have not been propagated yet, by whether they will be
        conditioning, and by frame index.
    bank : MemoryBank
        Results that tracking reads.
    directions : dict
        Frames visited by propagation, and whether in reverse.
    """

    prompts: dict[int, SparsePrompt | NDArray[np.bool_]] = field(default_factory=dict)
    drafts: dict[bool, dict[int, Memory]] = field(
        default_factory=lambda: {False: {}, True: {}}
    )
    bank: MemoryBank = field(default_factory=MemoryBank)
    directions: dict[int, bool] = field(default_factory=dict)

    def is_first(self, frame_index: int) -> bool:
        """Whether a prompt on the frame makes it a conditioning one.

        That is so where propagation has not been, as in the original, and for an object
        that has lost all conditioning frames, where the original fails.
        """
        is_known = bool(self.bank.conditioning or self.drafts[True])
        return frame_index not in self.directions or not is_known

    def latest(self, frame_index: int, conditioning: bool) -> Memory | None:
        """What a prompt or else propagation has found last on a frame."""
        return self.drafts[conditioning].get(frame_index) or self.bank.find(frame_index)


class InferenceState:
    """A stack and the objects in it; ``state["obj_ids"]`` and the like also work.

    ``close_ups`` is what answers and follows with a model that has close-ups.
    """

    def __init__(self, model: Sam2, frames: FrameSource) -> None:
        self.frames = frames
        self.features = FeatureCache(model, frames)
        self.objects: dict[int, TrackedObject] = {}
        self.close_ups: CloseTracker | None = None
        if model.closeup is not None:
            self.close_ups = CloseTracker(model.closeup, frames, model.config)

    def object(self, obj_id: int) -> TrackedObject:
        """The object of this id, a new one if there is none."""
        return self.objects.setdefault(obj_id, TrackedObject())

    def placed(
        self, model: Sam2, prompt: SparsePrompt, extent_hw: tuple[int, int]
    ) -> SparsePrompt:
        """A prompt within some height and width, in the pixels it is kept in."""
        xy = prompt.point_xy
        if self.close_ups is None:
            xy = transforms.points_to_input(xy, extent_hw, model.config.image_size)
        else:
            xy = transforms.points_to_image(xy, extent_hw, self.frames.shape)
        return replace(prompt, point_xy=xy)

    def follow(self, model: Sam2, frame_idx: int, reverse: bool) -> Tensor:
        """Logits (N, 1, h, w) of all objects on a frame, low-resolution or drawn.

        Those that are not prompted there are followed to it, together.
        """
        followed = [
            known.bank
            for known in self.objects.values()
            if frame_idx not in known.bank.conditioning
        ]
        if followed:
            found = self._found(model, followed, frame_idx, reverse)
            for bank, memory in zip(followed, found, strict=True):
                bank.tracked[frame_idx] = memory
        logits = []
        for known in self.objects.values():
            known.directions[frame_idx] = reverse
            found_here = known.bank.find(frame_idx)
            assert found_here is not None
            logits.append(self.logits(found_here))
        return torch.cat(logits)

    def logits(self, memory: Memory) -> Tensor:
        """(1, 1, h, w), low-resolution, or at the size of frames from close-ups."""
        if not isinstance(memory, CloseMemory):
            return memory.logits
        if memory.answer is None or not memory.there:
            return transforms.logits_to_image(memory.logits, self.frames.shape)
        return memory.answer.drawn(self.frames.shape)[None, None]

    def remembered(self, model: Sam2, frame_idx: int, draft: Memory) -> Memory:
        """What tracking reads of the result of a prompt."""
        if self.close_ups is not None:
            return self.close_ups.final(frame_idx, draft)
        with inference():
            spatial = tracking.remember(model, self.features[frame_idx], draft, True)
        return replace(draft, spatial=spatial)

    def _found(
        self, model: Sam2, banks: list[MemoryBank], frame_idx: int, reverse: bool
    ) -> Sequence[Memory]:
        if self.close_ups is not None:
            for bank in banks:
                self._lead_up(self.close_ups, bank, frame_idx, reverse)
            return self.close_ups.follow(banks, frame_idx, reverse)
        recollections = [
            bank.recall(frame_idx, self.num_frames, model.config, reverse)
            for bank in banks
        ]
        return tracking.follow(model, self.features[frame_idx], recollections)

    def _lead_up(
        self, tracker: CloseTracker, bank: MemoryBank, frame_idx: int, reverse: bool
    ) -> None:
        """Follow an object as far as the neighbour of a frame, which close-ups need."""
        step = -1 if reverse else 1
        known = (*bank.conditioning, *bank.tracked)
        away = [step * (frame_idx - t) for t in known if step * (frame_idx - t) > 0]
        for distance in range(min(away, default=1) - 1, 0, -1):
            between = frame_idx - step * distance
            bank.tracked[between] = tracker.follow([bank], between, reverse)[0]

    @property
    def obj_ids(self) -> list[int]:
        """Object ids in the order they were added."""
        return list(self.objects)

    @property
    def num_frames(self) -> int:
        """Length of the stack."""
        return len(self.frames)

    @property
    def video_height(self) -> int:
        """Height of a frame in pixels."""
        return self.frames.shape[0]

    @property
    def video_width(self) -> int:
        """Width of a frame in pixels."""
        return self.frames.shape[1]

    def __getitem__(self, key: str) -> Any:
        if key not in ("obj_ids", "num_frames", "video_height", "video_width"):
            raise KeyError(key)
        return getattr(self, key)
