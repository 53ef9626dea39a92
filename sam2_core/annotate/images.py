"""The images of a data set."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sam2_core.errors import ImageError
from sam2_core.sources.frame_files import PICTURE_SUFFIXES, existing, images_in
from sam2_core.sources.frame_tiff import TIFF_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_SUFFIXES = (*TIFF_SUFFIXES, *PICTURE_SUFFIXES)


def find_images(
    data: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
) -> tuple[list[Path], Path | None]:
    """The images to annotate, and the usual folder for the results.

    Parameters
    ----------
    data : path-like or sequence of them
        A folder (without its subfolders), one image, or several.

    Returns
    -------
    paths : list of Path
        In natural order, or in the order given.
    output_dir : Path or None
        ``NAME_auto_annotate_labels`` beside a folder or image; None for several.

    Raises
    ------
    ImageError
        Something is missing, is no image, or there is none.
    """
    if not isinstance(data, (str, os.PathLike)):
        paths = [_image(path) for path in data]
        if not paths:
            raise ImageError("The list of images is empty: give at least one.")
        return paths, None
    path = existing(os.fspath(data)).resolve()
    if not path.is_dir():
        return [_image(path)], _results_of(path.with_suffix(""))
    paths = images_in(path)
    if not paths:
        raise ImageError(f"There are no images in {path}: {', '.join(_SUFFIXES)}.")
    return paths, _results_of(path)


def without_twins(paths: Iterable[Path]) -> tuple[list[Path], dict[Path, str]]:
    """Images whose results have names of their own, and why the others have not."""
    first: dict[str, Path] = {}
    refused = {}
    for path in paths:
        # Some file systems do not tell upper from lower case.
        other = first.setdefault(path.stem.casefold(), path)
        if other is not path:
            refused[path] = (
                f"{other.name} has the same name, and so would their results: rename "
                "one of them."
            )
    return list(first.values()), refused


def _image(path: str | os.PathLike[str]) -> Path:
    file = existing(os.fspath(path))
    if file.is_dir() or file.suffix.lower() not in _SUFFIXES:
        raise ImageError(f"{file} is no image: use {', '.join(_SUFFIXES)}.")
    return file


def _results_of(path: Path) -> Path:
    return path.with_name(f"{path.name}_auto_annotate_labels")
