"""Detectors by name, as on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sam2_core.annotate.adapters import (
    CellposeBoxes,
    StarDistBoxes,
    TextBoxes,
    UltralyticsBoxes,
)
from sam2_core.annotate.box_files import SUFFIXES, FileBoxes
from sam2_core.annotate.detectors import Blobs, Everything, LabelBoxes
from sam2_core.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sam2_core.annotate.detections import Detector
    from sam2_core.nn.sam2 import Sam2

SPECS = (
    "everything",
    "blobs[:DIAMETER]",
    "labels:FOLDER",
    "boxes:FILE or FOLDER",
    "a .csv or .json file",
    "a YOLO .pt file",
    "cellpose[:MODEL]",
    "stardist[:MODEL]",
    "text:WORDS",
)
_YOLO_SUFFIXES = (".pt", ".onnx", ".engine", ".torchscript")


def make_detector(
    spec: str,
    load_model: Callable[[], Sam2],
    device: str = "auto",
    min_score: float | None = None,
    class_name: str | None = None,
) -> Detector:
    """The detector that a text means.

    Parameters
    ----------
    spec : str
        "everything", "blobs" or "blobs:30" (diameter in pixels), "labels:FOLDER",
        "boxes:FILE", "boxes.csv", "yolov8x.pt", "cellpose" or "cellpose:cyto3",
        "stardist" or "stardist:2D_versatile_he", "text:nucleus" or "text:cell,debris".
    load_model : callable
        Gives the model of everything mode.
    device : str
        For detectors with a network.
    min_score : float, optional
        Lowest score to keep.
    class_name : str, optional
        Class of the objects, for detectors that know only one.

    Raises
    ------
    ImageError
        There is no such detector or file.
    PromptError
        A file of boxes is malformed.
    InferenceError
        The package of the detector is missing or fails.
    """
    check_spec(spec, min_score)
    kind, colon, value = spec.partition(":")
    name: dict[str, Any] = {} if class_name is None else {"name": class_name}
    conf: dict[str, Any] = {} if min_score is None else {"conf": min_score}
    if Path(spec).suffix.lower() in _YOLO_SUFFIXES:
        return UltralyticsBoxes(spec, device=device, **conf)
    if spec == "everything":
        return Everything(load_model(), min_score, **name)
    if kind == "blobs":
        return Blobs(_diameter(value), **name) if colon else Blobs(**name)
    if kind == "labels":
        return LabelBoxes(value, **name)
    if kind == "boxes":
        return FileBoxes(value)
    if kind == "text":
        return TextBoxes(value, device=device, **conf)
    if kind == "cellpose":
        return CellposeBoxes(value or None, device=device, **name)
    if kind == "stardist":
        return StarDistBoxes(value, **name) if value else StarDistBoxes(**name)
    return FileBoxes(spec)


def check_spec(spec: str, min_score: float | None = None) -> None:
    """Check that a text means a detector; nothing is loaded or read.

    Raises
    ------
    ImageError
        It means none, or none of its detections can have such a score.
    """
    kind, colon, value = spec.partition(":")
    if kind == "blobs" and colon:
        _diameter(value)
    of_files = (
        (kind == "boxes" and bool(value))
        or Path(spec).suffix.lower() in SUFFIXES
        or (bool(spec) and Path(spec).is_dir())
    )
    if not (
        spec == "everything"
        or kind in ("blobs", "cellpose", "stardist")
        or (kind in ("labels", "text") and value)
        or Path(spec).suffix.lower() in _YOLO_SUFFIXES
        or of_files
    ):
        raise ImageError(f"There is no detector {spec!r}: use {', '.join(SPECS)}.")
    # Files may have scores of their own kind, such as percentages.
    if min_score is not None and not (0 <= min_score <= 1 or of_files):
        raise ImageError(f"The lowest score must be from 0 to 1, not {min_score:g}.")


def _diameter(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ImageError(
            f"blobs:{text} does not say a diameter in pixels, such as blobs:30."
        ) from None
