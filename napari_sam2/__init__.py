"""A napari plugin that turns clicks, boxes and shapes into masks with SAM 2."""

from __future__ import annotations

from sam2_core import __version__

__all__ = ["__version__"]
