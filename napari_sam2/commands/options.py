"""Options that several commands share, and the reading of their values."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sam2_core.errors import ImageError, PromptError
from sam2_core.prompt_files import (
    MAX_OBJECT_ID,
    FramePrompt,
    merge_prompts,
    read_prompts,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sam2_core.frames import FrameStack

Points = Annotated[
    list[str] | None,
    typer.Option(
        "--point",
        metavar="[ID:]X,Y",
        help="Pixel in the object; again for more. Object 1 unless ID: comes first.",
        show_default=False,
    ),
]
Negatives = Annotated[
    list[str] | None,
    typer.Option(
        "--negative",
        metavar="[ID:]X,Y",
        help="Pixel outside the object.",
        show_default=False,
    ),
]
Boxes = Annotated[
    list[str] | None,
    typer.Option(
        "--box",
        metavar="[ID:]X0,Y0,X1,Y1",
        help="Box around an object. Several boxes without ID: are objects 1, 2, 3 ...",
        show_default=False,
    ),
]
PromptFile = Annotated[
    Path | None,
    typer.Option(
        "--prompts", metavar="FILE", help="Prompts from JSON.", show_default=False
    ),
]
Out = Annotated[
    Path,
    typer.Option(
        "--out",
        metavar="FILE.tif",
        help="Label TIFF to write (uint16 or uint32, zlib).",
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace FILE.tif if it exists.")
]
Model = Annotated[
    str, typer.Option(metavar="NAME|FILE", help="A name of `models list`, or a file.")
]
Device = Annotated[
    str, typer.Option(metavar="NAME", help="auto, cpu, cuda, cuda:N or mps.")
]
Dtype = Annotated[
    str,
    typer.Option(metavar="NAME", help="auto, float32, bfloat16 or float16."),
]
ValueRange = Annotated[
    str | None,
    typer.Option(
        metavar="LO,HI",
        help="Pixel values shown as black and white; default: robust percentiles.",
        show_default=False,
    ),
]
ChannelAxis = Annotated[
    str | None,
    typer.Option(
        metavar="AXIS",
        help="Axis (number or letter) of RGB channels, where it is not clear.",
        show_default=False,
    ),
]
Select = Annotated[
    list[str] | None,
    typer.Option(
        metavar="AXIS=N",
        help="Hold an axis (number or letter) at one position, such as C=1.",
        show_default=False,
    ),
]


def read_options(
    points: Sequence[str] | None,
    negatives: Sequence[str] | None,
    boxes: Sequence[str] | None,
    file: Path | None,
    frame_index: int = 0,
) -> list[FramePrompt]:
    """All prompts of a call, merged per frame and object.

    Parameters
    ----------
    points, negatives, boxes : sequence of str
        Values of ``--point``, ``--negative`` and ``--box``.
    file : Path, optional
        JSON file with more of them.
    frame_index : int
        Frame of those that name none.

    Raises
    ------
    PromptError
        A value cannot be read, or there is none.
    """
    prompts: list[FramePrompt] = []
    for option, values, label in (("--point", points, 1), ("--negative", negatives, 0)):
        for value in values or ():
            object_id, numbers = _object_numbers(option, value, 2)
            xy = (numbers[0], numbers[1])
            prompts.append(
                FramePrompt(object_id or 1, frame_index, (xy,), (label,)),
            )
    read = [_object_numbers("--box", value, 4) for value in boxes or ()]
    named = [object_id for object_id, _ in read if object_id is not None]
    if named and len(named) < len(read):
        raise PromptError("Give either every --box an ID: or none of them.")
    for number, (object_id, (x0, y0, x1, y1)) in enumerate(read, start=1):
        box = (x0, y0, x1, y1)
        prompts.append(
            FramePrompt(object_id or number, frame_index, box_xyxy=box),
        )
    if file is not None:
        prompts += read_prompts(file, frame_index)
    if not prompts:
        raise PromptError("Give at least one --point, --box or --prompts file.")
    return merge_prompts(prompts)


def open_stack(
    path: Path,
    value_range: str | None,
    channel_axis: str | None,
    select: Sequence[str] | None,
) -> FrameStack:
    """Open an image or stack with the values of the options of the same names."""
    from sam2_core.frames import open_frames

    shown = read_value_range(value_range)
    positions: dict[int | str, int] = {}
    for entry in select or ():
        axis, equals, position = entry.partition("=")
        try:
            place = int(position)
        except ValueError:
            equals = ""
        if not equals or not axis:
            raise ImageError(f"--select {entry!r} is not AXIS=N, such as C=1.")
        if _axis(axis) in positions:
            raise ImageError(f"--select gives axis {axis} twice: give one position.")
        positions[_axis(axis)] = place
    channels = None if channel_axis is None else _axis(channel_axis)
    return open_frames(str(path), shown, channels, positions or None)


def how_to_choose(path: Path) -> str:
    """What to do about a stack where one image is wanted."""
    from sam2_core.sources.frame_tiff import TIFF_SUFFIXES
    from sam2_core.sources.frame_zarr import is_zarr

    if path.suffix.lower() in TIFF_SUFFIXES or (path.is_dir() and is_zarr(path)):
        return "choose one with --select AXIS=N"
    if path.is_dir():
        return "name one of its files"
    return "save one as an image"


def read_value_range(text: str | None) -> tuple[float, float] | None:
    """The two numbers of ``--value-range``, None if it is not given."""
    if text is None:
        return None
    low, high = _numbers("--value-range", text, 2, "LO,HI")
    if not low < high:
        raise ImageError(f"--value-range {text!r}: LO must be below HI.")
    return low, high


def check_not_input(out: Path, source: Path) -> None:
    """ImageError if the output would replace what is being read."""
    if out.exists() and source.exists() and out.samefile(source):
        raise ImageError(f"{out} is the image itself: choose another name for --out.")


def _axis(text: str) -> int | str:
    text = text.strip()
    return int(text) if text.removeprefix("-").isdecimal() else text


def _object_numbers(
    option: str, text: str, count: int
) -> tuple[int | None, list[float]]:
    """Split ``[ID:]numbers``."""
    object_id, colon, rest = text.rpartition(":")
    form = "[ID:]X,Y" if count == 2 else "[ID:]X0,Y0,X1,Y1"
    numbers = _numbers(option, rest, count, form, text)
    if not colon:
        return None, numbers
    if not object_id.isdecimal() or not 1 <= int(object_id) <= MAX_OBJECT_ID:
        raise PromptError(f"{option} {text!r}: the ID must be 1, 2, 3 ...")
    return int(object_id), numbers


def _numbers(
    option: str, text: str, count: int, form: str, whole: str = ""
) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != count or not all(math.isfinite(n) for n in numbers):
        raise PromptError(f"{option} {(whole or text)!r} is not {form} in numbers.")
    return numbers
