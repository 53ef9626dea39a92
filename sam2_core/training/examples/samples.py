"""Random crops of labelled images, drawn for training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from sam2_core.errors import ImageError
from sam2_core.training.dataset import LabelledImage, LabelledStack, label_agreement
from sam2_core.training.examples.augment import (
    augment_intensity,
    warp_images,
    warp_labels,
)
from sam2_core.training.examples.framing import (
    MAX_SCALE,
    random_warp,
    random_window,
    visible_objects,
    wanted_fraction,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

Source = TypeVar("Source", LabelledImage, LabelledStack)
MIN_AGREEMENT = 0.5
MAX_ATTEMPTS = 500


@dataclass(frozen=True)
class Crop:
    """A square training image.

    Attributes
    ----------
    image : (S, S, 3) uint8
    labels : (S, S) int32
        0 is background.
    window : (x0, y0, frame_size)
        Where the crop sits in a virtual model input of ``frame_size`` pixels a side.
    candidates : (N,) int64
        Labels that show enough of their object to be prompted.
    set_name : str
        Data set of the image.
    partial : bool
        Some objects of the image are not labelled.
    """

    image: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int32]
    window: tuple[int, int, int]
    candidates: npt.NDArray[np.int64]
    set_name: str
    partial: bool


class CropSampler:
    """Draw crops from many data sets, small sets and small objects included.

    Parameters
    ----------
    images : sequence of LabelledImage
        Images without an object or less than 64 pixels wide or high are ignored.
    size : int
        Side of the crops in pixels.
    seed : int
        Of the generator used when ``sample`` is given none.
    weights : mapping of str to float, optional
        Factor on the share of each data set; missing ones count 1. Before it, the
        share grows with the number of images to the power 0.35.
    native_fraction : float
        Part of the crops taken at the scale at which the whole image fills the model
        input, as when the model is used.

    Raises
    ------
    ImageError
        No image can be used.
    """

    def __init__(
        self,
        images: Sequence[LabelledImage],
        size: int = 256,
        seed: int = 0,
        weights: Mapping[str, float] | None = None,
        native_fraction: float = 0.3,
    ) -> None:
        self.size = size
        self.native_fraction = native_fraction
        self._rng = np.random.default_rng(seed)
        self._sets = by_set(
            image
            for image in images
            if min(image.labels.shape) * MAX_SCALE >= size and len(image.objects)
        )
        if not self._sets:
            raise ImageError("None of the images is large enough and has an object.")
        self._names, self._shares = set_shares(
            {name: len(members) for name, members in self._sets.items()}, weights
        )

    def sample(self, rng: np.random.Generator | None = None) -> Crop:
        """Draw one crop; the same generator state gives the same crop."""
        rng = self._rng if rng is None else rng
        for attempt in range(MAX_ATTEMPTS):
            name = self._names[rng.choice(len(self._names), p=self._shares)]
            members = self._sets[name]
            image = members[rng.integers(len(members))]
            table = image.objects
            warp = random_warp(
                rng, image.labels.shape, table, self.size, self.native_fraction
            )
            labels = warp_labels(image.labels[None], warp)[0]
            fraction = wanted_fraction(attempt)
            candidates = visible_objects(labels, table, warp, fraction)
            if len(candidates):
                break
        else:
            raise ImageError("No crop with an object was found; are all objects tiny?")
        pixels = augment_intensity(warp_images(image.image[None], warp), rng)[0]
        return Crop(
            pixels,
            labels,
            random_window(rng, self.size),
            candidates,
            image.set_name,
            image.partial,
        )


def set_shares(
    counts: Mapping[str, int], weights: Mapping[str, float] | None
) -> tuple[list[str], npt.NDArray[np.float64]]:
    """Probability of each data set: flatter than its number of images.

    Parameters
    ----------
    counts : mapping of str to int
        Images per set.
    weights : mapping of str to float, optional
        Extra factors.

    Returns
    -------
    names : list of str
    shares : (N,) float64
        Sum 1.
    """
    names = sorted(counts)
    factors = weights or {}
    shares = np.array([counts[n] ** 0.35 * factors.get(n, 1.0) for n in names])
    return names, shares / shares.sum()


@dataclass(frozen=True)
class Clip:
    """Frames of a stack in the order in which they are to be seen.

    Attributes
    ----------
    images : (T, S, S, 3) uint8
    labels : (T, S, S) int32
        0 is background; an object keeps its label and may be absent from frames.
    window : (x0, y0, frame_size)
        As in `Crop`.
    candidates : tuple of (N,) int64
        For each frame the labels that can be prompted there; some in the first.
    set_name : str
        Data set of the stack.
    axis : str
        ``"z"`` or ``"t"``.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int32]
    window: tuple[int, int, int]
    candidates: tuple[npt.NDArray[np.int64], ...]
    set_name: str
    axis: str


