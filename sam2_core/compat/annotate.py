"""``auto_annotate`` with the arguments of ultralytics."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from sam2_core import annotate
from sam2_core.compat.sam import find_weights

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from sam2_core.annotate import Detector, Summary

logger = logging.getLogger(__name__)

_YOLO_SUFFIXES = (".pt", ".onnx", ".engine", ".torchscript")


def auto_annotate(
    data: str | os.PathLike[str],
    det_model: str = "yolo11x.pt",
    sam_model: str = "sam2_b.pt",
    device: str | int = "",
    conf: float = 0.25,
    iou: float = 0.45,
    imgsz: int = 640,
    max_det: int = 300,
    classes: Sequence[int] | None = None,
    output_dir: str | os.PathLike[str] | None = None,
) -> Summary:
    """Write YOLO segmentation labels for the images of a folder.

    Differences from the original: a run that was stopped goes on, images without a
    detection get an empty file, an image that cannot be read does not stop the run, and
    files in the output folder that come from elsewhere are not replaced.

    Parameters
    ----------
    data : path-like
        Folder of images.
    det_model : str
        Weights of a YOLO model (needs the package ultralytics), or what
        :func:`sam2_core.auto_annotate` takes: "blobs", "boxes.csv", "text:nucleus" ...
    sam_model : str
        "sam2_t.pt", "sam2.1_b.pt" ..., our names, or a file.
    device : str or int
        "" chooses; "cpu", "cuda", 0 or "0" for the first GPU, "mps".
    conf : float
        Lowest score of a detection.
    iou, imgsz, max_det, classes
        Only for YOLO: overlap of boxes to drop, size of the images, most boxes per
        image, numbers of the classes to keep.
    output_dir : path-like, optional
        Default: ``DIR_auto_annotate_labels`` beside ``DIR``.

    Returns
    -------
    Summary
        The original returns nothing.

    Raises
    ------
    Sam2Error
        The data, a model or the output folder cannot be used.
    """
    folder = Path(data).expanduser()
    if output_dir is None or output_dir == "":
        # As in the original: without what follows a dot in the name of the folder.
        whole = folder.resolve()
        output_dir = whole.parent / f"{whole.stem}_auto_annotate_labels"
    place = _device(device)
    detector: str | Detector = str(det_model)
    if Path(str(det_model)).suffix.lower() in _YOLO_SUFFIXES:
        detector = annotate.UltralyticsBoxes(
            str(det_model), conf, iou, imgsz, max_det, classes, place
        )
    summary = annotate.auto_annotate(
        folder,
        detector,
        find_weights(sam_model),
        place,
        output_dir,
        min_score=conf,
    )
    for path, reason in summary.failed.items():
        logger.warning("%s: %s", path.name, reason)
    return summary


def _device(device: str | int) -> str:
    """Our name of a device: "" is any, a number is a GPU, of several the first."""
    first = str(device).partition(",")[0].strip()
    return f"cuda:{first}" if first.isdecimal() else first or "auto"
