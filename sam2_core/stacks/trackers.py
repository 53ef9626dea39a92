"""How a session finds objects: from a prompt on a frame, and from frame to frame."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import torch

from sam2_core import transforms
from sam2_core.memory import logits_of
from sam2_core.prompts import SparsePrompt
from sam2_core.stacks import tracking
from sam2_core.stacks.results import draw_masks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from sam2_core.memory import Memory, MemoryBank, Outline
    from sam2_core.packed import PackedMasks
    from sam2_core.stacks.features import FeatureCache
    from sam2_core.stacks.followed import FollowedObject, Start


class Tracker(Protocol):
    """What :class:`sam2_core.VideoSession` and its propagation rely on.

    Attributes
    ----------
    nearest : bool
        Whether a frame is found from one prompt beside it, by :meth:`reach`; otherwise
        all prompts tell of every frame, and objects are followed from the first one.
    """

    nearest: bool

    def prompted(
        self,
        known: FollowedObject,
        frame_index: int,
        prompt: SparsePrompt | NDArray[np.bool_],
        start: Start,
        previous: Memory | Outline | None,
    ) -> Memory:
        """An object as its prompts on a frame say.

        Parameters
        ----------
        known : FollowedObject
            The object, as far as it is known.
        frame_index : int
            Which frame.
        prompt : SparsePrompt or ndarray
            Of one object, in pixels of the frame, or its (H, W) bool mask.
        start : Start
            What the prompts of the frame work on.
        previous : Memory or Outline, optional
            The mask there so far.
        """

    def final(self, frame_index: int, draft: Memory) -> Memory:
        """The same once the prompts of the frame are final, ready to be followed."""

    def reach(self, memory: Memory) -> float:
        """How far a prompted frame tells of others, compared with the next one."""

    def follow(
        self, banks: Sequence[MemoryBank], frame_index: int, reverse: bool
    ) -> list[Memory]:
        """Objects on a frame, from what each of them remembers."""

    def draw(self, found: Mapping[int, Memory | Outline]) -> PackedMasks:
        """Masks at the size of the frame, by object id."""


class MemoryTracker:
    """SAM 2's own way: every frame is read in the light of the object's memories.

    Parameters
    ----------
    features : FeatureCache
        The encoded frames, with the network.
    """

    nearest = False

    def __init__(self, features: FeatureCache) -> None:
        self.features = features
        self.model = features.model
        self.num_frames = len(features.frames)
        height, width = features.frames.shape
        self.shape = (height, width)

    def prompted(
        self,
        known: FollowedObject,
        frame_index: int,
        prompt: SparsePrompt | NDArray[np.bool_],
        start: Start,
        previous: Memory | Outline | None,
    ) -> Memory:
        """See :class:`Tracker`."""
        model, features = self.model, self.features[frame_index]
        if not isinstance(prompt, SparsePrompt):
            found = tracking.segment_mask(model, features, prompt)
            return tracking.fill_holes(model, found)
        remembered = []
        if start.seen is not None:
            recollection = known.bank.recall(
                frame_index,
                self.num_frames,
                model.config,
                start.reverse,
                correcting=True,
            )
            if recollection.spatial:
                remembered = [recollection]
        xy = transforms.points_to_input(
            prompt.point_xy, self.shape, model.config.image_size
        )
        found = tracking.segment(
            model,
            features,
            tracking.look(model, features, remembered),
            torch.from_numpy(xy).to(model.device),
            torch.from_numpy(prompt.labels).to(model.device),
            None if previous is None else logits_of(previous, model.device),
        )
        return tracking.fill_holes(model, found)

    def final(self, frame_index: int, draft: Memory) -> Memory:
        """With spatial memory."""
        features = self.features[frame_index]
        spatial = tracking.remember(self.model, features, draft, prompted=True)
        return replace(draft, spatial=spatial)

    def reach(self, memory: Memory) -> float:
        """Alike for all."""
        return 1.0

    def follow(
        self, banks: Sequence[MemoryBank], frame_index: int, reverse: bool
    ) -> list[Memory]:
        """See :class:`Tracker`."""
        recollections = [
            bank.recall(frame_index, self.num_frames, self.model.config, reverse)
            for bank in banks
        ]
        return tracking.follow(self.model, self.features[frame_index], recollections)

    def draw(self, found: Mapping[int, Memory | Outline]) -> PackedMasks:
        """See :class:`Tracker`."""
        device = self.model.device
        known = {i: logits_of(seen, device)[0, 0] for i, seen in found.items()}
        logits = {i: plane.cpu().numpy() for i, plane in known.items()}
        return draw_masks(logits, self.shape, self.model.config.non_overlap_masks)
