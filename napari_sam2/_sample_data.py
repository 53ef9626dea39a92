"""Sample images for the File menu; the files ship with the plugin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SAMPLES = Path(__file__).parent / "samples"

LayerData = tuple[Any, dict[str, Any], str]


def sample_cells() -> list[LayerData]:
    """Brightfield cytology smear, (1024, 1024) uint8, as layer data."""
    import tifffile

    data = tifffile.imread(SAMPLES / "cytology_smear.tif")
    return [(data, {"name": "cells"}, "image")]


def sample_nuclei() -> list[LayerData]:
    """Confocal z-stack of nuclei, (40, 256, 256) uint8, voxels in µm, as layer data."""
    import tifffile

    data = tifffile.imread(SAMPLES / "cells3d_nuclei.tif")
    place = {
        "name": "nuclei",
        "scale": (0.29, 0.26, 0.26),
        "units": ("um", "um", "um"),
        "axis_labels": ("z", "y", "x"),
        "contrast_limits": (0, 200),
    }
    return [(data, place, "image")]
