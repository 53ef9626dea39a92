"""One object seen at its own scale: how the bundled model draws its final masks.

A click does not say how large an object is, so it is asked at several scales at once,
and the answer that the network trusts most is looked at again in a window of twice the
object's size. A box, or an earlier mask, says the scale by itself.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sam2_core import transforms
from sam2_core.nn.closeup import SIDE, prompt_maps, standardised, window_maps
from sam2_core.prompts import BOX_BOTTOM_RIGHT, BOX_TOP_LEFT, NEGATIVE, POSITIVE
from sam2_core.windows import Window, cut, paste

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sam2_core.nn.closeup import CloseUp, SeenObject

SMALLEST, LADDER = 20.0, 1.6  # image pixels; factor between scales a click is asked at
BOX_SHARES = (0.45, 0.6)  # of a window, for the longer side of a box
MASK_SHARE = 0.5
MIN_SIDE, MAX_OF_IMAGE = 14.0, 1.2  # of windows: pixels, times the image
ALIKE = 0.7  # IoU above which two masks are no two answers
SAME = 0.5  # IoU with the coarse copy of a mask above which it is that mask
KEPT = 256  # answers to clicks, on which further clicks build
NOWHERE = -32.0


@dataclass(frozen=True)
class Answer:
    """One mask of an object.

    Attributes
    ----------
    window : Window
        Where the object is.
    logits : Tensor
        (SIDE, SIDE) float32 of the mask in the window.
    score : float
        Predicted IoU, 0 to 1.
    present : float
        Predicted probability that the object is there at all.
    """

    window: Window
    logits: Tensor
    score: float
    present: float

    def over(self, image_hw: tuple[int, int], size: int) -> Tensor:
        """Logits over the whole image, at (size, size) places of it."""
        height, width = image_hw
        at = torch.arange(size, device=self.logits.device) + 0.5
        x, y = at * (width / size) - 0.5, at * (height / size) - 0.5
        return self._at(x, y)

    def seen_in(self, window: Window) -> Tensor:
        """Logits as seen in another window, (SIDE, SIDE)."""
        at = torch.arange(SIDE, device=self.logits.device) + 0.5
        step = window.side / SIDE
        return self._at(at * step + window.x, at * step + window.y)

    def _at(self, x: Tensor, y: Tensor) -> Tensor:
        """Logits at columns x and rows y of the image, (len(y), len(x))."""
        unit = 2 / self.window.side
        x, y = (x - self.window.x) * unit - 1, (y - self.window.y) * unit - 1
        grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)[None]
        # Shifted, because beyond the window there are zeros.
        shifted = self.logits[None, None].clamp(min=NOWHERE) - NOWHERE
        moved = F.grid_sample(shifted, grid, align_corners=False)
        return moved[0, 0] + NOWHERE


class CloseUps:
    """Windows of one image, each with one object.

    Parameters
    ----------
    network : CloseUp
        Folded, in evaluation mode.
    image : ndarray
        (H, W, 3) uint8.
    """

    def __init__(self, network: CloseUp, image: NDArray[np.uint8]) -> None:
        self.network = network
        weight = network.stem.weight
        self.dtype = weight.dtype
        self.image = torch.from_numpy(np.array(image, order="C")).to(weight.device)
        self.image = self.image.permute(2, 0, 1)
        self.hw = (image.shape[0], image.shape[1])
        self._known: OrderedDict[bytes, list[Answer]] = OrderedDict()

    # ------------------------------------------------------------------ answers

    def answers(
        self,
        point_xy: NDArray[np.float32],
        labels: NDArray[np.int32],
        earlier: NDArray[np.float32] | None = None,
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
        earlier : ndarray, optional
            (1, h, w) logits over the whole image of an earlier mask of the object.

        Returns
        -------
        list of Answer
            At least one; empty where no positive click, box or earlier mask says where
            the object is.
        """
        key = point_xy.tobytes() + labels.tobytes()
        if earlier is not None:
            key += earlier.tobytes()
        if key not in self._known:
            self._known[key] = self._find(point_xy, labels, earlier)
            if len(self._known) > KEPT:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return self._known[key]

    def refined(
        self,
        earlier: Answer,
        point_xy: NDArray[np.float32],
        labels: NDArray[np.int32],
    ) -> Answer:
        """The mask after further prompts.

        Parameters
        ----------
        earlier : Answer
            The mask so far.
        point_xy, labels : ndarray
            (P, 2) and (P,): all prompts, the earlier ones too.
        """
        window = self._window(earlier, point_xy, labels)
        return self._look([window], point_xy, labels, earlier)[0]

    def _find(
        self,
        xy: NDArray[np.float32],
        labels: NDArray[np.int32],
        earlier: NDArray[np.float32] | None,
    ) -> list[Answer]:
        xy, labels = _in_order(xy[labels >= 0], labels[labels >= 0])
        before, start = _before_last(labels), None
        if earlier is not None:
            start = self.from_logits(earlier)
            if start is not None and before:
                known = self.answers(xy[:before], labels[:before])
                start = _most_alike(start, known)
        elif before:
            start = self.answers(xy[:before], labels[:before])[0]
        if start is not None:
            return [self.refined(start, xy, labels)]
        if (labels == BOX_TOP_LEFT).any():
            return self._boxed(xy, labels)
        return self._clicked(xy, labels) if (labels == POSITIVE).any() else []

    def from_logits(self, logits: NDArray[np.float32]) -> Answer | None:
        """An earlier mask, given as logits (1, h, w) over the whole image."""
        drawn = transforms.logits_to_image(
            torch.from_numpy(logits[None]).to(self.image.device), self.hw
        )[0, 0]
        inside = (drawn > 0).nonzero()
        if not len(inside):
            return None
        low, high = inside.amin(0).cpu().numpy(), inside.amax(0).cpu().numpy()
        centre = ((low + high) / 2)[::-1].astype(np.float32)
        window = self._fitting(float((high - low).max() + 1) / MASK_SHARE, centre)
        return Answer(window, cut(drawn[None], [window], SIDE)[0, 0], 0.0, 1.0)

    def nothing(self) -> Answer:
        """No object at all."""
        window = self._fitting(max(self.hw), np.array(self.hw[::-1], np.float32) * 0.5)
        logits = torch.full((SIDE, SIDE), NOWHERE, device=self.image.device)
        return Answer(window, logits, 0.0, 0.0)

    def _boxed(
        self, xy: NDArray[np.float32], labels: NDArray[np.int32]
    ) -> list[Answer]:
        first = xy[labels == BOX_TOP_LEFT][0]
        last = xy[labels == BOX_BOTTOM_RIGHT][0]
        longer = float((last - first).max()) + 1
        middle = (first + last) / 2
        windows = [self._fitting(longer / share, middle) for share in BOX_SHARES]
        return self._distinct(self._look(windows, xy, labels))

    def _clicked(
        self, xy: NDArray[np.float32], labels: NDArray[np.int32]
    ) -> list[Answer]:
        sides = [SMALLEST]
        while sides[-1] * LADDER < MAX_OF_IMAGE * max(self.hw):
            sides.append(sides[-1] * LADDER)
        windows = [self._fitting(side, xy[0]) for side in sides]
        guesses = self._distinct(self._look(windows, xy, labels))
        sharper = [self.refined(guess, xy, labels) for guess in guesses[:1]]
        return self._distinct([*sharper, *guesses])

    def _fitting(self, side: float, centre_xy: NDArray[np.float32]) -> Window:
        side = max(min(side, MAX_OF_IMAGE * max(self.hw)), MIN_SIDE)
        return Window.around((float(centre_xy[0]), float(centre_xy[1])), side, self.hw)

    def _window(
        self,
        earlier: Answer,
        xy: NDArray[np.float32],
        labels: NDArray[np.int32],
        share: float = MASK_SHARE,
    ) -> Window:
        """Window about the mask so far and all that is said to be object."""
        inside = (earlier.logits > 0).nonzero().cpu().numpy()
        step = earlier.window.side / SIDE
        corner = np.array((earlier.window.x, earlier.window.y))
        places = [xy[labels > NEGATIVE]]
        if len(inside):
            at = corner + (inside[:, ::-1] + 0.5) * step
            places.append(at.astype(np.float32))
        both = np.concatenate(places)
        low, high = both.min(0), both.max(0)
        side = float((high - low).max() + step) / share
        return self._fitting(side, ((low + high) / 2).astype(np.float32))

    def window_of_mask(self, answer: Answer, share: float = MASK_SHARE) -> Window:
        """The window in which a mask takes a share of the side."""
        nothing = np.zeros((0, 2), np.float32), np.zeros(0, np.int32)
        if not bool((answer.logits > 0).any()):
            return answer.window
        return self._window(answer, *nothing, share)

    def _look(
        self,
        windows: list[Window],
        xy: NDArray[np.float32],
        labels: NDArray[np.int32],
        earlier: Answer | None = None,
    ) -> list[Answer]:
        device = self.image.device
        pictures = cut(self.image, windows, SIDE)
        points = np.stack([window.points(xy, SIDE) for window in windows])
        flags = torch.from_numpy(labels).to(device).expand(len(windows), -1)
        known = None
        if earlier is not None:
            known = torch.stack([earlier.seen_in(window) for window in windows])
            known = torch.tanh(known / 2)
        prompts = prompt_maps(torch.from_numpy(points).to(device), flags, known)
        return self.answered(windows, window_maps(pictures, prompts))

    def answered(self, windows: list[Window], maps: Tensor) -> list[Answer]:
        """What the network says of prepared windows."""
        seen: SeenObject = self.network(maps.to(self.dtype))
        scores, present = seen.iou.sigmoid().tolist(), seen.present.sigmoid().tolist()
        return [
            Answer(window, logits, score, there)
            for window, logits, score, there in zip(
                windows, seen.logits, scores, present, strict=True
            )
        ]

    def _distinct(self, answers: list[Answer]) -> list[Answer]:
        """Best first, without those that show much the same as a better one."""
        kept: list[Answer] = []
        seen = [answer for answer in answers if bool((answer.logits > 0).any())]
        for answer in sorted(seen or answers[:1], key=lambda a: -a.score):
            mask = answer.logits > 0
            if all(_overlap(mask, k.seen_in(answer.window) > 0) < ALIKE for k in kept):
                kept.append(answer)
        return kept

    # ------------------------------------------------------------------ drawing

    def draw(self, answer: Answer) -> Tensor:
        """Logits of the whole image, (H, W) float32."""
        drawn = torch.full(self.hw, NOWHERE, device=answer.logits.device)
        part, (rows, columns) = paste(answer.logits[None], answer.window, self.hw)
        drawn[rows, columns] = part[0]
        return drawn


