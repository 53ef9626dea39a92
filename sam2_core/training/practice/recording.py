"""A model put to use on labelled images and stacks; what it is asked is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from tqdm import tqdm

from sam2_core.errors import ImageError
from sam2_core.training.dataset import object_table
from sam2_core.training.examples.samples import Source, by_set, followable, set_shares
from sam2_core.training.practice.asked import Recorder
from sam2_core.training.practice.following import followed
from sam2_core.training.practice.views import random_view, some_frames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sam2_core.nn.closeup import CloseUp
    from sam2_core.training.dataset import LabelledImage, LabelledStack, ObjectTable
    from sam2_core.training.examples.clicks import Mask
    from sam2_core.training.practice.asked import Asked

    Ask: TypeAlias = Callable[[Recorder, Mask, np.random.Generator], Iterator[Asked]]

OBJECTS = 6  # of a view, at most
MIN_AREA = 16  # pixels, of objects in a view
SHORTEST = 4  # frames of a stack that objects are followed through
IN_VAIN = 200  # views without a window, one after the other, before it is given up


def asked_of_images(
    network: CloseUp,
    images: Sequence[LabelledImage],
    ask: Ask,
    weights: Mapping[str, float],
    count: int,
    seed: int,
) -> list[Asked]:
    """What a network is asked of objects in images.

    Parameters
    ----------
    network : CloseUp
        As it is shipped.
    images : sequence of LabelledImage
    ask : callable
        Prompts one object, see :mod:`.prompting`.
    weights : mapping of str to float
        Factor on the share of each data set, as for `CropSampler`.
    count : int
        Windows wanted, at least.
    seed : int

    Raises
    ------
    ImageError
        The images have no objects.
    """

    def views(image: LabelledImage, rng: np.random.Generator) -> Iterator[Asked]:
        shown = random_view(rng, image.image[None], image.labels[None], image.objects)
        labels = shown.labels[0]
        close = Recorder(network, shown.images[0])
        for number in _some(object_table(labels), rng):
            yield from ask(close, labels == number, rng)

    sets = by_set(image for image in images if len(image.objects))
    return _gathered(sets, views, weights, count, seed)


def asked_of_stacks(
    network: CloseUp,
    stacks: Sequence[LabelledStack],
    weights: Mapping[str, float],
    count: int,
    seed: int,
) -> list[Asked]:
    """What a network is asked of objects that it follows.

    Parameters
    ----------
    network, weights, count, seed
        See :func:`asked_of_images`.
    stacks : sequence of LabelledStack
        Those with labels that change from frame to frame are ignored.

    Raises
    ------
    ImageError
        No stack is long enough, or has objects.
    """

    def views(stack: LabelledStack, rng: np.random.Generator) -> Iterator[Asked]:
        frames = some_frames(rng, len(stack))
        objects = stack.objects(int(frames[0]))
        if not len(objects):
            return
        images, labels = (part[frames] for part in (stack.images, stack.labels))
        shown = random_view(rng, images, labels, objects)
        close = [Recorder(network, image) for image in shown.images]
        for number in _some(object_table(shown.labels[0]), rng):
            yield from followed(close, shown.labels, int(number), rng)

    sets = by_set(view for view in followable(stacks) if len(view) >= SHORTEST)
    return _gathered(sets, views, weights, count, seed)


def _some(objects: ObjectTable, rng: np.random.Generator) -> list[int]:
    """Objects of a view, large ones a little more often."""
    odds = objects.areas**0.25 * (objects.areas >= MIN_AREA)
    count = min(OBJECTS, int((odds > 0).sum()))
    if not count:
        return []
    chosen = rng.choice(objects.ids, count, replace=False, p=odds / odds.sum())
    return [int(number) for number in chosen]


@torch.inference_mode()
def _gathered(
    sets: Mapping[str, Sequence[Source]],
    views: Callable[[Source, np.random.Generator], Iterator[Asked]],
    weights: Mapping[str, float],
    count: int,
    seed: int,
) -> list[Asked]:
    """Windows of random views of random members of random sets."""
    if not sets:
        raise ImageError("No image or stack of the training folder has objects.")
    rng = np.random.default_rng(seed)
    names, shares = set_shares({k: len(v) for k, v in sets.items()}, weights)
    found: list[Asked] = []
    in_vain = 0
    with tqdm(total=count, desc="windows", mininterval=5, leave=False) as progress:
        while len(found) < count:
            members = sets[names[rng.choice(len(names), p=shares)]]
            new = list(views(members[int(rng.integers(len(members)))], rng))
            in_vain = 0 if new else in_vain + 1
            if in_vain > IN_VAIN:
                raise ImageError("No object can be prompted; are all of them tiny?")
            found += new
            progress.update(len(new))
    return found
