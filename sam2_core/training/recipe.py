"""Make a model like the bundled one: ``python -m sam2_core.training.recipe --help``.

All trainings one after the other, from nothing, each in a process of its own. What is
finished is not done again; what was interrupted goes on.
"""

from __future__ import annotations

import argparse
import logging
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sam2_core.config import NANO
from sam2_core.errors import ImageError, Sam2Error
from sam2_core.training.learning.trainer import Schedule
from sam2_core.training.options import run

if TYPE_CHECKING:
    from collections.abc import Sequence

FILE = f"{NANO.name}.safetensors"
CLOSEUP_MINUTES, FIRST_MINUTES = 435.0, 180.0
LATER_MINUTES, AGAIN_MINUTES = 60.0, 40.0  # of the trainings on what is asked in use
IN_USE = 20000  # windows of each kind, in each process
IMAGES, FIRST_IMAGES, STACKS = 1200, 6000, 160  # synthetic ones
CALIBRATED_ON = 10  # objects a set
# Of object scores. On the training stacks, which it has learned from in use, the model
# is right to be sure of presence; elsewhere it is not, and doubts add up better so.
PRESENCE_LINE = "0.3", "1.25"


@dataclass(frozen=True)
class Stage:
    """A command, and the file that is there when it is done."""

    name: str
    command: Sequence[str]
    result: Path


def main(argv: list[str] | None = None) -> None:
    """Do what is left of the recipe."""
    run(_make, _parser().parse_args(argv))


def _make(options: argparse.Namespace) -> None:
    if not options.data.is_dir():
        raise ImageError(f"There is no training folder {options.data}.")
    for stage in stages(options):
        if stage.result.exists():
            logging.info("%s: done, %s", stage.name, stage.result)
            continue
        logging.info("%s: %s", stage.name, " ".join(stage.command))
        done = subprocess.run([sys.executable, *stage.command], check=False)
        if done.returncode:
            raise Sam2Error(
                f"The {stage.name} stopped (exit status {done.returncode}); what it "
                "said stands above. The same command goes on from there."
            )
    logging.info("The model is %s", options.out / FILE)


def stages(options: argparse.Namespace) -> list[Stage]:
    """What is to be done, in order.

    Parameters
    ----------
    options : Namespace
        ``data``, ``out``, ``scale``, ``processes`` and ``seed``.
    """
    scale, seed = options.scale, str(options.seed)
    folders = ("whole", "closeups", "first", "later", "again")
    whole, close, first, later, again = (options.out / name for name in folders)

    def scaled(number: int, least: int = 1) -> str:
        return str(max(least, round(scale * number)))

    shared = ["--data", str(options.data), "--seed", seed]
    shared += ["--pool", str(options.out / "pool")]
    many = ["--synthetic", scaled(IMAGES), "--synthetic-stacks", scaled(STACKS)]
    package = "sam2_core.training"
    whole_model = [
        *("-m", package, "--out", str(whole), *shared, *many),
        *("--steps", scaled(Schedule.steps)),
        *("--dense-steps", scaled(Schedule.dense_steps)),
        *("--clip-from", scaled(Schedule.clip_from)),
        *("--big-from", scaled(Schedule.big_from)),
    ]
    closeups = [
        *("-m", f"{package}.closeup", "--out", str(close), *shared, *many),
        *("--minutes", str(scale * CLOSEUP_MINUTES), "--base", str(whole / FILE)),
    ]
    together = ["-m", "torch.distributed.run", "--nproc-per-node"]
    together += [str(options.processes), "-m"]
    used = ["--in-use", scaled(IN_USE, 4), "--synthetic", scaled(FIRST_IMAGES)]
    first_answers = [
        *(*together, f"{package}.first_answers", "--out", str(first), *shared),
        *("--synthetic", scaled(FIRST_IMAGES)),
        *("--minutes", str(scale * FIRST_MINUTES), "--start-from", str(close / FILE)),
    ]
    later_answers = [
        *(*together, f"{package}.later_answers", "--out", str(later), *shared, *used),
        *("--synthetic-stacks", scaled(STACKS)),
        *("--minutes", str(scale * LATER_MINUTES), "--start-from", str(first / FILE)),
    ]
    first_again = [
        *(*together, f"{package}.first_answers", "--out", str(again), *shared, *used),
        *("--minutes", str(scale * AGAIN_MINUTES), "--start-from", str(later / FILE)),
        *("--like", str(first / "closeup.safetensors")),
    ]
    calibration = [
        *("-m", f"{package}.calibrate", "--model", str(again / FILE), "--seed", seed),
        *("--data", str(options.data), "--objects", scaled(CALIBRATED_ON, 2)),
        *("--out", str(options.out / FILE), "--presence-line", *PRESENCE_LINE),
    ]
    return [
        Stage("training of the SAM 2", whole_model, whole / FILE),
        Stage("training of the close-ups", closeups, close / FILE),
        Stage("training of first answers", first_answers, first / FILE),
        Stage("training of what follows, in use", later_answers, later / FILE),
        Stage("training of first answers, in use", first_again, again / FILE),
        Stage("calibration", calibration, options.out / FILE),
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sam2_core.training.recipe", description=__doc__
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, help="training folder, docs/training.md")
    add("--out", type=Path, required=True, help="folder of all runs and the model")
    add(
        "--scale",
        type=float,
        default=1.0,
        help="of all lengths and numbers of synthetic images; 1 takes about 16 hours "
        "on two cores, 0.001 tries whether it runs",
    )
    add("--processes", type=int, default=2, help="that train answers together")
    add("--seed", type=int, default=0)
    return parser


if __name__ == "__main__":
    main()
