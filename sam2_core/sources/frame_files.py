"""Raw frames of image files: one image, a list of paths, or a folder."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from sam2_core.errors import AxesError, ImageError
from sam2_core.sources.frame_arrays import reading
from sam2_core.sources.frame_tiff import TIFF_SUFFIXES, TiffFrames

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sam2_core.sources.frame_axes import Axis, Select

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".pgm", ".ppm")

# Pillow modes whose pixels mean intensities; everything else is turned into RGB.
_PLAIN_MODES = {"1", "L", "I", "F", "RGB", "RGBA"}


def read_image(
    path: str | Path,
    channel_axis: Axis | None = None,
    select: Select | None = None,
) -> NDArray[Any]:
    """Read one grey or colour image with the values that are in the file.

    Parameters
    ----------
    path : str or Path
        TIFF, PNG, JPEG, BMP or another format that Pillow knows.
    channel_axis, select
        Only for TIFF files with more axes, see :func:`sam2_core.open_frames`.

    Returns
    -------
    ndarray, (H, W) or (H, W, 3 or 4)
        In the dtype of the file.

    Raises
    ------
    ImageError
        The file is missing, broken, cut short, a stack, or of an unknown kind.
    """
    path = existing(path)
    if path.is_dir():
        raise ImageError(f"{path} is a folder; give one image file.")
    if path.suffix.lower() in TIFF_SUFFIXES:
        return _read_tiff(path, channel_axis, select)
    if channel_axis is not None or select:
        raise ImageError(
            f"{path.name}: channel_axis and select are for arrays and TIFF files."
        )
    with reading(path.name):
        return _read_picture(path)


def existing(path: str | Path) -> Path:
    """Expand ``~`` and check that there is such a file or folder."""
    if path == "":
        raise ImageError("The name of a file or folder is empty: give one.")
    path = Path(os.path.expanduser(path))
    if not os.path.exists(path):  # Path.exists raises where the name is too long
        raise ImageError(f"There is no file or folder {path}.")
    return path


def images_in(folder: Path) -> list[Path]:
    """Image files of a folder in natural order: 2.png comes before 10.png."""
    suffixes = (*PICTURE_SUFFIXES, *TIFF_SUFFIXES)
    with reading(str(folder)):
        paths = [
            path
            for path in folder.iterdir()
            if path.suffix.lower() in suffixes
            and not path.name.startswith(".")
            and not path.is_dir()
        ]
    return sorted(paths, key=_natural)


class FileFrames:
    """One frame per image file, opened when asked for and closed again.

    Parameters
    ----------
    paths : sequence of str or Path
        The files in the order of the frames. The first is read to learn the size.
    channel_axis, select
        Passed to :func:`read_image`.
    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        channel_axis: Axis | None = None,
        select: Select | None = None,
    ) -> None:
        self._paths = [existing(path) for path in paths]
        self._channel_axis = channel_axis
        self._select = select
        first = self[0]
        self.shape = (first.shape[0], first.shape[1])

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int, /) -> NDArray[Any]:
        return read_image(self._paths[index], self._channel_axis, self._select)

    def name(self, index: int) -> str:
        """What to call a frame in an error message."""
        return self._paths[index].name

    def close(self) -> None:
        """Nothing to release: no file stays open."""


def _natural(path: Path) -> tuple[list[str | int], str]:
    pieces = re.split(r"(\d+)", path.name.casefold())
    return [int(p) if i % 2 else p for i, p in enumerate(pieces)], path.name


def _read_tiff(
    path: Path, channel_axis: Axis | None, select: Select | None
) -> NDArray[Any]:
    frames = TiffFrames(path, channel_axis, select)
    try:
        if len(frames) != 1:
            raise AxesError(
                f"{path.name} is a stack of {len(frames)} frames, but one image is "
                "needed",
                [frames.frame_axis],
            )
        return frames[0]
    finally:
        frames.close()


def _read_picture(path: Path) -> NDArray[Any]:
    _refuse_deep_png(path)
    with Image.open(path) as picture:
        if picture.mode in _PLAIN_MODES or picture.mode.startswith("I;16"):
            return np.asarray(picture)
        if picture.mode in ("LA", "La"):
            return np.asarray(picture.getchannel(0))
        return np.asarray(picture.convert("RGB"))


def _refuse_deep_png(path: Path) -> None:
    """Pillow would quietly cut 16-bit colour PNGs down to 8 bits."""
    with path.open("rb") as file:
        header = file.read(26)
    is_png = header[:8] == b"\x89PNG\r\n\x1a\n" and len(header) == 26
    if is_png and header[24] == 16 and header[25] != 0:
        raise ImageError(
            f"{path.name} is a 16-bit colour PNG, which would lose half its bits; save "
            "it as TIFF."
        )
