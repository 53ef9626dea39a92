"""The names of ultralytics in one place, for scripts that import several of them.

::

    from sam2_core.compat.ultralytics import SAM, SAM2VideoPredictor, auto_annotate

``SAM2VideoPredictor`` of ultralytics and of ``sam2`` are different things with one
name: the former is here, the latter in :mod:`sam2_core.compat`.
"""

from __future__ import annotations

from sam2_core.compat.annotate import auto_annotate
from sam2_core.compat.results import Boxes, Masks, Results
from sam2_core.compat.sam import SAM
from sam2_core.compat.sam_video import SAM2VideoPredictor

__all__ = ["SAM", "Boxes", "Masks", "Results", "SAM2VideoPredictor", "auto_annotate"]
