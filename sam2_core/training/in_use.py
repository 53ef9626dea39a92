"""Batches of what a model is asked in use, recorded once and kept in a file."""

from __future__ import annotations

import zlib
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from sam2_core.training.examples.object_windows import SET_WEIGHTS
from sam2_core.training.learning import together
from sam2_core.training.options import drawn
from sam2_core.training.practice.asked_windows import (
    AskedWindows,
    read_asked,
    save_asked,
)
from sam2_core.training.practice.prompting import corrections, first_looks
from sam2_core.training.practice.recording import asked_of_images, asked_of_stacks

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sam2_core.nn.closeup import CloseUp
    from sam2_core.training.dataset import LabelledImage, LabelledStack
    from sam2_core.training.practice.asked import Asked, AskedBatch

    # From the number of windows and a seed to the windows, by the kind of question.
    Questions: TypeAlias = Mapping[str, Callable[[int, int], list[Asked]]]

VERSION = 1  # of how they are recorded


def first_questions(network: CloseUp, images: Sequence[LabelledImage]) -> Questions:
    """What is asked before first answers."""
    ask = partial(asked_of_images, network, images, first_looks, SET_WEIGHTS)
    return {"first": ask}


def later_questions(
    network: CloseUp, images: Sequence[LabelledImage], stacks: Sequence[LabelledStack]
) -> Questions:
    """What is asked after them."""
    return {
        "corrections": partial(
            asked_of_images, network, images, corrections, SET_WEIGHTS
        ),
        "following": partial(asked_of_stacks, network, stacks, SET_WEIGHTS),
    }


def asked_batches(
    questions: Questions, network: CloseUp, options: argparse.Namespace, seed: int
) -> Iterator[AskedBatch]:
    """Endless batches, of each kind of question as many.

    Parameters
    ----------
    questions : mapping of str to callable
        Of this module.
    network : CloseUp
        Which is asked.
    options : Namespace
        ``in_use`` windows of each kind, kept in the ``pool``; ``seed`` of them.
    seed : int
        Of the batches.
    """
    own, pool = together.own_seed(options.seed), options.pool or options.out / "pool"
    kinds = []
    for name, ask in questions.items():
        file = f"{name}_v{VERSION}_{_digest(network):08x}_{own}_{options.in_use}.npz"
        if not (pool / file).is_file():
            save_asked(pool / file, ask(options.in_use, own))
        kinds.append(read_asked(pool / file))
    return drawn(AskedWindows(kinds, options.batch, seed), options)


def _digest(network: CloseUp) -> int:
    """Of the weights: another network is asked other things."""
    digest = 0
    for weight in network.parameters():
        digest = zlib.crc32(weight.detach().cpu().float().numpy().tobytes(), digest)
    return digest
