"""Keeps napari from drawing a speck where there are no points."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2._layers import DIMS, ON_CANVAS

if TYPE_CHECKING:
    from napari_sam2.stage._stage import Stage


class Specks:
    """Watches the points layer of a stage.

    On frames without points napari draws one without size in the corner of the image,
    and the smallest size that points have on screen makes that a speck.

    Parameters
    ----------
    stage : Stage
        Whose points are watched.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        stage.prompts_changed.connect(self.look)
        stage.layers_changed.connect(self.look)
        for name in DIMS:
            stage.viewer.dims.events[name].connect(self.look)

    def look(self, *_: Any) -> None:
        """Give the points of this frame their smallest size, if there are any."""
        points, dims = self.stage.points, self.stage.viewer.dims
        if points is None or dims.ndim < points.ndim:
            return
        here = np.asarray(points.world_to_data(dims.point))[-points.ndim :]
        across = [axis - dims.ndim for axis in dims.not_displayed]
        across = [axis for axis in across if axis >= -points.ndim]
        away = np.abs(points.data[:, across] - here[across]).max(1, initial=0.0)
        shown = bool((away <= 0.5).any())
        limits = (ON_CANVAS[0] if shown else 0, ON_CANVAS[1])
        if tuple(points.canvas_size_limits) != limits:
            points.canvas_size_limits = limits
