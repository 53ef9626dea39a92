"""``SAM2VideoPredictor`` with the calls, and the habits, of the ``sam2`` package.

:class:`sam2_core.VideoSession` is the better interface: it takes more kinds of stacks,
forgets what it no longer needs and lets corrections stick. This one keeps every frame's
memory and treats corrections as the original does. The bundled model answers and
follows with its close-ups.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from sam2_core import masks, transforms
from sam2_core.compat.stacks import open_stack
from sam2_core.compat.state import InferenceState
from sam2_core.errors import PromptError
from sam2_core.inference import inference
from sam2_core.nn.sam2 import NO_OBJECT_LOGIT, Sam2
from sam2_core.prompts import SparsePrompt, check_frame_index, sparse_prompt
from sam2_core.stacks import tracking
from sam2_core.stacks.followed import FollowedObject, Start

if TYPE_CHECKING:
    from collections.abc import Iterator


Output = tuple[int, list[int], Tensor]


class SAM2VideoPredictor:
    """Prompts on frames in, masks through the video out.

    Anything else (``state_dict``, ``load_state_dict``, ``device``, ...) is passed on to
    the network.

    Parameters
    ----------
    model : Sam2
        From :func:`sam2_core.compat.build_sam2_video_predictor`.
    """

    def __init__(self, model: Sam2) -> None:
        self.model = model

    def __getattr__(self, name: str) -> Any:
        if name == "model":
            raise AttributeError(name)
        return getattr(self.model, name)

    @classmethod
    def from_pretrained(cls, model_id: str, **kwargs: Any) -> SAM2VideoPredictor:
        """Build from a model id such as "facebook/sam2.1-hiera-tiny", found locally."""
        from sam2_core.compat.build import build_sam2_video_predictor_hf

        return build_sam2_video_predictor_hf(model_id, **kwargs)

    def to(self, *args: Any, **kwargs: Any) -> SAM2VideoPredictor:
        """Move the network."""
        self.model.to(*args, **kwargs)
        return self

    def eval(self) -> SAM2VideoPredictor:
        """Put the network in evaluation mode."""
        self.model.eval()
        return self

    @property
    def image_size(self) -> int:
        """Side of the network input."""
        return self.model.config.image_size

    # ------------------------------------------------------------------ the calls

    def init_state(
        self,
        video_path: Any,
        offload_video_to_cpu: bool = False,
        offload_state_to_cpu: bool = False,
        async_loading_frames: bool = False,
    ) -> InferenceState:
        """Open a video.

        Parameters
        ----------
        video_path : path or array
            A folder of JPEG or PNG frames, a video file, or a (T, H, W, 3) uint8 array.
        offload_video_to_cpu, offload_state_to_cpu, async_loading_frames : bool
            Accepted and ignored: frames are read when needed and never kept.

        Raises
        ------
        ImageError
            If there are no frames.
        """
        state = InferenceState(self.model, open_stack(video_path))
        if state.close_ups is None:
            with inference():
                state.features[0]
        return state

    def add_new_points_or_box(
        self,
        inference_state: InferenceState,
        frame_idx: int,
        obj_id: int,
        points: Any = None,
        labels: Any = None,
        clear_old_points: bool = True,
        normalize_coords: bool = True,
        box: Any = None,
    ) -> Output:
        """Prompt an object on a frame with points or a box.

        Parameters
        ----------
        inference_state : InferenceState
            From :meth:`init_state`.
        frame_idx, obj_id : int
            Frame and object; a new id makes a new object.
        points, labels : array_like, optional
            (N, 2) xy in pixels and (N,) labels 1 and 0.
        clear_old_points : bool
            Replace earlier points on the frame instead of adding to them.
        normalize_coords : bool
            False if coordinates are given in [0, 1].
        box : array_like, optional
            x0, y0, x1, y1.

        Returns
        -------
        tuple
            Frame index, object ids and (N, 1, H, W) logits of all objects.

        Raises
        ------
        PromptError
            If the prompt is malformed.
        """
        if (points is None) != (labels is None):
            raise PromptError("Points and labels must be given together.")
        if points is None and box is None:
            raise PromptError("There is no prompt: give points or a box.")
        if box is not None and not clear_old_points:
            raise PromptError(
                "A box comes before all points: it cannot be added to old points, use "
                "clear_old_points=True."
            )
        prompt = sparse_prompt(
            _array(points), _array(labels), _array(box), low_level=True
        )
        if prompt is None or len(prompt) != 1:
            raise PromptError("Prompt one object at a time with at least one point.")
        check_frame_index(frame_idx, inference_state.num_frames)
        hw = inference_state.frames.shape if normalize_coords else (1, 1)
        prompt = inference_state.placed(self.model, prompt, hw)
        known = inference_state.object(obj_id)
        earlier = known.prompts.get(frame_idx)
        if not clear_old_points and isinstance(earlier, SparsePrompt):
            prompt = earlier.followed_by(prompt)
        known.prompts[frame_idx] = prompt
        first = known.is_first(frame_idx)
        conditioning = first or self.model.config.all_corrections_condition
        latest = known.latest(frame_idx, conditioning)
        close_ups = inference_state.close_ups
        with inference():
            if close_ups is not None:
                # Points that replace all others say by themselves what is meant.
                seen = None if first and clear_old_points else latest
                known.drafts[conditioning][frame_idx] = close_ups.prompted(
                    FollowedObject(), frame_idx, prompt, Start(), seen
                )
                return self._consolidated(inference_state, frame_idx, conditioning)
            features = inference_state.features[frame_idx]
            remembered = []
            if not first:
                recollection = known.bank.recall(
                    frame_idx,
                    inference_state.num_frames,
                    self.model.config,
                    known.directions[frame_idx],
                )
                remembered = [recollection]
            found = tracking.segment(
                self.model,
                features,
                tracking.look(self.model, features, remembered),
                torch.from_numpy(prompt.point_xy).to(self.model.device),
                torch.from_numpy(prompt.labels).to(self.model.device),
                None if latest is None else latest.logits,
            )
            known.drafts[conditioning][frame_idx] = tracking.fill_holes(
                self.model, found
            )
            return self._consolidated(inference_state, frame_idx, conditioning)

    add_new_points = add_new_points_or_box

    def add_new_mask(
        self, inference_state: InferenceState, frame_idx: int, obj_id: int, mask: Any
    ) -> Output:
        """Give an object's mask on a frame, (h, w) bool of any size."""
        mask_hw = np.asarray(_array(mask)).astype(bool)
        if mask_hw.ndim != 2 or mask_hw.size == 0:
            raise PromptError(
                f"The mask has shape {mask_hw.shape} but must be (height, width)."
            )
        check_frame_index(frame_idx, inference_state.num_frames)
        known = inference_state.object(obj_id)
        known.prompts[frame_idx] = mask_hw
        first = known.is_first(frame_idx)
        conditioning = first or self.model.config.all_corrections_condition
        close_ups = inference_state.close_ups
        with inference():
            if close_ups is None:
                features = inference_state.features[frame_idx]
                found = tracking.segment_mask(self.model, features, mask_hw)
                found = tracking.fill_holes(self.model, found)
            else:
                found = close_ups.prompted(
                    FollowedObject(), frame_idx, mask_hw, Start(), None
                )
            known.drafts[conditioning][frame_idx] = found
            return self._consolidated(inference_state, frame_idx, conditioning)

    def propagate_in_video(
        self,
        inference_state: InferenceState,
        start_frame_idx: int | None = None,
        max_frame_num_to_track: int | None = None,
        reverse: bool = False,
    ) -> Iterator[Output]:
        """Follow all objects through the video.

        Parameters
        ----------
        inference_state : InferenceState
            From :meth:`init_state`.
        start_frame_idx : int, optional
            First frame; the earliest prompted one by default.
        max_frame_num_to_track : int, optional
            Frames to go on after the first; to the end by default.
        reverse : bool
            Go back in time.

        Yields
        ------
        tuple
            Frame index, object ids and (N, 1, H, W) logits.

        Raises
        ------
        PromptError
            If an object has no prompt.
        """
        state = inference_state
        self.propagate_in_video_preflight(state)
        start = start_frame_idx
        if start is None:
            start = min(
                t for known in state.objects.values() for t in known.bank.conditioning
            )
        span = (
            state.num_frames
            if max_frame_num_to_track is None
            else max_frame_num_to_track
        )
        if reverse:
            order = (
                range(start, max(start - span, 0) - 1, -1) if start > 0 else range(0)
            )
        else:
            order = range(start, min(start + span, state.num_frames - 1) + 1)
        for frame_idx in order:
            with inference():
                logits = state.follow(self.model, frame_idx, reverse)
                drawn = self._draw(state, logits)
            yield frame_idx, state.obj_ids, drawn

    def propagate_in_video_preflight(self, inference_state: InferenceState) -> None:
        """Turn the results of new prompts into memories."""
        if not inference_state.objects:
            raise PromptError("No object is prompted: add points or a mask first.")
        for obj_id, known in inference_state.objects.items():
            for conditioning, drafts in known.drafts.items():
                for frame_idx, draft in drafts.items():
                    bank = known.bank
                    store = bank.conditioning if conditioning else bank.tracked
                    store[frame_idx] = inference_state.remembered(
                        self.model, frame_idx, draft
                    )
                drafts.clear()
            if not known.bank.conditioning:
                raise PromptError(
                    f"Object {obj_id} has no prompt: add points or a mask first."
                )
            for frame_idx in known.bank.conditioning:
                known.bank.tracked.pop(frame_idx, None)

    def clear_all_prompts_in_frame(
        self,
        inference_state: InferenceState,
        frame_idx: int,
        obj_id: int,
        need_output: bool = True,
    ) -> Output | None:
        """Remove an object's prompts on a frame; returns as prompts do."""
        known = inference_state.object(obj_id)
        known.prompts.pop(frame_idx, None)
        for drafts in known.drafts.values():
            drafts.pop(frame_idx, None)
        memory = known.bank.conditioning.pop(frame_idx, None)
        if memory is not None:
            known.bank.tracked[frame_idx] = memory
            known.directions.pop(frame_idx, None)
        return self._updated(inference_state, frame_idx) if need_output else None

    def remove_object(
        self,
        inference_state: InferenceState,
        obj_id: int,
        strict: bool = False,
        need_output: bool = True,
    ) -> tuple[list[int], list[tuple[int, Tensor]]]:
        """Remove an object.

        Returns
        -------
        tuple
            The ids left, and (frame index, logits) of the frames it was prompted on.

        Raises
        ------
        PromptError
            If there is no such object and ``strict`` is set.
        """
        objects = inference_state.objects
        if obj_id not in objects:
            if strict:
                raise PromptError(
                    f"There is no object {obj_id} to remove: the objects are "
                    f"{list(objects)}."
                )
            return inference_state.obj_ids, []
        prompted = set(objects.pop(obj_id).prompts)
        if not objects:
            self.reset_state(inference_state)
            return [], []
        updated = []
        for frame_idx in prompted if need_output else ():
            updated.append((frame_idx, self._updated(inference_state, frame_idx)[2]))
        return inference_state.obj_ids, updated

    def reset_state(self, inference_state: InferenceState) -> None:
        """Forget all objects; the video stays open."""
        inference_state.objects.clear()

    # ------------------------------------------------------------------ inside

    def _updated(self, state: InferenceState, frame_idx: int) -> Output:
        conditioning = any(
            frame_idx in known.drafts[True] for known in state.objects.values()
        )
        with inference():
            return self._consolidated(state, frame_idx, conditioning)

    def _consolidated(
        self, state: InferenceState, frame_idx: int, conditioning: bool
    ) -> Output:
        """All objects on a frame; one unknown there is absent."""
        height, width = state.frames.shape
        rows = []
        for known in state.objects.values():
            latest = known.latest(frame_idx, conditioning)
            if latest is None:
                shape = (1, 1, height, width)
                rows.append(
                    torch.full(shape, NO_OBJECT_LOGIT, device=self.model.device)
                )
            else:
                logits = state.logits(latest)
                rows.append(transforms.logits_to_image(logits, (height, width)))
        return frame_idx, state.obj_ids, self._draw(state, torch.cat(rows))

    def _draw(self, state: InferenceState, logits: Tensor) -> Tensor:
        drawn = transforms.logits_to_image(logits, state.frames.shape)
        if self.model.config.non_overlap_masks:
            drawn = masks.without_overlaps(drawn)
        return drawn


def _array(value: Any) -> Any:
    return value.detach().cpu().numpy() if isinstance(value, Tensor) else value
