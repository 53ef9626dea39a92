"""Results as YOLO text, COCO JSON and label images."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING, Any

import numpy as np

from sam2_core.annotate.polygons import outline
from sam2_core.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from sam2_core.annotate.records import ImageRecord

FORMATS = ("yolo", "coco", "labels")


def check_formats(outputs: str | Sequence[str]) -> tuple[str, ...]:
    """The formats asked for, without repetitions, or an ImageError."""
    asked = tuple(dict.fromkeys([outputs] if isinstance(outputs, str) else outputs))
    unknown = [name for name in asked if name not in FORMATS]
    if unknown or not asked:
        what = f"no output format {unknown[0]!r}" if unknown else "nothing to write"
        raise ImageError(f"There is {what}: choose from {', '.join(FORMATS)}.")
    return asked


def yolo_text(record: ImageRecord, index: Callable[[str], int]) -> str:
    """One line per object: class number and polygon, x y in fractions of the image.

    Holes are filled and of an object in several parts the largest is written: the
    format cannot hold more.

    Parameters
    ----------
    record : ImageRecord
        What was found.
    index : callable
        Number of a class name.
    """
    height, width = record.image_hw
    lines = []
    for found in record.objects:
        x0, y0 = found.box[:2]
        # + 0.5: the centre of the first pixel is half a pixel away from the border.
        points = outline(found.patch(record.image_hw)) + np.array([x0 + 0.5, y0 + 0.5])
        fractions = (points / (width, height)).ravel()
        words = [str(index(found.name)), *(f"{value:.6f}" for value in fractions)]
        lines.append(" ".join(words) + "\n")
    return "".join(lines)


def label_image(record: ImageRecord) -> NDArray[np.uint32]:
    """Object n of a record as label n; where they overlap, the smaller is on top.

    Returns
    -------
    ndarray
        (H, W) uint32.
    """
    labels = np.zeros(record.image_hw, np.uint32)
    by_size = sorted(enumerate(record.objects, 1), key=lambda pair: -pair[1].area)
    for number, found in by_size:
        x0, y0, x1, y1 = found.box
        labels[y0:y1, x0:x1][found.patch(record.image_hw)] = number
    return labels


def coco_document(
    records: Iterable[ImageRecord], names: Sequence[str]
) -> dict[str, Any]:
    """All images in the format of COCO's instances; masks keep holes and parts.

    Parameters
    ----------
    records : iterable of ImageRecord
        In the order of their ids, which start at 1.
    names : sequence of str
        Classes; category ids are their positions plus 1.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, record in enumerate(records, start=1):
        height, width = record.image_hw
        images.append(
            {
                "id": image_id,
                "file_name": record.file_name,
                "height": height,
                "width": width,
            }
        )
        for found in record.objects:
            x0, y0, x1, y1 = found.box
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": names.index(found.name) + 1,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": found.area,
                    "iscrowd": 0,
                    "segmentation": {"size": [height, width], "counts": found.counts},
                    "score": found.score,
                    "predicted_iou": found.iou,
                }
            )
    categories = [{"id": i, "name": name} for i, name in enumerate(names, start=1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def write_text(path: Path, text: str) -> None:
    """Write a file so that it is there completely or not at all.

    Raises
    ------
    ImageError
        It cannot be written.
    """
    part = path.with_name(f".{path.name[:100]}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        try:
            with part.open("x", encoding="utf-8", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> ImageError:
    """The error to raise where a file or folder cannot be written."""
    reason = error.strerror or str(error)
    return ImageError(f"{path} cannot be written ({reason}): choose another place.")
