"""Train corrections and following: ``python -m sam2_core.training.later_answers -h``.

The close-ups of a model learn from what they are asked in use: the model's objects are
corrected and followed on labelled images, and all windows that it sees on the way are
kept. Its first answers change as little as its changes for them can be.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from sam2_core.devices import choose_device
from sam2_core.nn.closeup import CloseUp, folded
from sam2_core.training.closeup import (
    MEASURED,
    closeups_of,
    save_with,
    train_together,
)
from sam2_core.training.in_use import asked_batches, later_questions
from sam2_core.training.learning import together
from sam2_core.training.learning.closeup_trainer import CloseUpTrainer
from sam2_core.training.learning.unfolding import unfolded
from sam2_core.training.options import (
    answers_parser,
    images_and_stacks,
    run,
    set_up,
)

if TYPE_CHECKING:
    import argparse


def main(argv: list[str] | None = None) -> None:
    """Train, or go on training, and write the weights."""
    run(_train, _parser().parse_args(argv))


def _train(options: argparse.Namespace) -> None:
    set_up(options)
    together.join_others()
    network = closeups_of(options.start_from)
    with together.first_alone():  # what it makes lies in the pool then
        images, stacks = images_and_stacks(options, options.data)
    trainer = CloseUpTrainer(
        options.out,
        options.minutes,
        options.lr,
        options.seed,
        network.widths,
        network.deep,
        choose_device(options.device),
        keep_norms=True,
    )
    # Another seed after each resume, or the same windows would come again.
    seed = together.own_seed(options.seed + trainer.step)
    questions = later_questions(network, images, stacks)
    batches = asked_batches(questions, network, options, seed)
    if trainer.step == 0:
        trainer.start_from(unfolded(network, islice(batches, MEASURED)).state_dict())
    train_together([trainer], batches, options.accumulate)
    if trainer.writes:
        made = keeping_first(trainer.average, network)
        save_with(made, options.start_from, trainer.folder)


def keeping_first(trained: CloseUp, before: CloseUp) -> CloseUp:
    """Close-ups as trained, whose first answers are nearly those of others.

    Parameters
    ----------
    trained : CloseUp
        With normalisation.
    before : CloseUp
        As shipped.
    """
    assert before.first is not None  # as of all configurations with close-ups
    plain, rank = folded(trained.cpu().eval()), before.first.rank
    made = CloseUp(widths=plain.widths, deep=plain.deep, first_rank=rank).eval()
    made.load_state_dict(plain.state_dict(), strict=False)
    assert made.first is not None
    made.first.approach(made, before.for_first_answers())
    return made


def _parser() -> argparse.ArgumentParser:
    parser = answers_parser(
        "python -m sam2_core.training.later_answers", __doc__, 4e-4, (6000, 400)
    )
    parser.add_argument(
        "--in-use",
        type=int,
        default=20000,
        metavar="WINDOWS",
        help="corrections recorded in each process, and as many windows of following",
    )
    return parser


if __name__ == "__main__":
    main()
