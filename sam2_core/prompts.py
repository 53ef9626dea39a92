"""What a user points at, checked and brought into the network's terms.

Points are (x, y) in pixels; integers are pixel centres, so the image reaches from
-0.5 to width - 0.5. Box corners and drawn outlines may lie on the far edge (width).
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sam2_core.errors import PromptError
from sam2_core.nms import box_iou

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

# IoU of a box and the one around a mask, from which on the box may be about the mask.
# Boxes on followed frames of `data/dev` and `data/train` then find masks of 0.755 and
# 0.814; 0.622 and 0.727 if all of them correct the mask, 0.757 and 0.805 if none does.
BOX_FITS = 0.75
NEGATIVE, POSITIVE, BOX_TOP_LEFT, BOX_BOTTOM_RIGHT = 0, 1, 2, 3


@dataclass(frozen=True)
class SparsePrompt:
    """Points and box corners of B objects; corners come first.

    Attributes
    ----------
    point_xy : ndarray
        (B, N, 2) float32, x then y, in image pixels.
    labels : ndarray
        (B, N) int32: 0 negative, 1 positive, 2 and 3 the corners of a box, -1 padding.
    """

    point_xy: NDArray[np.float32]
    labels: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def num_points(self) -> int:
        """Points per object, box corners included."""
        return int(self.labels.shape[1])

    @property
    def has_box(self) -> bool:
        """Whether the prompt begins with the corners of a box."""
        return bool((self.labels == BOX_TOP_LEFT).any())

    def of_object(self, index: int) -> SparsePrompt:
        """The prompt of one of the objects."""
        rows = slice(index, index + 1)
        return SparsePrompt(self.point_xy[rows], self.labels[rows])

    def followed_by(self, other: SparsePrompt) -> SparsePrompt:
        """The points of this prompt, then those of another one."""
        return SparsePrompt(
            np.concatenate((self.point_xy, other.point_xy), axis=1),
            np.concatenate((self.labels, other.labels), axis=1),
        )


# Of one object, at which nothing points.
NO_POINTS = SparsePrompt(np.zeros((1, 0, 2), np.float32), np.zeros((1, 0), np.int32))


def sparse_prompt(
    point_coords: ArrayLike | None = None,
    point_labels: ArrayLike | None = None,
    box: ArrayLike | None = None,
    image_hw: tuple[int, int] | None = None,
    low_level: bool = False,
) -> SparsePrompt | None:
    """Check points and boxes and merge them.

    Parameters
    ----------
    point_coords : array_like, optional
        (N, 2) xy pixels of one object or (B, N, 2) of B objects.
    point_labels : array_like, optional
        (N,) or (B, N): 1 positive, 0 negative. All positive by default.
    box : array_like, optional
        (4,) x0, y0, x1, y1 in pixels, or (B, 4).
    image_hw : tuple of int, optional
        Height and width everything must lie in; unchecked by default.
    low_level : bool
        Also accept the labels of padding and box corners and any box, as the original
        does.

    Returns
    -------
    SparsePrompt or None
        None where there is neither a point nor a box.

    Raises
    ------
    PromptError
        If shapes, labels or coordinates make no sense.
    """
    if point_coords is None and point_labels is not None:
        raise PromptError("Point labels came without points: give point_coords too.")
    points = None
    if point_coords is not None:
        points = _points(point_coords, point_labels, image_hw, low_level)
    corners = None if box is None else _corners(box, image_hw, low_level)
    if points is None or corners is None:
        prompt = corners if points is None else points
        return None if prompt is None or prompt.num_points == 0 else prompt
    count = max(len(points), len(corners))
    return _repeat(corners, count).followed_by(_repeat(points, count))


def mask_prompt(mask: ArrayLike, image_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """Check a mask drawn on the image: (H, W), bool or numbers where > 0 is the object.

    Raises
    ------
    PromptError
        If it is not exactly as large as the image or not finite.
    """
    array = _numbers(mask, "The mask prompt")
    if array.shape != image_hw:
        raise PromptError(
            f"The mask prompt has shape {array.shape} but the image is {image_hw}: "
            "draw it at the size of the image."
        )
    return np.asarray(array > 0)


def mask_logits_prompt(mask_input: ArrayLike, size: int) -> NDArray[np.float32]:
    """Check low-resolution logits of an earlier prediction.

    Parameters
    ----------
    mask_input : array_like
        (1, size, size) or (size, size) logits of one object, (B, 1, size, size) of B.
    size : int
        Side of the model's low-resolution masks.

    Returns
    -------
    ndarray
        (B, 1, size, size) float32.

    Raises
    ------
    PromptError
        If the shape is another one or values are not finite.
    """
    array = _numbers(mask_input, "mask_input").astype(np.float32)
    if array.ndim in (2, 3):
        array = array[(None,) * (4 - array.ndim)]
    if array.ndim != 4 or array.shape[1:] != (1, size, size) or not len(array):
        raise PromptError(
            f"mask_input has shape {np.shape(mask_input)} but must be (1, {size}, "
            f"{size}): pass one of the logits of an earlier prediction of this model."
        )
    return array


def box_fits(box: ArrayLike, around: ArrayLike | None) -> bool:
    """Whether a box may be about a mask that is there, instead of saying otherwise.

    Parameters
    ----------
    box, around : array_like
        (4,) x0, y0, x1, y1 of the prompt, and of the mask's outermost pixels; None for
        a mask without any.
    """
    if around is None:
        return False
    # From edge to edge: the last pixels belong to them.
    one, other = (np.add(corners, (0.0, 0.0, 1.0, 1.0)) for corners in (box, around))
    return bool(box_iou(one, other[None])[0] >= BOX_FITS)


def _points(
    point_coords: ArrayLike,
    point_labels: ArrayLike | None,
    image_hw: tuple[int, int] | None,
    low_level: bool,
) -> SparsePrompt:
    xy = _numbers(point_coords, "The points").astype(np.float32)
    if xy.size == 0:
        xy = xy.reshape(1, 0, 2)
    if xy.ndim == 2:
        xy = xy[None]
    if xy.ndim != 3 or xy.shape[-1] != 2:
        raise PromptError(
            f"The points have shape {np.shape(point_coords)} but must be (N, 2): x and "
            "y in pixels."
        )
    if point_labels is None:
        labels = np.ones(xy.shape[:2], dtype=np.int32)
    else:
        values = _numbers(point_labels, "The point labels")
        if values.size == 0:
            values = values.reshape(1, 0)
        values = values[None] if values.ndim == 1 else values
        if values.shape != xy.shape[:2]:
            raise PromptError(
                f"There are {values.size} point labels for {xy.shape[0] * xy.shape[1]} "
                "points: give every point one label, 1 for positive or 0 for negative."
            )
        labels = values.astype(np.int32)
        allowed = (-1, 0, 1, 2, 3) if low_level else (NEGATIVE, POSITIVE)
        if not np.isin(values, allowed).all():
            raise PromptError("Point labels must be 1 (positive) or 0 (negative).")
    if image_hw is not None and not _inside(xy, image_hw, -0.5):
        raise PromptError(
            f"A point lies outside the image ({_outside(xy, image_hw, -0.5)}): give x "
            f"below {image_hw[1]} and y below {image_hw[0]}, in pixels."
        )
    return SparsePrompt(xy, labels)


def _corners(
    box: ArrayLike, image_hw: tuple[int, int] | None, low_level: bool
) -> SparsePrompt:
    boxes = _numbers(box, "The box").astype(np.float32)
    if boxes.ndim == 1:
        boxes = boxes[None]
    if low_level and boxes.size % 4 == 0 and boxes.size:
        boxes = boxes.reshape(-1, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4 or not len(boxes):
        raise PromptError(
            f"The box has shape {np.shape(box)} but must be (4,): x0, y0, x1, y1 in "
            "pixels."
        )
    corners = boxes.reshape(-1, 2, 2)
    if not low_level and not (corners[:, 1] > corners[:, 0]).all():
        raise PromptError(
            "The box is empty or turned around: give x0, y0, x1, y1 with x0 < x1 and "
            "y0 < y1."
        )
    if image_hw is not None and not _inside(corners, image_hw, 0.0):
        raise PromptError(
            f"The box reaches outside the image ({_outside(corners, image_hw, 0.0)}): "
            f"keep it within x 0 to {image_hw[1]} and y 0 to {image_hw[0]}."
        )
    labels = np.array([[BOX_TOP_LEFT, BOX_BOTTOM_RIGHT]], dtype=np.int32)
    return SparsePrompt(corners, labels.repeat(len(corners), axis=0))


def _repeat(prompt: SparsePrompt, count: int) -> SparsePrompt:
    if len(prompt) == count:
        return prompt
    if len(prompt) != 1:
        raise PromptError(
            f"There are points for {len(prompt)} objects but {count} were prompted in "
            "all: give points and boxes for the same number of objects."
        )
    return SparsePrompt(
        prompt.point_xy.repeat(count, axis=0), prompt.labels.repeat(count, axis=0)
    )


def _numbers(value: ArrayLike, what: str) -> NDArray[np.float64]:
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise PromptError(f"{what} must be a rectangular array of numbers.") from error
    if not np.isfinite(array).all():
        raise PromptError(f"{what} must not contain NaN or infinite values.")
    return array


def _inside_each(
    xy: NDArray[np.float32], image_hw: tuple[int, int], edge: float
) -> NDArray[np.bool_]:
    far = np.array(image_hw[::-1], dtype=np.float32) + np.float32(edge)
    return np.asarray(((xy >= -0.5) & (xy <= far)).all(-1))


def _inside(xy: NDArray[np.float32], image_hw: tuple[int, int], edge: float) -> bool:
    return bool(_inside_each(xy, image_hw, edge).all())


def _outside(xy: NDArray[np.float32], image_hw: tuple[int, int], edge: float) -> str:
    x, y = xy[~_inside_each(xy, image_hw, edge)][0]
    return f"x {x:g}, y {y:g}"


def frame_prompt(
    point_coords: ArrayLike | None,
    point_labels: ArrayLike | None,
    box: ArrayLike | None,
    mask: ArrayLike | None,
    image_hw: tuple[int, int],
) -> SparsePrompt | NDArray[np.bool_]:
    """The prompt of one object on one frame: points and a box, or else a mask.

    Raises
    ------
    PromptError
        If there is none, both kinds, or several objects' worth.
    """
    prompt = sparse_prompt(point_coords, point_labels, box, image_hw)
    if mask is not None:
        if prompt is not None:
            raise PromptError("Give either a mask or points and a box, not both.")
        return mask_prompt(mask, image_hw)
    if prompt is None:
        raise PromptError("There is no prompt: give a point, a box or a mask.")
    if len(prompt) != 1:
        raise PromptError("Prompt one object at a time: points (N, 2) and box (4,).")
    return prompt


def check_frame_index(frame_index: int, num_frames: int) -> int:
    """The index as a plain int; PromptError if there is no such frame."""
    try:
        index = operator.index(frame_index)
    except TypeError:
        index = -1
    if not 0 <= index < num_frames:
        raise PromptError(
            f"There is no frame {frame_index}: they go from 0 to {num_frames - 1}."
        )
    return index


def check_object_id(object_id: int) -> int:
    """The id as a plain int; PromptError unless it is a whole number from 1 on."""
    try:
        value = operator.index(object_id)
    except TypeError:
        value = 0
    if value < 1:
        raise PromptError(
            f"The object id {object_id!r} must be a whole number from 1 on."
        )
    return value
