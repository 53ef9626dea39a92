"""``napari-sam2 track``: objects through a z-stack or time-lapse."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from napari_sam2.commands.options import (
    Boxes,
    ChannelAxis,
    Device,
    Model,
    Negatives,
    Out,
    Overwrite,
    Points,
    PromptFile,
    Select,
    ValueRange,
    check_not_input,
    open_stack,
    read_options,
)
from sam2_core.errors import PromptError

if TYPE_CHECKING:
    from sam2_core.frames import FrameStack
    from sam2_core.prompt_files import FramePrompt
    from sam2_core.video import VideoSession


class Direction(StrEnum):
    """Where to go from the prompted frames."""

    both = "both"
    forward = "forward"
    backward = "backward"


class Scope(StrEnum):
    """Where objects are looked for."""

    whole = "global"
    local = "local"


StackFile = Annotated[
    Path,
    typer.Argument(
        metavar="STACK",
        help="Multi-page TIFF, zarr store, folder of images or video.",
        show_default=False,
    ),
]
Frame = Annotated[
    int, typer.Option(metavar="N", help="Frame of the prompts, from 0.", min=0)
]
Limit = Annotated[
    int | None,
    typer.Option(metavar="N", help="First / last frame to fill.", show_default=False),
]


def track(
    stack: StackFile,
    out: Out,
    frame: Frame = 0,
    point: Points = None,
    negative: Negatives = None,
    box: Boxes = None,
    prompts: PromptFile = None,
    direction: Annotated[
        Direction, typer.Option(help="Where to go from the prompted frames.")
    ] = Direction.both,
    start: Limit = None,
    stop: Limit = None,
    overwrite: Overwrite = False,
    model: Model = "sam2_nano",
    device: Device = "auto",
    dtype: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="auto, float32, bfloat16 or float16; default: auto, or as the preset.",
            show_default=False,
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="best, balanced or fast; default: as the model was trained.",
            show_default=False,
        ),
    ] = None,
    scope: Annotated[
        Scope,
        typer.Option(
            help="local: look for small objects near where they were; official models."
        ),
    ] = Scope.whole,
    spill: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder on a fast disk for encoded frames that memory has no room "
            "for; emptied again at the end.",
            show_default=False,
        ),
    ] = None,
    compile: Annotated[
        bool,
        typer.Option(
            "--compile",
            help="Run the model through torch.compile; the first frames take minutes.",
        ),
    ] = False,
    value_range: ValueRange = None,
    channel_axis: ChannelAxis = None,
    select: Select = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Follow objects through a stack and write a label TIFF of the same length.

    Coordinates are pixels, x to the right and y down, 0,0 the first pixel. All prompts
    of the options are on frame N; prompts on several frames come from a JSON file.
    Where objects overlap, the lower ID keeps the pixel. Examples:

    \b
    napari-sam2 track stack.tif --frame 20 --point 120,80 --out labels.tif
    napari-sam2 track stack.tif --frame 20 --point 1:120,80 --point 2:30,40 \\
        --direction forward --out labels.tif
    napari-sam2 track stack.tif --prompts prompts.json --out labels.tif
    """  # noqa: D301
    from sam2_core.intensity import check_contrast
    from sam2_core.label_files import LabelWriter, combine_masks

    asked = read_options(point, negative, box, prompts, frame)
    if overwrite:
        check_not_input(out, stack)
    with open_stack(stack, value_range, channel_axis, select) as frames:
        length, shape = len(frames), frames.shape
        seeds = {prompt.object_id for prompt in asked if prompt.positive}
        for prompt in asked:
            prompt.check(shape, length, corrects=prompt.object_id in seeds)
        for index in sorted({prompt.frame_index for prompt in asked}):
            check_contrast(frames.frame(index), f"Frame {index} of {stack}")
        first, last = _limits(start, stop, length)
        largest = max(prompt.object_id for prompt in asked)
        with LabelWriter(out, (length, *shape), largest, overwrite) as file:
            begin = time.perf_counter()
            session = _open_session(
                frames, asked, model, device, dtype, preset, scope.value, spill, compile
            )
            done: dict[int, bool] = {}  # frame: whether any object is on it
            with _progress(last - first + 1, quiet) as bar:
                for result in session.propagate(first, last, direction.value):
                    index = result.frame_index
                    labels = combine_masks(result.masks, shape)
                    file.write(labels, index)
                    bar.update(index not in done)
                    done[index] = bool(labels.any())
            if not done:
                raise PromptError(
                    f"No frame from {first} to {last} lies {direction.value} of a "
                    "prompt: change --start, --stop or --direction."
                )
            seconds = time.perf_counter() - begin
    n, held = len({prompt.object_id for prompt in asked}), sum(done.values())
    typer.echo(
        f"{n} object{'s' if n > 1 else ''} in {held} of {length} frames in {out} "
        f"({file.dtype}), {seconds:.1f} s ({len(done) / seconds:.2f} frames/s)"
    )


def _open_session(
    frames: FrameStack,
    prompts: list[FramePrompt],
    model: str,
    device: str,
    dtype: str | None,
    preset: str | None,
    scope: Literal["global", "local"],
    spill: Path | None,
    compile: bool,
) -> VideoSession:
    """A session that has been given all prompts."""
    from sam2_core.models import load_model
    from sam2_core.presets import find_preset
    from sam2_core.video import VideoSession

    usual = "auto" if preset is None else find_preset(preset).dtype
    network = load_model(model, device, dtype or usual, compile=compile)
    session = VideoSession(network, frames, preset=preset, scope=scope, spill=spill)
    _add(session, [prompt for prompt in prompts if prompt.positive])
    corrections = [prompt for prompt in prompts if not prompt.positive]
    if corrections:  # there must be a mask to take something away from
        where = [prompt.frame_index for prompt in corrections]
        for _ in session.propagate(min(where), max(where)):
            pass
        _add(session, corrections)
    return session


def _add(session: VideoSession, prompts: list[FramePrompt]) -> None:
    for prompt in prompts:
        session.add_prompts(
            prompt.frame_index,
            prompt.object_id,
            point_coords=prompt.point_coords,
            point_labels=prompt.point_labels,
            box=prompt.box,
        )


def _limits(start: int | None, stop: int | None, length: int) -> tuple[int, int]:
    """Inclusive range of frames."""
    first = 0 if start is None else start
    last = length - 1 if stop is None else stop
    if not 0 <= first <= last < length:
        raise PromptError(
            f"--start {first} --stop {last} is no range of frames: the stack has the "
            f"frames 0 to {length - 1}."
        )
    return first, last


def _progress(total: int, quiet: bool) -> Any:
    from tqdm import tqdm

    return tqdm(total=total, unit="frame", disable=quiet, mininterval=0.5)
