"""Results as text: YOLO lines, dicts, a count."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from sam2_core.compat.results import Results


def yolo_lines(result: Results, save_conf: bool = False) -> list[str]:
    """A line per object: class, then outline (or box), in parts of the image size."""
    if result.boxes is None:
        return []
    lines = []
    for i, box in enumerate(result.boxes.numpy()):
        place = box.xywhn[0] if result.masks is None else result.masks.xyn[i].ravel()
        if not len(place):
            continue  # an empty mask
        numbers = [int(box.cls[0]), *place.tolist()]
        if save_conf:
            numbers.append(float(box.conf[0]))
        lines.append(" ".join(f"{number:g}" for number in numbers) + "\n")
    return lines


def counted(result: Results) -> str:
    """How many objects of each class, such as "1 0, 1 1, "."""
    if not len(result) or result.boxes is None:
        return "(no detections), "
    counts = Counter(int(index) for index in result.boxes.cls.tolist())
    return "".join(
        f"{count} {result.names.get(index, index)}{'s' * (count > 1)}, "
        for index, count in sorted(counts.items())
    )


def objects(result: Results, normalize: bool, decimals: int) -> list[dict[str, Any]]:
    """One dict per object; see :meth:`Results.summary`."""
    if result.boxes is None:
        return []
    rows = []
    for i, box in enumerate(result.boxes.numpy()):
        index = int(box.cls[0])
        corners = (box.xyxyn if normalize else box.xyxy)[0]
        row: dict[str, Any] = {
            "name": result.names.get(index, str(index)),
            "class": index,
            "confidence": round(float(box.conf[0]), decimals),
            "box": {
                key: round(float(value), decimals)
                for key, value in zip(("x1", "y1", "x2", "y2"), corners, strict=True)
            },
        }
        if box.is_track:
            row["track_id"] = int(box.id[0])
        if result.masks is not None:
            polygon = (result.masks.xyn if normalize else result.masks.xy)[i]
            row["segments"] = {
                axis: np.round(polygon[:, k].astype(float), decimals).tolist()
                for k, axis in enumerate("xy")
            }
        rows.append(row)
    return rows
