"""Which axis of an array is frames, height, width and channels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from sam2_core.errors import AxesError, ImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Axis: TypeAlias = "int | str"
Select: TypeAlias = Mapping[Axis, int]


@dataclass(frozen=True)
class FrameAxes:
    """The roles of an array's axes.

    Attributes
    ----------
    sizes : tuple of int
        Shape of the whole array.
    plane : (int, int)
        Axes of height and width.
    frames, channels : int or None
        Axis of the frames and of the RGB(A) channels, where there is one.
    fixed : dict of int to int
        Position on every other axis.
    """

    sizes: tuple[int, ...]
    plane: tuple[int, int]
    frames: int | None
    channels: int | None
    fixed: dict[int, int]

    @property
    def length(self) -> int:
        """Number of frames."""
        return 1 if self.frames is None else self.sizes[self.frames]

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.sizes[self.plane[0]], self.sizes[self.plane[1]]

    def key(
        self, index: int, rows: slice = slice(None), columns: slice = slice(None)
    ) -> tuple[int | slice, ...]:
        """Index expression that reads (a part of) frame `index` and nothing else."""
        positions: dict[int, int | slice] = dict(self.fixed)
        positions |= zip(self.plane, (rows, columns), strict=True)
        if self.frames is not None:
            positions[self.frames] = index
        axes = range(len(self.sizes))
        return tuple(positions.get(axis, slice(None)) for axis in axes)

    def channels_last(self, frame: NDArray[Any]) -> NDArray[Any]:
        """Bring what :meth:`key` read into the order (H, W) or (H, W, C)."""
        if self.channels is None:
            return frame
        return np.moveaxis(frame, sum(a < self.channels for a in self.plane), -1)


@dataclass(frozen=True)
class _Array:
    """Shape and axis letters of an array, and how to talk about them."""

    sizes: tuple[int, ...]
    letters: str | None
    what: str

    def __str__(self) -> str:
        axes = f" has the axes {self.letters}" if self.letters else ""
        return f"{self.what}{axes} {self.sizes}"

    def number(self, axis: Axis) -> int:
        """Number of an axis given by letter or (possibly negative) number."""
        ndim = len(self.sizes)
        if isinstance(axis, str):
            if self.letters is None or self.letters.count(axis.upper()) != 1:
                raise ImageError(
                    f"{self} and not exactly one axis called {axis!r}; give its number."
                )
            return self.letters.index(axis.upper())
        if not -ndim <= axis < ndim:
            raise ImageError(f"{self} and no axis {axis}; count from 0 to {ndim - 1}.")
        return axis % ndim

    def label(self, axis: int) -> Axis:
        """The axis as a user would write it in `select`."""
        if self.letters is not None and self.letters.count(self.letters[axis]) == 1:
            return self.letters[axis]
        return axis


def find_axes(
    sizes: tuple[int, ...],
    *,
    letters: str | None = None,
    channel_axis: Axis | None = None,
    select: Select | None = None,
    what: str = "The array of shape",
) -> FrameAxes:
    """Decide what every axis means.

    What is neither channels, height, width nor fixed counts the frames, whatever its
    letter, except for C and S: following an object through channels makes no sense.

    Parameters
    ----------
    sizes : tuple of int
        Shape of the array.
    letters : str, optional
        One letter per axis, as TIFF files name them (T, Z, C, Y, X, S). Without them
        the last two axes that are not channels are height and width.
    channel_axis : int or str, optional
        Axis that holds 1, 3 or 4 channels (grey, RGB, RGBA). Default: S where the
        letters name it; without letters, the last of four axes if it is 3 or 4 long.
    select : mapping of axis to int, optional
        Axes (numbers or letters) held at one position.
    what : str
        Subject of error messages.

    Raises
    ------
    AxesError
        More than one axis could be frames, or channels must be chosen from.
    ImageError
        An axis does not exist, a position lies outside, the axes are ambiguous, or the
        array is empty.
    """
    array = _Array(sizes, letters, what)
    if 0 in sizes:
        raise ImageError(f"{array} is empty.")
    fixed = _find_fixed(array, select or {})
    channels = _find_channels(array, channel_axis, fixed)
    rest = [a for a in range(len(sizes)) if a not in fixed and a != channels]
    plane = _find_plane(array, rest)
    _check_channels(array, channels)
    others = [a for a in rest if a not in plane]
    if letters is not None:  # axes of formats that always have all of them
        fixed |= {a: 0 for a in others if sizes[a] == 1}
    frames = _find_frames(array, [a for a in others if a not in fixed])
    height, width = (sizes[axis] for axis in plane)
    looks_rgb = letters is None and channels is None and width in (3, 4)
    if looks_rgb and frames is not None and height > width:
        raise ImageError(
            f"{array} would be {sizes[frames]} frames of {height} x {width} pixels; "
            "if it is one RGB image, say so with channel_axis=-1."
        )
    return FrameAxes(sizes, plane, frames, channels, fixed)


def _find_fixed(array: _Array, select: Select) -> dict[int, int]:
    fixed = {}
    for axis, position in select.items():
        size = array.sizes[array.number(axis)]
        if array.number(axis) in fixed:
            raise ImageError(
                f"{array}, but axis {axis} is selected twice; give one position."
            )
        if not -size <= position < size:
            raise ImageError(
                f"{array}, so axis {axis} has no position {position}; choose 0 to "
                f"{size - 1}."
            )
        fixed[array.number(axis)] = position % size
    return fixed


def _find_channels(
    array: _Array, channel_axis: Axis | None, fixed: dict[int, int]
) -> int | None:
    sizes, last = array.sizes, len(array.sizes) - 1
    if channel_axis is not None:
        channels = array.number(channel_axis)
    elif array.letters is not None:
        channels = array.letters.find("S")
        if channels < 0 or channels in fixed:
            return None
    elif len(sizes) - len(fixed) == 4 and last not in fixed and sizes[last] in (3, 4):
        channels = last
    else:
        return None
    if channels in fixed:
        raise ImageError(
            f"{array}; leave axis {array.label(channels)!r} out of either channel_axis "
            "or select."
        )
    return channels


def _check_channels(array: _Array, channels: int | None) -> None:
    if channels is not None and array.sizes[channels] not in (1, 3, 4):
        raise AxesError(
            f"{array} with {array.sizes[channels]} channels, but only 1, 3 or 4 can be "
            "shown",
            [array.label(channels)],
        )


def _find_plane(array: _Array, rest: list[int]) -> tuple[int, int]:
    if array.letters is not None and {"Y", "X"} <= set(array.letters):
        plane = (array.letters.index("Y"), array.letters.index("X"))
        if not set(plane) <= set(rest):
            raise ImageError(f"{array}; Y and X make the image and must stay free.")
        return plane
    if len(rest) < 2:
        raise ImageError(f"{array} is no image or stack; give (H, W) or (T, H, W).")
    return rest[-2], rest[-1]


def _find_frames(array: _Array, others: list[int]) -> int | None:
    letters = array.letters or " " * len(array.sizes)
    channels = [axis for axis in others if letters[axis] in "CS"]
    frames = [axis for axis in others if axis not in channels]
    if len(frames) > 1:
        problem = "it is not clear which axis counts the frames"
    elif channels:
        names = " and ".join(str(array.label(axis)) for axis in channels)
        problem = f"{names} are channels, not frames"
    else:
        return frames[0] if frames else None
    raise AxesError(
        f"{array}, and {problem}", [array.label(a) for a in frames[1:] + channels]
    )
