"""Masks for a grid of points, crop by crop: what everything mode computes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from sam2_core import transforms
from sam2_core.errors import Cancelled
from sam2_core.everything.candidates import MaskCandidate
from sam2_core.everything.crops import Box, Crop, make_crops
from sam2_core.everything.drawing import MaskDrawer, Window
from sam2_core.image import MAX_LOGIT, decode, encode
from sam2_core.inference import inference
from sam2_core.masks import fill_holes, remove_specks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from sam2_core.nn.sam2 import ImageFeatures, Sam2

    Progress = Callable[[int, int], object]
    Cancel = Callable[[], bool]

# Pixels from the border of a crop, or of the region searched, within which a mask
# counts as cut by it.
CROP_TOLERANCE = 20
REGION_TOLERANCE = 1
# Bytes that the prompts decoded at once may take.
MEMORY_BUDGET = 2**29


@dataclass(frozen=True)
class GridSearch:
    """What to ask about each crop, and which answers to keep.

    The fields mean what the parameters of
    :class:`sam2_core.automatic.AutomaticMaskGenerator` mean.
    """

    model: Sam2
    point_grids: Sequence[NDArray[np.float64]]
    min_iou: float
    min_stability: float
    points_per_batch: int = 64
    stability_score_offset: float = 1.0
    mask_threshold: float = 0.0
    crop_n_layers: int = 0
    crop_overlap_ratio: float = 512 / 1500
    min_mask_region_area: float = 0
    use_m2m: bool = False
    multimask_output: bool = True

    def run(
        self,
        pixels: NDArray[Any],
        region: Box,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> Iterator[list[MaskCandidate]]:
        """Look at a region of an image, crop by crop.

        Parameters
        ----------
        pixels : ndarray
            (H, W, 3) uint8, or float in [0, 1].
        region : tuple of int
            x0, y0, x1, y1 in pixels.
        progress : callable, optional
            Called with the points done and the points in all.
        cancel : callable, optional
            Asked before each batch.

        Yields
        ------
        list of MaskCandidate
            Masks of a crop that its border does not cut, in the order of the grid.

        Raises
        ------
        Cancelled
            If ``cancel`` returned True.
        InferenceError
            If the model cannot run.
        """
        hw = (pixels.shape[0], pixels.shape[1])
        crops = make_crops(region, self.crop_n_layers, self.crop_overlap_ratio)
        total = sum(len(self.point_grids[crop.layer]) for crop in crops)
        done, step = 0, self._prompts_at_once()
        report(progress, done, total)
        for crop in crops:
            stop_if(cancel)
            x0, y0, x1, y1 = crop.box
            with inference():
                features = encode(self.model, pixels[y0:y1, x0:x1])
            drawer = MaskDrawer(
                (self.model.config.low_res_size,) * 2, crop.hw, self.model.device
            )
            grid = self.point_grids[crop.layer] * np.array(crop.hw[::-1])
            tolerance = CROP_TOLERANCE if crop.layer else REGION_TOLERANCE
            found: list[MaskCandidate] = []
            for first in range(0, len(grid), step):
                stop_if(cancel)
                points = grid[first : first + step].astype(np.float32)
                with inference():
                    found += [
                        mask
                        for mask in self._masks(features, drawer, crop, points)
                        if not crop.is_cut(mask.inclusive_box, hw, tolerance)
                    ]
                done += len(points)
                report(progress, done, total)
            yield found

    def _masks(
        self,
        features: ImageFeatures,
        drawer: MaskDrawer,
        crop: Crop,
        points: NDArray[np.float32],
    ) -> Iterator[MaskCandidate]:
        """Masks of a few points (N, 2) of a crop that are good enough."""
        logits, iou = self._decode(features, points, crop.hw)
        per_point = len(iou) // len(points)
        keep = torch.nonzero(iou > self.min_iou)[:, 0]
        logits, scores = logits[keep], iou[keep].tolist()
        corner = np.array(crop.box[:2], np.float32)
        owners = points[keep.cpu().numpy() // per_point] + corner
        logits = self._cleaned(logits)
        lowest = self.mask_threshold - abs(self.stability_score_offset)
        windows = drawer.windows(logits, lowest)
        for plane, window, score, xy in zip(
            logits, windows, scores, owners, strict=True
        ):
            if window is None:
                continue
            mask, stability = self._draw(drawer, plane, window)
            if not stability >= self.min_stability:
                continue
            origin = (crop.box[0] + window.left, crop.box[1] + window.top)
            candidate = MaskCandidate.of(
                mask, score, stability, (xy[0], xy[1]), crop.box, origin
            )
            if candidate is not None:
                yield candidate

    def _decode(
        self,
        features: ImageFeatures,
        points: NDArray[np.float32],
        hw: tuple[int, int],
    ) -> tuple[Tensor, Tensor]:
        """Logits (M, h, w) and predicted IoU (M,) of all masks of N points."""
        model = self.model
        xy = torch.from_numpy(
            transforms.points_to_input(points, hw, model.config.image_size)
        )[:, None]
        labels = torch.ones(len(xy), 1, dtype=torch.int32)
        found = decode(model, features, xy, labels, None, self.multimask_output)
        if not self.use_m2m:
            return found.logits.flatten(0, 1), found.iou.flatten()
        previous = found.logits.clamp(-MAX_LOGIT, MAX_LOGIT)
        masks_per_point = previous.shape[1]
        parts = [
            # One of each point's masks at a time: no batch is larger than the first.
            decode(model, features, xy, labels, previous[:, i : i + 1], False)
            for i in range(masks_per_point)
        ]
        logits = torch.cat([part.logits for part in parts], dim=1)
        iou = torch.cat([part.iou for part in parts], dim=1)
        return logits.flatten(0, 1), iou.flatten()

    def _cleaned(self, logits: Tensor) -> Tensor:
        """Logits without small holes and specks."""
        area, cut = self.min_mask_region_area, self.mask_threshold
        if area <= 0 or not len(logits):
            return logits
        raised = fill_holes(logits[:, None], area, cut, cut + 10.0)
        lowered = remove_specks(logits[:, None], area, cut, cut - 10.0)
        return torch.where(lowered != logits[:, None], lowered, raised)[:, 0]

    def _draw(
        self, drawer: MaskDrawer, logits: Tensor, window: Window
    ) -> tuple[NDArray[np.bool_], float]:
        """The mask inside the window, and its stability score (nan if it is empty)."""
        cut, offset = self.mask_threshold, self.stability_score_offset
        shape = (window.bottom - window.top, window.right - window.left)
        mask = np.empty(shape, bool)
        inner = outer = 0
        for rows, drawn in drawer.bands(logits, window):
            inner += int(torch.count_nonzero(drawn > cut + offset))
            outer += int(torch.count_nonzero(drawn > cut - offset))
            mask[rows] = (drawn > cut).cpu().numpy()
        return mask, inner / outer if outer else float("nan")

    def _prompts_at_once(self) -> int:
        """As many prompts as fit into the memory budget."""
        config = self.model.config
        # A handful of copies of the decoder's canvas, in float32.
        bytes_each = config.low_res_size**2 * config.hidden_dim // 8 * 4 * 4
        return max(1, min(self.points_per_batch, MEMORY_BUDGET // bytes_each))


def report(progress: Progress | None, done: int, total: int) -> None:
    """Tell how far a search is."""
    if progress is not None:
        progress(done, total)


def stop_if(cancel: Cancel | None) -> None:
    """Raise Cancelled if the caller wants to stop."""
    if cancel is not None and cancel():
        raise Cancelled("Stopped before everything was searched: no masks were kept.")
