"""Train first answers: ``python -m sam2_core.training.first_answers --help``.

A network of the shape of the close-ups learns nothing but first answers and second
looks at them. What brings the close-ups of the bundled model nearest to it, in few
numbers, becomes that model's changes for first answers; all that follows and corrects
stays as it is.
"""

from __future__ import annotations

import copy
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from sam2_core.devices import choose_device
from sam2_core.errors import CheckpointError
from sam2_core.nn.closeup import CloseUp, folded, gains
from sam2_core.training.closeup import (
    MEASURED,
    closeups_of,
    save_with,
    train_together,
    training_batches,
)
from sam2_core.training.in_use import asked_batches, first_questions
from sam2_core.training.learning import together
from sam2_core.training.learning.closeup_trainer import CloseUpTrainer
from sam2_core.training.learning.unfolding import unfolded
from sam2_core.training.options import (
    answers_parser,
    images_and_stacks,
    run,
    set_up,
)
from sam2_core.weights import read_state_dict

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from sam2_core.training.practice.asked import AnyBatch


# Parts of the time: from when on, and from when all of the way, the network is drawn to
# what the changes can be; and every how many steps.
DRAWN, DRAW_EVERY = (0.3, 0.6), 10


class FirstAnswersTrainer(CloseUpTrainer):
    """Trains a network for first answers alone; otherwise as :class:`CloseUpTrainer`.

    All windows that come again are second looks, without a further click. Part of the
    time the network is drawn nearer and nearer to what the changes can be, so that it
    finds what is good among that.

    Parameters
    ----------
    base : CloseUp
        Network that is changed, with its changes.
    folder, minutes, lr, seed, device
        See :class:`CloseUpTrainer`.
    """

    rounds, unasked = 2, 1.0

    def __init__(
        self,
        base: CloseUp,
        folder: Path,
        minutes: float,
        lr: float,
        seed: int,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(
            folder, minutes, lr, seed, base.widths, base.deep, device, keep_norms=True
        )
        self.base = copy.deepcopy(base).to(self.device)

    def learn(self, batches: Sequence[AnyBatch]) -> None:
        """As of :class:`CloseUpTrainer`."""
        super().learn(batches)
        start, end = DRAWN
        share = min(max((self.done - start) / (end - start), 0.0), 1.0) ** 2
        if share and self.step % DRAW_EVERY == 0:
            draw_near(self.model, self.base, share)
            draw_near(self.average, self.base, share)
            together.as_first(self.model)


def main(argv: list[str] | None = None) -> None:
    """Train, or go on training, and write the weights."""
    run(_train, _parser().parse_args(argv))


def _train(options: argparse.Namespace) -> None:
    set_up(options)
    together.join_others()
    network = closeups_of(options.start_from)
    assert network.first is not None  # as of all configurations with close-ups
    trainer = FirstAnswersTrainer(
        network,
        options.out,
        options.minutes,
        options.lr,
        options.seed,
        choose_device(options.device),
    )
    with together.first_alone():  # what it makes lies in the pool then
        images, _ = images_and_stacks(options, options.data)
    # Another seed after each resume, or the same windows would come again.
    seed = together.own_seed(options.seed + trainer.step)
    batches: Iterator[AnyBatch]
    if options.in_use:
        questions = first_questions(network, images)
        batches = asked_batches(questions, network, options, seed)
    else:
        batches = training_batches(images, [], options, seed)
    if trainer.step == 0:
        trainer.start_from(starting_weights(network, options.like, batches))
    train_together([trainer], batches, options.accumulate)
    if trainer.writes:
        network.first.approach(network, folded(trainer.average.cpu().eval()))
        save_with(network, options.start_from, trainer.folder)


@torch.no_grad()
def draw_near(model: CloseUp, base: CloseUp, share: float) -> None:
    """Move a network towards the nearest one that is a change of another.

    Parameters
    ----------
    model : CloseUp
        As it learns; is changed.
    base : CloseUp
        As it is shipped; its changes become those nearest to the model.
    share : float
        Of the way: 0 stays, 1 goes all of it.
    """
    assert base.first is not None
    base.first.approach(base, folded(model).to(base.draw.weight.device))
    near = base.first.weights(base)
    gain = gains(model)
    for name, weight in model.named_parameters():
        if name in near:
            nearest = near[name]
            if name in gain:
                nearest = nearest / gain[name][:, None, None, None]
            weight.lerp_(nearest, share)


def starting_weights(
    network: CloseUp, like: Path | None, batches: Iterator[AnyBatch]
) -> dict[str, torch.Tensor]:
    """Weights to begin with.

    Parameters
    ----------
    network : CloseUp
        Of a model; begin as it draws first answers.
    like : Path, optional
        ``closeup.safetensors`` of a run to begin with instead.
    batches : iterator of WindowBatch or AskedBatch
        From some of them normalisation is made anew.

    Raises
    ------
    CheckpointError
        `like` is something else.
    """
    if like is None:
        few = islice(batches, MEASURED)
        return unfolded(network.for_first_answers(), few).state_dict()
    state = read_state_dict(like)
    wanted = CloseUp(learning=True, widths=network.widths, deep=network.deep)
    if set(state) != set(wanted.state_dict()):
        raise CheckpointError(
            f"{like} is not the closeup.safetensors of a training run: give one."
        )
    return state


def _parser() -> argparse.ArgumentParser:
    parser = answers_parser(
        "python -m sam2_core.training.first_answers", __doc__, 8e-4, (6000, 0)
    )
    add = parser.add_argument
    add(
        "--like",
        type=Path,
        metavar="WEIGHTS",
        help="closeup.safetensors of a run whose first answers are better, to begin "
        "with what makes it so",
    )
    add(
        "--in-use",
        type=int,
        metavar="WINDOWS",
        help="learn from windows as the model is asked them in use, so many recorded "
        "in each process, instead of random ones",
    )
    return parser


if __name__ == "__main__":
    main()
