"""What a detector is, and what it gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from scipy import ndimage

from sam2_core.errors import PromptError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

    from sam2_core.everything.candidates import MaskCandidate

OBJECT = "object"


@dataclass(frozen=True)
class Detections:
    """Objects found in one image; make them with :meth:`of`, which checks them.

    Attributes
    ----------
    boxes_xyxy : ndarray
        (N, 4) float32: left, top, right, bottom in pixels.
    scores : ndarray
        (N,) float32, higher is surer; 1 where the detector gives none.
    names : tuple of str
        Class of each object.
    masks : tuple of MaskCandidate, optional
        For detectors that have masks of SAM 2 already: these are kept as they are.
    """

    boxes_xyxy: NDArray[np.float32]
    scores: NDArray[np.float32]
    names: tuple[str, ...]
    masks: tuple[MaskCandidate, ...] | None = None

    @classmethod
    def of(
        cls,
        boxes_xyxy: ArrayLike,
        names: str | Sequence[str] = OBJECT,
        scores: ArrayLike | None = None,
        masks: Sequence[MaskCandidate] | None = None,
    ) -> Detections:
        """Check and convert.

        Parameters
        ----------
        boxes_xyxy : array_like
            (N, 4) boxes in pixels; empty for none.
        names : str or sequence of str
            One class for all, or one per box.
        scores : array_like, optional
            (N,) numbers; 1 by default.
        masks : sequence of MaskCandidate, optional
            One per box.

        Raises
        ------
        PromptError
            The lengths differ, or a number is not finite.
        """
        try:
            boxes = np.asarray(boxes_xyxy, np.float32)
            boxes = boxes.reshape(-1, 4) if boxes.size == 0 else boxes
            given = np.ones(len(boxes)) if scores is None else scores
            values = np.asarray(given, np.float32).reshape(-1)
        except (TypeError, ValueError) as error:
            raise PromptError("A detector must give boxes of four numbers.") from error
        if boxes.ndim != 2 or boxes.shape[1] != 4:
            raise PromptError(
                f"A detector must give boxes of shape (N, 4), not {boxes.shape}."
            )
        if isinstance(names, str):
            names = [names] * len(boxes)
        lengths = {len(boxes), len(values), len(names)}
        if masks is not None:
            lengths.add(len(masks))
        if len(lengths) > 1:
            raise PromptError(
                f"A detector must give as many scores and class names as boxes, not "
                f"{len(values)} and {len(names)} for {len(boxes)}."
            )
        if not (np.isfinite(boxes).all() and np.isfinite(values).all()):
            raise PromptError("A detector must give finite boxes and scores.")
        texts = tuple(" ".join(str(name).split()) or OBJECT for name in names)
        return cls(boxes, values, texts, None if masks is None else tuple(masks))

    def __len__(self) -> int:
        return len(self.boxes_xyxy)

    def beyond(
        self, image_hw: tuple[int, int], min_score: float = 0
    ) -> tuple[int, int]:
        """How many boxes are cut at the border, and how many lie outside of the image.

        A pixel more than the image has is no mistake: some count to the last pixel, and
        some to its end.
        """
        height, width = image_hw
        size = np.array([width, height], np.float32)
        low, high = self.boxes_xyxy[:, :2], self.boxes_xyxy[:, 2:]
        outside = ((high <= 0) | (low >= size)).any(1)
        cut = ((low < -1) | (high > size + 1)).any(1) & ~outside
        asked = self.scores >= min_score
        return int((cut & asked).sum()), int((outside & asked).sum())

    def usable(self, image_hw: tuple[int, int], min_score: float = 0) -> Detections:
        """Boxes cut at the image border; without those outside or with low scores.

        Parameters
        ----------
        image_hw : (int, int)
            Height and width.
        min_score : float
            Lowest score to keep.

        Returns
        -------
        Detections
            Every box is at least half a pixel wide and high.
        """
        height, width = image_hw
        boxes = np.clip(self.boxes_xyxy, 0, np.array([width, height] * 2, np.float32))
        size = boxes[:, 2:] - boxes[:, :2]
        keep = np.flatnonzero((size >= 0.5).all(1) & (self.scores >= min_score))
        return Detections(
            boxes[keep],
            self.scores[keep],
            tuple(self.names[i] for i in keep),
            None if self.masks is None else tuple(self.masks[i] for i in keep),
        )


class Detector(Protocol):
    """Anything that finds boxes in an image; a plain function will do.

    It may have two more attributes: ``class_names``, a sequence of all names it knows,
    whose order then numbers the classes in the output; and ``description``, a short
    text that tells apart detectors and their settings.
    """

    def __call__(self, image: NDArray[np.uint8], path: Path, /) -> Detections:
        """Find objects.

        Parameters
        ----------
        image : ndarray
            (H, W, 3) uint8, as the model sees it.
        path : Path
            File of the image.
        """
        ...


def describe(detector: Detector) -> str:
    """The text that tells a detector and its settings apart from others."""
    fallback = getattr(detector, "__qualname__", type(detector).__qualname__)
    return str(getattr(detector, "description", fallback))


def boxes_of_labels(
    labels: NDArray[np.integer],
) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Box around each label, through the centres of its outermost pixels.

    Parameters
    ----------
    labels : ndarray
        (H, W) integers, 0 is the background.

    Returns
    -------
    boxes : ndarray
        (N, 4) float32 xyxy in the order of the labels. One pixel wide objects get a
        box one pixel wide.
    values : ndarray
        (N,) the labels.
    """
    present, compact = np.unique(labels, return_inverse=True)
    compact = compact.reshape(labels.shape)
    boxes, values = [], []
    # Labels are numbered anew: a single id of four billion must not cost memory.
    for number, window in enumerate(ndimage.find_objects(compact + 1)):
        if present[number] <= 0:
            continue
        (y0, y1), (x0, x1) = ((s.start, s.stop - 1) for s in window)
        boxes.append((x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)))
        values.append(present[number])
    return np.array(boxes, np.float32).reshape(-1, 4), np.array(values, np.intp)


def grey(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Brightness of an (H, W, 3) image, (H, W) float32, 0 to 255."""
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    return np.asarray(image @ weights, np.float32)
