"""Masks of one object in its window, and how several of them compare."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import distance_transform_edt
from skimage.measure import label
from torch import Tensor

from sam2_core.closeups.windows import paste

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sam2_core.closeups.windows import Window

ALIKE = 0.7  # IoU above which two masks are no two answers
SAME = 0.5  # IoU with the coarse copy of a mask above which it is that mask
STEP = 1e-3  # between the scores of one answer and the next
AGREEMENT = 2.0  # what counts beside the score, if two other scales agree fully
NOWHERE = -32.0
OLD_SHARE, LEAST_PROBABILITY = 0.55, 1e-6  # where an old mask is sharpened
ABOUT = 3.0  # pixels of the window from a click to what it is meant to change
# How far that may reach from the click: so many times its depth there, and a margin.
REACH, MARGIN = 10.0, 4.0
# From a click that is so near to the outline of the old mask it reaches no farther.
BESIDE, BESIDE_REACH = 2.0, 6.0
# A click that is not obeyed gets a spot of its own, between these distances from it.
LEAST_SPOT, LARGEST_SPOT = 1.5, 4.0
SPOT = 1.0  # its logit


@dataclass(frozen=True)
class Answer:
    """One mask of an object.

    Attributes
    ----------
    window : Window
        Where the object is.
    logits : Tensor
        (S, S) float32 of the mask in the window.
    score : float
        Predicted IoU, 0 to 1.
    present : float
        Predicted probability that the object is there at all.
    """

    window: Window
    logits: Tensor
    score: float
    present: float

    @property
    def area(self) -> float:
        """Of the mask, in pixels of the image."""
        step = self.window.side / len(self.logits)
        return int((self.logits > 0).sum()) * step**2

    @property
    def circularity(self) -> float:
        """Of the mask: area times 4 pi by squared perimeter, about 1 for a disc."""
        inside = self.logits > 0
        across, down = inside[:, 1:] != inside[:, :-1], inside[1:] != inside[:-1]
        # Steps of a pixelated outline are longer than the outline, by this on average.
        perimeter = np.pi / 4 * int(across.sum() + down.sum())
        return float(4 * np.pi * int(inside.sum()) / max(perimeter**2, 1.0))

    def cut_off(self, image_hw: tuple[int, int]) -> bool:
        """Whether the mask reaches a border of its window where the image goes on."""
        inside, window = self.logits > 0, self.window
        height, width = image_hw
        borders = (
            (inside[0], window.y > 0),
            (inside[-1], window.y + window.side < height - 1),
            (inside[:, 0], window.x > 0),
            (inside[:, -1], window.x + window.side < width - 1),
        )
        return any(more and bool(line.any()) for line, more in borders)

    def corners(self) -> NDArray[np.float32]:
        """First and last xy of the mask in the image, (2, 2); (0, 2) if it is empty."""
        rows, columns = (self.logits > 0).nonzero(as_tuple=True)
        if not len(rows):
            return np.zeros((0, 2), np.float32)
        first, last = (
            torch.stack((end(columns), end(rows))) for end in (torch.min, torch.max)
        )
        at = torch.stack((first, last)).cpu().numpy() + 0.5
        step = self.window.side / len(self.logits)
        return np.asarray(at * step + (self.window.x, self.window.y), np.float32)

    def away(self, xy: NDArray[np.float32]) -> float:
        """Distance of a place, (2,) xy in the image, from the mask; inf without one."""
        rows, columns = (self.logits > 0).nonzero(as_tuple=True)
        if not len(rows):
            return float("inf")
        step = self.window.side / len(self.logits)
        x, y = ((at + 0.5) * step for at in (columns, rows))
        dx, dy = x + (self.window.x - float(xy[0])), y + (self.window.y - float(xy[1]))
        return float(torch.hypot(dx, dy).min())

    def innermost(self) -> NDArray[np.float32]:
        """The place in the mask farthest from its outline, (2,) xy in the image."""
        inside = np.pad((self.logits > 0).cpu().numpy(), 1)
        depth = distance_transform_edt(inside)[1:-1, 1:-1]
        row, column = np.unravel_index(depth.argmax(), depth.shape)
        step = self.window.side / len(depth)
        x, y = (column + 0.5) * step, (row + 0.5) * step
        return np.array((x + self.window.x, y + self.window.y), np.float32)

    def drawn(self, image_hw: tuple[int, int]) -> Tensor:
        """Logits of the whole image, (H, W) float32."""
        whole = torch.full(image_hw, NOWHERE, device=self.logits.device)
        paste(self.logits[None], self.window, image_hw, whole[None])
        return whole

    def over(self, image_hw: tuple[int, int], size: int) -> Tensor:
        """Logits over the whole image, at (size, size) places of it."""
        height, width = image_hw
        at = torch.arange(size, device=self.logits.device) + 0.5
        x, y = at * (width / size) - 0.5, at * (height / size) - 0.5
        return _sampled([self], x[None], y[None])[0]

    def seen_in(self, window: Window, size: int) -> Tensor:
        """Logits as seen in another window, (size, size)."""
        return seen_in_each([self], [window], size)[0]


def seen_in_each(
    answers: Sequence[Answer], windows: Sequence[Window], size: int
) -> Tensor:
    """Logits of each answer as seen in another window of its own, (N, size, size).

    The answers' own logits must be of one size.
    """
    device = answers[0].logits.device
    places = torch.tensor([(w.x, w.y, w.side) for w in windows], device=device)
    x, y, side = places[:, :, None].unbind(1)
    steps = (torch.arange(size, device=device) + 0.5) * (side / size)
    return _sampled(answers, steps + x, steps + y)


def _sampled(answers: Sequence[Answer], x: Tensor, y: Tensor) -> Tensor:
    """Logits at columns x (N, w) and rows y (N, h) of the image, (N, h, w)."""
    own = torch.tensor(
        [(a.window.x, a.window.y, 2 / a.window.side) for a in answers], device=x.device
    )
    left, top, unit = own[:, :, None].unbind(1)
    across, down = (x - left) * unit - 1, (y - top) * unit - 1
    shape = len(answers), down.shape[1], across.shape[1]
    grid = torch.stack(
        (across[:, None, :].expand(shape), down[:, :, None].expand(shape)), -1
    )
    # Shifted, because beyond the window there are zeros.
    logits = torch.stack([answer.logits for answer in answers])[:, None]
    shifted = logits.clamp(min=NOWHERE) - NOWHERE
    return F.grid_sample(shifted, grid, align_corners=False)[:, 0] + NOWHERE


def by_agreement(answers: Sequence[Answer]) -> list[Answer]:
    """Answers at several scales, those first that are trusted and not alone.

    A mask that is seen again at another scale is more likely to be the object: on
    `data/dev` this chose masks with a mean IoU 0.02 higher than the score alone.
    """
    by_size = sorted(answers, key=lambda a: -a.window.side)
    overlaps = np.zeros((len(answers), len(answers)))
    rows, columns = np.tril_indices(len(answers), -1)  # a smaller one, a larger one
    if len(rows):
        masks = torch.stack([answer.logits for answer in by_size]) > 0
        seen = seen_in_each(
            [by_size[i] for i in rows],
            [by_size[j].window for j in columns],
            masks.shape[-1],
        )
        shared = ious(seen > 0, masks[columns]).cpu().numpy()
        overlaps[rows, columns] = overlaps[columns, rows] = shared
    agreement = np.sort(overlaps, 1)[:, -2:].mean(1)
    trust = [a.score + AGREEMENT * g for a, g in zip(by_size, agreement, strict=True)]
    return [by_size[i] for i in np.argsort(trust)[::-1]]


def distinct(answers: Sequence[Answer]) -> list[Answer]:
    """Without those that show much the same as an earlier one, or nothing.

    Scores are lowered where needed, so that they fall along the list: whoever takes
    the highest takes the first.
    """
    kept: list[Answer] = []
    seen = [answer for answer in answers if bool((answer.logits > 0).any())]
    for answer in seen or answers[:1]:
        mask = answer.logits > 0
        others = (k.seen_in(answer.window, len(mask)) for k in kept)
        if all(overlap(mask, other > 0) < ALIKE for other in others):
            limit = kept[-1].score - STEP if kept else answer.score
            kept.append(replace(answer, score=max(min(answer.score, limit), 0.0)))
    return kept


def most_alike(mask: Answer, answers: list[Answer]) -> Answer:
    """The answer that shows this mask, sharper than it was handed back."""
    inside = mask.logits > 0
    overlaps = [
        overlap(inside, a.seen_in(mask.window, len(inside)) > 0) for a in answers
    ]
    best = int(np.argmax(overlaps))
    return answers[best] if overlaps[best] > SAME else mask


def sharpened(old: Answer, new: Answer) -> Answer:
    """An old mask with the outline of the new one, in the window of that.

    Of their probabilities it is a mean in which the old one prevails where both are
    sure; a coarse mask is not at its outline. On `data/dev` the IoU of true masks fell
    from 0.915, drawn from coarse logits, to 0.911, and that of eroded and dilated ones
    rose from 0.61 and 0.76 to 0.64 and 0.79; the new mask by itself has 0.85 for 0.915.
    """
    before = old.seen_in(new.window, len(new.logits)).sigmoid()
    mean = OLD_SHARE * before + (1 - OLD_SHARE) * new.logits.sigmoid()
    return replace(new, logits=torch.logit(mean, LEAST_PROBABILITY))


def changed_at(new: Answer, old: Answer, xy: NDArray[np.float32]) -> Answer:
    """An old mask with what has changed about a click; the new one if nothing has.

    That is the connected piece of the difference, as far as it lies near: a thin rim
    all around an object, where two masks hardly ever agree, is not what was meant.

    Parameters
    ----------
    new, old : Answer
        Masks with and without the click.
    xy : ndarray
        (2,) float32, the click in pixels of the image.
    """
    size = len(new.logits)
    before = old.seen_in(new.window, size)
    inside = before > 0
    changed = ((new.logits > 0) != inside).cpu().numpy()
    pieces = label(changed, connectivity=1)
    away = _away(new.window.points(xy, size), size)
    about = away <= ABOUT
    meant = np.unique(pieces[about & changed])
    if not len(meant):
        return new
    piece = np.isin(pieces, meant)
    reach = REACH * distance_transform_edt(piece)[about].max() + MARGIN
    # Whoever clicks beside the outline corrects it there.
    beside = inside.cpu().numpy()[away <= BESIDE]
    if beside.any() and not beside.all():
        reach = min(reach, BESIDE_REACH)
    near = piece & (away <= reach)
    kept = torch.from_numpy(near | ~changed).to(before.device)
    return replace(new, logits=torch.where(kept, new.logits, before))


def obedient(answer: Answer, xy: NDArray[np.float32], positive: bool) -> Answer:
    """A mask that agrees with a click, by a spot about it if it does not.

    The spot is what is at least as likely as the place of the click and hangs together
    with it.

    Parameters
    ----------
    answer : Answer
    xy : ndarray
        (2,) float32, the click in pixels of the image.
    positive : bool
        Whether the place is to be in the mask, or out of it.
    """
    size = len(answer.logits)
    at = answer.window.points(xy, size)
    column, row = (round(float(v)) for v in at)
    if not (0 <= row < size and 0 <= column < size):
        return answer
    sign = 1 if positive else -1
    likely = (sign * answer.logits).cpu().numpy()
    if likely[row, column] > 0:
        return answer
    away = _away(at, size)
    pieces = label(
        (likely >= likely[row, column]) & (away <= LARGEST_SPOT), connectivity=1
    )
    spot = (pieces == pieces[row, column]) | (away <= LEAST_SPOT)
    where = torch.from_numpy(spot).to(answer.logits.device)
    at_least = (sign * answer.logits).clamp(min=SPOT)
    return replace(answer, logits=torch.where(where, sign * at_least, answer.logits))


def _away(xy: NDArray[np.float32], size: int) -> NDArray[np.float64]:
    """Distance of each pixel of a window of that size from a place in it."""
    rows, columns = np.ogrid[:size, :size]
    return np.asarray(np.hypot(columns - xy[0], rows - xy[1]), np.float64)


def overlap(a: Tensor, b: Tensor) -> float:
    """IoU of two bool masks."""
    return float(ious(a[None], b[None]))


def ious(a: Tensor, b: Tensor) -> Tensor:
    """IoU of each of N bool masks with another one, (N, S, S) to (N,)."""
    return (a & b).sum((1, 2)) / (a | b).sum((1, 2)).clamp(min=1)
