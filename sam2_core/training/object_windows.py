"""Training windows for the close-up network: one object each, at its own scale."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch import Tensor
from torch.utils.data import IterableDataset

from sam2_core.errors import ImageError
from sam2_core.nn.closeup import SIDE
from sam2_core.training.augment import (
    Warp,
    augment_intensity,
    orthogonal_matrix,
    random_bend,
    rotation_matrix,
    warp_images,
    warp_labels,
)
from sam2_core.training.batches import jittered_box
from sam2_core.training.clicks import first_click, sample_error_click
from sam2_core.training.dataset import label_agreement
from sam2_core.training.samples import MIN_AGREEMENT, axis_views, set_shares

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sam2_core.training.dataset import LabelledImage, LabelledStack

CLICK, BOX, FOLLOW = range(3)
# Part of the window's side that the object's longer side takes. A click does not say
# how large the object is, so it is asked at several scales; a box and a mask do.
SHARES = {CLICK: (0.12, 1.0), BOX: (0.35, 0.8), FOLLOW: (0.25, 0.7)}
# Most of the scales that a click is asked at are wrong; the network must say so.
WRONG_SHARES, WRONG = (0.03, 3.0), 0.35
MIN_SOURCE_SIDE = 14  # source pixels that a window shows at least
MAX_OF_SOURCE = 1.2  # times the longer side of the source, at most
MIN_PIXELS = 6  # of the object in the window
PAIR_SHARE = 0.35  # of the windows are pairs of frames
BOX_SHARE = 0.28  # of the others are prompted by a box
MAX_STEP = 4  # frames between the two of a pair
ATTEMPTS = 200


@dataclass
class WindowBatch:
    """N windows, each with one prompted object.

    Attributes
    ----------
    images : Tensor
        (N, S, S, 3) uint8.
    targets : Tensor
        (N, S, S) bool, the object.
    known : Tensor
        (N, S, S) bool, False outside the source image.
    whole_areas : Tensor
        (N,) float32, of the whole object in pixels of the window, seen or not.
    kinds : Tensor
        (N,) int64, CLICK, BOX or FOLLOW.
    points, labels : Tensor
        (N, 2, 2) float32 xy and (N, 2) int32: a click and padding, a box, or padding.
    before_images, before_masks : Tensor
        (N, S, S) uint8 and bool: the frame before; zeros where there is none.
    """

    images: Tensor
    targets: Tensor
    known: Tensor
    whole_areas: Tensor
    kinds: Tensor
    points: Tensor
    labels: Tensor
    before_images: Tensor
    before_masks: Tensor


@dataclass
class _Window:
    """One entry of a batch; see there."""

    image: npt.NDArray[np.uint8]
    target: npt.NDArray[np.bool_]
    known: npt.NDArray[np.bool_]
    whole_area: float
    kind: int
    points: npt.NDArray[np.float32] = field(
        default_factory=lambda: np.zeros((2, 2), np.float32)
    )
    labels: npt.NDArray[np.int32] = field(
        default_factory=lambda: np.full(2, -1, np.int32)
    )
    before_image: npt.NDArray[np.uint8] | None = None
    before_mask: npt.NDArray[np.bool_] | None = None


class ObjectWindows(IterableDataset[WindowBatch]):
    """Endless batches of windows; each start draws its own.

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
        self._images: dict[str, list[LabelledImage]] = {}
        for image in images:
            if len(image.objects):
                self._images.setdefault(image.set_name, []).append(image)
        self._stacks: dict[str, list[LabelledStack]] = {}
        for stack in stacks:
            if label_agreement(stack) >= MIN_AGREEMENT:
                for view in axis_views(stack):
                    self._stacks.setdefault(view.set_name, []).append(view)
        if not self._images:
            raise ImageError("None of the images has an object.")
        self._image_sets, self._image_shares = set_shares(
            {name: len(members) for name, members in self._images.items()}, weights
        )
        self._stack_sets, self._stack_shares = set_shares(
            {name: len(members) for name, members in self._stacks.items()}, weights
        )
        self.pair_share = PAIR_SHARE if self._stacks else 0.0

    def __iter__(self) -> Iterator[WindowBatch]:
        """Yield batches for ever."""
        rng = np.random.default_rng(self.seed)
        while True:
            yield self.draw(rng)

    def draw(self, rng: np.random.Generator) -> WindowBatch:
        """One batch."""
        windows = [self._window(rng) for _ in range(self.batch_size)]
        blank_image = np.zeros((SIDE, SIDE), np.uint8)
        blank_mask = np.zeros((SIDE, SIDE), bool)

        def stacked(values: list[npt.NDArray[np.generic]]) -> Tensor:
            return torch.from_numpy(np.stack(values))

        return WindowBatch(
            images=stacked([w.image for w in windows]),
            targets=stacked([w.target for w in windows]),
            known=stacked([w.known for w in windows]),
            whole_areas=torch.tensor([w.whole_area for w in windows]),
            kinds=torch.tensor([w.kind for w in windows]),
            points=stacked([w.points for w in windows]),
            labels=stacked([w.labels for w in windows]),
            before_images=stacked(
                [
                    blank_image if w.before_image is None else w.before_image
                    for w in windows
                ]
            ),
            before_masks=stacked(
                [
                    blank_mask if w.before_mask is None else w.before_mask
                    for w in windows
                ]
            ),
        )

    def _window(self, rng: np.random.Generator) -> _Window:
        for _ in range(ATTEMPTS):
            pair = rng.random() < self.pair_share
            found = self._pair(rng) if pair else self._still(rng)
            if found is not None:
                return found
        raise ImageError("No window with an object was found; are all objects tiny?")

    def _still(self, rng: np.random.Generator) -> _Window | None:
        name = self._image_sets[rng.choice(len(self._image_sets), p=self._image_shares)]
        image = self._images[name][rng.integers(len(self._images[name]))]
        table = image.objects
        odds = table.areas.astype(float) ** 0.25
        chosen = int(rng.choice(len(table), p=odds / odds.sum()))
        number = int(table.ids[chosen])
        kind = BOX if rng.random() < BOX_SHARE else CLICK
        box = table.boxes_yxyx[chosen]
        centre = (box[:2] + box[2:]) / 2
        if kind == CLICK:
            y0, x0, y1, x1 = (int(v) for v in box)
            at = sample_error_click(rng, image.labels[y0:y1, x0:x1] == number)
            assert at is not None
            centre = np.array([y0 + at[1] + 0.5, x0 + at[0] + 0.5])
        warp = _warp(rng, image.labels.shape, box, centre, kind)
        target = warp_labels(image.labels[None], warp)[0] == number
        if np.count_nonzero(target) < MIN_PIXELS:
            return None
        pixels = augment_intensity(warp_images(image.image[None], warp), rng)[0]
        window = _Window(
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
            careful = rng.random() < 0.5
            click = (
                first_click(target)[:2] if careful else sample_error_click(rng, target)
            )
            assert click is not None
            window.points[0] = click
            window.labels[0] = 1
        return window

    def _pair(self, rng: np.random.Generator) -> _Window | None:
        name = self._stack_sets[rng.choice(len(self._stack_sets), p=self._stack_shares)]
        stack = self._stacks[name][rng.integers(len(self._stacks[name]))]
        step = int(rng.choice([1, 2, 3, MAX_STEP], p=[0.6, 0.25, 0.1, 0.05]))
        if len(stack) <= step:
            return None
        first = int(rng.integers(len(stack) - step))
        order = [first, first + step]
        if rng.random() < 0.5:
            order.reverse()
        table = stack.objects(order[0])
        if not len(table):
            return None
        chosen = int(rng.integers(len(table)))
        # Objects that end are rare and teach presence: look for one sometimes.
        if rng.random() < 0.35:
            ending = np.flatnonzero(~np.isin(table.ids, stack.objects(order[1]).ids))
            if len(ending):
                chosen = int(rng.choice(ending))
        number = int(table.ids[chosen])
        box = table.boxes_yxyx[chosen]
        shape = stack.labels.shape[1:]
        warp = _warp(rng, shape, box, (box[:2] + box[2:]) / 2, FOLLOW)
        masks = warp_labels(stack.labels[order], warp) == number
        if np.count_nonzero(masks[0]) < MIN_PIXELS:
            return None
        pixels = augment_intensity(warp_images(stack.images[order], warp), rng)
        later = stack.objects(order[1])
        area = later.areas[later.ids == number].sum()
        return _Window(
            pixels[1],
            masks[1],
            _known(warp, shape),
            float(area) / abs(float(np.linalg.det(warp.matrix))),
            FOLLOW,
            before_image=pixels[0].mean(2).astype(np.uint8),
            before_mask=imperfect(rng, masks[0]),
        )


def _warp(
    rng: np.random.Generator,
    shape_hw: tuple[int, ...],
    box_yxyx: npt.NDArray[np.int64],
    centre_yx: npt.NDArray[np.float64],
    kind: int,
) -> Warp:
    """Window in which the object has a random size, about at its middle."""
    wrong = kind == CLICK and rng.random() < WRONG
    low, high = np.log(WRONG_SHARES if wrong else SHARES[kind])
    longer = float((box_yxyx[2:] - box_yxyx[:2]).max())
    side = longer / float(np.exp(rng.uniform(low, high)))
    side = max(min(side, MAX_OF_SOURCE * max(shape_hw[:2])), MIN_SOURCE_SIDE)
    stretch = float(np.exp(rng.normal(0, 0.12))) if rng.random() < 0.4 else 1.0
    step = side / SIDE
    matrix = np.diag([step * stretch, step / stretch]) @ orthogonal_matrix(
        int(rng.integers(4)), bool(rng.integers(2))
    )
    if rng.random() < 0.4:
        matrix = matrix @ rotation_matrix(rng.uniform(-0.8, 0.8))
    half = np.abs(matrix).sum(1) * SIDE / 2
    centre = centre_yx + rng.normal(0, 0.05, 2) * half
    for axis, limit in enumerate(shape_hw[:2]):
        low_end, high_end = half[axis], limit - half[axis]
        inside = low_end < high_end
        centre[axis] = np.clip(centre[axis], low_end, high_end) if inside else limit / 2
    bend = None
    if rng.random() < 0.2:
        bend = random_bend(rng, SIDE, rng.uniform(0.5, 2.0) * step)
    return Warp((float(centre[0]), float(centre[1])), matrix, SIDE, bend)


def _known(warp: Warp, shape_hw: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Which pixels of the window lie in the source."""
    steps = np.arange(SIDE) + 0.5 - SIDE / 2
    known = np.ones((SIDE, SIDE), bool)
    for axis, limit in enumerate(shape_hw[:2]):
        row, column = warp.matrix[axis]
        place = warp.centre_yx[axis] + row * steps[:, None] + column * steps[None]
        known &= (place >= 0) & (place <= limit)
    return known


def imperfect(
    rng: np.random.Generator, mask: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """The mask as a tracker might have left it: a bit large or small, or shifted."""
    choice = rng.random()
    if choice < 0.4:
        return mask
    if choice < 0.85:
        grown = ndimage.gaussian_filter(mask.astype(np.float32), rng.uniform(0.8, 3))
        result = grown > rng.uniform(0.25, 0.75)
    else:
        shift = rng.integers(-4, 5, 2)
        result = np.roll(mask, shift, (0, 1))
    return result if result.any() else mask