class ClipSampler:
    """Draw short clips from stacks, forwards or backwards, at stride 1 or 2.

    Parameters
    ----------
    stacks : sequence of LabelledStack
        Stacks shorter than ``length``, too small, or with labels that change from
        frame to frame are ignored. Isotropic ones are cut along all three axes.
    size : int
        Side of the frames in pixels.
    length : int
        Number of frames.
    seed : int
        Of the generator used when ``sample`` is given none.
    weights : mapping of str to float, optional
        Factor on the share of each data set, as for `CropSampler`.
    native_fraction : float
        As for `CropSampler`.

    Raises
    ------
    ImageError
        No stack can be used.
    """

    def __init__(
        self,
        stacks: Sequence[LabelledStack],
        size: int = 256,
        length: int = 4,
        seed: int = 0,
        weights: Mapping[str, float] | None = None,
        native_fraction: float = 0.3,
    ) -> None:
        self.size = size
        self.length = length
        self.native_fraction = native_fraction
        self._rng = np.random.default_rng(seed)
        self._sets = by_set(
            view
            for view in followable(stacks)
            if len(view) >= length and min(view.labels.shape[1:]) * MAX_SCALE >= size
        )
        if not self._sets:
            raise ImageError(f"None of the stacks has {length} large enough frames.")
        counts = {name: len(members) for name, members in self._sets.items()}
        self._names, self._shares = set_shares(counts, weights)

    def sample(
        self, rng: np.random.Generator | None = None, length: int | None = None
    ) -> Clip:
        """Draw one clip; the same generator state gives the same clip.

        Parameters
        ----------
        rng : numpy.random.Generator, optional
        length : int, optional
            Fewer frames than the sampler's own number.
        """
        rng = self._rng if rng is None else rng
        length = min(length or self.length, self.length)
        for attempt in range(MAX_ATTEMPTS):
            name = self._names[rng.choice(len(self._names), p=self._shares)]
            members = self._sets[name]
            stack = members[rng.integers(len(members))]
            order = _frame_order(rng, len(stack), length)
            tables = [stack.objects(int(index)) for index in order]
            if not len(tables[0]):
                continue
            shape = stack.labels.shape[1:]
            warp = random_warp(rng, shape, tables[0], self.size, self.native_fraction)
            labels = warp_labels(stack.labels[order], warp)
            fraction = wanted_fraction(attempt)
            candidates = tuple(
                visible_objects(frame, table, warp, fraction)
                for frame, table in zip(labels, tables, strict=True)
            )
            if len(candidates[0]):
                break
        else:
            raise ImageError("No clip with an object was found; are all objects tiny?")
        images = augment_intensity(warp_images(stack.images[order], warp), rng)
        window = random_window(rng, self.size)
        return Clip(images, labels, window, candidates, stack.set_name, stack.axis)


def by_set(members: Iterable[Source]) -> dict[str, list[Source]]:
    """Images or stacks by the name of their data set."""
    sets: dict[str, list[Source]] = {}
    for member in members:
        sets.setdefault(member.set_name, []).append(member)
    return sets


def followable(stacks: Iterable[LabelledStack]) -> Iterator[LabelledStack]:
    """All views of the stacks in which an object keeps its label."""
    for stack in stacks:
        if label_agreement(stack) >= MIN_AGREEMENT:
            yield from axis_views(stack)


def axis_views(stack: LabelledStack) -> list[LabelledStack]:
    """The stack, and for an isotropic one also its views along the other two axes."""
    if not stack.isotropic:
        return [stack]
    return [
        replace(
            stack,
            name=f"{stack.name}/{axis}",
            images=np.moveaxis(stack.images, axis, 0),
            labels=np.moveaxis(stack.labels, axis, 0),
            _tables={},
        )
        for axis in range(3)
    ]


def _frame_order(
    rng: np.random.Generator, available: int, length: int
) -> npt.NDArray[np.int64]:
    stride = 2 if rng.random() < 0.35 and available >= 2 * length - 1 else 1
    start = int(rng.integers(available - stride * (length - 1)))
    order = start + stride * np.arange(length)
    return order[::-1] if rng.random() < 0.5 else order
