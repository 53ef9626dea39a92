"""Correct what a model says about itself: its predicted IoU and object scores.

``python -m sam2_core.training.calibrate --model IN --data DATA --out OUT`` prompts
objects of training data, with new synthetic images and stacks beside them, compares the
scores with what was reached, and fits one line in logit space for each of the two
heads. The lines are folded into the heads' last layers: nothing runs at inference that
did not run before, and the order of masks by score stays.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 (typer reads the annotations)
from typing import TYPE_CHECKING, Annotated, cast

import numpy as np
import torch
import typer
from scipy.optimize import minimize
from scipy.special import expit

from sam2_core.errors import CheckpointError, Sam2Error
from sam2_core.training.generator.layouts import LAYOUTS
from sam2_core.training.generator.synthetic import generate_image
from sam2_core.training.generator.synthetic_stacks import KINDS, generate_stack
from sam2_core.training.labelled_files import LabelledArrays, find_sets
from sam2_core.training.measuring.measures import calibration_error
from sam2_core.training.measuring.scores import predicted_and_reached
from sam2_core.training.measuring.stack_trials import evaluate_stack
from sam2_core.training.measuring.trials import evaluate_set

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from torch import nn

    from sam2_core.nn.closeup import CloseUp
    from sam2_core.nn.sam2 import Sam2
    from sam2_core.training.labelled_files import Labelled

    FloatArray = NDArray[np.float64]

SEED = 7_000_001  # far from the seeds of training, so that its images are new
SIZE, LENGTH = 256, 10
MIN_ABSENT = 30  # frames without their object, below which presence is left alone


@dataclass(frozen=True)
class Answers:
    """What a model said, and what was true.

    Attributes
    ----------
    predicted, reached : (N,) float64
        Between 0 and 1.
    weights : (N,) float64
        How much each counts; all sets weigh alike.
    """

    predicted: FloatArray
    reached: FloatArray
    weights: FloatArray

    def __len__(self) -> int:
        return len(self.predicted)

    def part(self, start: int) -> Answers:
        """Every second answer."""
        return Answers(
            self.predicted[start::2], self.reached[start::2], self.weights[start::2]
        )

    def error(self, line: Line | None = None) -> float:
        """Expected calibration error, as the scores are or after correction."""
        scores = self.predicted if line is None else line.apply(self.predicted)
        return calibration_error(scores, self.reached, self.weights) or 0.0

    @classmethod
    def joined(
        cls, parts: Sequence[tuple[Sequence[float], Sequence[float]]]
    ) -> Answers:
        """Join the answers of several sets."""
        kept = [(p, r) for p, r in parts if len(p)]
        return cls(
            np.array([x for p, _ in kept for x in p], float),
            np.array([x for _, r in kept for x in r], float),
            np.array([1 / len(p) for p, _ in kept for _ in p], float),
        )

    @classmethod
    def together(cls, parts: Sequence[Answers]) -> Answers:
        """Several lots as one, each answer with the weight that it had."""
        columns = ([getattr(part, name) for part in parts] for name in vars(parts[0]))
        return cls(*(np.concatenate(column) for column in columns))


@dataclass(frozen=True)
class Line:
    """A correction ``slope * logit + shift`` with a positive slope."""

    slope: float = 1.0
    shift: float = 0.0

    def apply(self, probability: FloatArray) -> FloatArray:
        """Corrected probabilities."""
        corrected: FloatArray = expit(self.slope * _logit(probability) + self.shift)
        return corrected

    def __str__(self) -> str:
        return f"{self.slope:.3f} x logit {self.shift:+.3f}"


def fit_line(answers: Answers) -> Line:
    """The line that makes the scores most likely (cross-entropy with soft targets)."""
    logits, target = _logit(answers.predicted), answers.reached
    share = answers.weights / answers.weights.sum()

    def loss(parameters: FloatArray) -> float:
        value = np.exp(parameters[0]) * logits + parameters[1]
        return float((share * (np.logaddexp(0, value) - target * value)).sum())

    found = minimize(loss, np.zeros(2), method="BFGS")
    return Line(float(np.exp(found.x[0])), float(found.x[1]))


def _logit(probability: FloatArray) -> FloatArray:
    clipped = np.clip(probability, 1e-6, 1 - 1e-6)
    value: FloatArray = np.log(clipped / (1 - clipped))
    return value


@torch.no_grad()
def fold_iou_line(model: Sam2, line: Line, first: Line | None = None) -> None:
    """Correct the predicted IoUs of a model, in place.

    Where it has close-ups their judge is corrected, since they draw what is shown; what
    they say of first answers by a line of its own, if there is one.
    """
    if model.closeup is not None:
        _correct_judge(model.closeup, 0, line, first or line)
        return
    _correct(_last(model.sam_mask_decoder.iou_prediction_head), line)
    if model.prompt_hints is not None:
        # Its judgement is added to the logits of the head.
        judge = _last(model.prompt_hints.judge)
        judge.weight.mul_(line.slope)
        judge.bias.mul_(line.slope)


@torch.no_grad()
def fold_presence_line(model: Sam2, line: Line) -> None:
    """Correct the object scores of a model, in place."""
    if model.closeup is not None:
        _correct_judge(model.closeup, 1, line, line)
        return
    _correct(_last(model.sam_mask_decoder.pred_obj_score_head), line)


def _correct_judge(closeup: CloseUp, row: int, line: Line, first: Line) -> None:
    if closeup.first is None:
        _correct(_last(closeup.judge), line, row)
        return
    changed = copy.deepcopy(closeup.for_first_answers())
    _correct(_last(closeup.judge), line, row)
    head = _last(changed.judge)
    _correct(head, first, row)
    number = len(changed.judge.layers) - 1
    for kind, value in head.named_parameters():
        closeup.first.put(closeup, f"judge.layers.{number}.{kind}", value)


def _correct(head: nn.Linear, line: Line, row: int | None = None) -> None:
    rows = slice(None) if row is None else slice(row, row + 1)
    head.weight[rows] *= line.slope
    head.bias[rows] *= line.slope
    head.bias[rows] += line.shift


def _last(head: nn.Module) -> nn.Linear:
    return cast("nn.Linear", cast("nn.ModuleList", head.layers)[-1])


def iou_answers(
    model: Sam2, folder: Path, objects: int = 14, seed: int = SEED
) -> tuple[Answers, Answers]:
    """Predicted and true IoUs on the 2D sets of a folder and on synthetic images.

    Parameters
    ----------
    model : Sam2
    folder : Path
        Training data.
    objects : int
        Objects of each set; as many of each layout of the generator.
    seed : int
        Of the draw and of the synthetic images.

    Returns
    -------
    tuple of Answers
        Of first answers, and of those after corrections.
    """
    from sam2_core.image import ImagePredictor

    predictor = ImagePredictor(model)
    sets: list[Sequence[Labelled]] = [
        files for files in find_sets(folder).values() if files[0].kind == "2d"
    ]
    sets += list(_synthetic_images(seed))
    found = [
        evaluate_set(files, predictor, (), objects, seed, noc=False).objects
        for files in sets
    ]
    first, later = (
        Answers.joined([predicted_and_reached(records, kind) for records in found])
        for kind in (True, False)
    )
    return first, later


def _synthetic_images(seed: int) -> Iterator[Sequence[LabelledArrays]]:
    for number, layout in enumerate(LAYOUTS):
        images = []
        for index in range(3):
            rng = np.random.default_rng([seed, number, index])
            image, labels = generate_image(rng, SIZE, layout)
            images.append(LabelledArrays(layout, str(index), "2d", image, labels))
        yield images


def presence_answers(
    model: Sam2, folder: Path, objects: int = 6, seed: int = SEED
) -> Answers:
    """Object scores on frames with (1) and without (0) the followed object.

    Parameters
    ----------
    model : Sam2
    folder : Path
        Training data; stacks are cut to ten frames.
    objects : int
        Objects of each stack.
    seed : int
    """
    from sam2_core.video import VideoSession

    parts = []
    for stack in (*_short_stacks(folder, seed), *_synthetic_stacks(seed)):
        found = evaluate_stack(
            stack,
            lambda frames: VideoSession(model, frames),
            objects,
            seed,
            corrections=0,
        )
        scores, truth = [], []
        for record in found.objects:
            for kind, value in (("present", 1.0), ("absent", 0.0)):
                scores += record["presence"][kind]
                truth += [value] * len(record["presence"][kind])
        parts.append((scores, truth))
    return Answers.joined(parts)


def _short_stacks(folder: Path, seed: int) -> Iterator[LabelledArrays]:
    rng = np.random.default_rng(seed)
    for name, files in find_sets(folder).items():
        if files[0].kind == "2d":
            continue
        frames, labels = files[0].read()
        start = int(rng.integers(max(len(frames) - LENGTH, 0) + 1))
        part = slice(start, start + LENGTH)
        yield LabelledArrays(name, name, files[0].kind, frames[part], labels[part])


def _synthetic_stacks(seed: int) -> Iterator[LabelledArrays]:
    for number, kind in enumerate(KINDS):
        rng = np.random.default_rng([seed, number])
        images, labels, axis = generate_stack(rng, SIZE, LENGTH, kind)
        yield LabelledArrays(kind, kind, axis, images, labels)


def calibrate(
    model: Sam2,
    folder: Path,
    objects: int = 14,
    presence: bool = True,
    seed: int = SEED,
    later: bool = True,
    presence_line: Line | None = None,
) -> list[str]:
    """Fit both corrections and fold them into a model, in place.

    Parameters
    ----------
    model : Sam2
        In float32.
    folder : Path
        Training data; never what the model is to be judged by.
    objects : int
        Objects of each 2D set.
    presence : bool
        Correct object scores too.
    seed : int
    later : bool
        Correct the predicted IoUs of later answers too, where first ones have weights
        of their own.
    presence_line : Line, optional
        Correct object scores so, instead of by what fits the training data.

    Returns
    -------
    list of str
        A line for each head: what was fitted, and the calibration error on half of the
        answers before and after a fit on the other half.
    """
    lines = []
    first, after = iou_answers(model, folder, objects, seed)
    if model.closeup is None or model.closeup.first is None:  # one head for both
        answers = Answers.together((first, after))
        line = fit_line(answers)
        fold_iou_line(model, line)
        lines.append(_summary("IoU scores", answers, line))
    else:
        line = fit_line(after) if later else Line()
        fold_iou_line(model, line, fit_line(first))
        lines.append(_summary("IoU scores of first answers", first, fit_line(first)))
        if later:
            lines.append(_summary("IoU scores of later ones", after, line))
    if presence_line is not None:
        fold_presence_line(model, presence_line)
        lines.append(f"object scores: {presence_line}, as told")
    elif presence:
        answers = presence_answers(model, folder, seed=seed)
        absent = int((answers.reached == 0).sum())
        if absent < MIN_ABSENT:
            lines.append(
                f"object scores: left alone, only {absent} frames lack their object"
            )
        else:
            line = fit_line(answers)
            fold_presence_line(model, line)
            lines.append(_summary("object scores", answers, line))
    return lines


def _summary(name: str, answers: Answers, line: Line) -> str:
    fitted, held_out = answers.part(0), answers.part(1)
    before, after = held_out.error(), held_out.error(fit_line(fitted))
    return (
        f"{name}: {line} from {len(answers)} answers; calibration error on held-out "
        f"ones {before:.3f} -> {after:.3f}"
    )


def main(
    data: Annotated[Path, typer.Option(help="Folder of training data.")],
    out: Annotated[Path, typer.Option(help="Weights to write (.safetensors).")],
    model: Annotated[
        str, typer.Option(help="Name of a model or path of a weight file.")
    ] = "sam2_nano",
    objects: Annotated[int, typer.Option(min=2, help="Objects per 2D set.")] = 14,
    presence: Annotated[bool, typer.Option(help="Correct object scores too.")] = True,
    seed: Annotated[int, typer.Option(help="Of objects and images.")] = SEED,
    later: Annotated[
        bool, typer.Option(help="Correct later answers, not only first ones.")
    ] = True,
    presence_line: Annotated[
        tuple[float, float] | None,
        typer.Option(
            metavar="SLOPE SHIFT", help="Correct object scores so, without a fit."
        ),
    ] = None,
) -> None:
    """Calibrate the scores of a model and write its weights anew."""
    from sam2_core.models import load_model
    from sam2_core.weights import save_weights

    try:
        if out.suffix != ".safetensors":
            raise CheckpointError(f"Weights are safetensors: end {out} so.")
        net = load_model(model, device="cpu", dtype="float32")
        told = None if presence_line is None else Line(*presence_line)
        if told is not None and told.slope <= 0:
            raise Sam2Error("The slope of --presence-line must be above 0.")
        for line in calibrate(net, data, objects, presence, seed, later, told):
            typer.echo(line)
        save_weights(out, net)
    except Sam2Error as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error


if __name__ == "__main__":
    typer.run(main)
