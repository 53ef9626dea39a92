"""Made-up 2D microscopy images with exact labels."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from sam2_core.errors import ImageError
from sam2_core.training.dataset import LabelledImage, split_pieces
from sam2_core.training.generator.layouts import LAYOUT_WEIGHTS, LAYOUTS
from sam2_core.training.generator.rendering import STYLES_OF_LAYOUT, random_look, render

if TYPE_CHECKING:
    from collections.abc import Iterator

# Raised whenever the same seed gives other images, so that old caches are not read.
VERSION = 4
SET_NAME = "synthetic"
MIN_AREA = 16


def generate_image(
    rng: np.random.Generator,
    size: int = 256,
    layout: str | None = None,
    style: str | None = None,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32]]:
    """Make one image and its labels.

    Parameters
    ----------
    rng : numpy.random.Generator
        The same state gives the same arrays.
    size : int
        Side in pixels.
    layout : str, optional
        What to draw, a key of ``layouts.LAYOUTS``; random by default.
    style : str, optional
        How to draw it, a key of ``styles.STYLES``; by default random among those
        that suit the layout.

    Returns
    -------
    image : (size, size) or (size, size, 3) uint8
    labels : (size, size) int32
        0 is background; each object is one connected piece.
    """
    names = list(LAYOUTS)
    weights = np.array([LAYOUT_WEIGHTS[name] for name in names], float)
    layout = layout or str(rng.choice(names, p=weights / weights.sum()))
    style = style or str(rng.choice(STYLES_OF_LAYOUT[layout]))
    labels = np.zeros((size, size), np.int32)
    while not labels.any():
        labels = split_pieces(LAYOUTS[layout](rng, size), MIN_AREA).astype(np.int32)
    look = random_look(rng, style, size, int(labels.max()))
    return render(labels, look, rng), labels


def generate_pool(
    count: int,
    size: int = 256,
    seed: int = 0,
    processes: int = 1,
    cache: str | Path | None = None,
) -> list[LabelledImage]:
    """Make many images, or read them from an earlier call.

    Parameters
    ----------
    count : int
    size : int
        Side in pixels.
    seed : int
        Image ``i`` depends on ``seed``, ``size`` and ``i`` alone.
    processes : int
        Low-priority processes to use; 1 works in this one.
    cache : path, optional
        Folder for an ``.npz`` file, written when it does not exist yet.

    Returns
    -------
    list of LabelledImage
        Of the data set ``"synthetic"``.

    Raises
    ------
    ImageError
        The file in the cache is broken.
    """
    path = (
        Path(cache) / f"images_v{VERSION}_{size}_{seed}_{count}.npz" if cache else None
    )
    if path is not None and path.is_file():
        arrays = read_arrays(path)
        pairs = [(arrays[f"i{k}"], arrays[f"l{k}"]) for k in range(count)]
    else:
        jobs = [(seed, size, index) for index in range(count)]
        with low_priority_map(processes) as run:
            pairs = run(_generate, jobs)
        if path is not None:
            arrays = {f"i{k}": image for k, (image, _) in enumerate(pairs)}
            arrays |= {f"l{k}": labels for k, (_, labels) in enumerate(pairs)}
            write_arrays(path, arrays)
    return [
        LabelledImage(f"{SET_NAME}/{index}", SET_NAME, image, labels)
        for index, (image, labels) in enumerate(pairs)
    ]


Pair = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int16]]


def _generate(job: tuple[int, int, int]) -> Pair:
    seed, size, index = job
    image, labels = generate_image(np.random.default_rng([seed, size, index]), size)
    return image, labels.astype(np.int16)


@contextmanager
def low_priority_map(processes: int) -> Iterator[Any]:
    """Give a function that maps jobs in order, in low-priority processes if several.

    Parameters
    ----------
    processes : int
        1 or less works in this process.

    Yields
    ------
    callable
        ``run(function, jobs) -> list of results``.
    """
    if processes <= 1:
        yield lambda function, jobs: [function(job) for job in jobs]
        return
    context = get_context("spawn")
    with ProcessPoolExecutor(
        processes, mp_context=context, initializer=_lower_priority
    ) as pool:
        yield lambda function, jobs: list(pool.map(function, jobs, chunksize=8))


def _lower_priority() -> None:
    if hasattr(os, "nice"):
        os.nice(10)


def write_arrays(path: Path, arrays: dict[str, npt.NDArray[Any]]) -> None:
    """Write arrays to a file that is there completely or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.stem}.{os.getpid()}.npz")
    np.savez(partial, **arrays)  # type: ignore[arg-type]
    partial.replace(path)


def read_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Read what `write_arrays` wrote.

    Raises
    ------
    ImageError
        The file is broken.
    """
    try:
        with np.load(path) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, BadZipFile) as error:
        raise ImageError(
            f"{path} is broken; delete it to have it made anew."
        ) from error
