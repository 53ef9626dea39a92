"""A user's own images and label images, found by name, checked and read."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tifffile

from sam2_core.errors import ImageError
from sam2_core.frames import open_frames
from sam2_core.sources.frame_files import images_in, read_image
from sam2_core.training.labelled_files import LabelledArrays

if TYPE_CHECKING:
    from sam2_core.training.labelled_files import Array

_IMAGE_ENDING = re.compile(r"[-_. ](img|image|raw)$", re.IGNORECASE)
_LABEL_ENDING = re.compile(
    r"[-_. ](lab|label|labels|mask|masks|seg|gt)$", re.IGNORECASE
)


@dataclass(frozen=True)
class Pair:
    """Paths of an image or stack and of its labels."""

    image: Path
    labels: Path


def find_pairs(
    images: str | os.PathLike[str], labels: str | os.PathLike[str]
) -> list[Pair]:
    """Match the images of a folder with the label images of another, or of the same.

    A pair has the same name, the ending (.tif, .png) aside; ``_img`` after the name of
    an image and ``_lab``, ``_labels`` or ``_mask`` after that of labels do not count.

    Raises
    ------
    ImageError
        A folder is missing or holds no images, or a file has no partner.
    """
    # Path.expanduser raises where there is no such user.
    folders = tuple(Path(os.path.expanduser(each)) for each in (images, labels))
    for folder in folders:
        if not folder.is_dir():
            raise ImageError(f"There is no folder {folder}.")
    same = folders[0].resolve() == folders[1].resolve()
    pictures, drawn = images_in(folders[0]), images_in(folders[1])
    if same:
        pictures = [p for p in pictures if not _LABEL_ENDING.search(p.stem)]
        drawn = [p for p in drawn if _LABEL_ENDING.search(p.stem)]
    if not pictures:
        raise ImageError(f"{folders[0]} holds no images (TIFF, PNG or the like).")
    by_name: dict[str, Path] = {}
    for path in drawn:
        name = _LABEL_ENDING.sub("", path.stem)
        if name in by_name:
            raise ImageError(
                f"{by_name[name].name} and {path.name} in {folders[1]} are both labels "
                f"of {name}: keep one of them."
            )
        by_name[name] = path
    pairs = []
    for path in pictures:
        names = (path.stem, _IMAGE_ENDING.sub("", path.stem))
        found = next((by_name.pop(name) for name in names if name in by_name), None)
        if found is None:
            raise ImageError(
                f"{path} has no labels: {folders[1]} holds no {names[-1]}.tif or .png."
            )
        pairs.append(Pair(path, found))
    if by_name:
        lone = next(iter(by_name.values()))
        raise ImageError(f"{lone} has no image of the same name in {folders[0]}.")
    return pairs


def read_pair(pair: Pair, axis: str = "z") -> LabelledArrays:
    """Read and check an image or stack with its labels.

    Parameters
    ----------
    pair : Pair
    axis : str
        What the frames of a stack are, ``"z"`` or ``"t"``.

    Returns
    -------
    LabelledArrays
        Image (H, W, 3) uint8 as the model is shown it, or stack (T, H, W, 3).

    Raises
    ------
    ImageError
        A file cannot be read, the labels are no integers or none are drawn, or the
        sizes differ.
    """
    with open_frames(pair.image) as frames:
        shown = np.stack([frames.frame(t) for t in range(len(frames))])
    labels = _read_labels(pair.labels)
    if labels.ndim == 2:
        labels = labels[None]
    if shown.shape[:3] != labels.shape:
        raise ImageError(
            f"{pair.image} is {_size(shown.shape[:3])} but its labels {pair.labels} "
            f"are {_size(labels.shape)}: they must agree."
        )
    if not labels.any():
        raise ImageError(
            f"{pair.labels} holds no object, all of it is 0: label some or leave the "
            "pair out."
        )
    flat = len(shown) == 1
    return LabelledArrays(
        "images" if flat else pair.image.stem,
        pair.image.stem,
        "2d" if flat else axis,
        shown[0] if flat else shown,
        labels[0] if flat else labels,
    )


def _read_labels(path: Path) -> Array:
    if path.suffix.lower() in (".tif", ".tiff"):
        try:
            labels = np.asarray(tifffile.imread(path))
        except (OSError, ValueError, tifffile.TiffFileError) as error:
            raise ImageError(f"{path} cannot be read as TIFF: {error}.") from error
        labels = labels.squeeze() if labels.ndim > 3 else labels
    else:
        labels = read_image(path)
    if labels.ndim not in (2, 3) or (labels.ndim == 3 and labels.shape[-1] in (3, 4)):
        raise ImageError(
            f"{path} has shape {labels.shape}: labels are one number per pixel, so "
            "(H, W) or (T, H, W), not colours."
        )
    if labels.dtype.kind == "f" and (labels == np.round(labels)).all():
        labels = labels.astype(np.int64)
    if labels.dtype.kind not in "iu":
        raise ImageError(
            f"{path} is {labels.dtype}: labels are integers, 0 for background and "
            "another number for each object."
        )
    if labels.size and labels.min() < 0:
        raise ImageError(f"{path} holds negative labels: use 0 for background.")
    # Numbers may be any (hashes, 32-bit ids); what matters is which pixels share one.
    if labels.size and labels.max() >= 2**20:
        values, inverse = np.unique(labels, return_inverse=True)
        first = 0 if values[0] == 0 else 1
        labels = (inverse.reshape(labels.shape) + first).astype(np.int32)
    return labels.astype(np.int32)


def _size(shape: tuple[int, ...]) -> str:
    sides = f"{shape[1]} x {shape[2]} pixels"
    return sides if shape[0] == 1 else f"{shape[0]} frames of {sides}"
