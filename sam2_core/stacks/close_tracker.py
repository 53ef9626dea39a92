"""Objects followed through a stack by close-ups, each in its own window."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from sam2_core.closeups.answers import Answer
from sam2_core.closeups.close_following import TURNS, follow
from sam2_core.closeups.closeups import CloseUps
from sam2_core.closeups.pictures import is_blank, picture_of
from sam2_core.closeups.portraits import Portrait
from sam2_core.closeups.questions import window_of_mask
from sam2_core.closeups.redetection import redetected
from sam2_core.closeups.windows import paste
from sam2_core.memory import Memory, Outline, logits_of
from sam2_core.prompts import POSITIVE, SparsePrompt, box_fits
from sam2_core.stacks.results import join_parts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from sam2_core.closeups.windows import Window
    from sam2_core.config import ModelConfig
    from sam2_core.frames import FrameSource
    from sam2_core.memory import MemoryBank
    from sam2_core.nn.closeup import CloseUp
    from sam2_core.packed import PackedMasks
    from sam2_core.stacks.followed import FollowedObject, Start

PATIENCE = 4  # frames for which an object that was lost is looked for
# Both directions look back as far as that.
KEPT_FRAMES = 2 * (PATIENCE + 1)
# An object that is followed over many doubtful frames is likely to be another one by
# now, so each frame's log-probability of presence is added to this share of the sum so
# far; it counts as there while the sum is above log(PRESENT). On `data/dev` that drops
# a third of the masks where objects are absent and a few of a hundred where they are;
# higher values drop more of both.
CARRIED, PRESENT = 0.9, 0.3
LEAST, UNSEEN = 1e-4, 1e-3
SURE = 4.0  # logit of an object that has never been in doubt
# Whoever clicks so many widths of a followed mask away from it points at a cell that
# was lost on the way. First clicks on followed frames of `data/train` then find masks
# of 0.80 instead of 0.78; on `data/dev` none is as far. From three on branches suffer.
FAR = 6.0
CERTAIN = 10.0  # logit of a mask that was given, and of objects that are not there


@dataclass(frozen=True)
class CloseMemory(Memory):
    """One object on one frame, as a close-up saw it.

    Attributes
    ----------
    answer : Answer, optional
        The mask; of an absent object where it was last seen. None once forgotten.
    seen_on : int
        Frame of ``answer``.
    blanks : int
        Frames since then on which nothing at all was to be seen.
    frame_hw : tuple of int
        Height and width of the frames.
    trust : float
        Decaying sum of the log-probabilities of presence since the last prompt.
    portrait : Portrait, optional
        Of the object on a frame with a prompt.
    """

    answer: Answer | None = None
    seen_on: int = 0
    blanks: int = 0
    frame_hw: tuple[int, int] = (0, 0)
    trust: float = 0.0
    portrait: Portrait | None = None

    @property
    def there(self) -> bool:
        """Whether anything of the object is seen, however small."""
        mask = self.logits if self.answer is None else self.answer.logits
        return bool((self.object_score > 0).all() and (mask > 0).any())

    def shrunk(self) -> CloseMemory:
        """Without anything large."""
        return replace(self, logits=self.logits[..., :0, :0], answer=None)

    def outline(self) -> Outline:
        """The mask in its window: the whole frame is too coarse for small objects."""
        if self.answer is None or not self.there:
            return Outline.of(self.logits)
        packed = Outline.of(self.answer.logits)
        size = self.logits.shape[-1]
        return CloseOutline(
            packed.bits, packed.shape, self.answer.window, self.frame_hw, size
        )


@dataclass(frozen=True)
class CloseOutline(Outline):
    """A mask packed in its window, where a small object is as sharp as a large one.

    Attributes
    ----------
    window : Window
        Where it is.
    frame_hw : tuple of int
        Height and width of the frame.
    size : int
        Side of its low-resolution logits over the whole frame.
    """

    window: Window
    frame_hw: tuple[int, int]
    size: int

    def answer(self, device: torch.device) -> Answer:
        """The mask in its window."""
        return Answer(self.window, super().logits(device), 1.0, 1.0)

    def logits(self, device: torch.device) -> Tensor:
        """(1, 1, size, size) over the whole frame."""
        return self.answer(device).over(self.frame_hw, self.size)[None, None]


class CloseTracker:
    """Answers prompts on the frames of a stack, and follows what was found.

    Parameters
    ----------
    network : CloseUp
        Of the model.
    frames : FrameSource
        The stack.
    config : ModelConfig
        Of the model.
    """

    nearest = True

    def __init__(
        self, network: CloseUp, frames: FrameSource, config: ModelConfig
    ) -> None:
        self.network = network
        self.frames = frames
        self.config = config
        self._kept: OrderedDict[int, CloseUps] = OrderedDict()

    def __getitem__(self, frame_index: int) -> CloseUps:
        """Close-ups of a frame; those of the last few are kept."""
        if frame_index not in self._kept:
            device = self.network.stem.weight.device
            picture = picture_of(self.frames, frame_index, device)
            self._kept[frame_index] = CloseUps(self.network, picture)
            if len(self._kept) > KEPT_FRAMES:
                self._kept.popitem(last=False)
        self._kept.move_to_end(frame_index)
        return self._kept[frame_index]

    def prompted(
        self,
        known: FollowedObject,
        frame_index: int,
        prompt: SparsePrompt | NDArray[np.bool_],
        start: Start,
        previous: Memory | Outline | None,
    ) -> CloseMemory:
        """See :class:`sam2_core.stacks.trackers.Tracker`."""
        close = self[frame_index]
        if not isinstance(prompt, SparsePrompt):
            logits = np.where(prompt, CERTAIN, -CERTAIN).astype(np.float32)[None]
            given = close.from_logits(logits)
            answers = [] if given is None else [replace(given, score=1.0)]
        else:
            earlier = None if previous is None else self._answer(previous, close)
            if previous is start.seen and not _is_meant(earlier, prompt):
                earlier = None  # the prompt says where the object is instead
            answers = close.answers(prompt.point_xy[0], prompt.labels[0], earlier)
        if not answers:
            return self._memory(close.nothing(), frame_index, -CERTAIN)
        # Whoever prompts an object says that it is there.
        memory = self._memory(answers[0], frame_index, CERTAIN)
        if not memory.there:
            return memory
        window = window_of_mask(answers[0], close.hw)
        return replace(memory, portrait=Portrait.of(close.image, answers[0], window))

    def final(self, frame_index: int, draft: Memory) -> Memory:
        """Nothing is missing."""
        return draft

    def reach(self, memory: Memory) -> float:
        """The object's width there, in pixels.

        Small masks, most of them at the ends of objects, are the less sure ones.
        """
        assert isinstance(memory, CloseMemory)
        assert memory.answer is not None
        return math.sqrt(memory.answer.area)

    def follow(
        self, banks: Sequence[MemoryBank], frame_index: int, reverse: bool
    ) -> list[Memory]:
        """See :class:`sam2_core.stacks.trackers.Tracker`."""
        neighbour = frame_index + (1 if reverse else -1)
        before = [self._last(bank, neighbour) for bank in banks]
        found: dict[int, Memory] = {
            row: self._absent(memory, _trust(memory, 0.0))
            for row, memory in enumerate(before)
            if memory.answer is None
            or abs(frame_index - memory.seen_on) - memory.blanks > PATIENCE
        }
        looked_for = [memory for row, memory in enumerate(before) if row not in found]
        if looked_for and self._is_blank(frame_index, looked_for[0]):
            return [
                found.get(row)
                or self._absent(replace(memory, blanks=memory.blanks + 1), memory.trust)
                for row, memory in enumerate(before)
            ]
        alike: dict[int, list[int]] = {}
        for row, memory in enumerate(before):
            if row not in found:
                alike.setdefault(memory.seen_on, []).append(row)
        for seen_on, rows in alike.items():
            known = [a for row in rows if (a := before[row].answer) is not None]
            portraits = [_portrait(banks[row], frame_index, reverse) for row in rows]
            now = self[frame_index]
            answers = follow(self[seen_on], now, known, portraits, frame_index % TURNS)
            answers = redetected(now, known, answers)
            for row, answer in zip(rows, answers, strict=True):
                trust = _trust(before[row], answer.present)
                score = _object_score(trust)
                if score > 0 and bool((answer.logits > 0).any()):
                    found[row] = self._memory(answer, frame_index, score, trust)
                else:
                    found[row] = self._absent(before[row], trust)
        return [found[row] for row in range(len(before))]

    def _is_blank(self, frame_index: int, memory: CloseMemory) -> bool:
        """Whether a frame shows nothing, which says nothing of the objects."""
        assert memory.answer is not None
        picture = self[frame_index].image
        x0, x1, y0, y1 = memory.answer.window.pixels(self.frames.shape)
        return is_blank(picture, (slice(y0, y1), slice(x0, x1)))

    def _last(self, bank: MemoryBank, frame_index: int) -> CloseMemory:
        """The object on a frame it has been on, from its outline if need be."""
        memory = bank.find(frame_index)
        if isinstance(memory, CloseMemory) and memory.answer is not None:
            return memory
        close, seen = self[frame_index], bank.seen(frame_index)
        given = None if seen is None else self._answer(seen, close)
        if given is None:
            return self._memory(close.nothing(), frame_index - PATIENCE, -CERTAIN)
        return self._memory(given, frame_index, CERTAIN)

    def _answer(self, seen: Memory | Outline, close: CloseUps) -> Answer | None:
        """A mask that is remembered, in its window; None where nothing was seen."""
        device = close.image.device
        if isinstance(seen, CloseOutline):
            return seen.answer(device)
        if isinstance(seen, CloseMemory) and seen.answer is not None:
            return seen.answer if seen.there else None
        return close.from_logits(logits_of(seen, device)[0].float().cpu().numpy())

    def draw(self, found: Mapping[int, Memory | Outline]) -> PackedMasks:
        """See :class:`sam2_core.stacks.trackers.Tracker`."""
        parts = {}
        height, width = self.frames.shape
        for object_id, seen in found.items():
            part, top, left = np.zeros((0, 0), np.float32), 0, 0
            answer = self._drawn(seen)
            if answer is not None:
                drawn, (rows, columns) = paste(
                    answer.logits[None], answer.window, (height, width)
                )
                part, top, left = drawn[0].cpu().numpy(), rows.start, columns.start
            parts[object_id] = (part, top, left)
        return join_parts(parts, (height, width), self.config.non_overlap_masks)

    def _drawn(self, seen: Memory | Outline) -> Answer | None:
        """The mask to be drawn; None where the object is not."""
        if isinstance(seen, CloseOutline):
            return seen.answer(self.network.stem.weight.device)
        if isinstance(seen, CloseMemory) and bool(seen.object_score > 0):
            return seen.answer
        return None

    def _memory(
        self, answer: Answer, seen_on: int, object_score: float, trust: float = 0.0
    ) -> CloseMemory:
        logits = answer.logits
        return CloseMemory(
            logits=answer.over(self.frames.shape, self.config.low_res_size)[None, None],
            iou=logits.new_tensor([answer.score]),
            object_score=logits.new_tensor([[object_score]]),
            pointer=logits.new_zeros(1, 0),
            answer=answer,
            seen_on=seen_on,
            frame_hw=self.frames.shape,
            trust=trust,
        )

    def _absent(self, memory: CloseMemory, trust: float) -> CloseMemory:
        # No mask, no object, however sure the network is of it. What is known of it
        # stays, in case that it comes back.
        score = min(_object_score(trust), -UNSEEN)
        return replace(
            memory,
            logits=torch.full_like(memory.logits, -CERTAIN),
            iou=torch.zeros_like(memory.iou),
            object_score=torch.full_like(memory.object_score, score),
        )


def _is_meant(mask: Answer | None, prompt: SparsePrompt) -> bool:
    """Whether a prompt may be about a mask: no box or click says otherwise."""
    if mask is None:
        return True
    told, xy = prompt.labels[0], prompt.point_xy[0]
    if prompt.has_box:
        around = mask.corners()
        return box_fits(xy[:2].ravel(), around.ravel() if len(around) else None)
    clicks = xy[told == POSITIVE]
    return not len(clicks) or mask.away(clicks[0]) <= FAR * math.sqrt(mask.area)


def _portrait(bank: MemoryBank, frame_index: int, reverse: bool) -> Portrait | None:
    """Of the last prompt on the way to a frame."""
    behind = {
        abs(frame_index - t): memory.portrait
        for t, memory in bank.conditioning.items()
        if (t > frame_index) is reverse
        and isinstance(memory, CloseMemory)
        and memory.portrait is not None
    }
    return behind[min(behind)] if behind else None


def _trust(before: CloseMemory, present: float) -> float:
    """That in an object, given what was known of it and how likely it is there now."""
    return math.log(max(present, LEAST)) + CARRIED * before.trust


def _object_score(trust: float) -> float:
    """Logit, 0 where an object counts as there no more."""
    return SURE * (1 - trust / math.log(PRESENT))
