"""Labelled images and stacks of a folder, read one at a time and as they are.

Training reads whole folders into memory as uint8 (`sam2_core.training.dataset`);
evaluation hands the engine the very pixels that a user would.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

import numpy as np
import tifffile
from numpy.typing import NDArray

from sam2_core.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Array: TypeAlias = NDArray[Any]

MIN_AREA = 10  # smaller specks (pixels) are leftovers of annotation, not objects


class Labelled(Protocol):
    """What evaluation needs of an image or stack, wherever it lies.

    `name` is that of its set, `title` its own; the others as in `LabelledFile`.
    """

    @property
    def name(self) -> str:
        """Name of the set, or of the stack."""

    @property
    def title(self) -> str:
        """Name of the image."""

    @property
    def kind(self) -> str:
        """``"2d"``, ``"z"`` or ``"t"``."""

    @property
    def ids(self) -> tuple[int, ...]:
        """Objects to use, all if empty."""

    def read(self) -> tuple[Array, Array]:
        """Return image and labels."""


AnyLabelled = TypeVar("AnyLabelled", bound=Labelled)


@dataclass(frozen=True, eq=False)
class LabelledArrays:
    """The same in memory: image (H, W[, 3]) or stack, and labels without the colour."""

    name: str
    title: str
    kind: str
    image: Array
    labels: Array
    ids: tuple[int, ...] = ()

    def read(self) -> tuple[Array, Array]:
        """Return image and labels."""
        return self.image, self.labels


@dataclass(frozen=True)
class LabelledFile:
    """An image or stack, its labels, and what is known about them.

    `kind` is ``"2d"``, ``"z"`` or ``"t"``; `ids` are the objects to use, all if empty.
    """

    name: str
    kind: str
    image: Path
    labels: Path
    ids: tuple[int, ...] = ()

    @property
    def title(self) -> str:
        """Name of the image file."""
        return self.image.name

    def read(self) -> tuple[Array, Array]:
        """Return image and labels as they are in the files."""
        try:
            image, labels = tifffile.imread(self.image), tifffile.imread(self.labels)
        except (OSError, ValueError, tifffile.TiffFileError) as error:
            raise ImageError(f"{self.image} or its labels are unreadable.") from error
        if image.shape not in (labels.shape, (*labels.shape, 3)):
            raise ImageError(
                f"{self.image} has shape {image.shape} but its labels have "
                f"{labels.shape}; they must agree."
            )
        return image, labels


def find_sets(root: Path) -> dict[str, list[LabelledFile]]:
    """List the labelled 2D sets and stacks of a folder, by name.

    Stacks with a channel axis and files without labels are left out.

    Raises
    ------
    ImageError
        If the folder does not exist or holds nothing labelled.
    """
    path = root / "manifest.json"
    entries = json.loads(path.read_text())["entries"] if path.is_file() else []
    known = {entry["name"]: entry for entry in entries}
    sets: dict[str, list[LabelledFile]] = {}
    for image in sorted([*root.glob("2d/*/*_img.tif"), *root.glob("stack/*_img.tif")]):
        stem = image.name.removesuffix("_img.tif")
        labels = image.with_name(f"{stem}_lab.tif")
        flat = image.parent.parent.name == "2d"
        name = image.parent.name if flat else stem
        entry = known.get(name, {})
        if not labels.is_file() or "C" in entry.get("axes", ""):
            continue
        kind = "2d" if flat else str(entry.get("kind", "z"))
        ids = () if flat else tuple(entry.get("eval_ids") or ())
        sets.setdefault(name, []).append(LabelledFile(name, kind, image, labels, ids))
    if not sets:
        raise ImageError(
            f"{root} holds no labelled images; expected 2d/SET/NAME_img.tif or "
            "stack/NAME_img.tif with NAME_lab.tif beside it."
        )
    return sets


def choose_objects(
    files: Sequence[AnyLabelled], max_objects: int | None, seed: int
) -> dict[AnyLabelled, list[int]]:
    """Draw objects from all images of a 2D set.

    Parameters
    ----------
    files : sequence of LabelledFile or LabelledArrays
        Images of the set.
    max_objects : int or None
        How many to draw at most.
    seed : int
        Of the draw.

    Returns
    -------
    dict of file to list of int
        Label values per image; images without any are left out.
    """
    every = []
    for file in files:
        areas = np.bincount(file.read()[1].ravel())
        areas[0] = 0
        every += [(file, int(i)) for i in np.flatnonzero(areas >= MIN_AREA)]
    chosen: dict[AnyLabelled, list[int]] = {}
    for file, object_id in draw(every, max_objects, seed):
        chosen.setdefault(file, []).append(object_id)
    return chosen


def frames_with_object(labels: Array, ids: Sequence[int]) -> dict[int, list[int]]:
    """Return the frames of every object that shows on at least two of them."""
    size = int(labels.max()) + 1
    areas = np.stack([np.bincount(frame.ravel(), minlength=size) for frame in labels])
    wanted = [i for i in ids if i < size] if ids else range(1, size)
    frames = {i: np.flatnonzero(areas[:, i] >= MIN_AREA).tolist() for i in wanted}
    return {i: where for i, where in frames.items() if len(where) > 1}


def draw(items: Sequence[Any], limit: int | None, seed: int) -> list[Any]:
    """Return at most `limit` of the items, drawn at random, in their order."""
    if limit is None or len(items) <= limit:
        return list(items)
    picked = np.random.default_rng(seed).choice(len(items), limit, replace=False)
    return [items[k] for k in np.sort(picked)]
