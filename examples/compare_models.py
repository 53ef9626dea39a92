"""Size and speed of models on one image, YOLO too where ultralytics is installed."""

from __future__ import annotations

import importlib.util
import time
from typing import Any

from PIL import Image

from napari_sam2._sample_data import sample_cells
from sam2_core.compat import SAM
from sam2_core.errors import CheckpointError

((pixels, _, _),) = sample_cells()
Image.fromarray(pixels).save("cells.png")


def report(model: Any, **prompt: Any) -> None:
    """Count the model, then time the second of two runs."""
    print(model.info())
    for _ in range(2):
        start = time.perf_counter()
        model("cells.png", **prompt)
    print(f"{(time.perf_counter() - start) * 1000:.0f} ms")


for name in ("sam2_nano", "sam2_t.pt", "sam2.1_b.pt"):
    try:
        model = SAM(name)
    except CheckpointError as error:  # says how to get it
        print(error)
    else:
        report(model, points=[400, 412])

if importlib.util.find_spec("ultralytics"):
    from ultralytics import YOLO

    report(YOLO("yolov8n-seg.yaml"))  # untrained: as fast, and nothing to download
