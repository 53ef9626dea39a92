"""``napari-sam2 annotate``: labels for all images of a folder."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_sam2.commands.options import (
    Device,
    Dtype,
    Model,
    ValueRange,
    read_value_range,
)
from sam2_core.errors import ImageError

if TYPE_CHECKING:
    from sam2_core.annotate import Summary

SOME_FAILED = 1


class Format(StrEnum):
    """What can be written."""

    YOLO = "yolo"
    COCO = "coco"
    LABELS = "labels"


Data = Annotated[
    Path,
    typer.Argument(metavar="DIR", help="Folder of images.", show_default=False),
]
DetectorName = Annotated[
    str,
    typer.Option(
        "--detector",
        metavar="WHAT",
        help="What finds the objects; see above.",
    ),
]
Text = Annotated[
    str | None,
    typer.Option(
        metavar="WORDS",
        help="Find what the words name; the same as --detector text:WORDS.",
        show_default=False,
    ),
]
Formats = Annotated[
    list[Format] | None,
    typer.Option("--format", help="Again for more. Default: yolo.", show_default=False),
]
Folder = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="DIR",
        help="Folder for the results; default: DIR_auto_annotate_labels.",
        show_default=False,
    ),
]
MinScore = Annotated[
    float | None,
    typer.Option(
        metavar="SCORE",
        help="Drop detections with lower scores; the default is the detector's.",
        show_default=False,
    ),
]
ClassName = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Class of the objects, for detectors that know only one.",
        show_default=False,
    ),
]


def annotate(
    data: Data,
    detector: DetectorName = "everything",
    text: Text = None,
    formats: Formats = None,
    out: Folder = None,
    min_score: MinScore = None,
    class_name: ClassName = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Do all again, replace results.")
    ] = False,
    model: Model = "sam2_nano",
    device: Device = "auto",
    dtype: Dtype = "auto",
    value_range: ValueRange = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Label every image of a folder: boxes from a detector, masks from SAM 2.

    A run that was stopped goes on where it was. Detectors:

    \b
    everything            what SAM 2 finds by itself
    blobs, blobs:30       bright or dark blobs (typical diameter in pixels)
    labels:DIR            around the objects of label images
    boxes.csv, .json      boxes from a file, also COCO; or boxes:DIR with one file
                          per image, also YOLO text
    yolov8x.pt            needs ultralytics (AGPL-3.0)
    cellpose[:MODEL]      needs cellpose (BSD; its model cpsam: CC-BY-NC)
    stardist[:MODEL]      needs stardist (BSD)
    text:WORDS            needs transformers (Apache-2.0)

    Formats: yolo (NAME.txt), coco (annotations.json), labels (masks/NAME.tif).
    Exit code 1 if some images could not be done. Examples:

    \b
    napari-sam2 annotate images --detector blobs:25 --class-name nucleus
    napari-sam2 annotate images --detector boxes.csv --format coco --format labels
    napari-sam2 annotate images --detector yolov8x.pt --model sam2.1_hiera_tiny
    """  # noqa: D301
    if text is not None and detector != "everything":
        raise ImageError("Give either --text or --detector, not both.")
    from sam2_core.annotate import auto_annotate

    try:
        summary: Summary = auto_annotate(
            data,
            detector if text is None else f"text:{text}",
            model,
            device,
            out,
            outputs=[entry.value for entry in formats or [Format.YOLO]],
            dtype=dtype,
            value_range=read_value_range(value_range),
            min_score=min_score,
            class_name=class_name,
            overwrite=overwrite,
            progress=not quiet,
        )
    except KeyboardInterrupt:
        typer.echo("The same command goes on from here.", err=True)
        raise
    typer.echo(str(summary))
    if summary.failed:
        raise typer.Exit(SOME_FAILED)
