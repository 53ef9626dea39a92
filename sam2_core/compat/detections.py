"""``Boxes`` and ``Masks`` of a result, with the attributes of ultralytics."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import Tensor

from sam2_core.compat.outlines import outline

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


class BaseTensor:
    """A tensor or array with a row per object, and the size of its image.

    Parameters
    ----------
    data : Tensor or ndarray
        First axis: objects.
    orig_shape : tuple of int
        Height and width of the image.
    """

    def __init__(self, data: Any, orig_shape: tuple[int, int]) -> None:
        self.data: Any = data
        self.orig_shape = (int(orig_shape[0]), int(orig_shape[1]))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the data."""
        return tuple(self.data.shape)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: Any) -> Self:
        """The chosen rows; one index gives a single row, still with its axis."""
        rows = self.data[index]
        if rows.ndim < self.data.ndim:
            rows = rows[None]
        return type(self)(rows, self.orig_shape)

    def __iter__(self) -> Iterator[Self]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(shape={self.shape}, of image {self.orig_shape})"

    def cpu(self) -> Self:
        """A copy on the CPU."""
        return self.to("cpu")

    def cuda(self) -> Self:
        """A copy on the GPU."""
        return self.to("cuda")

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """A copy on another device or of another dtype, as a tensor."""
        return type(self)(
            torch.as_tensor(self.data).to(*args, **kwargs),
            self.orig_shape,
        )

    def numpy(self) -> Self:
        """A copy with a NumPy array in it."""
        return type(self)(_array(self.data), self.orig_shape)


class Boxes(BaseTensor):
    """Boxes around objects.

    Parameters
    ----------
    boxes : Tensor or ndarray
        (N, 6) x0, y0, x1, y1, score, class; or (N, 7) with the id of the object before
        the score.
    orig_shape : tuple of int
        Height and width of the image.

    Raises
    ------
    ValueError
        If there are neither 6 nor 7 columns.
    """

    def __init__(
        self, boxes: Tensor | NDArray[Any], orig_shape: tuple[int, int]
    ) -> None:
        boxes = boxes[None] if boxes.ndim == 1 else boxes
        if boxes.shape[-1] not in (6, 7):
            raise ValueError(f"Boxes have 6 or 7 columns, not {boxes.shape[-1]}.")
        super().__init__(boxes, orig_shape)

    @property
    def xyxy(self) -> Any:
        """(N, 4) x0, y0, x1, y1 in pixels; the last pixel is x1, y1."""
        return self.data[:, :4]

    @property
    def conf(self) -> Any:
        """(N,) scores, 0 to 1: the model's estimate of the mask's IoU."""
        return self.data[:, -2]

    @property
    def cls(self) -> Any:
        """(N,) classes: the number of the prompt, from 0."""
        return self.data[:, -1]

    @property
    def is_track(self) -> bool:
        """Whether objects have ids."""
        return bool(self.data.shape[-1] == 7)

    @property
    def id(self) -> Any:
        """(N,) object ids, from 1, or None."""
        return self.data[:, -3] if self.is_track else None

    @property
    def xywh(self) -> Any:
        """(N, 4) centre x, y, width, height in pixels."""
        first, last = self.xyxy[:, :2], self.xyxy[:, 2:]
        return _joined((first + last) / 2, last - first)

    @property
    def xyxyn(self) -> Any:
        """Like :attr:`xyxy`, in parts of the image size."""
        return self._scaled(self.xyxy)

    @property
    def xywhn(self) -> Any:
        """Like :attr:`xywh`, in parts of the image size."""
        return self._scaled(self.xywh)

    def _scaled(self, boxes: Any) -> Any:
        height, width = self.orig_shape
        extent = (width, height, width, height)
        if isinstance(boxes, Tensor):
            return boxes / boxes.new_tensor(extent)
        return boxes / np.array(extent, dtype=boxes.dtype)


class Masks(BaseTensor):
    """Masks of objects, (N, H, W) bool at the size of the image."""

    def __init__(
        self, masks: Tensor | NDArray[Any], orig_shape: tuple[int, int]
    ) -> None:
        super().__init__(masks[None] if masks.ndim == 2 else masks, orig_shape)

    @cached_property
    def xy(self) -> list[NDArray[np.float32]]:
        """A polygon per object through its border pixels, (n, 2) float32 x, y.

        Holes are left out, separate parts joined.
        """
        return [outline(mask) for mask in _array(self.data)]

    @cached_property
    def xyn(self) -> list[NDArray[np.float32]]:
        """Like :attr:`xy`, in parts of the image size, 0 to 1."""
        extent = np.array(self.orig_shape[::-1], dtype=np.float32)
        return [polygon / extent for polygon in self.xy]


def _array(data: Tensor | NDArray[Any]) -> NDArray[Any]:
    return data.detach().cpu().numpy() if isinstance(data, Tensor) else data


def _joined(left: Any, right: Any) -> Any:
    if isinstance(left, Tensor):
        return torch.cat((left, right), dim=1)
    return np.concatenate((left, right), axis=1)
