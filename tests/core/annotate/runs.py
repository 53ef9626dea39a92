"""Runs of ``auto_annotate`` over the discs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from discs import DISCS

from sam2_core import auto_annotate
from sam2_core.annotate import Detections

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

BOXES = [[x - r, y - r, x + r, y + r] for x, y, r in DISCS]


def two_boxes(image: np.ndarray, path: Path) -> Detections:
    return Detections.of(BOXES, ["disc", "large disc"])


def annotate(images: Path, model: object, detector: object = two_boxes, **options):
    return auto_annotate(images, detector, model, progress=False, **options)


def results_of(images: Path) -> Path:
    return images.with_name("cells_auto_annotate_labels")


def visible(folder: Path) -> list[str]:
    files = (p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    return sorted(p.as_posix() for p in files if not p.parts[0].startswith("."))
