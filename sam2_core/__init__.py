"""SAM 2 for microscopy: click, box or mask in; instance masks out, through z and time.

Importing this package is cheap: torch is loaded only when a name that needs it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sam2_core.annotate import auto_annotate
    from sam2_core.automatic import AutomaticMaskGenerator
    from sam2_core.config import ModelConfig, list_models
    from sam2_core.errors import (
        Cancelled,
        CheckpointError,
        ImageError,
        InferenceError,
        PromptError,
        Sam2Error,
    )
    from sam2_core.everything.candidates import (
        MaskCandidate,
        paint_labels,
        select_candidates,
    )
    from sam2_core.frames import FrameSource, open_frames, read_image
    from sam2_core.image import ImagePredictor, Prediction
    from sam2_core.models import build_model, load_model
    from sam2_core.video import FrameResult, VideoSession

__version__ = "0.1.0"

# Module -> public names it defines.
_EXPORTS = {
    "annotate": ("auto_annotate",),
    "automatic": ("AutomaticMaskGenerator",),
    "everything.candidates": ("MaskCandidate", "paint_labels", "select_candidates"),
    "config": ("ModelConfig", "list_models"),
    "errors": (
        "Cancelled",
        "CheckpointError",
        "ImageError",
        "InferenceError",
        "PromptError",
        "Sam2Error",
    ),
    "frames": ("FrameSource", "open_frames", "read_image"),
    "image": ("ImagePredictor", "Prediction"),
    "models": ("build_model", "load_model"),
    "video": ("FrameResult", "VideoSession"),
}
_HOMES = {name: module for module, names in _EXPORTS.items() for name in names}

__all__ = [
    "AutomaticMaskGenerator",
    "Cancelled",
    "CheckpointError",
    "FrameResult",
    "FrameSource",
    "ImageError",
    "ImagePredictor",
    "InferenceError",
    "MaskCandidate",
    "ModelConfig",
    "Prediction",
    "PromptError",
    "Sam2Error",
    "VideoSession",
    "__version__",
    "auto_annotate",
    "build_model",
    "list_models",
    "load_model",
    "open_frames",
    "paint_labels",
    "read_image",
    "select_candidates",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sam2_core' has no attribute {name!r}")
    return getattr(importlib.import_module(f"sam2_core.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
