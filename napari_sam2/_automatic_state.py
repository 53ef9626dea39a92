"""Choices and progress of the Automatic dock: one evented dataclass."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from psygnal import SignalGroupDescriptor

from napari_sam2._state import SegmentationState

WHOLE, ON_SCREEN = "image", "screen"


@dataclass
class AutomaticState(SegmentationState):
    """What the user has chosen in the Automatic dock and what it is doing.

    The fields about layers, model and progress are those of
    :class:`napari_sam2._state.SegmentationState`; ``busy`` is "", "prepare",
    "download" or "search". Written on the GUI thread only.

    Attributes
    ----------
    where : str
        What the next search covers: "image" or "screen", the part on screen.
    points_per_side : int
        The searched part gets this many prompts along its width and its height.
    crop_layers : int
        The searched part is searched again in 4, then in 16 overlapping pieces.
    min_iou, min_stability, min_roundness : float
        Candidates below are not shown, 0 to 1.
    min_area, max_area : float
        Candidates outside are not shown, in pixels.
    smallest, largest : int
        Areas of the smallest and the largest candidate; 0 without candidates.
    searched : bool
        Whether there are candidates to choose from, be it none.
    found, shown : int
        Number of candidates, and of those that pass.
    """

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()

    where: str = WHOLE
    points_per_side: int = 32
    crop_layers: int = 0
    min_iou: float = 0.8
    min_stability: float = 0.9
    min_roundness: float = 0.0
    min_area: float = 0.0
    max_area: float = math.inf
    smallest: int = 0
    largest: int = 0
    searched: bool = False
    found: int = 0
    shown: int = 0
