"""Detectors that need nothing beyond what is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from sam2_core.annotate.detections import OBJECT, Detections, boxes_of_labels, grey
from sam2_core.errors import ImageError
from sam2_core.sources.frame_files import PICTURE_SUFFIXES, existing, read_image
from sam2_core.sources.frame_tiff import TIFF_SUFFIXES

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from sam2_core.nn.sam2 import Sam2

# What programs append to the name of an image for its labels.
_LABEL_ENDINGS = ("", "_labels", "_label", "_lab", "_masks", "_mask", "_cp_masks")


class Everything:
    """All objects that SAM 2 finds by itself, prompted with a grid of points.

    Parameters
    ----------
    model : Sam2
        From :func:`sam2_core.load_model`.
    min_iou, min_stability : float, optional
        Lowest score and stability of a mask, 0 to 1; what suits the model by default,
        see :func:`sam2_core.automatic.suggested_thresholds`.
    points_per_side : int
        Density of the grid.
    name : str
        Class of the objects.
    """

    def __init__(
        self,
        model: Sam2,
        min_iou: float | None = None,
        min_stability: float | None = None,
        points_per_side: int = 32,
        name: str = OBJECT,
    ) -> None:
        from sam2_core.automatic import AutomaticMaskGenerator

        self._generator = AutomaticMaskGenerator(
            model,
            points_per_side,
            pred_iou_thresh=min_iou,
            stability_score_thresh=min_stability,
        )
        iou = self._generator.pred_iou_thresh
        stability = self._generator.stability_score_thresh
        self._limits = (iou, stability)
        self.class_names = (name,)
        self.description = (
            f"everything min_iou={iou:g} min_stability={stability:g} "
            f"points_per_side={points_per_side} name={name}"
        )

    def __call__(self, image: NDArray[np.uint8], path: Path, /) -> Detections:
        """Masks and their boxes; `path` does not matter."""
        from sam2_core.everything.candidates import select_candidates

        half = image.shape[0] * image.shape[1] / 2  # the background is no object
        found = select_candidates(
            self._generator.candidates(image), *self._limits, max_area=half
        )
        return Detections.of(
            [mask.box for mask in found],
            self.class_names[0],
            [mask.predicted_iou for mask in found],
            masks=found,
        )


class LabelBoxes:
    """Boxes around the objects of label images that exist already.

    Parameters
    ----------
    folder : path-like
        Holds a label image for each image, of the same name or with ``_labels``,
        ``_masks``, ``_cp_masks`` ... appended. Or one label image, for one image.
    name : str
        Class of the objects.

    Raises
    ------
    ImageError
        There is no such folder or file.
    """

    def __init__(self, folder: str | Path, name: str = OBJECT) -> None:
        self._folder = existing(folder)
        self.class_names = (name,)
        self.description = f"labels of {self._folder.resolve()} name={name}"

    def __call__(self, image: NDArray[np.uint8], path: Path, /) -> Detections:
        """Boxes from the label image that belongs to `path`."""
        file = self._file(path)
        labels = read_image(file)
        if labels.ndim != 2 or labels.dtype.kind not in "uib":
            raise ImageError(
                f"{file} is no label image: it must hold one plane of integers."
            )
        if labels.shape != image.shape[:2]:
            raise ImageError(
                f"{file} has the size {labels.shape} but its image {image.shape[:2]}."
            )
        return Detections.of(boxes_of_labels(labels)[0], self.class_names[0])

    def _file(self, path: Path) -> Path:
        if self._folder.is_file():
            return self._folder
        for ending in _LABEL_ENDINGS:
            for suffix in (path.suffix, *TIFF_SUFFIXES, *PICTURE_SUFFIXES):
                file = self._folder / f"{path.stem}{ending}{suffix}"
                if file.is_file() and file.resolve() != path.resolve():
                    return file
        raise ImageError(f"There is no label image for {path.name} in {self._folder}.")


class Blobs:
    """Bright or dark blobs: smoothing, Otsu's threshold, touching ones separated.

    Parameters
    ----------
    diameter : float
        Typical diameter of an object in pixels; sets the smoothing.
    threshold : float, optional
        Grey value between 0 and 255; Otsu's by default.
    bright : bool, optional
        Whether objects are brighter than the background. By default the smaller part
        of the image is taken to be the objects.
    min_area : float, optional
        Smallest object in pixels; by default a disc of half the diameter.
    name : str
        Class of the objects.
    """

    def __init__(
        self,
        diameter: float = 20,
        threshold: float | None = None,
        bright: bool | None = None,
        min_area: float | None = None,
        name: str = OBJECT,
    ) -> None:
        if not diameter > 0:
            raise ImageError(f"The diameter must be above 0, not {diameter!r}.")
        self._diameter = float(diameter)
        self._threshold = threshold
        self._bright = bright
        self._min_area = np.pi * diameter**2 / 16 if min_area is None else min_area
        self.class_names = (name,)
        self.description = (
            f"blobs diameter={diameter:g} threshold={threshold} bright={bright} "
            f"min_area={self._min_area:g} name={name}"
        )

    def __call__(self, image: NDArray[np.uint8], path: Path, /) -> Detections:
        """Boxes of the blobs; `path` does not matter."""
        return Detections.of(
            boxes_of_labels(self.labels(image))[0], self.class_names[0]
        )

    def labels(self, image: NDArray[np.uint8]) -> NDArray[np.int32]:
        """The blobs as (H, W) int32 labels."""
        from skimage.feature import peak_local_max
        from skimage.filters import threshold_otsu
        from skimage.segmentation import watershed

        smooth = ndimage.gaussian_filter(grey(image), self._diameter / 10)
        if np.ptp(smooth) < 1:  # nothing but noise of rounding
            return np.zeros(smooth.shape, np.int32)
        limit = threshold_otsu(smooth) if self._threshold is None else self._threshold
        mask = smooth > limit
        bright = mask.mean() <= 0.5 if self._bright is None else self._bright
        if not bright:
            mask = ~mask
        mask = ndimage.binary_fill_holes(mask)
        depth = ndimage.gaussian_filter(
            ndimage.distance_transform_edt(mask), self._diameter / 20
        )
        parts, _ = ndimage.label(mask)
        peaks = peak_local_max(
            depth,
            min_distance=max(round(self._diameter / 3), 1),
            labels=parts,
            exclude_border=False,
        )
        seeds = np.zeros(mask.shape, np.int32)
        seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
        found = watershed(-depth, seeds, mask=mask)
        areas = np.bincount(found.ravel())
        found[areas[found] < self._min_area] = 0
        return np.asarray(found, np.int32)
