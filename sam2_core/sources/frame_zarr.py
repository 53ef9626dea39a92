"""Raw frames of a zarr store on disk: one array, or the finest level of OME-Zarr."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sam2_core.errors import ImageError
from sam2_core.sources.frame_arrays import ArrayFrames, reading

if TYPE_CHECKING:
    from pathlib import Path

    from sam2_core.sources.frame_axes import Axis, Select

_MARKS = ("zarr.json", ".zarray", ".zgroup")


class ZarrFrames(ArrayFrames):
    """Frames of an array in a folder; only the chunks under what is asked for are read.

    Parameters
    ----------
    path : Path
        An array, a group that holds a single one, or an OME-Zarr image, of which the
        first resolution is read and whose axes have letters.
    channel_axis, select
        See :func:`sam2_core.sources.frame_axes.find_axes`.

    Raises
    ------
    ImageError
        The store cannot be read, holds no array or several, or its axes need a choice.
    """

    def __init__(
        self,
        path: Path,
        channel_axis: Axis | None = None,
        select: Select | None = None,
    ) -> None:
        self._name = path.name
        with reading(str(path)):
            array, letters = _open(path)
        super().__init__(array, channel_axis, select, letters, self._name)

    def name(self, index: int) -> str:
        """What to call a frame in an error message."""
        return f"Frame {index} of {self._name}"


def is_zarr(folder: Path) -> bool:
    """Whether a folder is a zarr array or group."""
    return any((folder / mark).is_file() for mark in _MARKS)


def _open(path: Path) -> tuple[Any, str | None]:
    """The array and, where they are known, the letters of its axes."""
    import zarr  # takes a while

    found: Any = zarr.open(str(path), mode="r")
    if hasattr(found, "shape"):
        return found, None
    attributes = dict(found.attrs)
    images = attributes.get("ome", attributes).get("multiscales")
    if images:
        array = found[images[0]["datasets"][0]["path"]]
        # Before version 0.4 axes were plain names, or left out.
        axes = images[0].get("axes", ())
        axes = [axis if isinstance(axis, str) else axis["name"] for axis in axes]
        named = len(axes) == array.ndim and all(len(name) == 1 for name in axes)
        return array, "".join(axes).upper() if named else None
    arrays = [array for _, array in found.arrays()]
    if len(arrays) != 1:
        raise ImageError(
            f"{path} holds {len(arrays)} arrays: give the folder of one of them."
        )
    return arrays[0], None
