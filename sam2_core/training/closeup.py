"""Train the close-up network: ``python -m sam2_core.training.closeup --help``."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from sam2_core.config import NANO
from sam2_core.devices import choose_device
from sam2_core.errors import CheckpointError
from sam2_core.models import load_model
from sam2_core.nn.closeup import DEEP, WIDTHS, CloseUp, folded
from sam2_core.nn.sam2 import Sam2
from sam2_core.training.examples.object_windows import SET_WEIGHTS, ObjectWindows
from sam2_core.training.learning import together
from sam2_core.training.learning.closeup_trainer import CloseUpTrainer, train
from sam2_core.training.learning.unfolding import unfolded
from sam2_core.training.options import (
    drawn,
    images_and_stacks,
    run,
    set_up,
    training_parser,
)
from sam2_core.weights import model_path, read_state_dict, save_weights

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from sam2_core.training.dataset import LabelledImage, LabelledStack
    from sam2_core.training.examples.window_batch import WindowBatch
    from sam2_core.training.practice.asked import AnyBatch

MEASURED = 12  # batches from which normalisation is made anew


def main(argv: list[str] | None = None) -> None:
    """Train, or go on training, and write the weights."""
    run(_train, _parser().parse_args(argv))


def _train(options: argparse.Namespace) -> None:
    set_up(options)
    together.join_others()
    keep = options.keep_norms
    trainers = [new_trainer(options, options.out, keep_norms=keep)]
    for widths, deep in options.also:
        folder = options.out / "-".join(map(str, (*widths, deep)))
        trainers.append(new_trainer(options, folder, widths, deep, keep))
    first = trainers[0]
    with together.first_alone():  # what it makes lies in the pool then
        images, stacks = images_and_stacks(options, options.data)
    # Another seed after each resume, or the same windows would come again.
    seed = together.own_seed(options.seed + first.step)
    batches = training_batches(images, stacks, options, seed)
    if options.start_from and first.step == 0:
        first.start_from(earlier_weights(options.start_from, batches))
    train_together(trainers, batches, options.accumulate)
    for trainer in trainers:
        if not trainer.writes:
            continue
        # Other sizes are for comparing; the bundled model has one.
        if (trainer.model.widths, trainer.model.deep) == (WIDTHS, DEEP):
            model = joined(options.base or model_path(NANO.name), trainer.average)
            save_weights(trainer.folder / f"{NANO.name}.safetensors", model)


def new_trainer(
    options: argparse.Namespace,
    folder: Path,
    widths: tuple[int, ...] = WIDTHS,
    deep: int = DEEP,
    keep_norms: bool = False,
) -> CloseUpTrainer:
    """A trainer of a network of some size, told the rest on the command line.

    Parameters
    ----------
    options : Namespace
        ``minutes``, ``lr``, ``seed`` and ``device``.
    folder, widths, deep, keep_norms
        See :class:`CloseUpTrainer`.
    """
    return CloseUpTrainer(
        folder,
        options.minutes,
        options.lr,
        options.seed,
        widths,
        deep,
        choose_device(options.device),
        keep_norms,
    )


def earlier_weights(source: str, batches: Iterator[AnyBatch]) -> dict[str, Tensor]:
    """Weights to go on from.

    Parameters
    ----------
    source : str
        ``closeup.safetensors`` of a run, or name or path of a model with close-ups,
        whose normalisation is made anew.
    batches : iterator of WindowBatch or AskedBatch
        Some are taken for that.

    Raises
    ------
    CheckpointError
        The model has no close-ups, or is not there.
    """
    if Path(source).is_file():
        state = read_state_dict(source)
        if "draw.weight" in state:
            return state
    model = load_model(source, device="cpu", dtype="float32")
    if model.closeup is None:
        raise CheckpointError(
            f"{source} has no close-ups to go on from: give {NANO.name} or one made "
            "from it."
        )
    return unfolded(model.closeup, islice(batches, MEASURED)).state_dict()


def training_batches(
    images: Sequence[LabelledImage],
    stacks: Sequence[LabelledStack],
    options: argparse.Namespace,
    seed: int,
) -> Iterator[WindowBatch]:
    """Endless batches, drawn with a seed in other processes.

    Parameters
    ----------
    images, stacks : sequence
    options : Namespace
        ``batch`` windows each, by so many ``workers``.
    seed : int
    """
    return drawn(
        ObjectWindows(images, stacks, options.batch, seed, SET_WEIGHTS), options
    )


def train_together(
    trainers: Sequence[CloseUpTrainer], batches: Iterator[AnyBatch], each: int
) -> None:
    """Train as :func:`train` does, with the other processes, and leave them."""
    for trainer in trainers:
        together.as_first(trainer.model)
        together.as_first(trainer.average)
    train(trainers, batches, each)
    together.leave_others()


def closeups_of(source: str) -> CloseUp:
    """The close-ups of a model, given its name or path; CheckpointError without any."""
    network = load_model(source, device="cpu", dtype="float32").closeup
    if network is None:
        raise CheckpointError(
            f"{source} has no close-ups: give {NANO.name} or a model made from it."
        )
    return network


def save_with(network: CloseUp, source: str, folder: Path) -> None:
    """Write a model, given by its name or path, with other close-ups into a folder."""
    base = model_path(source) if source == NANO.name else Path(source)
    save_weights(folder / f"{NANO.name}.safetensors", joined(base, network))


def joined(base: Path, network: CloseUp) -> Sam2:
    """The bundled model with other close-ups.

    Parameters
    ----------
    base : Path
        Weights of the bundled model, with or without close-ups.
    network : CloseUp
        As trained; it is folded, unless it is already. Without changes of its own for
        first answers it has none: those of `base` are for other weights.
    """
    model = Sam2(NANO)
    parts = dict(model.state_dict())
    if network.first is None:
        network = folded(network.cpu().eval())
    state = read_state_dict(base)
    rest = parts.keys() & {k for k in state if not k.startswith("closeup.")}
    parts |= {key: state[key] for key in rest}
    parts |= {f"closeup.{key}": value for key, value in network.state_dict().items()}
    model.load_state_dict(parts)
    return model


def _parser() -> argparse.ArgumentParser:
    parser = training_parser(
        "python -m sam2_core.training.closeup", __doc__, 2e-3, 32, (1200, 160)
    )
    add = parser.add_argument
    add(
        "--start-from",
        metavar="WEIGHTS",
        help="closeup.safetensors of an earlier run, or name or path of a model, to "
        "begin with instead of random weights",
    )
    add("--base", type=Path, help="weights of all else (default: the bundled ones)")
    add("--minutes", type=float, default=90, help="whole length over all starts")
    add("--device", default="auto", help="auto, cpu or cuda")
    add("--accumulate", type=int, default=1, help="batches a step, one after the other")
    add(
        "--keep-norms",
        action="store_true",
        help="normalise by the statistics of --start-from instead of the batch's",
    )
    add(
        "--also",
        type=_size,
        nargs="*",
        default=[],
        metavar="WIDTHS:DEEP",
        help="further networks trained from nothing on the same windows, for example "
        "48,96,144,160:2; each in a folder of its own in OUT",
    )
    return parser


def _size(text: str) -> tuple[tuple[int, ...], int]:
    widths, _, deep = text.partition(":")
    return tuple(int(width) for width in widths.split(",")), int(deep)


if __name__ == "__main__":
    main()
