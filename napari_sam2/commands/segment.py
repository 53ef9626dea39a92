"""``napari-sam2 segment``: objects in one image."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_sam2.commands.options import (
    Boxes,
    ChannelAxis,
    Device,
    Dtype,
    Model,
    Negatives,
    Out,
    Overwrite,
    Points,
    PromptFile,
    Select,
    ValueRange,
    check_not_input,
    how_to_choose,
    open_stack,
    read_options,
)
from sam2_core.errors import ImageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sam2_core.prompt_files import FramePrompt

ImageFile = Annotated[
    Path,
    typer.Argument(metavar="IMAGE", help="TIFF, PNG, JPEG ...", show_default=False),
]


def segment(
    image: ImageFile,
    out: Out,
    point: Points = None,
    negative: Negatives = None,
    box: Boxes = None,
    prompts: PromptFile = None,
    overwrite: Overwrite = False,
    model: Model = "sam2_nano",
    device: Device = "auto",
    dtype: Dtype = "auto",
    value_range: ValueRange = None,
    channel_axis: ChannelAxis = None,
    select: Select = None,
) -> None:
    """Segment objects in one image and write a label TIFF.

    Coordinates are pixels, x to the right and y down, 0,0 the first pixel. Where
    objects overlap, the lower ID keeps the pixel. Examples:

    \b
    napari-sam2 segment cells.tif --point 120,80 --out labels.tif
    napari-sam2 segment cells.tif --point 1:120,80 --negative 1:90,60 \\
        --point 2:30,40 --out labels.tif
    napari-sam2 segment cells.tif --box 9,9,60,40 --box 10,80,50,99 --out labels.tif
    """  # noqa: D301
    from sam2_core.intensity import check_contrast
    from sam2_core.label_files import LabelWriter, combine_masks

    asked = read_options(point, negative, box, prompts)
    if overwrite:
        check_not_input(out, image)
    with open_stack(image, value_range, channel_axis, select) as frames:
        if len(frames) > 1:
            raise ImageError(
                f"{image} has {len(frames)} frames: use napari-sam2 track, or "
                f"{how_to_choose(image)}."
            )
        for prompt in asked:
            prompt.check(frames.shape)
        picture = frames.frame(0)
        check_contrast(picture, str(image))
        largest = max(prompt.object_id for prompt in asked)
        with LabelWriter(out, frames.shape, largest, overwrite) as file:
            start = time.perf_counter()
            masks = _predict(model, device, dtype, picture, asked)
            labels = combine_masks(masks, frames.shape)
            file.write(labels)
    sizes = ", ".join(f"{i}: {int((labels == i).sum())} px" for i in sorted(masks))
    typer.echo(
        f"{len(masks)} object{'s' if len(masks) > 1 else ''} in {out} ({file.dtype}; "
        f"{sizes}), {time.perf_counter() - start:.1f} s"
    )


def _predict(
    model: str,
    device: str,
    dtype: str,
    image: NDArray[np.uint8],
    prompts: list[FramePrompt],
) -> dict[int, NDArray[Any]]:
    """One mask per object, (H, W) bool."""
    from sam2_core.image import ImagePredictor
    from sam2_core.models import load_model

    predictor = ImagePredictor(load_model(model, device, dtype))
    predictor.set_image(image)
    masks = {}
    for prompt in prompts:
        # A single click may mean a part or the whole: let the scores decide.
        ambiguous = prompt.box is None and len(prompt.points_xy) == 1
        prediction = predictor.predict(
            point_coords=prompt.point_coords,
            point_labels=prompt.point_labels,
            box=prompt.box,
            multimask_output=ambiguous,
        )
        masks[prompt.object_id] = prediction.masks[int(prediction.scores.argmax())]
    return masks
