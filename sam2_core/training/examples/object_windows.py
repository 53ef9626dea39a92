"""Training windows for the close-up network: one object each, at its own scale."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch.utils.data import IterableDataset, get_worker_info

from sam2_core.errors import ImageError
from sam2_core.nn.closeup import SIDE
from sam2_core.training.examples.augment import (
    Warp,
    augment_intensity,
    orthogonal_matrix,
    random_bend,
    rotation_matrix,
    warp_images,
    warp_labels,
)
from sam2_core.training.examples.batches import jittered_box
from sam2_core.training.examples.clicks import first_click, sample_error_click
from sam2_core.training.examples.samples import by_set, followable, set_shares
from sam2_core.training.examples.window_batch import (
    BOX,
    CLICK,
    FOLLOW,
    TrainingWindow,
    WindowBatch,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sam2_core.training.dataset import LabelledImage, LabelledStack, ObjectTable

SET_WEIGHTS = {
    "ndev_scratch": 0.3,  # its automatic labels are poor
    "usiigaci_phase": 1.5,  # spread cells, branched and long ones are few and hard
    "omnipose_bacteria": 1.5,
}
# Part of the window's side that the object's longer side takes. A click does not say
# how large the object is, so it is asked at several scales; a box and a mask do.
SHARES = {CLICK: (0.12, 1.0), BOX: (0.35, 0.8), FOLLOW: (0.25, 0.7)}
# A clicked object is looked at about the click at first, then as its mask lies. People
# click in the middle of what they mean.
FIRST_LOOKS, CAREFUL = 0.6, 0.75  # shares of the clicks
# Most of the scales that a click is asked at are wrong; the network must say so.
WRONG_SHARES, WRONG = (0.03, 3.0), 0.6  # share of the first looks
# Large objects are looked at again in windows of twice the side.
FINE, FINE_SHARES = 2, (0.35, 0.8)
FINE_OBJECT = 44  # source pixels, of the longer side of an object worth it
FINE_BATCHES = 0.2  # of the batches, with a quarter of the windows
MIN_SOURCE_SIDE = 14  # source pixels that a window shows at least
MAX_OF_SOURCE = 1.2  # times the longer side of the source, at most
MIN_PIXELS = 6  # of the object in the window
PAIR_SHARE = 0.4  # of the windows are pairs of frames
BOX_SHARE = 0.28  # of the others are prompted by a box
STEPS = (0.75, 0.15, 0.06, 0.04)  # shares of 1 to 4 frames between the two of a pair
SINCE_PROMPT = 10  # frames, at most, from the prompted one to the first of a pair
AT_PROMPT, UNKNOWN_PROMPT = 0.3, 0.15  # shares of pairs; of the others it is drawn
ENDING, LONG_GONE = 0.35, 12  # share of pairs whose object ends; frames since then
# Share of pairs in which another object than the prompted one, of so many neighbours,
# was followed to the former frame: its mask is to be carried on, but it is not there.
STRANGERS, NEARBY = 0.15, 3
ATTEMPTS = 200


class ObjectWindows(IterableDataset[WindowBatch]):
    """Endless batches of windows; each start and each worker draws its own.

    Parameters
    ----------
    images : sequence of LabelledImage
        Without objects they are ignored.
    stacks : sequence of LabelledStack
        Those with labels that change from frame to frame are ignored; without any,
        only still images are drawn.
    batch_size : int
    seed : int
    weights : mapping of str to float, optional
        Factor on the share of each data set, as for `CropSampler`.

    Raises
    ------
    ImageError
        There is no image with an object.
    """

    def __init__(
        self,
        images: Sequence[LabelledImage],
        stacks: Sequence[LabelledStack],
        batch_size: int,
        seed: int,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        self.batch_size = batch_size
        self.seed = seed
        self._images = by_set(image for image in images if len(image.objects))
        self._stacks = by_set(followable(stacks))
        if not self._images:
            raise ImageError("None of the images has an object.")
        self._image_sets, self._image_shares = set_shares(
            {name: len(members) for name, members in self._images.items()}, weights
        )
        self._stack_sets, self._stack_shares = set_shares(
            {name: len(members) for name, members in self._stacks.items()}, weights
        )
        self.pair_share = PAIR_SHARE if self._stacks else 0.0
        self._has_large = any(
            _longer_sides(image.objects).max() >= FINE_OBJECT
            for members in self._images.values()
            for image in members
        )

    def __iter__(self) -> Iterator[WindowBatch]:
        """Yield batches for ever."""
        worker = get_worker_info()
        rng = np.random.default_rng((self.seed, worker.id if worker else 0))
        while True:
            fine = self._has_large and rng.random() < FINE_BATCHES
            yield self.draw(rng, fine)

    def draw(self, rng: np.random.Generator, fine: bool = False) -> WindowBatch:
        """One batch; a ``fine`` one has fewer windows of twice the side."""
        count = max(self.batch_size // FINE**2, 1) if fine else self.batch_size
        side = FINE * SIDE if fine else SIDE
        return WindowBatch.of([self._window(rng, side) for _ in range(count)])

    def _window(self, rng: np.random.Generator, side: int) -> TrainingWindow:
        for _ in range(ATTEMPTS):
            pair = rng.random() < self.pair_share
            found = self._pair(rng, side) if pair else self._still(rng, side)
            if found is not None:
                return found
        raise ImageError("No window with an object was found; are all objects tiny?")

    def _still(self, rng: np.random.Generator, side: int) -> TrainingWindow | None:
        name = self._image_sets[rng.choice(len(self._image_sets), p=self._image_shares)]
        image = self._images[name][rng.integers(len(self._images[name]))]
        table = image.objects
        odds = table.areas.astype(float) ** 0.25
        if side > SIDE:
            odds *= _longer_sides(table) >= FINE_OBJECT
            if not odds.any():
                return None
        chosen = int(rng.choice(len(table), p=odds / odds.sum()))
        number = int(table.ids[chosen])
        kind = BOX if rng.random() < BOX_SHARE else CLICK
        box = table.boxes_yxyx[chosen]
        centre = (box[:2] + box[2:]) / 2
        first_look = kind == CLICK and side == SIDE and rng.random() < FIRST_LOOKS
        if kind == CLICK:
            y0, x0, y1, x1 = (int(v) for v in box)
            inside = image.labels[y0:y1, x0:x1] == number
            x, y = _clicked(rng, inside, CAREFUL if first_look else 0)
            centre = np.array([y0 + y + 0.5, x0 + x + 0.5])
        warp = _warp(rng, image.labels.shape, box, centre, kind, side, first_look)
        target = warp_labels(image.labels[None], warp)[0] == number
        if np.count_nonzero(target) < MIN_PIXELS:
            return None
        pixels = augment_intensity(warp_images(image.image[None], warp), rng)[0]
        window = TrainingWindow(
            pixels,
            target,
            _known(warp, image.labels.shape),
            float(table.areas[chosen]) / abs(float(np.linalg.det(warp.matrix))),
            kind,
        )
        if kind == BOX:
            window.points = jittered_box(rng, target).reshape(2, 2)
            window.labels = np.array([2, 3], np.int32)
        else:
            window.labels[0] = 1
            window.points[0] = (
                warp.place(centre)[::-1]
                if first_look
                else _clicked(rng, target, CAREFUL)
            )
        return window

    def _pair(self, rng: np.random.Generator, side: int) -> TrainingWindow | None:
        name = self._stack_sets[rng.choice(len(self._stack_sets), p=self._stack_shares)]
        stack = self._stacks[name][rng.integers(len(self._stacks[name]))]
        step = 1 + int(rng.choice(len(STEPS), p=STEPS))
        # Objects that end are rare and teach presence: look for one sometimes, and
        # sometimes long after.
        ending = rng.random() < ENDING
        if ending and rng.random() < 0.5:
            step = int(rng.integers(1, LONG_GONE + 1))
        if len(stack) <= step:
            return None
        ahead = 1 if rng.random() < 0.5 else -1
        first = int(rng.integers(len(stack) - step)) + (0 if ahead > 0 else step)
        second = first + ahead * step
        table = stack.objects(first)
        odds = np.ones(len(table), bool)
        if side > SIDE:
            odds &= _longer_sides(table) >= FINE_OBJECT
        gone = ~np.isin(table.ids, stack.objects(second).ids)
        if ending and (odds & gone).any():
            odds &= gone
        if not odds.any():
            return None
        chosen = int(rng.choice(np.flatnonzero(odds)))
        number = int(table.ids[chosen])
        if rng.random() < STRANGERS:
            chosen = _neighbour(rng, table, chosen)
        followed = int(table.ids[chosen])
        box = table.boxes_yxyx[chosen]
        shape = stack.labels.shape[1:]
        warp = _warp(rng, shape, box, (box[:2] + box[2:]) / 2, FOLLOW, side)
        order = [first, second]
        # The step after the next: what is found on one frame is carried to the other.
        third = second + ahead
        if 0 <= third < len(stack):
            order.append(third)
        masks = warp_labels(stack.labels[order], warp) == followed
        if np.count_nonzero(masks[0]) < MIN_PIXELS:
            return None
        # What it looked like where it was prompted, at the place of the first frame.
        prompted = _prompted(rng, stack, number, first, -ahead)
        there = _box(stack, prompted, number)
        away = (there[:2] + there[2:]) / 2 - (box[:2] + box[2:]) / 2
        y, x = np.array(warp.centre_yx) + away
        shifted = replace(warp, centre_yx=(float(y), float(x)))
        known = warp_labels(stack.labels[[prompted]], shifted)[0] == number
        frames = (
            warp_images(stack.images[order], warp),
            warp_images(stack.images[[prompted]], shifted),
        )
        pixels = augment_intensity(torch.cat(frames), rng)
        unit = abs(float(np.linalg.det(warp.matrix)))

        def area(frame: int) -> float:
            later = stack.objects(frame)
            return float(later.areas[later.ids == followed].sum()) / unit

        before = np.zeros((2, side, side), np.int8)
        before[0] = np.where(imperfect(rng, masks[0]), 1, -1)
        stranger = followed != number
        if prompted == first and not stranger:
            before[1] = before[0]
        elif (stranger or rng.random() >= UNKNOWN_PROMPT) and known.any():
            before[1] = np.where(imperfect(rng, known), 1, -1)
        window = TrainingWindow(
            pixels[1],
            masks[1],
            _known(warp, shape),
            area(second),
            FOLLOW,
            before_images=pixels[[0, -1]].mean(3).astype(np.uint8),
            before_masks=before,
            stranger=stranger and bool(known.any()),
        )
        if len(order) == 3:
            window.then_image, window.then_target = pixels[2], masks[2]
            window.then_area = area(third)
        return window


def _clicked(
    rng: np.random.Generator, inside: npt.NDArray[np.bool_], careful: float
) -> tuple[int, int]:
    """A click on an object, xy: so often in its middle, or anywhere but at its edge."""
    if rng.random() < careful:
        return first_click(inside)[:2]
    at = sample_error_click(rng, inside)
    assert at is not None
    return at


def _neighbour(rng: np.random.Generator, table: ObjectTable, chosen: int) -> int:
    """Another object that is not far, or the same where it is alone."""
    middles = (table.boxes_yxyx[:, :2] + table.boxes_yxyx[:, 2:]) / 2
    away = np.square(middles - middles[chosen]).sum(1)
    near = np.argsort(away, kind="stable")[1 : NEARBY + 1]
    return int(rng.choice(near)) if len(near) else chosen


def _prompted(
    rng: np.random.Generator, stack: LabelledStack, number: int, first: int, back: int
) -> int:
    """A frame from which the object may have been followed to the first of a pair."""
    if rng.random() < AT_PROMPT:
        return first
    frame = first + back * int(rng.integers(1, SINCE_PROMPT + 1))
    frame = min(max(frame, 0), len(stack) - 1)
    return frame if number in stack.objects(frame).ids else first


def _box(stack: LabelledStack, frame: int, number: int) -> npt.NDArray[np.int64]:
    """Of an object on a frame, yxyx."""
    table = stack.objects(frame)
    box = table.boxes_yxyx[np.flatnonzero(table.ids == number)[0]]
    return np.asarray(box, np.int64)


def _longer_sides(table: ObjectTable) -> npt.NDArray[np.int64]:
    """Of the boxes of objects, (N,) pixels."""
    boxes = table.boxes_yxyx
    return np.asarray((boxes[:, 2:] - boxes[:, :2]).max(1, initial=0), np.int64)


def _warp(
    rng: np.random.Generator,
    shape_hw: tuple[int, ...],
    box_yxyx: npt.NDArray[np.int64],
    centre_yx: npt.NDArray[np.float64],
    kind: int,
    side: int,
    first_look: bool = False,
) -> Warp:
    """Window in which the object has a random size, about at its middle."""
    wrong = first_look and rng.random() < WRONG
    shares = WRONG_SHARES if wrong else SHARES[kind]
    low, high = np.log(FINE_SHARES if side > SIDE else shares)
    longer = float((box_yxyx[2:] - box_yxyx[:2]).max())
    width = longer / float(np.exp(rng.uniform(low, high)))
    width = max(min(width, MAX_OF_SOURCE * max(shape_hw[:2])), MIN_SOURCE_SIDE)
    stretch = float(np.exp(rng.normal(0, 0.12))) if rng.random() < 0.4 else 1.0
    step = width / side
    matrix = np.diag([step * stretch, step / stretch]) @ orthogonal_matrix(
        int(rng.integers(4)), bool(rng.integers(2))
    )
    if rng.random() < 0.4:
        matrix = matrix @ rotation_matrix(rng.uniform(-0.8, 0.8))
    half = np.abs(matrix).sum(1) * side / 2
    centre = centre_yx + (0 if first_look else rng.normal(0, 0.05, 2) * half)
    for axis, limit in enumerate(shape_hw[:2]):
        low_end, high_end = half[axis], limit - half[axis]
        inside = low_end < high_end
        centre[axis] = np.clip(centre[axis], low_end, high_end) if inside else limit / 2
    bend = None
    if rng.random() < 0.2:
        bend = random_bend(rng, side, rng.uniform(0.5, 2.0) * step)
    return Warp((float(centre[0]), float(centre[1])), matrix, side, bend)


def _known(warp: Warp, shape_hw: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Which pixels of the window lie in the source."""
    steps = np.arange(warp.size) + 0.5 - warp.size / 2
    known = np.ones((warp.size, warp.size), bool)
    for axis, limit in enumerate(shape_hw[:2]):
        row, column = warp.matrix[axis]
        place = warp.centre_yx[axis] + row * steps[:, None] + column * steps[None]
        known &= (place >= 0) & (place <= limit)
    return known


def imperfect(
    rng: np.random.Generator, mask: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """The mask as a tracker might have left it: too large, too small, or shifted."""
    choice = rng.random()
    if choice < 0.45:  # a good outline is to be trusted
        return mask
    if choice < 0.65:
        grown = ndimage.gaussian_filter(mask.astype(np.float32), rng.uniform(0.8, 3))
        result = grown > rng.uniform(0.35, 0.65)
    elif choice < 0.9:
        # Objects shrink towards their ends while what was found of them does not.
        radius = np.sqrt(np.count_nonzero(mask) / np.pi)
        inward = ndimage.distance_transform_edt(mask)
        outward = ndimage.distance_transform_edt(~mask)
        result = inward - outward > -rng.uniform(-0.2, 0.4) * radius
    else:
        shift = rng.integers(-3, 4, 2)
        result = np.roll(mask, shift, (0, 1))
    return result if result.any() else mask
