"""Windows as a model is asked them in use, with what is true of them.

Windows that are drawn at random are unlike those that come in use: a correction is
asked about a mask as this very model drew it, where it drew it, and following goes on
from where following has led. So the model is put to use on labelled images, and all
that its close-ups are asked is kept, to be answered better.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sam2_core.closeups.closeups import CloseUps
from sam2_core.closeups.windows import cut
from sam2_core.nn.closeup import FRAME_MAPS, IMAGE_MAPS, LIMIT, MAPS, SIDE
from sam2_core.training.examples.window_batch import TensorBatch, WindowBatch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sam2_core.closeups.answers import Answer
    from sam2_core.closeups.pictures import Picture
    from sam2_core.closeups.windows import Window
    from sam2_core.nn.closeup import CloseUp

    Noted: TypeAlias = tuple[Window, npt.NDArray[np.int8], bool]

LARGEST = 2 * SIDE  # side of the largest windows that are kept; larger ones cost most
# What the network looks at lies within these, of each of its MAPS.
_RANGE = np.ones(MAPS, np.float32)
_RANGE[:IMAGE_MAPS] = _RANGE[-FRAME_MAPS::2] = LIMIT
_STEPS = torch.from_numpy(127 / _RANGE)[:, None, None]


@dataclass(frozen=True)
class Asked:
    """One window.

    Attributes
    ----------
    maps : ndarray
        (C, S, S) int8 of what the network looks at, without maps that are empty.
    channels : ndarray
        (C,) uint8, which of its maps these are. A grey image is there once.
    target : ndarray
        (S, S) bool, the object.
    known : ndarray
        (S, S) bool, False outside the image.
    area : float
        Of the whole object in pixels of the window, seen or not.
    kind : int
        CLICK, BOX or FOLLOW of :mod:`sam2_core.training.examples.window_batch`.
    stranger : bool
        The target is another object, to which following has gone over.
    """

    maps: npt.NDArray[np.int8]
    channels: npt.NDArray[np.uint8]
    target: npt.NDArray[np.bool_]
    known: npt.NDArray[np.bool_]
    area: float
    kind: int
    stranger: bool = False


@dataclass
class AskedBatch(TensorBatch):
    """N windows of one size; see :class:`Asked`.

    ``maps`` (N, MAPS, S, S) int8, ``target`` and ``known`` (N, S, S) bool, ``areas``
    (N,) float32, ``kinds`` (N,) int64, ``strangers`` (N,) bool.
    """

    maps: Tensor
    target: Tensor
    known: Tensor
    areas: Tensor
    kinds: Tensor
    strangers: Tensor

    def seen(self) -> Tensor:
        """What the network looks at, (N, MAPS, S, S) float32."""
        return self.maps.float() / _STEPS.to(self.maps.device)

    @classmethod
    def of(
        cls, windows: Sequence[Asked], rng: np.random.Generator | None = None
    ) -> AskedBatch:
        """Join windows of one size, each turned or mirrored at random with `rng`."""
        size = len(windows[0].target)
        maps = np.zeros((len(windows), MAPS, size, size), np.int8)
        targets = np.zeros((len(windows), size, size), bool)
        known = np.zeros_like(targets)
        for i, window in enumerate(windows):
            way = 0 if rng is None else int(rng.integers(8))
            maps[i, window.channels] = _turned(window.maps, way)
            if IMAGE_MAPS - 1 not in window.channels:
                maps[i, 1:IMAGE_MAPS] = maps[i, 0]
            targets[i] = _turned(window.target, way)
            known[i] = _turned(window.known, way)
        return cls(
            torch.from_numpy(maps),
            torch.from_numpy(targets),
            torch.from_numpy(known),
            torch.tensor([window.area for window in windows]),
            torch.tensor([window.kind for window in windows]),
            torch.tensor([window.stranger for window in windows]),
        )


AnyBatch: TypeAlias = WindowBatch | AskedBatch


class Recorder(CloseUps):
    """Close-ups of an image that keep what their network is asked.

    Attributes
    ----------
    asked : list of (Window, ndarray, bool)
        Of each window where it is, (MAPS, S, S) int8 of what the network looks at, and
        whether a first answer is wanted.
    """

    def __init__(
        self, network: CloseUp, image: npt.NDArray[np.uint8] | Picture
    ) -> None:
        super().__init__(network, image)
        self.asked: list[Noted] = []

    def answered(
        self, windows: Sequence[Window], maps: Tensor, first: bool = False
    ) -> list[Answer]:
        """See :class:`CloseUps`."""
        rows = (maps * _STEPS).round().clamp(-127, 127).to(torch.int8).numpy()
        notes = zip(windows, rows, strict=True)
        self.asked += [(window, row, first) for window, row in notes]
        return super().answered(windows, maps, first)

    def take(self) -> list[Noted]:
        """What was asked since the last time."""
        taken, self.asked = self.asked, []
        return taken


def told(
    window: Window,
    maps: npt.NDArray[np.int8],
    target: npt.NDArray[np.bool_],
    kind: int,
    stranger: bool = False,
) -> Asked:
    """A window that was asked, with what is true.

    Parameters
    ----------
    window : Window
    maps : ndarray
        (MAPS, S, S) int8.
    target : ndarray
        (H, W) bool, the object in the whole image.
    kind, stranger
        See :class:`Asked`.
    """
    size = maps.shape[-1]
    inside = torch.from_numpy(target)[None].float()
    step = window.side / size
    places = (np.arange(size) + 0.5) * step
    rows, columns = (
        (start + places >= -0.5) & (start + places <= limit - 0.5)
        for start, limit in zip((window.y, window.x), target.shape, strict=True)
    )
    channels = np.flatnonzero(maps.any((1, 2)))
    if (maps[1:IMAGE_MAPS] == maps[0]).all():
        channels = np.concatenate(([0], channels[channels >= IMAGE_MAPS]))
    return Asked(
        maps[channels],
        channels.astype(np.uint8),
        (cut(inside, [window], size)[0, 0] > 0.5).numpy(),
        rows[:, None] & columns,
        float(np.count_nonzero(target)) / step**2,
        kind,
        stranger,
    )


def _turned(values: npt.NDArray[np.generic], way: int) -> npt.NDArray[np.generic]:
    """Mirrored or turned in one of eight ways, 0 not at all."""
    if way & 4:
        values = np.swapaxes(values, -1, -2)
    return np.rot90(values, way % 4, (-2, -1))
