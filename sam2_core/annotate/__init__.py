"""Labels for whole data sets: a detector finds boxes, SAM 2 makes masks of them.

:func:`auto_annotate` does it; the rest are the detectors that it can use, and what is
needed to write one.
"""

from __future__ import annotations

from sam2_core.annotate.adapters import (
    CellposeBoxes,
    StarDistBoxes,
    TextBoxes,
    UltralyticsBoxes,
)
from sam2_core.annotate.box_files import FileBoxes
from sam2_core.annotate.detections import Detections, Detector, boxes_of_labels
from sam2_core.annotate.detectors import Blobs, Everything, LabelBoxes
from sam2_core.annotate.runner import auto_annotate
from sam2_core.annotate.specs import make_detector
from sam2_core.annotate.summary import Summary

__all__ = [
    "Blobs",
    "CellposeBoxes",
    "Detections",
    "Detector",
    "Everything",
    "FileBoxes",
    "LabelBoxes",
    "StarDistBoxes",
    "Summary",
    "TextBoxes",
    "UltralyticsBoxes",
    "auto_annotate",
    "boxes_of_labels",
    "make_detector",
]
