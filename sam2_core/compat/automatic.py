"""``SAM2AutomaticMaskGenerator`` with the calls of the ``sam2`` package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sam2_core.automatic import AutomaticMaskGenerator, fitting_thresholds
from sam2_core.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from sam2_core.everything.candidates import MaskCandidate
    from sam2_core.nn.sam2 import Sam2


class SAM2AutomaticMaskGenerator(AutomaticMaskGenerator):
    """Masks of everything in an image; see :class:`sam2_core.AutomaticMaskGenerator`.

    :meth:`generate` returns a list of dicts with the keys of the original. Images are
    taken as they are: RGB, uint8 or float from 0 to 1. Differences: masks without a
    pixel are never returned, holes and specks (``min_mask_region_area``) also vanish
    on the CPU, and with the bundled model the default thresholds are its own.
    """

    def __init__(
        self,
        model: Sam2,
        points_per_side: int | None = 32,
        points_per_batch: int = 64,
        pred_iou_thresh: float = 0.8,
        stability_score_thresh: float = 0.95,
        stability_score_offset: float = 1.0,
        mask_threshold: float = 0.0,
        box_nms_thresh: float = 0.7,
        crop_n_layers: int = 0,
        crop_nms_thresh: float = 0.7,
        crop_overlap_ratio: float = 512 / 1500,
        crop_n_points_downscale_factor: int = 1,
        point_grids: Sequence[ArrayLike] | None = None,
        min_mask_region_area: int = 0,
        output_mode: str = "binary_mask",
        use_m2m: bool = False,
        multimask_output: bool = True,
        **kwargs: Any,
    ) -> None:
        iou, stability = fitting_thresholds(
            model.config, (pred_iou_thresh, stability_score_thresh), (0.8, 0.95)
        )
        super().__init__(
            model=model,
            points_per_side=points_per_side,
            points_per_batch=points_per_batch,
            pred_iou_thresh=iou,
            stability_score_thresh=stability,
            stability_score_offset=stability_score_offset,
            mask_threshold=mask_threshold,
            box_nms_thresh=box_nms_thresh,
            crop_n_layers=crop_n_layers,
            crop_nms_thresh=crop_nms_thresh,
            crop_overlap_ratio=crop_overlap_ratio,
            crop_n_points_downscale_factor=crop_n_points_downscale_factor,
            point_grids=point_grids,
            min_mask_region_area=min_mask_region_area,
            output_mode=output_mode,
            use_m2m=use_m2m,
            multimask_output=multimask_output,
        )

    @classmethod
    def from_pretrained(
        cls, model_id: str, **kwargs: Any
    ) -> SAM2AutomaticMaskGenerator:
        """Build from a model id such as "facebook/sam2.1-hiera-tiny", found locally."""
        from sam2_core.compat.build import build_sam2_hf

        return cls(build_sam2_hf(model_id, **kwargs), **kwargs)

    def _pixels(
        self, image: ArrayLike, value_range: tuple[float, float] | None
    ) -> NDArray[Any]:
        if value_range is not None:
            return super()._pixels(image, value_range)
        array = np.asarray(image)
        if array.ndim != 3 or array.shape[-1] != 3 or 0 in array.shape:
            raise ImageError(
                f"The image has shape {array.shape} but must be (height, width, 3) RGB."
            )
        if array.dtype != np.uint8 and array.dtype.kind != "f":
            raise ImageError(
                f"The image is {array.dtype} but must be uint8, or float from 0 to 1; "
                "sam2_core.AutomaticMaskGenerator takes any type."
            )
        return array

    def _record(self, candidate: MaskCandidate, hw: tuple[int, int]) -> dict[str, Any]:
        record = super()._record(candidate, hw)
        for box in ("bbox", "crop_box"):  # whole numbers, but float in the original
            record[box] = [float(side) for side in record[box]]
        return record
