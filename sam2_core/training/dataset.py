"""Labelled microscopy images and stacks, read from a folder into memory.

A folder holds ``2d/<set>/NAME_img.tif`` with ``NAME_lab.tif`` beside it and
``stack/NAME_img.tif`` with ``NAME_lab.tif``. A ``manifest.json`` is used for what the
file names do not say (axis, partly labelled sets, objects to evaluate); it may be
absent. Labels are integers with 0 as background.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tifffile
from scipy import ndimage

from sam2_core.errors import ImageError
from sam2_core.intensity import robust_range, to_rgb8

UInt8Array = npt.NDArray[np.uint8]
IntArray = npt.NDArray[Any]


@dataclass(frozen=True)
class ObjectTable:
    """The objects of one label image.

    Attributes
    ----------
    ids : (N,) int64
        Label values, ascending.
    boxes_yxyx : (N, 4) int64
        Half-open bounding boxes (y0, x0, y1, x1) in pixels.
    areas : (N,) int64
        Numbers of pixels.
    """

    ids: npt.NDArray[np.int64]
    boxes_yxyx: npt.NDArray[np.int64]
    areas: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class LabelledImage:
    """A 2D image with its instance labels.

    Attributes
    ----------
    name, set_name : str
        The image and the data set that it belongs to.
    image : (H, W) or (H, W, 3) uint8
    labels : (H, W) int16 or int32
        0 is background.
    partial : bool
        Some objects of the image are not labelled.
    """

    name: str
    set_name: str
    image: UInt8Array
    labels: IntArray
    partial: bool = False

    @cached_property
    def objects(self) -> ObjectTable:
        """Objects of the label image, computed once."""
        return object_table(self.labels)


@dataclass(frozen=True)
class LabelledStack:
    """A z-stack or time-lapse whose label values are constant over the frames.

    Attributes
    ----------
    name, set_name : str
        The stack and the data set that it belongs to.
    images : (T, H, W) or (T, H, W, 3) uint8
    labels : (T, H, W) int16 or int32
        0 is background.
    axis : str
        What the frames are: ``"z"`` or ``"t"``.
    partial : bool
        Some objects are not labelled.
    isotropic : bool
        The voxels are cubes, so that any axis can serve as the first.
    eval_ids : tuple of int
        Objects stable enough to score propagation on; empty when unknown.
    """

    name: str
    set_name: str
    images: UInt8Array
    labels: IntArray
    axis: str = "z"
    partial: bool = False
    isotropic: bool = False
    eval_ids: tuple[int, ...] = ()
    _tables: dict[int, ObjectTable] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.images)

    def objects(self, index: int) -> ObjectTable:
        """Objects of one frame, computed once."""
        if index not in self._tables:
            self._tables[index] = object_table(self.labels[index])
        return self._tables[index]


class Split(NamedTuple):
    """Everything labelled in a folder."""

    images: list[LabelledImage]
    stacks: list[LabelledStack]


def object_table(labels: IntArray) -> ObjectTable:
    """Measure the objects of a label image.

    Parameters
    ----------
    labels : (H, W) int
        0 is background.

    Returns
    -------
    ObjectTable
    """
    areas = np.bincount(labels.ravel())
    boxes, ids = [], []
    for index, window in enumerate(ndimage.find_objects(labels)):
        if window is not None:
            rows, columns = window
            ids.append(index + 1)
            boxes.append((rows.start, columns.start, rows.stop, columns.stop))
    id_array = np.array(ids, np.int64)
    box_array = np.array(boxes, np.int64).reshape(-1, 4)
    return ObjectTable(id_array, box_array, areas[id_array].astype(np.int64))


def to_uint8(images: npt.NDArray[Any]) -> UInt8Array:
    """Show a stack as the model sees it: one robust value range for all frames.

    Parameters
    ----------
    images : (T, H, W) or (T, H, W, 3), numeric
        uint8 with three values per pixel is taken as it is.

    Returns
    -------
    uint8 array of the same shape
    """
    value_range = robust_range(images)
    result = np.empty(images.shape, np.uint8)
    for index, image in enumerate(images):
        rgb = to_rgb8(image, value_range)
        result[index] = rgb if images.ndim == 4 else rgb[..., 0]
    return result


def label_agreement(stack: LabelledStack) -> float:
    """How far the labels of neighbouring frames are the same where objects overlap.

    Returns
    -------
    float
        0 to 1; low where label values are not constant over the frames. NaN if no
        objects of neighbouring frames overlap.
    """
    before, after = stack.labels[:-1], stack.labels[1:]
    both = (before > 0) & (after > 0)
    return float((before[both] == after[both]).mean()) if both.any() else float("nan")


def load_split(folder: str | Path) -> Split:
    """Read every labelled image and stack of a folder.

    Images without labels and stacks with a channel axis are left out.

    Parameters
    ----------
    folder : path
        See the module's text for the layout.

    Returns
    -------
    Split
        Images and stacks, sorted by set and name.

    Raises
    ------
    ImageError
        The folder does not exist or holds nothing labelled, a file cannot be read, or
        an image and its labels differ in size.
    """
    root = Path(folder)
    if not root.is_dir():
        raise ImageError(
            f"There is no folder {root}; give a folder of labelled images."
        )
    entries = _manifest(root)
    images, stacks = [], []
    for path in sorted(root.glob("2d/*/*_img.tif")):
        entry = entries.get(path.parent.name, {})
        if pair := _read_pair(path):
            images.append(_image(path, *pair, entry))
    for path in sorted(root.glob("stack/*_img.tif")):
        entry = entries.get(path.name.removesuffix("_img.tif"), {})
        if "C" not in entry.get("axes", "") and (pair := _read_pair(path)):
            stacks.append(_stack(path, *pair, entry))
    if not images and not stacks:
        raise ImageError(
            f"{root} holds no labelled images; expected 2d/<set>/NAME_img.tif or "
            "stack/NAME_img.tif with NAME_lab.tif beside it."
        )
    return Split(images, stacks)


def stack_slices(
    stack: LabelledStack, every: int = 1, min_area: int = 12
) -> list[LabelledImage]:
    """Cut a stack into 2D images in which each connected piece is its own object.

    Parameters
    ----------
    stack : LabelledStack
    every : int
        Distance of the frames taken.
    min_area : int
        Smaller pieces become background, in pixels.

    Returns
    -------
    list of LabelledImage
        Of the stack's data set.
    """
    slices = []
    for index in range(0, len(stack), every):
        labels = split_pieces(stack.labels[index], min_area)
        if labels.any():
            name = f"{stack.name}:{index}"
            image = stack.images[index]
            slices.append(
                LabelledImage(name, stack.set_name, image, labels, stack.partial)
            )
    return slices


def split_pieces(labels: IntArray, min_area: int) -> IntArray:
    """Give each connected piece of each object its own label.

    Parameters
    ----------
    labels : (H, W) int
    min_area : int
        Smaller pieces become background, in pixels.

    Returns
    -------
    (H, W) int16 or int32
    """
    from skimage.measure import label

    pieces = label(labels, connectivity=1, background=0)
    areas = np.bincount(pieces.ravel())
    keep = areas >= min_area
    keep[0] = False
    numbers = np.cumsum(keep) * keep
    return _compact(numbers[pieces])


def _compact(labels: IntArray) -> IntArray:
    small = labels.size == 0 or int(labels.max()) < 2**15
    return labels.astype(np.int16 if small else np.int32)


def _manifest(root: Path) -> dict[str, dict[str, Any]]:
    path = root / "manifest.json"
    if not path.is_file():
        return {}
    try:
        entries = json.loads(path.read_text())["entries"]
        return {entry["name"]: entry for entry in entries}
    except (ValueError, KeyError, TypeError) as error:
        message = f"{path} is not a manifest of labelled images; repair or delete it."
        raise ImageError(message) from error


def _read_pair(path: Path) -> tuple[npt.NDArray[Any], IntArray] | None:
    label_path = path.with_name(path.name.removesuffix("_img.tif") + "_lab.tif")
    if not label_path.is_file():
        return None
    image, labels = _read(path), _read(label_path)
    if labels.dtype.kind not in "iu":
        raise ImageError(f"{label_path} is {labels.dtype}; labels must be integers.")
    if image.shape not in (labels.shape, (*labels.shape, 3)):
        raise ImageError(
            f"{path} has shape {image.shape} but its labels have {labels.shape}; "
            "they must agree."
        )
    return image, labels


def _read(path: Path) -> npt.NDArray[Any]:
    try:
        return np.asarray(tifffile.imread(path))
    except (OSError, ValueError, tifffile.TiffFileError) as error:
        raise ImageError(f"{path} cannot be read as TIFF: {error}") from error


def _image(
    path: Path, image: npt.NDArray[Any], labels: IntArray, entry: dict[str, Any]
) -> LabelledImage:
    if labels.ndim != 2:
        raise ImageError(f"{path} has shape {image.shape}; expected one 2D image.")
    set_name = path.parent.name
    name = f"{set_name}/{path.name.removesuffix('_img.tif')}"
    partial = bool(entry.get("partial", False))
    shown = to_uint8(image[None])[0]
    return LabelledImage(name, set_name, shown, _compact(labels), partial)


def _stack(
    path: Path, images: npt.NDArray[Any], labels: IntArray, entry: dict[str, Any]
) -> LabelledStack:
    if labels.ndim != 3:
        raise ImageError(f"{path} has shape {images.shape}; expected a stack.")
    name = path.name.removesuffix("_img.tif")
    return LabelledStack(
        name,
        str(entry.get("set", name)),
        to_uint8(images),
        _compact(labels),
        axis=str(entry.get("kind", "z")),
        partial=bool(entry.get("partial", False)),
        isotropic="isotropic" in str(entry.get("modality", "")).lower(),
        eval_ids=tuple(int(i) for i in entry.get("eval_ids") or ()),
    )
