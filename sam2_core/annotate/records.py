"""What was found in an image, as it is kept between runs; masks as runs of pixels."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Ints4 = tuple[int, int, int, int]
Floats4 = tuple[float, float, float, float]


@dataclass(frozen=True)
class AnnotatedObject:
    """One object.

    Attributes
    ----------
    name : str
        Class.
    score : float
        Of the detector.
    iou : float
        The model's estimate of the mask's IoU, 0 to 1.
    prompt_xyxy : tuple of float
        Box of the detector, in pixels.
    box : tuple of int
        x0, y0, x1, y1 around the mask; x1 and y1 are the first column and row outside.
    area : int
        Pixels of the mask.
    counts : tuple of int
        Lengths of runs outside and inside the mask in turn, down the columns of the
        whole image, as in COCO.
    """

    name: str
    score: float
    iou: float
    prompt_xyxy: Floats4
    box: Ints4
    area: int
    counts: tuple[int, ...]

    def patch(self, image_hw: tuple[int, int]) -> NDArray[np.bool_]:
        """The mask inside its box, (y1 - y0, x1 - x0) bool."""
        x0, y0, x1, y1 = self.box
        inside = np.arange(len(self.counts)) % 2 == 1
        flat = np.zeros(image_hw[0] * image_hw[1], bool)
        runs = np.repeat(inside, self.counts)
        flat[: len(runs)] = runs
        return flat.reshape(image_hw[1], image_hw[0])[x0:x1, y0:y1].T


@dataclass(frozen=True)
class ImageRecord:
    """All that was found in one image.

    Attributes
    ----------
    file_name : str
        Of the image, without its folder.
    file_bytes : int
        Its size: another one under the same name is done anew.
    image_hw : tuple of int
        Height and width in pixels.
    objects : tuple of AnnotatedObject
        In the order of the detector.
    """

    file_name: str
    file_bytes: int
    image_hw: tuple[int, int]
    objects: tuple[AnnotatedObject, ...]

    def to_json(self) -> str:
        """As text."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> ImageRecord:
        """From text.

        Raises
        ------
        ValueError, KeyError, TypeError
            The text is something else.
        """
        content: dict[str, Any] = json.loads(text)
        height, width = content["image_hw"]
        objects = [
            AnnotatedObject(
                name=str(entry["name"]),
                score=float(entry["score"]),
                iou=float(entry["iou"]),
                prompt_xyxy=tuple(entry["prompt_xyxy"]),
                box=tuple(entry["box"]),
                area=int(entry["area"]),
                counts=tuple(entry["counts"]),
            )
            for entry in content["objects"]
        ]
        return cls(
            str(content["file_name"]),
            int(content["file_bytes"]),
            (int(height), int(width)),
            tuple(objects),
        )


def run_lengths(
    patch: NDArray[np.bool_], x0: int, y0: int, image_hw: tuple[int, int]
) -> tuple[int, ...]:
    """Run lengths of a mask down the columns of its image, background first.

    Parameters
    ----------
    patch : ndarray
        (h, w) bool, the part of the mask whose first pixel is at column `x0` and row
        `y0` of the image; outside it the mask is empty.
    x0, y0 : int
        Where the patch is.
    image_hw : (int, int)
        Height and width of the image.

    Returns
    -------
    tuple of int
        Their sum is the number of pixels; the last run of background is included.
    """
    height, width = image_hw
    steps = np.diff(np.pad(patch.T.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    column, begin = np.nonzero(steps == 1)
    end = np.nonzero(steps == -1)[1]
    offset = (column + x0) * height + y0
    edges = np.stack([offset + begin, offset + end], axis=1).ravel()
    # A run that reaches the lower border goes on at the top of the next column.
    joins = np.flatnonzero(edges[1:-1:2] == edges[2::2]) * 2 + 1
    edges = np.delete(edges, np.concatenate([joins, joins + 1]))
    counts = np.diff(edges, prepend=0, append=height * width).tolist()
    return tuple(counts[:-1] if counts[-1] == 0 else counts)
