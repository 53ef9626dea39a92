"""The calls of ``sam2`` and ultralytics: scripts only change their import lines.

::

    from sam2_core.compat import SAM2ImagePredictor, build_sam2
    from sam2_core.compat import SAM2AutomaticMaskGenerator, build_sam2_video_predictor
    from sam2_core.compat import SAM

Differences from ``sam2``: configurations are named, not read from YAML files (official
file names are understood); of ``hydra_overrides_extra`` only the options that steer
tracking and post-processing are known, and they win over ``apply_postprocessing``;
holes in video masks are also filled on the CPU, where the original silently skips it
(``"++model.fill_hole_area=0"`` turns that off); no compiled extension is needed.
"""

from __future__ import annotations

from sam2_core.compat.annotate import auto_annotate
from sam2_core.compat.automatic import SAM2AutomaticMaskGenerator
from sam2_core.compat.build import (
    build_sam2,
    build_sam2_hf,
    build_sam2_video_predictor,
    build_sam2_video_predictor_hf,
)
from sam2_core.compat.image import SAM2ImagePredictor
from sam2_core.compat.results import Results
from sam2_core.compat.sam import SAM
from sam2_core.compat.video import SAM2VideoPredictor

__all__ = [
    "SAM",
    "Results",
    "SAM2AutomaticMaskGenerator",
    "SAM2ImagePredictor",
    "SAM2VideoPredictor",
    "auto_annotate",
    "build_sam2",
    "build_sam2_hf",
    "build_sam2_video_predictor",
    "build_sam2_video_predictor_hf",
]
