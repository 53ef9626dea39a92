"""``napari-sam2 finetune``: a model that learned from one's own labels."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_sam2.commands.options import Device, Model  # noqa: TC001 (typer reads them)

if TYPE_CHECKING:
    from sam2_core.training.learning.tuning import TuningProgress


class Axis(StrEnum):
    """What the frames of stacks are."""

    Z = "z"
    T = "t"


Images = Annotated[
    Path,
    typer.Option(metavar="DIR", help="Folder of images or stacks."),
]
LabelFiles = Annotated[
    Path,
    typer.Option(
        metavar="DIR",
        help="Folder of their labels: the same names; 0 is background, every object "
        "has its own number.",
    ),
]
Weights = Annotated[
    Path,
    typer.Option(metavar="FILE.safetensors", help="New weights to write."),
]
TestImages = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Images that are only measured, before and after.",
        show_default=False,
    ),
]
TestLabels = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Their labels.", show_default=False),
]
Rate = Annotated[
    float | None,
    typer.Option(
        "--lr",
        metavar="RATE",
        min=0,
        help="Learning rate; default: 5e-5 for sam2_nano, else 1e-4.",
        show_default=False,
    ),
]


def finetune(
    images: Images,
    labels: LabelFiles,
    out: Weights,
    model: Model = "sam2_nano",
    test_images: TestImages = None,
    test_labels: TestLabels = None,
    axis: Annotated[
        Axis, typer.Option(help="Frames of stacks: z slices or times.")
    ] = Axis.Z,
    partial: Annotated[
        bool, typer.Option("--partial", help="Not every object is labelled.")
    ] = False,
    minutes: Annotated[
        float,
        typer.Option(
            min=0.1,
            help="Train at most so long; measuring before and after comes on top.",
        ),
    ] = 10.0,
    steps: Annotated[int, typer.Option(min=1, help="At most so many steps.")] = 300,
    adapters: Annotated[
        int,
        typer.Option(
            metavar="RANK",
            min=0,
            help="Official models: let the encoder learn too, by low-rank adapters; "
            "try 4.",
        ),
    ] = 0,
    lr: Rate = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Of everything drawn at random.")
    ] = 0,
    device: Device = "auto",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace FILE.safetensors.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Tune a model to a few labelled images and write new weights.

    A part of the labels is held out; training stops when the model no longer gets
    better on it, and the best weights are kept. Use them anywhere by their path:
    --model my_model.safetensors. Examples:

    \b
    napari-sam2 finetune --images images --labels labels --out my_model.safetensors
    napari-sam2 finetune --images images --labels labels --model sam2.1_hiera_tiny \\
        --adapters 4 --minutes 60 --out my_model.safetensors
    """  # noqa: D301
    from sam2_core.training.finetune import finetune as run
    from sam2_core.training.learning.tuning import TuningPlan

    result = run(
        images,
        labels,
        model,
        out,
        test_images,
        test_labels,
        device,
        axis.value,
        partial,
        TuningPlan(steps=steps, minutes=minutes, lr=lr, adapters=adapters, seed=seed),
        overwrite,
        None if quiet else _show,
    )
    typer.echo(
        f"{result.learned_objects} objects to learn from, {result.checked_objects} "
        f"held out; {result.last.step} steps, {result.last.seconds / 60:.1f} minutes\n"
    )
    typer.echo(result.table())
    if result.last.diverged:
        typer.echo(
            "\nTraining diverged after that: the file holds the best weights before; a "
            "lower --lr may give more."
        )
    if not result.improved:
        typer.echo(
            "\nNothing better was found: the file holds the weights it began with."
        )
    typer.echo(f"\n{result.path}")


def _show(now: TuningProgress) -> None:
    loss = f"loss {now.loss:.3f}, " if now.step else ""
    mark = " (best)" if now.iou == now.best > now.first else ""
    typer.echo(
        f"step {now.step} of {now.steps}: {loss}held-out IoU {now.iou:.3f}{mark}, "
        f"{now.seconds / 60:.1f} min",
        err=True,
    )
