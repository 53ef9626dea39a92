"""One object seen at its own scale: how the bundled model draws its final masks.

A click does not say how large an object is, so it is asked at several scales at once,
and the answer that the network trusts most is looked at again in a window of twice the
object's size. A box, or an earlier mask, says the scale by itself.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from sam2_core import transforms
from sam2_core.closeups.answers import (
    NOWHERE,
    Answer,
    by_agreement,
    changed_at,
    distinct,
    most_alike,
    obedient,
    sharpened,
)
from sam2_core.closeups.pictures import TiledPicture, whole_picture
from sam2_core.closeups.questions import (
    MASK_SHARE,
    closer_look,
    farther_questions,
    finest,
    first_questions,
    fitting,
)
from sam2_core.closeups.windows import cut
from sam2_core.masks import highest
from sam2_core.nn.closeup import SIDE, prompt_maps, window_maps
from sam2_core.prompts import (
    BOX_BOTTOM_RIGHT,
    BOX_TOP_LEFT,
    NEGATIVE,
    NO_POINTS,
    POSITIVE,
    SparsePrompt,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from sam2_core.closeups.pictures import Picture
    from sam2_core.closeups.questions import Question
    from sam2_core.closeups.windows import Window
    from sam2_core.nn.closeup import CloseUp, SeenObject

AT_ONCE = 32  # windows of SIDE, fewer larger ones
KEPT = 256  # answers to clicks, on which further clicks build
WIDER_LOOKS = 3  # at most, at a mask that its window cuts off
LOCAL_FROM = 2  # corrections, from which on they change what lies about them only
_CORNERS = [BOX_TOP_LEFT, BOX_BOTTOM_RIGHT]


class CloseUps:
    """Windows of one image, each with one object.

    Parameters
    ----------
    network : CloseUp
        Folded, in evaluation mode.
    image : ndarray or Picture
        (H, W, 3) uint8, or a picture that is read when it is looked at.
    """

    def __init__(self, network: CloseUp, image: NDArray[np.uint8] | Picture) -> None:
        self.network = network
        weight = network.stem.weight
        self.dtype = weight.dtype
        self.image: Picture = (
            whole_picture(image, weight.device)
            if isinstance(image, np.ndarray)
            else image
        )
        _, *hw = self.image.shape
        self.hw = (hw[0], hw[1])
        self._known: OrderedDict[bytes, list[Answer]] = OrderedDict()
        self._handed: OrderedDict[bytes, Answer] = OrderedDict()

    # ------------------------------------------------------------------ answers

    def answers(
        self,
        point_xy: NDArray[np.float32],
        labels: NDArray[np.int32],
        earlier: Answer | NDArray[np.float32] | None = None,
    ) -> list[Answer]:
        """Masks for the prompts of one object, best first, no two of them alike.

        Several clicks are answered one after the other, as if they had been given so;
        the answer to the last of them is all that is returned.

        Parameters
        ----------
        point_xy : ndarray
            (P, 2) float32 xy in image pixels, corners of a box first.
        labels : ndarray
            (P,) int32.
        earlier : Answer or ndarray, optional
            An earlier mask of the object, or its (1, h, w) logits over the whole image.

        Returns
        -------
        list of Answer
            At least one; empty where no positive click, box or earlier mask says where
            the object is. An earlier mask alone is refined.
        """
        key = _key(point_xy, labels)
        if isinstance(earlier, Answer):
            key += repr(earlier.window).encode()
            key += earlier.logits.cpu().numpy().tobytes()
        elif earlier is not None:
            key += _digest(earlier)
        if key not in self._known:
            self._keep(key, self._find(point_xy, labels, earlier))
        self._known.move_to_end(key)
        return self._known[key]

    def each(
        self, prompt: SparsePrompt | None, previous: NDArray[np.float32] | None
    ) -> Iterator[tuple[SparsePrompt, NDArray[np.float32] | None, list[Answer]]]:
        """Answers to B prompts one by one, each after its prompt and earlier mask.

        Parameters
        ----------
        prompt : SparsePrompt, optional
            Of B objects, or of one if there are B earlier masks.
        previous : ndarray, optional
            (B or 1, 1, h, w) float32, their earlier logits over the whole image; needed
            where there is no other prompt.
        """
        count = max(len(rows) for rows in (prompt, previous) if rows is not None)
        if prompt is None:
            prompt = NO_POINTS
        elif previous is None and count > 1:
            self.prepare(prompt.point_xy, prompt.labels)
        for i in range(count):
            alone = prompt.of_object(min(i, len(prompt) - 1))
            earlier = None if previous is None else previous[min(i, len(previous) - 1)]
            found = self.answers(alone.point_xy[0], alone.labels[0], earlier)
            yield alone, None if earlier is None else earlier[None], found

    def prepare(self, point_xy: NDArray[np.float32], labels: NDArray[np.int32]) -> None:
        """Answer the first prompts of many objects together, to be asked for later.

        Parameters
        ----------
        point_xy, labels : ndarray
            (B, P, 2) and (B, P); only lone clicks and lone boxes are answered.
        """
        rows = []
        for xy, flags in zip(point_xy[:KEPT], labels[:KEPT], strict=True):
            told = flags[flags >= 0]
            alone = told.tolist() in ([POSITIVE], _CORNERS)
            if alone and _key(xy, flags) not in self._known:
                rows.append((xy, flags))
        answers = self.first([(xy[f >= 0], f[f >= 0]) for xy, f in rows])
        for (xy, flags), found in zip(rows, answers, strict=True):
            self._keep(_key(xy, flags), found)

    def first(
        self, prompts: Sequence[tuple[NDArray[np.float32], NDArray[np.int32]]]
    ) -> list[list[Answer]]:
        """Answers to first prompts, a box or a positive click, of several objects."""
        # Of an image that is read in parts, no more is read than is needed.
        nearby = isinstance(self.image, TiledPicture)
        asked = [first_questions(*prompt, self.hw, nearby) for prompt in prompts]
        questions = [question for row in asked for question in row]
        answers = iter(self.ask(questions, first=True))
        rows = [[next(answers) for _ in row] for row in asked]
        found = [by_agreement(row) for row in rows]
        for i, (best, *_) in enumerate(found if nearby else ()):
            if farther := farther_questions(best, *prompts[i], self.hw):
                found[i] = by_agreement(rows[i] + self.ask(farther, first=True))
        # The scale of a clicked object is known only now; a box says it, but a large
        # object is worth a finer look.
        again = [
            closer_look(row[0], *prompt, self.hw)
            for row, prompt in zip(found, prompts, strict=True)
        ]
        worthwhile = [
            i
            for i, question in enumerate(again)
            if BOX_TOP_LEFT not in question.labels or question.size > SIDE
        ]
        sharper = self.ask([again[i] for i in worthwhile], first=True)
        for i, answer in zip(worthwhile, sharper, strict=True):
            first, *others = found[i]
            better = sorted((first, answer), key=lambda a: -a.score)
            found[i] = [*better, *others]
        # A box says how far its object reaches.
        clicked = [i for i, (_, told) in enumerate(prompts) if BOX_TOP_LEFT not in told]
        narrow = [found[i][0] for i in clicked]
        wide = self._whole(narrow, [prompts[i] for i in clicked], first=True)
        for i, answer in zip(clicked, wide, strict=True):
            found[i][0] = answer
        return [distinct(row) for row in found]

    def _whole(
        self,
        answers: Sequence[Answer],
        prompts: Sequence[tuple[NDArray[np.float32], NDArray[np.int32]]],
        first: bool = False,
    ) -> list[Answer]:
        """Masks that their windows cut off, looked at in wider ones."""
        whole = list(answers)
        for _ in range(WIDER_LOOKS):
            narrow = [i for i, answer in enumerate(whole) if answer.cut_off(self.hw)]
            if not narrow:
                break
            wider = [closer_look(whole[i], *prompts[i], self.hw) for i in narrow]
            for i, answer in zip(narrow, self.ask(wider, first), strict=True):
                if bool((answer.logits > 0).any()):
                    whole[i] = answer
        return whole

    def _find(
        self,
        xy: NDArray[np.float32],
        labels: NDArray[np.int32],
        earlier: Answer | NDArray[np.float32] | None,
    ) -> list[Answer]:
        xy, labels = _in_order(xy[labels >= 0], labels[labels >= 0])
        if labels[labels > POSITIVE].tolist() not in ([], _CORNERS):
            return []
        corrections = _corrections(labels)
        before, start = len(labels) - 1 if corrections else 0, None
        if isinstance(earlier, Answer):
            start = earlier
        elif earlier is not None:
            start = self._handed.get(_digest(earlier))
            if start is None:
                start = self.from_logits(earlier)
                if start is not None and before:
                    known = self.answers(xy[:before], labels[:before])
                    start = most_alike(start, known)
        elif before:
            start = self.answers(xy[:before], labels[:before])[0]
        if not len(labels) and earlier is not None:
            return [self._refined(start)]
        if start is not None:
            found = self.ask([closer_look(start, xy, labels, self.hw)])[0]
            # The first correction may turn everything over, but whoever only takes
            # something away from a mask that is there keeps the rest.
            if corrections >= LOCAL_FROM or (labels == NEGATIVE).all():
                found = changed_at(found, start, xy[-1])
            else:
                found = self._whole([found], [(xy, labels)])[0]
            if labels[-1] in (POSITIVE, NEGATIVE):
                found = obedient(found, xy[-1], bool(labels[-1] == POSITIVE))
            return [found]
        if not (labels >= POSITIVE).any():
            return []
        return self.first([(xy, labels)])[0]

    def _refined(self, mask: Answer | None) -> Answer:
        """A mask without any click, its outline as it is seen in a close-up."""
        if mask is None or not bool((mask.logits > 0).any()):
            return self.nothing()
        click = mask.innermost()[None], np.array([POSITIVE], np.int32)
        found = self.ask([closer_look(mask, *click, self.hw)])[0]
        return sharpened(mask, found)

    def _keep(self, key: bytes, answers: list[Answer]) -> None:
        self._known[key] = answers
        if len(self._known) > KEPT:
            self._known.popitem(last=False)

    def from_logits(self, logits: NDArray[np.float32]) -> Answer | None:
        """An earlier mask, given as logits (1, h, w) over the whole image."""
        given = torch.from_numpy(logits[None]).to(self.image.device)
        drawn = transforms.logits_to_image(given, self.hw)[0, 0]
        inside = (drawn > 0).nonzero()
        if not len(inside):
            return None
        low, high = inside.amin(0).cpu().numpy(), inside.amax(0).cpu().numpy()
        centre = ((low + high) / 2)[::-1].astype(np.float32)
        window = fitting(float((high - low).max() + 1) / MASK_SHARE, centre, self.hw)
        seen = cut(drawn[None], [window], finest(window))[0, 0]
        return Answer(window, seen, 0.0, 1.0)

    def nothing(self) -> Answer:
        """No object at all."""
        middle = np.array(self.hw[::-1], np.float32) * np.float32(0.5)
        window = fitting(max(self.hw), middle, self.hw)
        logits = torch.full((SIDE, SIDE), NOWHERE, device=self.image.device)
        return Answer(window, logits, 0.0, 0.0)

    def ask(self, questions: Sequence[Question], first: bool = False) -> list[Answer]:
        """Answers in the same order, drawn as first ones or as what comes later."""
        answers: dict[int, Answer] = {}
        for size, rows in in_batches([question.size for question in questions]):
            found = self._ask_together([questions[i] for i in rows], size, first)
            answers.update(zip(rows, found, strict=True))
        return [answers[i] for i in range(len(questions))]

    def _ask_together(
        self, questions: Sequence[Question], size: int, first: bool
    ) -> list[Answer]:
        device = self.image.device
        windows = [question.window for question in questions]
        count = max(len(question.labels) for question in questions)
        points = np.zeros((len(questions), count, 2), np.float32)
        labels = np.full((len(questions), count), -1, np.int32)
        earlier = torch.zeros(len(questions), size, size, device=device)
        for i, question in enumerate(questions):
            told = len(question.labels)
            points[i, :told] = question.window.points(question.xy, size)
            labels[i, :told] = question.labels
            if question.earlier is not None:
                seen = question.earlier.seen_in(question.window, size)
                earlier[i] = torch.tanh(seen / 2)
        prompts = prompt_maps(
            torch.from_numpy(points).to(device),
            torch.from_numpy(labels).to(device),
            earlier,
            size,
        )
        pictures = cut(self.image, windows, size)
        return self.answered(windows, window_maps(pictures, prompts), first)

    def answered(
        self, windows: Sequence[Window], maps: Tensor, first: bool = False
    ) -> list[Answer]:
        """What the network says of prepared windows."""
        network = self.network.for_first_answers() if first else self.network
        seen: SeenObject = network(maps.to(self.dtype))
        scores, present = seen.iou.sigmoid().tolist(), seen.present.sigmoid().tolist()
        return [
            Answer(window, logits, score, there)
            for window, logits, score, there in zip(
                windows, seen.logits, scores, present, strict=True
            )
        ]

    # ------------------------------------------------------------------ drawing

    def draw(self, answer: Answer) -> Tensor:
        """Logits of the whole image, (H, W) float32."""
        return answer.drawn(self.hw)

    def hand_out(self, answer: Answer, size: int) -> tuple[Tensor, NDArray[np.float32]]:
        """Logits of the whole image, (H, W) float32, and coarse ones, (size, size).

        The answer is remembered, because these are too coarse for small objects to be
        corrected when they come back.
        """
        drawn = self.draw(answer)
        # The highest logit of each cell, lest small objects vanish.
        coarse = highest(drawn[None], size).clamp(NOWHERE, -NOWHERE).cpu().numpy()
        self._handed[_digest(coarse)] = answer
        if len(self._handed) > KEPT:
            self._handed.popitem(last=False)
        return drawn, coarse[0]


def in_batches(sizes: Sequence[int]) -> Iterator[tuple[int, list[int]]]:
    """Which windows, of these sizes, are looked at together: their size and rows."""
    for size in sorted(set(sizes)):
        rows = [row for row, own in enumerate(sizes) if own == size]
        at_once = AT_ONCE * SIDE**2 // size**2
        for start in range(0, len(rows), at_once):
            yield size, rows[start : start + at_once]


def _digest(logits: NDArray[np.float32]) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(logits, np.float32).tobytes()).digest()


def _key(xy: NDArray[np.float32], labels: NDArray[np.int32]) -> bytes:
    return xy.tobytes() + labels.tobytes()


def _in_order(
    xy: NDArray[np.float32], labels: NDArray[np.int32]
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Box first, then the first positive click: they say where the object is."""
    positive = np.flatnonzero(labels == POSITIVE)
    rank = np.where(labels > POSITIVE, 0, 2)
    rank[positive[:1]] = 1
    order = np.argsort(rank, kind="stable")
    return xy[order], labels[order]


def _corrections(labels: NDArray[np.int32]) -> int:
    """How many of the prompts, in order, came after those that say where it is."""
    begin = 2 if (labels == BOX_TOP_LEFT).any() else int((labels == POSITIVE).any())
    return max(len(labels) - begin, 0) if begin else 0
