"""Everything ultralytics accepts as ``source``, one picture at a time."""

from __future__ import annotations

import glob
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from sam2_core.errors import ImageError
from sam2_core.frames import open_frames, read_image
from sam2_core.intensity import to_rgb8
from sam2_core.sources.frame_files import existing, images_in
from sam2_core.sources.frame_tiff import TIFF_SUFFIXES
from sam2_core.sources.frame_video import VIDEO_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_SUFFIXES_SHOWN = "a picture (PNG, JPEG, TIFF, ...) or a video (MP4, AVI, ...)"


class Picture(NamedTuple):
    """An image to look at.

    Attributes
    ----------
    path : str
        File it comes from, "image0.jpg" and so on for arrays.
    rgb : ndarray
        (H, W, 3) uint8.
    stem : str
        Name for files made from it.
    """

    path: str
    rgb: NDArray[np.uint8]
    stem: str


def pictures(source: Any) -> Iterator[Picture]:
    """The pictures of a source, read when they are asked for.

    Parameters
    ----------
    source
        One of

        - a path: a picture, a video, a TIFF stack, a folder of these, or a pattern
          such as ``"cells/*.png"``.
        - an array, (H, W) of any numeric dtype or (H, W, 3) with the channels blue,
          green, red, as OpenCV reads them.
        - a PIL image.
        - a tensor, (3, H, W) or (B, 3, H, W), RGB in [0, 1].
        - a list of these.

    Raises
    ------
    ImageError
        If there is nothing or it cannot be read.
    """
    yield from _pictures(source, count())


def _pictures(source: Any, numbers: Iterator[int]) -> Iterator[Picture]:
    if isinstance(source, (list, tuple)):
        if not source:
            raise ImageError("The list of images is empty: give at least one.")
        for item in source:
            yield from _pictures(item, numbers)
    elif isinstance(source, (str, Path)):
        yield from _in_path(source)
    elif isinstance(source, torch.Tensor):
        for rgb in _in_tensor(source):
            yield _unnamed(rgb, numbers)
    elif isinstance(source, Image.Image):
        yield _unnamed(np.asarray(source.convert("RGB")), numbers)
    else:
        image = np.asarray(source)
        rgb = to_rgb8(image)
        yield _unnamed(rgb if image.ndim == 2 else rgb[..., ::-1], numbers)


def _unnamed(rgb: NDArray[np.uint8], numbers: Iterator[int]) -> Picture:
    stem = f"image{next(numbers)}"
    return Picture(f"{stem}.jpg", np.ascontiguousarray(rgb), stem)


def _in_path(source: str | Path) -> Iterator[Picture]:
    if "://" in str(source):
        raise ImageError(f"{source} is an address: download it and give the file.")
    if "*" in str(source):
        paths = [Path(found) for found in sorted(glob.glob(str(source)))]
        if not paths:
            raise ImageError(f"Nothing matches {source}.")
    else:
        path = existing(source)
        paths = _in_folder(path) if path.is_dir() else [path]
    for path in paths:
        yield from _in_file(path)


def _in_folder(folder: Path) -> list[Path]:
    videos = sorted(p for p in folder.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES)
    paths = [*images_in(folder), *videos]
    if not paths:
        raise ImageError(f"There are no images or videos in the folder {folder}.")
    return paths


def _in_file(path: Path) -> Iterator[Picture]:
    suffix = path.suffix.lower()
    if suffix in (*TIFF_SUFFIXES, *VIDEO_SUFFIXES):
        with open_frames(path) as frames:
            single = len(frames) == 1
            for t in range(len(frames)):
                stem = path.stem if single else f"{path.stem}_{t + 1}"
                yield Picture(str(path), frames.frame(t), stem)
    elif suffix in Image.registered_extensions():
        yield Picture(str(path), to_rgb8(read_image(path)), path.stem)
    else:
        raise ImageError(f"{path} is of an unknown kind: give {_SUFFIXES_SHOWN}.")


def _in_tensor(source: torch.Tensor) -> Iterator[NDArray[np.uint8]]:
    batch = source[None] if source.ndim == 3 else source
    if batch.ndim != 4 or batch.shape[1] != 3:
        raise ImageError(
            f"The tensor has the shape {tuple(source.shape)} but must be (B, 3, H, W): "
            "RGB in [0, 1]."
        )
    for image in batch:
        pixels = image.detach().cpu().permute(1, 2, 0).numpy()
        yield to_rgb8(pixels, (0, 255) if pixels.dtype == np.uint8 else (0, 1))
