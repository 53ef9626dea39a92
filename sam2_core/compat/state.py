"""What a video predictor of the ``sam2`` package keeps between calls."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from sam2_core import tracking
from sam2_core.features import FeatureCache
from sam2_core.memory import Memory, MemoryBank

if TYPE_CHECKING:
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
        Points and boxes, or a mask, by frame index; points in network input pixels.
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

    def logits(self, frame_index: int, conditioning: bool) -> Tensor | None:
        """Latest logits on a frame, of a draft or of a propagated result."""
        found = self.drafts[conditioning].get(frame_index) or self.bank.find(
            frame_index
        )
        return None if found is None else found.logits


class InferenceState:
    """A stack and the objects in it; ``state["obj_ids"]`` and the like also work."""

    def __init__(self, model: Sam2, frames: FrameSource) -> None:
        self.frames = frames
        self.features = FeatureCache(model, frames)
        self.objects: dict[int, TrackedObject] = {}

    def object(self, obj_id: int) -> TrackedObject:
        """The object of this id, a new one if there is none."""
        return self.objects.setdefault(obj_id, TrackedObject())

    def follow(self, model: Sam2, frame_idx: int, reverse: bool) -> Tensor:
        """Logits (N, 1, h, w) of all objects on a frame.

        Those that are not prompted there are followed to it, together.
        """
        followed = [
            known.bank
            for known in self.objects.values()
            if frame_idx not in known.bank.conditioning
        ]
        if followed:
            recollections = [
                bank.recall(frame_idx, self.num_frames, model.config, reverse)
                for bank in followed
            ]
            found = tracking.follow(model, self.features[frame_idx], recollections)
            for bank, memory in zip(followed, found, strict=True):
                bank.tracked[frame_idx] = memory
        logits = []
        for known in self.objects.values():
            known.directions[frame_idx] = reverse
            found_here = known.bank.find(frame_idx)
            assert found_here is not None
            logits.append(found_here.logits)
        return torch.cat(logits)

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
