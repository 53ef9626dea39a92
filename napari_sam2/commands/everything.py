"""``napari-sam2 everything``: all objects in one image, without a prompt."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_sam2.commands.options import (
    ChannelAxis,
    Device,
    Dtype,
    Model,
    Out,
    Overwrite,
    Select,
    ValueRange,
    check_not_input,
    how_to_choose,
    open_stack,
)
from sam2_core.errors import ImageError, PromptError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sam2_core.automatic import AutomaticMaskGenerator
    from sam2_core.everything.candidates import MaskCandidate

LEAST_SIDE = 8  # pixels of a region

ImageFile = Annotated[
    Path,
    typer.Argument(metavar="IMAGE", help="TIFF, PNG, JPEG ...", show_default=False),
]
PointsPerSide = Annotated[
    int,
    typer.Option(
        metavar="N",
        min=1,
        help="Official models are asked about N x N points; sam2_nano only about those "
        "where it sees something that it has missed.",
    ),
]
CropLayers = Annotated[
    int,
    typer.Option(
        metavar="N",
        min=0,
        max=4,
        help="Official models, for small objects: 1 also looks at quarters of the "
        "image, 2 at 16ths ...; sam2_nano looks closely by itself.",
    ),
]
Region = Annotated[
    str | None,
    typer.Option(
        metavar="X0,Y0,X1,Y1",
        help="Look only at this part of the image.",
        show_default=False,
    ),
]
Quality = Annotated[
    float | None,
    typer.Option(
        metavar="0-1",
        min=0,
        max=1,
        help="Lowest that is kept; default: what suits the model.",
        show_default=False,
    ),
]
MinArea = Annotated[float, typer.Option(metavar="PIXELS", min=0)]
MaxArea = Annotated[
    float | None,
    typer.Option(
        metavar="PIXELS",
        min=0,
        help="Default: half of what is looked at, so that background is no object.",
        show_default=False,
    ),
]
MinRoundness = Annotated[
    float,
    typer.Option(
        metavar="0-1", min=0, max=1, help="1 is a disc, 0.8 an ellipse of 2 to 1."
    ),
]
Nms = Annotated[
    float,
    typer.Option(
        "--nms",
        metavar="0-1",
        min=0,
        max=1,
        help="Of two masks whose boxes have a higher IoU, the better one stays.",
    ),
]


def everything(
    image: ImageFile,
    out: Out,
    points_per_side: PointsPerSide = 32,
    crop_layers: CropLayers = 0,
    region: Region = None,
    min_iou: Quality = None,
    min_stability: Quality = None,
    min_area: MinArea = 0,
    max_area: MaxArea = None,
    min_roundness: MinRoundness = 0,
    nms: Nms = 0.7,
    overwrite: Overwrite = False,
    model: Model = "sam2_nano",
    device: Device = "auto",
    dtype: Dtype = "auto",
    value_range: ValueRange = None,
    channel_axis: ChannelAxis = None,
    select: Select = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Find all objects in one image and write a label TIFF.

    Where objects overlap, the smaller one keeps the pixel. Examples:

    \b
    napari-sam2 everything cells.tif --out labels.tif
    napari-sam2 everything cells.tif --min-area 50 --max-area 5000 \\
        --min-roundness 0.7 --out labels.tif
    napari-sam2 everything tissue.tif --model sam2.1_hiera_tiny --crop-layers 1 \\
        --out labels.tif
    """  # noqa: D301
    import numpy as np

    from sam2_core.everything.candidates import paint_labels, select_candidates
    from sam2_core.intensity import check_contrast
    from sam2_core.label_files import LabelWriter

    if overwrite:
        check_not_input(out, image)
    with open_stack(image, value_range, channel_axis, select) as frames:
        if len(frames) > 1:
            raise ImageError(
                f"{image} has {len(frames)} frames: {how_to_choose(image)}."
            )
        shape = frames.shape
        box = _region(region, shape)
        if max_area is None:
            max_area = (box[2] - box[0]) * (box[3] - box[1]) / 2
        if not min_area <= max_area:
            raise PromptError(
                f"--min-area {min_area:g} is above --max-area {max_area:g} (half of "
                "what is looked at unless given): no object can pass."
            )
        picture = frames.frame(0)
        check_contrast(picture, str(image))
        most = _most_masks(points_per_side, crop_layers, shape)
        with LabelWriter(out, shape, most, overwrite) as file:
            start = time.perf_counter()
            generator = _generator(
                (model, device, dtype),
                points_per_side=points_per_side,
                pred_iou_thresh=min_iou,
                stability_score_thresh=min_stability,
                crop_n_layers=crop_layers,
            )
            found = _candidates(generator, picture, box, quiet)
            chosen = select_candidates(
                found,
                generator.pred_iou_thresh,
                generator.stability_score_thresh,
                min_area,
                max_area,
                min_roundness,
                nms,
            )
            labels = np.zeros(shape, np.uint32)
            ids = paint_labels(chosen, labels)
            file.write(labels)
    typer.echo(
        f"{len(ids)} object{'' if len(ids) == 1 else 's'} in {out} ({file.dtype}; of "
        f"{len(found)} candidates), {time.perf_counter() - start:.1f} s"
    )


def _generator(
    model: tuple[str, str, str], **options: float | None
) -> AutomaticMaskGenerator:
    """The generator; torch is loaded only here."""
    from sam2_core.automatic import AutomaticMaskGenerator
    from sam2_core.models import load_model

    return AutomaticMaskGenerator(load_model(*model), **options)  # type: ignore[arg-type]


def _candidates(
    generator: AutomaticMaskGenerator,
    image: NDArray[np.uint8],
    box: tuple[float, float, float, float],
    quiet: bool,
) -> list[MaskCandidate]:
    from tqdm import tqdm

    with tqdm(unit="point", disable=quiet, mininterval=0.5) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        # The frame is converted already: what is 0 is black and 255 white.
        return generator.candidates(image, (0, 255), region=box, progress=show)


def _most_masks(points_per_side: int, crop_layers: int, shape: tuple[int, int]) -> int:
    """Three masks for each point of each crop; the bundled model may find more."""
    crops = sum(4**layer for layer in range(crop_layers + 1))
    smallest = 100  # pixels that are taken for one object at least, in the mean
    grid = 3 * points_per_side * points_per_side * crops
    return int(max(grid, shape[0] * shape[1] // smallest))


def _region(
    text: str | None, shape: tuple[int, int]
) -> tuple[float, float, float, float]:
    """The value of ``--region`` within the image, all of it by default."""
    height, width = shape
    if text is None:
        return 0, 0, width, height
    try:
        x0, y0, x1, y1 = (float(part) for part in text.split(","))
    except ValueError:
        x0 = y0 = x1 = y1 = math.nan
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        raise PromptError(
            f"--region {text!r} is not X0,Y0,X1,Y1 within the image, which is {width} "
            f"pixels wide and {height} high."
        )
    if min(x1 - x0, y1 - y0) < LEAST_SIDE < min(shape):
        raise PromptError(
            f"--region {text!r} is too small to hold an object: make it at least "
            f"{LEAST_SIDE} pixels wide and high."
        )
    return x0, y0, x1, y1
