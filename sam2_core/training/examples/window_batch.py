"""Batches of training windows for the close-up network."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CLICK, BOX, FOLLOW = range(3)


class TensorBatch:
    """A dataclass of tensors that move together."""

    def to(self, device: torch.device | str) -> Self:
        """On another device; from pinned memory, without waiting for it."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Self:
        """In memory from which a GPU can fetch."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Self:
        return type(self)(**{k: change(value) for k, value in vars(self).items()})


@dataclass
class WindowBatch(TensorBatch):
    """N windows, each with one prompted object.

    Attributes
    ----------
    images : Tensor
        (N, S, S, 3) uint8.
    targets : Tensor
        (N, S, S) bool, the object.
    known : Tensor
        (N, S, S) bool, False outside the source image.
    whole_areas : Tensor
        (N,) float32, of the whole object in pixels of the window, seen or not.
    kinds : Tensor
        (N,) int64, CLICK, BOX or FOLLOW.
    points, labels : Tensor
        (N, 2, 2) float32 xy and (N, 2) int32: a click and padding, a box, or padding.
    before_images, before_masks : Tensor
        (N, 2, S, S) uint8 grey levels and int8 masks of -1 and 1: the frame before, and
        the one on which the object was prompted, moved so that the object lies as on
        the former; masks of zeros where there is none.
    then_images, then_targets : Tensor
        (N, S, S, 3) uint8 and (N, S, S) bool: the frame after; zeros where there is
        none.
    then_areas : Tensor
        (N,) float32, of the whole object on the frame after; -1 where there is none.
    strangers : Tensor
        (N,) bool: targets show the object of the frame before, which is another one
        than the one that was prompted.
    """

    images: Tensor
    targets: Tensor
    known: Tensor
    whole_areas: Tensor
    kinds: Tensor
    points: Tensor
    labels: Tensor
    before_images: Tensor
    before_masks: Tensor
    then_images: Tensor
    then_targets: Tensor
    then_areas: Tensor
    strangers: Tensor

    @classmethod
    def of(cls, windows: Sequence[TrainingWindow]) -> WindowBatch:
        """Join windows of the same side."""
        side = len(windows[0].target)

        def stacked(name: str, *shape: int, dtype: type = np.uint8) -> Tensor:
            values = [getattr(window, name) for window in windows]
            blank: npt.NDArray[np.generic] = np.zeros(shape or (side, side), dtype)
            return torch.from_numpy(
                np.stack([blank if value is None else value for value in values])
            )

        return cls(
            images=stacked("image"),
            targets=stacked("target"),
            known=stacked("known"),
            whole_areas=torch.tensor([w.whole_area for w in windows]),
            kinds=torch.tensor([w.kind for w in windows]),
            points=stacked("points"),
            labels=stacked("labels"),
            before_images=stacked("before_images", 2, side, side),
            before_masks=stacked("before_masks", 2, side, side, dtype=np.int8),
            then_images=stacked("then_image", side, side, 3),
            then_targets=stacked("then_target", dtype=bool),
            then_areas=torch.tensor([w.then_area for w in windows]),
            strangers=torch.tensor([w.stranger for w in windows]),
        )


@dataclass
class TrainingWindow:
    """One entry of a batch; see there."""

    image: npt.NDArray[np.uint8]
    target: npt.NDArray[np.bool_]
    known: npt.NDArray[np.bool_]
    whole_area: float
    kind: int
    points: npt.NDArray[np.float32] = field(
        default_factory=lambda: np.zeros((2, 2), np.float32)
    )
    labels: npt.NDArray[np.int32] = field(
        default_factory=lambda: np.full(2, -1, np.int32)
    )
    before_images: npt.NDArray[np.uint8] | None = None
    before_masks: npt.NDArray[np.int8] | None = None
    then_image: npt.NDArray[np.uint8] | None = None
    then_target: npt.NDArray[np.bool_] | None = None
    then_area: float = -1.0
    stranger: bool = False
