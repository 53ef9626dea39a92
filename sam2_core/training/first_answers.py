"""Train first answers: ``python -m sam2_core.training.first_answers --help``.

The close-up network stays as it is, and with it all that follows and corrects; only its
low-rank changes for the first answer to a click or a box are learned.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from sam2_core.config import NANO
from sam2_core.devices import choose_device
from sam2_core.errors import CheckpointError
from sam2_core.models import load_model
from sam2_core.nn.closeup import DEEP, FIRST_RANK, WIDTHS, CloseUp, folded
from sam2_core.training import together
from sam2_core.training.closeup import OF_PROCESS, joined, training_batches
from sam2_core.training.closeup_step import closeup_step
from sam2_core.training.closeup_trainer import CloseUpTrainer, train
from sam2_core.training.options import (
    images_and_stacks,
    run,
    set_up,
    training_parser,
)
from sam2_core.weights import model_path, read_state_dict, save_weights

if TYPE_CHECKING:
    import argparse

    from sam2_core.training.image_step import StepResult
    from sam2_core.training.window_batch import WindowBatch


class FirstAnswersTrainer(CloseUpTrainer):
    """Trains the changes alone; otherwise as :class:`CloseUpTrainer`.

    All prompted windows that come again are second looks, without a further click.
    """

    warmup, ema = 20, 0.985

    def new_network(self, widths: tuple[int, ...], deep: int) -> CloseUp:
        """Folded, all of it held but its changes."""
        network = CloseUp(widths=widths, deep=deep, first_rank=FIRST_RANK)
        assert network.first is not None
        network.requires_grad_(False)
        network.first.requires_grad_()
        return network

    def new_optimizer(self) -> torch.optim.Optimizer:
        """Narrow matrices are no matter for Muon, nor for weight decay."""
        assert self.model.first is not None
        return torch.optim.AdamW(
            self.model.first.parameters(), self.lr, (0.9, 0.98), weight_decay=0
        )

    def loss(self, batch: WindowBatch, reported: bool) -> StepResult:
        """Of first answers and second looks."""
        return closeup_step(self.model, batch, self.generator, 2, reported, unasked=1)


def main(argv: list[str] | None = None) -> None:
    """Train, or go on training, and write the weights."""
    run(_train, _parser().parse_args(argv))


def _train(options: argparse.Namespace) -> None:
    set_up(options)
    together.join_others()
    trainer = FirstAnswersTrainer(
        options.out,
        options.minutes,
        options.lr,
        options.seed,
        device=choose_device(options.device),
    )
    if trainer.step == 0:
        trainer.start_from(starting_network(options.start_from, options.like))
    with together.first_alone():  # what it makes lies in the pool then
        images, _ = images_and_stacks(options, options.data)
    # Another seed after each resume, or the same windows would come again.
    seed = options.seed + trainer.step + OF_PROCESS * together.rank()
    train([trainer], training_batches(images, [], options, seed), options.accumulate)
    together.leave_others()
    if trainer.writes:
        base = options.start_from
        path = model_path(base) if base == NANO.name else Path(base)
        trainer.average.cpu()
        save_weights(
            trainer.folder / f"{NANO.name}.safetensors", joined(path, trainer.average)
        )


def starting_network(source: str, like: Path | None) -> dict[str, torch.Tensor]:
    """Weights of the close-ups of a model, and the changes to begin with.

    Parameters
    ----------
    source : str
        Name or path of a model with close-ups.
    like : Path, optional
        ``closeup.safetensors`` of a run: begin with what brings first answers nearest
        to that network, instead of the changes of the model.

    Raises
    ------
    CheckpointError
        The model has no close-ups, or a file is none of these.
    """
    network = load_model(source, device="cpu", dtype="float32").closeup
    if network is None or network.first is None:
        raise CheckpointError(
            f"{source} has no close-ups: give {NANO.name} or a model made from it."
        )
    if like is not None:
        goal = CloseUp(learning=True, widths=WIDTHS, deep=DEEP)
        state = read_state_dict(like)
        if set(state) != set(goal.state_dict()):
            raise CheckpointError(
                f"{like} is not the closeup.safetensors of a training run: give one."
            )
        goal.load_state_dict(state)
        network.first.approach(network, folded(goal.eval()))
    return network.state_dict()


def _parser() -> argparse.ArgumentParser:
    parser = training_parser(
        "python -m sam2_core.training.first_answers", __doc__, 4e-4, 16, (5000, 0)
    )
    add = parser.add_argument
    add(
        "--start-from",
        metavar="MODEL",
        default=NANO.name,
        help="name or path of a model with close-ups",
    )
    add(
        "--like",
        type=Path,
        metavar="WEIGHTS",
        help="closeup.safetensors of a run whose first answers are better, to begin "
        "with what makes it so",
    )
    add("--minutes", type=float, default=60, help="whole length over all starts")
    add("--device", default="auto", help="auto, cpu or cuda")
    add("--accumulate", type=int, default=8, help="batches a step, one after the other")
    return parser


if __name__ == "__main__":
    main()
