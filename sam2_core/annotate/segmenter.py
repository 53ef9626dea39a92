"""From boxes to masks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sam2_core.annotate.records import AnnotatedObject, run_lengths
from sam2_core.image import ImagePredictor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sam2_core.annotate.detections import Detections
    from sam2_core.nn.sam2 import Sam2

# Masks at the size of the image are large: only so many exist at a time.
_BOXES_AT_ONCE = 16


class Segmenter:
    """Masks of detected objects.

    Parameters
    ----------
    model : Sam2
        From :func:`sam2_core.load_model`.
    """

    def __init__(self, model: Sam2) -> None:
        self._predictor = ImagePredictor(model)

    def objects(
        self, image: NDArray[np.uint8], found: Detections
    ) -> list[AnnotatedObject]:
        """One object per detection, without those whose mask is empty.

        Parameters
        ----------
        image : ndarray
            (H, W, 3) uint8.
        found : Detections
            Inside the image.

        Raises
        ------
        InferenceError
            The model cannot run.
        """
        hw = (image.shape[0], image.shape[1])
        if len(found) == 0:
            return []
        if found.masks is not None:
            return [
                _object(found, i, mask.patch(), mask.box[:2], mask.predicted_iou, hw)
                for i, mask in enumerate(found.masks)
                if mask.area
            ]
        objects = []
        self._predictor.set_image(image)
        for first in range(0, len(found), _BOXES_AT_ONCE):
            boxes = found.boxes_xyxy[first : first + _BOXES_AT_ONCE]
            predicted = self._predictor.predict(box=boxes, multimask_output=False)
            for i, mask in enumerate(predicted.masks[:, 0], start=first):
                if mask.any():
                    iou = float(predicted.scores[i - first, 0])
                    objects.append(_object(found, i, mask, (0, 0), iou, hw))
        self._predictor.reset()
        return objects


def _object(
    found: Detections,
    index: int,
    mask: NDArray[np.bool_],
    corner: tuple[int, int],
    iou: float,
    image_hw: tuple[int, int],
) -> AnnotatedObject:
    """An object from a mask whose first pixel is at `corner` (x, y) of the image."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    patch = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    x0, y0 = int(corner[0] + columns[0]), int(corner[1] + rows[0])
    px0, py0, px1, py1 = (float(value) for value in found.boxes_xyxy[index])
    return AnnotatedObject(
        name=found.names[index],
        score=round(float(found.scores[index]), 4),
        iou=round(float(iou), 4),
        prompt_xyxy=(px0, py0, px1, py1),
        box=(x0, y0, x0 + patch.shape[1], y0 + patch.shape[0]),
        area=int(np.count_nonzero(patch)),
        counts=run_lengths(patch, x0, y0, image_hw),
    )
