"""Fine-tuning: a model learns from a few labelled images of one's own.

>>> from sam2_core.training.finetune import finetune
>>> result = finetune("images", "labels", out="my_model.safetensors")
>>> print(result.table())
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sam2_core.errors import CheckpointError, ImageError, would_overwrite
from sam2_core.training.dataset import (
    LabelledImage,
    LabelledStack,
    split_pieces,
    stack_slices,
)
from sam2_core.training.holding_out import count_objects, hold_out
from sam2_core.training.labelled_files import MIN_AREA, draw, frames_with_object
from sam2_core.training.learning.tuning import Tuner, TuningPlan, TuningProgress
from sam2_core.training.measuring.scores import CLICKS, mean
from sam2_core.training.measuring.stack_trials import evaluate_stack
from sam2_core.training.measuring.trials import evaluate_set
from sam2_core.training.pairs import find_pairs, read_pair

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sam2_core.nn.sam2 import Sam2
    from sam2_core.training.labelled_files import LabelledArrays

SUFFIX = ".safetensors"
CHECK_OBJECTS, TABLE_OBJECTS = 60, 100
TABLE_STACKS, STACK_OBJECTS = 3, 6
CHECK_CLICKS = 2


@dataclass
class Quality:
    """Mean IoUs of a model on labelled images and stacks.

    Attributes
    ----------
    clicks : dict of int to float
        After so many clicks, on images and slices.
    box : float or None
        From a box.
    stack : float or None
        Over the other frames of stacks after one click.
    measured : str
        On how many objects, if they were too many for all of them; else "".
    """

    clicks: dict[int, float] = field(default_factory=dict)
    box: float | None = None
    stack: float | None = None
    measured: str = ""

    def rows(self) -> dict[str, float | None]:
        """The figures by name."""
        clicks: dict[str, float | None] = {
            f"{n} click{'s' * (n > 1)}": self.clicks.get(n) for n in CLICKS
        }
        return clicks | {"box": self.box, "stack, 1 click": self.stack}


@dataclass
class FinetuneResult:
    """What came out.

    Attributes
    ----------
    path : Path
        The new weights.
    before, after : Quality
        Of the held-out part, which also decided when to stop.
    test_before, test_after : Quality or None
        Of the test images, which decided nothing.
    last : TuningProgress
        Where the training ended.
    learned_objects, checked_objects : int
        Labelled objects in both parts.
    """

    path: Path
    before: Quality
    after: Quality
    test_before: Quality | None
    test_after: Quality | None
    last: TuningProgress
    learned_objects: int
    checked_objects: int

    @property
    def improved(self) -> bool:
        """Whether training found better weights than those it began with."""
        return self.last.best > self.last.first

    def table(self) -> str:
        """Mean IoUs before and after, as aligned text."""
        blocks = [_table("held-out part", self.before, self.after)]
        if self.test_before is not None and self.test_after is not None:
            blocks.append(_table("test images", self.test_before, self.test_after))
        return "\n\n".join(blocks)


def _table(title: str, before: Quality, after: Quality) -> str:
    lines = [f"{title + ' (mean IoU)':<28} before   after    gain"]
    for name, old in before.rows().items():
        new = after.rows()[name]
        if old is not None and new is not None:
            lines.append(f"{name:<28} {old:6.3f}  {new:6.3f}  {new - old:+6.3f}")
    if before.measured:
        lines.append(before.measured)
    return "\n".join(lines)


def finetune(
    images: str | os.PathLike[str],
    labels: str | os.PathLike[str],
    model: str | os.PathLike[str] | Sam2 = "sam2_nano",
    out: str | os.PathLike[str] = "my_model.safetensors",
    test_images: str | os.PathLike[str] | None = None,
    test_labels: str | os.PathLike[str] | None = None,
    device: str = "auto",
    axis: str = "z",
    partial: bool = False,
    plan: TuningPlan | None = None,
    overwrite: bool = False,
    progress: Callable[[TuningProgress], None] | None = None,
) -> FinetuneResult:
    """Tune a model to labelled images and stacks and write the new weights.

    Of the bundled model the close-ups learn, which draw its masks and follow objects;
    of the official ones the mask decoder, and with adapters a little of the encoder. A
    part of the labels is held out; the weights that do best on it are kept.

    Parameters
    ----------
    images, labels : path-like
        Folders with files of the same names, see `pairs.find_pairs`.
    model : str, path-like or Sam2
        Name, weight file, or a model in float32, which is changed in place.
    out : path-like
        Safetensors file to write: complete, or not at all.
    test_images, test_labels : path-like, optional
        Pairs that are only measured, before and after.
    device : str
        "auto", "cpu", "cuda" or "mps".
    axis : str
        What the frames of stacks are: ``"z"`` (followed both ways) or ``"t"``.
    partial : bool
        Not every object is labelled.
    plan : TuningPlan, optional
        Length, learning rate, adapters.
    overwrite : bool
        Whether `out` may be replaced.
    progress : callable, optional
        Told after each check; an error it raises ends the run, nothing being written.
        With it bars on stderr show how far measuring is.

    Returns
    -------
    FinetuneResult

    Raises
    ------
    ImageError
        A file is unreadable or lacks its partner, sizes differ, or there are too few
        labels. Found before anything is trained.
    CheckpointError
        The model or the name of the new file cannot be used.
    InferenceError
        Training diverged before anything better was found; nothing is written.
    """
    shown = progress is not None
    plan = plan or TuningPlan()
    path = check_target(out, overwrite)
    if (test_images is None) != (test_labels is None):
        raise ImageError("Give both test images and test labels, or neither.")
    data = [read_pair(pair, axis) for pair in find_pairs(images, labels)]
    tests: list[LabelledArrays] = []
    if test_images is not None and test_labels is not None:
        pairs = find_pairs(test_images, test_labels)
        tests = [read_pair(pair, axis) for pair in pairs]
    learn, check = hold_out(data, plan.seed)
    flat, stacks = training_data(learn, partial)
    net = _loaded(model, device)
    tuner = Tuner(net, flat, stacks, plan)
    before = measure(net, check, plan.seed, shown)
    test_before = measure(net, tests, plan.seed, shown) if tests else None
    last = tuner.run(lambda: quick_quality(net, check, shown), progress)
    from sam2_core.weights import save_weights

    save_weights(path, net)
    return FinetuneResult(
        path,
        before,
        measure(net, check, plan.seed, shown),
        test_before,
        measure(net, tests, plan.seed, shown) if tests else None,
        last,
        sum(count_objects(item.labels) for item in learn),
        sum(count_objects(item.labels) for item in check),
    )


def check_target(out: str | os.PathLike[str], overwrite: bool) -> Path:
    """The path of the new weights; CheckpointError unless it can be written."""
    path = Path(os.path.expanduser(out))
    if path.suffix != SUFFIX:
        raise CheckpointError(f"Weights are written as safetensors: end {path} so.")
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder: give the name of a file in it.")
    if not path.parent.is_dir():
        raise CheckpointError(f"There is no folder {path.parent}: create it first.")
    if not os.access(path.parent, os.W_OK):
        raise CheckpointError(f"{path.parent} cannot be written to: choose another.")
    if path.exists() and not overwrite:
        raise CheckpointError(would_overwrite(f"{path} exists already", "name"))
    return path


def training_data(
    items: Sequence[LabelledArrays], partial: bool
) -> tuple[list[LabelledImage], list[LabelledStack]]:
    """Images (with all slices of stacks) and stacks, as the samplers want them."""
    images: list[LabelledImage] = []
    stacks = []
    for item in items:
        if item.kind == "2d":
            labels = split_pieces(item.labels, MIN_AREA)
            images.append(
                LabelledImage(item.title, item.name, item.image, labels, partial)
            )
        else:
            stack = LabelledStack(
                item.title, item.name, item.image, item.labels, item.kind, partial
            )
            stacks.append(stack)
            images += stack_slices(stack)
    return images, stacks


def measure(
    model: Sam2, items: Sequence[LabelledArrays], seed: int = 0, shown: bool = True
) -> Quality:
    """Evaluate as ``python -m sam2_core.training.evaluate`` does, but not all of much.

    Parameters
    ----------
    model : Sam2
    items : sequence of LabelledArrays
        At most 100 objects of their images and slices stand for all of them, and at
        most 6 objects in each of 3 stacks.
    seed : int, default 0
        Of that draw.
    shown : bool, default True
        Bars on stderr.
    """
    from sam2_core.image import ImagePredictor
    from sam2_core.video import VideoSession

    flat = as_images(items)
    found = evaluate_set(
        flat,
        ImagePredictor(model),
        (),
        TABLE_OBJECTS,
        seed,
        noc=False,
        shown=shown,
    )
    every = [item for item in items if item.kind != "2d" and len(item.labels) > 1]
    chosen = draw(every, TABLE_STACKS, seed)
    stacks = [
        evaluate_stack(
            item,
            lambda frames: VideoSession(model, frames),
            STACK_OBJECTS,
            seed,
            corrections=0,
            absent_frames=0,
            shown=shown,
        )
        for item in chosen
    ]
    followed = mean(stack.iou for stack in stacks if stack.n_objects)
    total = sum(count_objects(item.labels) for item in flat)
    parts = []
    if found.n_objects < total:
        parts.append(f"{found.n_objects} of {total} objects")
    followed_objects = sum(stack.n_objects for stack in stacks)
    in_stacks = sum(len(frames_with_object(i.labels, i.ids)) for i in every)
    if followed_objects < in_stacks:
        parts.append(f"{followed_objects} of {in_stacks} followed ones")
    measured = f"measured on {' and '.join(parts)}, drawn at random" if parts else ""
    return Quality(found.clicks, found.box, followed, measured)


def quick_quality(
    model: Sam2, items: Sequence[LabelledArrays], shown: bool = True
) -> float:
    """Mean IoU of one click, two clicks and a box on some objects."""
    from sam2_core.image import ImagePredictor

    found = evaluate_set(
        as_images(items),
        ImagePredictor(model),
        (),
        CHECK_OBJECTS,
        max_clicks=CHECK_CLICKS,
        noc=False,
        shown=shown,
    )
    return float(np.mean([*found.clicks.values(), found.box or 0.0]))


def as_images(items: Sequence[LabelledArrays]) -> list[LabelledArrays]:
    """Single images; of stacks the frames that show objects."""
    flat = []
    for item in items:
        if item.kind == "2d":
            flat.append(item)
            continue
        for t, frame in enumerate(item.labels):
            if count_objects(frame):
                flat.append(
                    replace(
                        item,
                        title=f"{item.title} {t}",
                        kind="2d",
                        image=item.image[t],
                        labels=frame,
                    )
                )
    return flat


def _loaded(model: str | os.PathLike[str] | Sam2, device: str) -> Sam2:
    from sam2_core.models import load_model
    from sam2_core.nn.sam2 import Sam2

    if isinstance(model, Sam2):
        return model
    return load_model(model, device=device, dtype="float32")