def _in_order(
    xy: NDArray[np.float32], labels: NDArray[np.int32]
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Box first, then the first positive click: they say where the object is."""
    positive = np.flatnonzero(labels == POSITIVE)
    rank = np.where(labels > POSITIVE, 0, 2)
    rank[positive[:1]] = 1
    order = np.argsort(rank, kind="stable")
    return xy[order], labels[order]


def _before_last(labels: NDArray[np.int32]) -> int:
    """How many of the prompts, in order, were answered before the last one; 0: none."""
    begin = 2 if (labels == BOX_TOP_LEFT).any() else int((labels == POSITIVE).any())
    return len(labels) - 1 if begin and len(labels) > begin else 0


def _most_alike(mask: Answer, answers: list[Answer]) -> Answer:
    """The answer that shows this mask, sharper than it was handed back."""
    inside = mask.logits > 0
    overlaps = [_overlap(inside, a.seen_in(mask.window) > 0) for a in answers]
    best = int(np.argmax(overlaps))
    return answers[best] if overlaps[best] > SAME else mask


def _overlap(a: Tensor, b: Tensor) -> float:
    return float((a & b).sum() / (a | b).sum().clamp(min=1))


def follow(before: CloseUps, now: CloseUps, answers: list[Answer]) -> list[Answer]:
    """Find objects of one frame on the next one.

    Parameters
    ----------
    before, now : CloseUps
        Of the two frames.
    answers : list of Answer
        The objects on the former.

    Returns
    -------
    list of Answer
        In the same order; ``present`` says whether the object is still there.
    """
    windows = [before.window_of_mask(answer) for answer in answers]
    pictures = cut(now.image, windows, SIDE)
    grey = cut(before.image, windows, SIDE).mean(1, keepdim=True)
    masks = torch.stack([a.seen_in(w) for a, w in zip(answers, windows, strict=True)])
    memory = torch.stack((standardised(grey)[:, 0], (masks > 0).float() * 2 - 1), 1)
    n = len(windows)
    points = torch.zeros(n, 1, 2, device=pictures.device)
    prompts = prompt_maps(points, torch.full((n, 1), -1, device=pictures.device), None)
    maps = window_maps(pictures, prompts, memory)
    return before.answered(windows, maps)
