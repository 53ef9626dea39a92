"""Objects followed through a stack: a z-stack, a time-lapse, a video."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from sam2_core import masks, tracking, transforms
from sam2_core.errors import ImageError, PromptError
from sam2_core.features import FrameFeatures
from sam2_core.followed import FollowedObject, Start
from sam2_core.frames import open_frames
from sam2_core.inference import inference
from sam2_core.prompts import (
    SparsePrompt,
    check_frame_index,
    check_object_id,
    frame_prompt,
)
from sam2_core.results import FrameResult, PackedResult

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from sam2_core.memory import Memory
    from sam2_core.nn.sam2 import ImageFeatures, Sam2

__all__ = ["Direction", "FrameResult", "VideoSession"]

Direction = Literal["both", "forward", "backward"]


class VideoSession:
    """Prompts on any frames of a stack in, masks on all frames out.

    Frames are read and encoded one at a time, when they are needed. Objects may be
    added, corrected and removed at any time, also between two frames of a propagation.

    The masks of a frame depend on the prompts, not on the order they were given in or
    on how often :meth:`propagate` ran, with one exception: prompts on a frame that
    propagation has visited *correct* the mask found there. All prompted frames
    condition the tracking, so a correction stays (the original forgets corrections by
    default; `sam2_core.compat` does as the original).

    Parameters
    ----------
    model : Sam2
        From :func:`sam2_core.load_model`.
    frames : array, path, list or FrameSource
        The stack, as :func:`sam2_core.open_frames` takes it.
    value_range : tuple of float, optional
        Intensities to show as black and white, one pair for the whole stack.

    Raises
    ------
    ImageError
        If this is no stack.
    """

    def __init__(
        self,
        model: Sam2,
        frames: Any,
        value_range: tuple[float, float] | None = None,
    ) -> None:
        self.model = model
        self.frames = open_frames(frames, value_range)
        if len(self.frames) == 0:
            raise ImageError("The stack has no frames.")
        self._features = FrameFeatures(model, self.frames)
        self._objects: dict[int, FollowedObject] = {}

    @property
    def num_frames(self) -> int:
        """Length of the stack."""
        return len(self.frames)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of a frame."""
        height, width = self.frames.shape
        return height, width

    @property
    def object_ids(self) -> list[int]:
        """Objects that have prompts, in the order they were added."""
        return list(self._objects)

    @property
    def prompted_frames(self) -> dict[int, list[int]]:
        """Frames with prompts of each object, ascending."""
        return {i: sorted(known.prompts) for i, known in self._objects.items()}

    def frame_features(self, frame_index: int) -> ImageFeatures:
        """Encoder output of a frame, from the cache if it was seen lately."""
        return self._features[frame_index]

    # ------------------------------------------------------------------ prompts

    def add_prompts(
        self,
        frame_index: int,
        object_id: int,
        point_coords: ArrayLike | None = None,
        point_labels: ArrayLike | None = None,
        box: ArrayLike | None = None,
        mask: ArrayLike | None = None,
        clear_old: bool = True,
    ) -> FrameResult:
        """Say where an object is on a frame.

        Parameters
        ----------
        frame_index : int
            0 to ``num_frames`` - 1.
        object_id : int
            1 or more; a new id makes a new object.
        point_coords : array_like, optional
            (N, 2) points, x then y, in pixels; integers are pixel centres.
        point_labels : array_like, optional
            (N,) labels, 1 positive, 0 negative; all positive by default.
        box : array_like, optional
            (4,) box x0, y0, x1, y1 in pixels.
        mask : array_like, optional
            (H, W) mask of the object, taken as it is; instead of points and box.
        clear_old : bool
            Replace earlier prompts of the object on this frame. Otherwise points are
            added to them, and the mask found so far is refined.

        Returns
        -------
        FrameResult
            Masks of all objects prompted on this frame.

        Raises
        ------
        PromptError
            If there is no prompt, or frame, id or prompt make no sense.
        ImageError
            If the frame cannot be read.
        InferenceError
            If the model cannot run.
        """
        frame_index = check_frame_index(frame_index, self.num_frames)
        object_id = check_object_id(object_id)
        prompt = frame_prompt(point_coords, point_labels, box, mask, self.shape)
        known = self._objects.get(object_id) or FollowedObject()
        earlier = known.prompts.get(frame_index)
        previous = known.drafts.get(frame_index)
        if previous is None:
            previous = known.bank.conditioning.get(frame_index)
        if not clear_old and earlier is not None and isinstance(prompt, SparsePrompt):
            if prompt.has_box:
                raise PromptError(
                    "A box cannot be added to earlier prompts of the same frame: give "
                    "it together with the points, with clear_old=True."
                )
            if isinstance(earlier, SparsePrompt):
                prompt = earlier.followed_by(prompt)
        else:
            previous = None
        with inference():
            features = self._features[frame_index]
            start = known.starts.get(frame_index) or self._start(known, frame_index)
            logits = start.logits if previous is None else previous.logits
            draft = self._draft(known, frame_index, features, prompt, start, logits)
            # Nothing has changed so far, so that an error leaves all as it was.
            known.prompts[frame_index] = prompt
            known.starts[frame_index] = start
            known.drafts[frame_index] = draft
            self._objects[object_id] = known
            return self._result(frame_index, self._prompted(frame_index))

    def clear_prompts(self, frame_index: int, object_id: int) -> None:
        """Take an object's prompts on a frame back; with its last ones it is gone."""
        known = self._objects.get(object_id)
        if known is None:
            return
        known.forget_prompts(frame_index)
        if not known.prompts:
            del self._objects[object_id]

    def remove_object(self, object_id: int) -> None:
        """Forget an object; nothing happens if there is none of this id."""
        self._objects.pop(object_id, None)

    def reset(self) -> None:
        """Forget all objects; the stack stays open."""
        self._objects.clear()

    # ------------------------------------------------------------------ propagation

    def propagate(
        self,
        start: int | None = None,
        stop: int | None = None,
        direction: Direction = "both",
    ) -> Iterator[FrameResult]:
        """Follow every object from its first prompted frame.

        Parameters
        ----------
        start, stop : int, optional
            First and last frame to fill, both included; the whole stack by default.
            Frames between the prompts and this range are worked through silently.
        direction : {"both", "forward", "backward"}
            "forward" goes from an object's first prompted frame to ``stop``, "backward"
            from there to ``start``, "both" does one after the other.

        Returns
        -------
        iterator of FrameResult
            One per frame, prompted frames included, in the order they are done. A frame
            comes a second time only where "both" meets further objects on it, whose
            first prompt is on a later frame; the second result holds all of them. The
            caller may stop at any frame.

        Raises
        ------
        PromptError
            If nothing is prompted or the range or direction make no sense.
        """
        if direction not in ("both", "forward", "backward"):
            raise PromptError(
                f'The direction {direction!r} is unknown: use "both", "forward" or '
                '"backward".'
            )
        low = 0 if start is None else check_frame_index(start, self.num_frames)
        high = (
            self.num_frames - 1
            if stop is None
            else check_frame_index(stop, self.num_frames)
        )
        if low > high:
            raise PromptError(
                f"The range {low} to {high} is empty: start must not be after stop."
            )
        if not self._objects:
            raise PromptError(
                "There is nothing to propagate: add a prompt on some frame first."
            )
        return self._propagate(low, high, direction)

    def _propagate(
        self, low: int, high: int, direction: Direction
    ) -> Iterator[FrameResult]:
        swept = dict(self._objects)
        for known in swept.values():
            self._commit(known)
        firsts = [known.first for known in swept.values()]
        seen: dict[int, PackedResult] = {}
        if direction != "backward":
            yield from self._sweep(
                swept, range(min(firsts), high + 1), (low, high), seen, False
            )
        if direction != "forward":
            yield from self._sweep(
                swept, range(max(firsts), low - 1, -1), (low, high), seen, True
            )

    def _sweep(
        self,
        swept: dict[int, FollowedObject],
        frames: range,
        limits: tuple[int, int],
        seen: dict[int, PackedResult],
        reverse: bool,
    ) -> Iterator[FrameResult]:
        """One direction; ``seen`` hands results over from the first to the second."""
        last_first = max(known.first for known in swept.values())
        firsts = {object_id: known.first for object_id, known in swept.items()}
        for known in swept.values():
            known.bank.restart()
        for frame_index in frames:
            due = {
                object_id: known
                for object_id, known in swept.items()
                if self._objects.get(object_id) is known
                and known.bank.conditioning
                and (frame_index - firsts[object_id]) * (-1 if reverse else 1) >= 0
            }
            earlier = seen.pop(frame_index, None)
            if earlier is not None:
                # What the forward sweep began with need not be found again.
                due = {i: o for i, o in due.items() if i not in earlier.objects}
            if not due:
                continue
            with inference():
                found = {
                    object_id: self._step(known, frame_index, reverse)
                    for object_id, known in due.items()
                }
            if not limits[0] <= frame_index <= limits[1]:
                continue
            with inference():
                result = self._result(frame_index, found)
            if earlier is not None:
                result = earlier.merged(result, self._objects)
            if not reverse and frame_index <= last_first:
                seen[frame_index] = PackedResult.of(result)
            yield result

    def _step(self, known: FollowedObject, frame_index: int, reverse: bool) -> Memory:
        known.directions[frame_index] = reverse
        memory = known.bank.conditioning.get(frame_index)
        if memory is None:
            recollection = known.bank.recall(
                frame_index, self.num_frames, self.model.config, reverse
            )
            features = self._features[frame_index]
            memory = tracking.follow(self.model, features, recollection)
            known.bank.track(frame_index, memory)
        known.bank.forget(frame_index, self.model.config, reverse)
        return memory

    def _commit(self, known: FollowedObject) -> None:
        """Remember the prompted frames as their prompts stand."""
        for frame_index, draft in list(known.drafts.items()):
            with inference():
                features = self._features[frame_index]
                spatial = tracking.remember(self.model, features, draft, prompted=True)
            known.bank.condition(frame_index, replace(draft, spatial=spatial))
            del known.drafts[frame_index]

    # ------------------------------------------------------------------ helpers

    def _start(self, known: FollowedObject, frame_index: int) -> Start:
        if frame_index not in known.directions:
            return Start()
        logits = known.bank.logits(frame_index, self.model.device)
        return Start(logits, known.directions[frame_index])

    def _draft(
        self,
        known: FollowedObject,
        frame_index: int,
        features: ImageFeatures,
        prompt: SparsePrompt | NDArray[np.bool_],
        start: Start,
        previous: Tensor | None,
    ) -> Memory:
        model = self.model
        if not isinstance(prompt, SparsePrompt):
            found = tracking.segment_mask(model, features, prompt)
            return tracking.fill_holes(model, found)
        recollection = None
        if start.logits is not None:
            recollection = known.bank.recall(
                frame_index,
                self.num_frames,
                model.config,
                start.reverse,
                correcting=True,
            )
            if not recollection.spatial:
                recollection = None
        xy = transforms.points_to_input(
            prompt.point_xy, self.shape, model.config.image_size
        )
        found = tracking.segment(
            model,
            features,
            tracking.look(model, features, recollection),
            torch.from_numpy(xy).to(model.device),
            torch.from_numpy(prompt.labels).to(model.device),
            previous,
        )
        return tracking.fill_holes(model, found)

    def _prompted(self, frame_index: int) -> dict[int, Memory]:
        found = {}
        for object_id, known in self._objects.items():
            memory = known.drafts.get(frame_index)
            if memory is None:
                memory = known.bank.conditioning.get(frame_index)
            if memory is not None:
                found[object_id] = memory
        return found

    def _result(self, frame_index: int, found: dict[int, Memory]) -> FrameResult:
        logits = torch.cat([memory.logits for memory in found.values()])
        drawn = transforms.logits_to_image(logits, self.shape)
        if self.model.config.non_overlap_masks:
            drawn = masks.without_overlaps(drawn)
        planes = (drawn[:, 0] > 0).cpu().numpy()
        return FrameResult(
            frame_index,
            dict(zip(found, planes, strict=True)),
            {i: float(memory.iou) for i, memory in found.items()},
            {i: float(memory.object_score.sigmoid()) for i, memory in found.items()},
        )
