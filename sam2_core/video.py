"""Objects followed through a stack: a z-stack, a time-lapse, a video."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from sam2_core.errors import ImageError, PromptError
from sam2_core.frames import open_frames
from sam2_core.inference import inference
from sam2_core.packed import PackedMask
from sam2_core.presets import with_preset
from sam2_core.prompts import (
    SparsePrompt,
    check_frame_index,
    check_object_id,
    frame_prompt,
    mask_prompt,
)
from sam2_core.stacks.close_tracker import CloseTracker
from sam2_core.stacks.features import FeatureCache
from sam2_core.stacks.followed import FollowedObject, SomeObjects
from sam2_core.stacks.local_tracker import LocalTracker
from sam2_core.stacks.propagation import Course, Propagation
from sam2_core.stacks.results import FrameResult
from sam2_core.stacks.starts import start_of
from sam2_core.stacks.trackers import MemoryTracker, Tracker

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Collection, Iterator, Mapping

    from numpy.typing import ArrayLike

    from sam2_core.closeups.closeups import CloseUps
    from sam2_core.memory import Memory
    from sam2_core.nn.sam2 import ImageFeatures, Sam2

__all__ = ["Direction", "FrameResult", "Scope", "VideoSession"]

Direction = Literal["both", "forward", "backward"]
Scope = Literal["global", "local"]


class VideoSession:
    """Prompts on any frames of a stack in, masks on all frames out.

    Frames are read and encoded one at a time, when they are needed. Objects may be
    added, corrected and removed at any time, also between two frames of a propagation.

    The masks of a frame depend on the prompts, not on the order they were given in or
    on how often :meth:`propagate` ran, with one exception: prompts on a frame that
    propagation has visited *correct* the mask found there, or the one that is said to
    be shown. All prompted frames condition the tracking, so a correction stays (the
    original forgets corrections by default; `sam2_core.compat` does as the original).

    Parameters
    ----------
    model : Sam2
        From :func:`sam2_core.load_model`.
    frames : array, path, list or FrameSource
        The stack, as :func:`sam2_core.open_frames` takes it.
    value_range : tuple of float, optional
        Intensities to show as black and white, one pair for the whole stack.
    cache_bytes : int, optional
        How many bytes of encoded frames to keep. A frame that is kept need not be
        encoded again for a click, a correction, the second direction or another
        propagation. Default: an eighth of the memory that is free where the model runs.
        Everything else a session keeps hardly grows with the length of the stack.
    preset : {"best", "balanced", "fast"}, optional
        How large frames are seen and how much is remembered of them, from the table
        :data:`sam2_core.presets.PRESETS`; as the model says by default. The bundled
        model follows objects in close-ups, which no preset changes.
    scope : {"global", "local"}
        "global" looks for every object in the whole frame. "local" looks for small ones
        in a window around where they were on the frame before, larger where they reach
        its border, and in the whole frame where they are lost: approximate, and much
        faster with many objects. The bundled model follows in close-ups, which are
        local anyway: no scope changes them.
    spill : path-like, optional
        Folder on a fast disk for encoded frames that ``cache_bytes`` has no room for;
        they are read back, exactly as they were, instead of encoded again. A subfolder
        is made in it, and removed when the session is no longer used. A disk that is
        full or fails is a warning, and frames are encoded again from then on.
    spill_bytes : int, optional
        How many bytes to keep there, the latest frames; half of the free space by
        default.

    Raises
    ------
    ImageError
        If this is no stack.
    PromptError
        If ``cache_bytes`` or ``spill_bytes`` is negative, or there is no such preset or
        scope.
    """

    def __init__(
        self,
        model: Sam2,
        frames: Any,
        value_range: tuple[float, float] | None = None,
        cache_bytes: int | None = None,
        preset: str | None = None,
        scope: Scope = "global",
        spill: str | os.PathLike[str] | None = None,
        spill_bytes: int | None = None,
    ) -> None:
        budgets = {"cache_bytes": cache_bytes, "spill_bytes": spill_bytes}
        for name, budget in budgets.items():
            if budget is not None and budget < 0:
                raise PromptError(f"{name} is {budget}: give 0 or more bytes, or None.")
        if scope not in ("global", "local"):
            raise PromptError(
                f'The scope {scope!r} is unknown: use "global" or "local".'
            )
        if preset is not None:
            model = with_preset(model, preset)
        self.model = model
        self.frames = open_frames(frames, value_range)
        if len(self.frames) == 0:
            raise ImageError("The stack has no frames.")
        self._features = FeatureCache(
            model, self.frames, cache_bytes, spill, spill_bytes
        )
        self._tracker: Tracker
        if model.closeup is not None:
            self._tracker = CloseTracker(model.closeup, self.frames, model.config)
        elif scope == "local":
            self._tracker = LocalTracker(self._features)
        else:
            self._tracker = MemoryTracker(self._features)
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
    def cache_bytes(self) -> int:
        """Byte budget of the encoded frames that are kept; may be set at any time."""
        return self._features.cache_bytes

    @cache_bytes.setter
    def cache_bytes(self, value: int) -> None:
        self._features.cache_bytes = value

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

    def closeups(self, frame_index: int) -> CloseUps | None:
        """Close-ups of a frame; None where the model has none."""
        tracker = self._tracker
        return tracker[frame_index] if isinstance(tracker, CloseTracker) else None

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
        shown: ArrayLike | None = None,
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
            (4,) box x0, y0, x1, y1 in pixels. With `sam2_nano` it replaces a mask found
            by propagation that it does not fit.
        mask : array_like, optional
            (H, W) mask of the object, taken as it is; instead of points and box.
        clear_old : bool
            Replace earlier prompts of the object on this frame. Otherwise points are
            added to them, and the mask found so far is refined.
        shown : array_like, optional
            (H, W) mask that the object is shown with on this frame, before its first
            prompts there: these correct it, or stand alone if it is empty. By default
            the mask that propagation found.

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
        before = None if shown is None else mask_prompt(shown, self.shape)
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
            start = start_of(self._tracker, known, frame_index, before)
            seen = previous or start.seen
            draft = self._tracker.prompted(known, frame_index, prompt, start, seen)
            # Nothing has changed so far, so that an error leaves all as it was.
            known.prompts[frame_index] = prompt
            known.change(frame_index)
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
        only_changed: bool = False,
        object_ids: Collection[int] | None = None,
        around: int | None = None,
        ended: Callable[[FrameResult], bool | Collection[int]] | None = None,
        absent: Callable[[int, bool], Collection[int]] | None = None,
        passed: bool = False,
    ) -> Iterator[FrameResult]:
        """Follow every object from its first prompted frame.

        Parameters
        ----------
        start, stop : int, optional
            First and last frame to fill, both included; the whole stack by default.
            Frames between the prompts and this range are worked through silently,
            unless ``passed``.
        direction : {"both", "forward", "backward"}
            "forward" goes from an object's first prompted frame to ``stop``, "backward"
            to ``start`` from there, or from the last one unless "forward" has found
            what is between, "both" does one after the other, or both in turns
            (``around``).
        only_changed : bool
            Do only what prompts have changed since they were last carried in a
            direction: each object on its own goes outward from the frames whose prompts
            are new, corrected or cleared, and rests once three masks in a row have an
            IoU above 0.99 with the ones found before. New objects go all the way.
            Results hold the objects that were followed again, frames without any do not
            come. Masks close to a correction may differ a little from those of a
            complete run, which reads memories that are forgotten by then.
        object_ids : collection of int, optional
            Follow these objects alone; of the others nothing is found or forgotten.
        around : int, optional
            The frame that is wanted first, for example the one on screen. "both" then
            takes turns: the next frame is done forward or backward, whichever is
            nearer to this one, forward if both are as near. Frames between it and the
            prompts have to be worked through. The masks are those of one direction
            after the other. With ``only_changed``, objects that have changed on several
            frames go forward past these first, except with close-ups.
        ended : callable, optional
            Asked with each result, after the caller has had it, whether the direction
            it was found in (``result.reverse``) may end there, or which objects are
            not to be followed any further in it.
        absent : callable, optional
            Asked with each frame, and whether it was come to on the way back, which
            objects are not on it. They are followed over it, but their masks are empty
            there and take no pixels from others.
        passed : bool
            Have a result, without masks, of each frame between the prompts and the
            range as well, so that the caller may stop there.

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
            If nothing is prompted, or range, direction or objects make no sense.
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
        objects: Mapping[int, FollowedObject] = self._objects
        if object_ids is not None:
            objects = SomeObjects(self._objects, object_ids)
        if around is not None:
            around = check_frame_index(around, self.num_frames)
        course = Course(low, high, direction, around, ended, absent, passed)
        run = Propagation(self.model, self._tracker, objects, self._result)
        return run.changes(course) if only_changed else run.everything(course)

    # ------------------------------------------------------------------ helpers

    def _prompted(self, frame_index: int) -> dict[int, Memory]:
        found = {}
        for object_id, known in self._objects.items():
            memory = known.drafts.get(frame_index)
            if memory is None:
                memory = known.bank.conditioning.get(frame_index)
            if memory is not None:
                found[object_id] = memory
        return found

    def _result(
        self, frame_index: int, found: dict[int, Memory], absent: Collection[int] = ()
    ) -> FrameResult:
        there = {i: memory for i, memory in found.items() if i not in absent}
        masks = self._tracker.draw(there)
        masks.packed |= {i: PackedMask.empty() for i in found.keys() - there.keys()}
        return FrameResult(
            frame_index,
            masks,
            {i: float(memory.iou) for i, memory in found.items()},
            {i: float(memory.object_score.sigmoid()) for i, memory in found.items()},
        )
