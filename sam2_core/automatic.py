"""Everything in an image: a grid of points asked one by one, the good masks kept."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from sam2_core.errors import PromptError
from sam2_core.everything.candidates import MaskCandidate, without_duplicates
from sam2_core.everything.close_search import CloseSearch
from sam2_core.everything.crops import Box, check_grids, layer_grids
from sam2_core.everything.grid_search import GridSearch
from sam2_core.everything.rle import counts_to_string, mask_to_counts
from sam2_core.intensity import to_rgb8
from sam2_core.nms import box_nms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from sam2_core.config import ModelConfig
    from sam2_core.everything.grid_search import Cancel, Progress
    from sam2_core.nn.sam2 import Sam2

# Predicted IoU and stability score; see suggested_thresholds.
OFFICIAL_THRESHOLDS = 0.8, 0.95
GUIDED_THRESHOLDS = 0.55, 0.6
OUTPUT_MODES = ("binary_mask", "uncompressed_rle", "coco_rle")
# Candidates below these are never worth showing; most masks are, and need not be drawn.
HOPELESS_IOU = 0.3
HOPELESS_STABILITY = 0.4


class AutomaticMaskGenerator:
    """Finds everything in an image, without prompts.

    Parameters have the names and meanings of the original generator, and for official
    models its defaults.

    Parameters
    ----------
    model : Sam2
        From :func:`sam2_core.load_model`.
    points_per_side : int or None
        Points of the grid along each side of the image; None with ``point_grids``.
    points_per_batch : int
        Points decoded at once, at most; fewer if memory asks for it.
    pred_iou_thresh : float, optional
        Masks must have a predicted IoU above this, 0 to 1; what suits the model by
        default, see :func:`suggested_thresholds`.
    stability_score_thresh : float, optional
        Masks must keep this part of their area when the threshold of their logits is
        raised from ``-stability_score_offset`` to ``+stability_score_offset``.
    stability_score_offset : float
        In logits.
    mask_threshold : float
        Logit above which a pixel is in the mask.
    box_nms_thresh : float
        Of masks whose boxes have a higher IoU than this, the best one stays.
    crop_n_layers : int
        Also look at parts of the image, ``2**i`` along each side in layer ``i``:
        for objects too small for the whole image.
    crop_nms_thresh : float
        As ``box_nms_thresh``, between crops; the mask from the smaller crop stays.
    crop_overlap_ratio : float
        Overlap of crops in layer 1, as part of the image's shorter side.
    crop_n_points_downscale_factor : int
        Layer ``i`` has ``points_per_side`` divided by this to the power ``i``.
    point_grids : sequence of array_like, optional
        Own grids instead, (N, 2) xy in [0, 1], one for each layer.
    min_mask_region_area : float
        Holes and specks of at most so many pixels of the low-resolution logits vanish.
    output_mode : str
        "binary_mask", "uncompressed_rle" or "coco_rle".
    use_m2m : bool
        Ask a second time about every mask, with itself as prompt.
    multimask_output : bool
        Three masks for each point.

    Raises
    ------
    PromptError
        If a parameter makes no sense.
    """

    def __init__(
        self,
        model: Sam2,
        points_per_side: int | None = 32,
        points_per_batch: int = 64,
        pred_iou_thresh: float | None = None,
        stability_score_thresh: float | None = None,
        stability_score_offset: float = 1.0,
        mask_threshold: float = 0.0,
        box_nms_thresh: float = 0.7,
        crop_n_layers: int = 0,
        crop_nms_thresh: float = 0.7,
        crop_overlap_ratio: float = 512 / 1500,
        crop_n_points_downscale_factor: int = 1,
        point_grids: Sequence[ArrayLike] | None = None,
        min_mask_region_area: float = 0,
        output_mode: str = "binary_mask",
        use_m2m: bool = False,
        multimask_output: bool = True,
    ) -> None:
        if (points_per_side is None) == (point_grids is None):
            raise PromptError("Give either points_per_side or point_grids.")
        if output_mode not in OUTPUT_MODES:
            raise PromptError(
                f"There is no output_mode {output_mode!r}: use "
                f"{', '.join(OUTPUT_MODES)}."
            )
        if not 0 <= _number("crop_overlap_ratio", crop_overlap_ratio) < 1:
            raise PromptError(
                f"crop_overlap_ratio must be at least 0 and below 1, not "
                f"{crop_overlap_ratio}."
            )
        layers = _whole("crop_n_layers", crop_n_layers, 0)
        downscale = _whole(
            "crop_n_points_downscale_factor", crop_n_points_downscale_factor, 1
        )
        # Who gives points of his own wants these and no others.
        self._by_close_ups = model.closeup is not None and point_grids is None
        if point_grids is not None:
            self.point_grids = check_grids(point_grids, layers)
        else:
            per_side = _whole("points_per_side", points_per_side, 1)
            self.point_grids = layer_grids(per_side, layers, downscale)
        self.model = model
        self.points_per_batch = _whole("points_per_batch", points_per_batch, 1)
        iou, stability = suggested_thresholds(model.config)
        iou = iou if pred_iou_thresh is None else pred_iou_thresh
        if stability_score_thresh is not None:
            stability = stability_score_thresh
        self.pred_iou_thresh = _number("pred_iou_thresh", iou, highest=1)
        self.stability_score_thresh = _number(
            "stability_score_thresh", stability, highest=1
        )
        self.stability_score_offset = _number(
            "stability_score_offset", stability_score_offset
        )
        self.mask_threshold = _number("mask_threshold", mask_threshold)
        self.box_nms_thresh = _number("box_nms_thresh", box_nms_thresh, 0, 1)
        self.crop_n_layers = layers
        self.crop_nms_thresh = _number("crop_nms_thresh", crop_nms_thresh, 0, 1)
        self.crop_overlap_ratio = crop_overlap_ratio
        self.crop_n_points_downscale_factor = downscale
        self.min_mask_region_area = _number(
            "min_mask_region_area", min_mask_region_area
        )
        self.output_mode = output_mode
        self.use_m2m = use_m2m
        self.multimask_output = multimask_output

    def generate(
        self,
        image: ArrayLike,
        value_range: tuple[float, float] | None = None,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> list[dict[str, Any]]:
        """Masks that pass all thresholds.

        Parameters
        ----------
        image : array_like
            (H, W) grey or (H, W, 3) colour, any numeric dtype.
        value_range : tuple of float, optional
            Intensities to show as black and white, as for
            :meth:`sam2_core.ImagePredictor.set_image`.
        progress : callable, optional
            Called with the points done and the points in all.
        cancel : callable, optional
            Asked between batches; the search ends when it returns True.

        Returns
        -------
        list of dict
            Per mask ``segmentation`` ((H, W) bool, or a dict of run lengths), ``area``
            in pixels, ``bbox`` [x, y, width, height] from the first to the last pixel,
            ``predicted_iou``, ``point_coords`` [[x, y]], ``stability_score`` and
            ``crop_box`` [x, y, width, height]. Highest predicted IoU first, within
            a crop.

        Raises
        ------
        ImageError
            If this is no image.
        InferenceError
            If the model cannot run.
        Cancelled
            If ``cancel`` returned True.
        """
        pixels = self._pixels(image, value_range)
        hw = (pixels.shape[0], pixels.shape[1])
        kept: list[MaskCandidate] = []
        whole = (0, 0, hw[1], hw[0])
        search = self._search(self.pred_iou_thresh, self.stability_score_thresh)
        for found in search.run(pixels, whole, progress, cancel):
            scores = [c.predicted_iou for c in found]
            kept += _nms(found, scores, self.box_nms_thresh)
        if self.crop_n_layers:
            scores = [1 / _area(c.crop_box or whole) for c in kept]
            kept = _nms(kept, scores, self.crop_nms_thresh)
        return [self._record(candidate, hw) for candidate in kept]

    def candidates(
        self,
        image: ArrayLike,
        value_range: tuple[float, float] | None = None,
        region: tuple[float, float, float, float] | None = None,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> list[MaskCandidate]:
        """Everything that might be an object, to be chosen from later.

        The thresholds do not apply; only duplicates and hopeless masks are left out.
        :func:`sam2_core.everything.candidates.select_candidates` chooses.

        Parameters
        ----------
        image, value_range, progress, cancel
            As for :meth:`generate`.
        region : tuple of float, optional
            x0, y0, x1, y1 in pixels. Only this part of the image is looked at (its
            intensities are judged by the whole image); objects that its border cuts
            are left out.

        Returns
        -------
        list of MaskCandidate
            In pixels of the whole image, highest predicted IoU first.

        Raises
        ------
        PromptError
            If the region is empty or outside the image.
        ImageError, InferenceError, Cancelled
            As for :meth:`generate`.
        """
        pixels = self._pixels(image, value_range)
        box = _region_box(region, (pixels.shape[0], pixels.shape[1]))
        min_iou = min(HOPELESS_IOU, self.pred_iou_thresh)
        min_stability = min(HOPELESS_STABILITY, self.stability_score_thresh)
        found = self._search(min_iou, min_stability).run(pixels, box, progress, cancel)
        return without_duplicates([c for crop in found for c in crop])

    def _pixels(
        self, image: ArrayLike, value_range: tuple[float, float] | None
    ) -> NDArray[Any]:
        """The image as (H, W, 3)."""
        return to_rgb8(image, value_range)

    def _search(self, min_iou: float, min_stability: float) -> GridSearch | CloseSearch:
        if self._by_close_ups:
            return CloseSearch(
                self.model,
                self.point_grids[0],
                min_iou,
                min_stability,
                self.stability_score_offset,
            )
        return GridSearch(
            model=self.model,
            point_grids=self.point_grids,
            min_iou=min_iou,
            min_stability=min_stability,
            points_per_batch=self.points_per_batch,
            stability_score_offset=self.stability_score_offset,
            mask_threshold=self.mask_threshold,
            crop_n_layers=self.crop_n_layers,
            crop_overlap_ratio=self.crop_overlap_ratio,
            min_mask_region_area=self.min_mask_region_area,
            use_m2m=self.use_m2m,
            multimask_output=self.multimask_output,
        )

    def _record(self, candidate: MaskCandidate, hw: tuple[int, int]) -> dict[str, Any]:
        """A mask in the words of the original."""
        segmentation: Any = candidate.mask(hw)
        if self.output_mode != "binary_mask":
            counts: Any = mask_to_counts(segmentation)
            if self.output_mode == "coco_rle":
                counts = counts_to_string(counts)
            segmentation = {"size": list(hw), "counts": counts}
        return {
            "segmentation": segmentation,
            "area": candidate.area,
            "bbox": _xywh(candidate.inclusive_box),
            "predicted_iou": candidate.predicted_iou,
            "point_coords": [list(candidate.point_xy)],
            "stability_score": candidate.stability_score,
            "crop_box": _xywh(candidate.crop_box or (0, 0, hw[1], hw[0])),
        }


def suggested_thresholds(config: ModelConfig) -> tuple[float, float]:
    """Predicted IoU and stability score from which masks of a model are any good.

    Parameters
    ----------
    config : ModelConfig
        Of the model.

    Returns
    -------
    (float, float)
        For the official models the original's 0.8 and 0.95. The bundled model draws
        softer outlines and thinks less of itself.
    """
    return GUIDED_THRESHOLDS if config.guided else OFFICIAL_THRESHOLDS


def fitting_thresholds(
    config: ModelConfig,
    given: tuple[float, float],
    defaults: tuple[float, float],
) -> tuple[float, float]:
    """What a caller gave, or what suits the model where those are another's defaults.

    Parameters
    ----------
    config : ModelConfig
        Of the model.
    given, defaults : tuple of float
        Thresholds of predicted IoU and stability: the caller's, and those that scripts
        written for official models leave as they are.
    """
    if config.guided and given == defaults:
        return suggested_thresholds(config)
    return given


def _region_box(
    region: tuple[float, float, float, float] | None, hw: tuple[int, int]
) -> Box:
    """The whole pixels of the image that a region touches."""
    height, width = hw
    if region is None:
        return 0, 0, width, height
    try:
        x0, y0, x1, y1 = (float(value) for value in region)
        box = (
            max(0, int(np.floor(x0))),
            max(0, int(np.floor(y0))),
            min(width, int(np.ceil(x1))),
            min(height, int(np.ceil(y1))),
        )
    except (TypeError, ValueError, OverflowError):
        box = (0, 0, 0, 0)
    if box[0] >= box[2] or box[1] >= box[3]:
        raise PromptError(
            f"The region {region!r} holds no pixel of the image: give x0, y0, x1, y1 "
            f"within x 0 to {width} and y 0 to {height}."
        )
    return box


def _nms(
    found: list[MaskCandidate], scores: list[float], threshold: float
) -> list[MaskCandidate]:
    boxes = [c.inclusive_box for c in found]
    return [found[i] for i in box_nms(boxes, scores, threshold)]


def _area(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _xywh(box: Box) -> list[int]:
    return [box[0], box[1], box[2] - box[0], box[3] - box[1]]


def _whole(name: str, value: Any, lowest: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = lowest - 1
    if number < lowest:
        raise PromptError(
            f"{name} must be a whole number from {lowest} on, not {value!r}."
        )
    return number


def _number(
    name: str, value: float, lowest: float = -math.inf, highest: float = math.inf
) -> float:
    try:
        if math.isfinite(value) and lowest <= value <= highest:
            return value
    except TypeError:
        pass
    limits = "" if highest == math.inf else f" from {lowest:g} to {highest:g}"
    raise PromptError(f"{name} must be a finite number{limits}, not {value!r}.")
