"""The videos that ``init_state`` of the ``sam2`` package opens."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from sam2_core.errors import ImageError
from sam2_core.frames import FrameSource, open_frames

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SUFFIXES = {".jpg", ".jpeg", ".png"}


class PictureFolder:
    """A folder of pictures named by number, read one at a time, as they are.

    Parameters
    ----------
    folder : Path
        Holds ``<number>.jpg`` (or .jpeg, .png) files.
    """

    def __init__(self, folder: Path) -> None:
        paths = [p for p in folder.iterdir() if p.suffix.lower() in _SUFFIXES]
        if not paths:
            raise ImageError(f"There are no JPEG or PNG frames in {folder}.")
        try:
            self.paths = sorted(paths, key=lambda path: int(path.stem))
        except ValueError:
            raise ImageError(
                f"The frames in {folder} must be named by number, like 00000.jpg."
            ) from None
        first = self.frame(0)
        self.shape = (first.shape[0], first.shape[1])

    def __len__(self) -> int:
        return len(self.paths)

    def frame(self, index: int) -> NDArray[np.uint8]:
        """Frame ``index`` as (H, W, 3) uint8."""
        path = self.paths[index]
        try:
            with Image.open(path) as picture:
                return np.array(picture.convert("RGB"))
        except (OSError, SyntaxError, Image.DecompressionBombError) as error:
            raise ImageError(f"{path} cannot be read as a picture: {error}.") from error


def open_stack(video: Any) -> FrameSource:
    """A folder of numbered pictures, or anything :func:`open_frames` takes."""
    if isinstance(video, (str, os.PathLike)) and Path(video).is_dir():
        return PictureFolder(Path(video))
    source: FrameSource = open_frames(video)
    return source
