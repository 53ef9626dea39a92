"""Masks as label TIFFs: frame by frame, and complete under their name or not there."""

from __future__ import annotations

import math
import operator
import os
import secrets
import tempfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sam2_core.errors import ImageError, would_overwrite
from sam2_core.packed import PackedMasks, mask_in_box

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import IO, Any

    from numpy.typing import ArrayLike, NDArray

SUFFIXES = (".tif", ".tiff")
_IN_MEMORY = 64 * 2**20  # bytes of finished frames kept in memory, the rest on disk


class LabelWriter:
    """Writes a label image or stack; use it in a ``with`` statement.

    Frames may come in any order and more than once (the last one counts); frames that
    never come are 0. The file appears under its name when the block ends well and not
    at all when it is left by an error. Memory does not grow with the number of frames.

    Parameters
    ----------
    path : path-like
        TIFF file to write, zlib-compressed.
    shape : tuple of int
        (H, W), (T, H, W) or more; frames are counted through all leading axes.
    largest : int
        Largest label to come: up to 65535 the file is uint16, above it uint32. A frame
        with a label that does not fit is refused.
    overwrite : bool
        Whether a file of this name may be replaced.

    Raises
    ------
    ImageError
        The name is not that of a TIFF, the shape not that of a stack, the file exists,
        or the folder is missing or cannot be written to. All of this is found before
        the first frame.

    Examples
    --------
    >>> with LabelWriter("labels.tif", (40, 256, 256), largest=10) as file:
    ...     for result in session.propagate():
    ...         file.write(combine_masks(result.masks, (256, 256)), result.frame_index)
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        shape: tuple[int, ...],
        largest: int = 65535,
        overwrite: bool = False,
    ) -> None:
        self.path = Path(path)
        self.shape = tuple(shape)
        if len(self.shape) < 2 or min(self.shape) < 1:
            raise ImageError(f"A label file has the shape (H, W) or more, not {shape}.")
        self.dtype = label_dtype(largest)
        check_output(self.path, overwrite)
        self._overwrite = overwrite
        self._places: dict[int, tuple[int, int]] = {}
        self._spool: IO[bytes] | None = None

    def __enter__(self) -> LabelWriter:
        target = self.path.resolve()
        self._part = target.with_name(
            f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}.part"
        )
        try:
            self._file = self._part.open("x+b")
        except OSError as error:
            raise _cannot_write(self.path, error) from error
        self._spool = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)
        return self

    def write(self, labels: ArrayLike, frame_index: int = 0) -> None:
        """Set one frame.

        Parameters
        ----------
        labels : array_like, (H, W)
            Integers from 0 to the largest label.
        frame_index : int
            Position in the stack, from 0.

        Raises
        ------
        ImageError
            The labels are no integers, have another shape or do not fit into the dtype
            of the file, the stack has no such frame, or the file is not open.
        """
        if self._spool is None:
            raise ImageError(f"{self.path} is not open: write inside of a with block.")
        frame, length = _integers(labels), math.prod(self.shape[:-2])
        try:
            index = operator.index(frame_index)
        except TypeError:
            index = -1
        if frame.shape != self.shape[-2:]:
            raise ImageError(
                f"Labels of shape {frame.shape} do not fit into a file of shape "
                f"{self.shape}."
            )
        if not 0 <= index < length:
            raise ImageError(
                f"{self.path} has no frame {frame_index!r}: it was opened for the "
                f"frames 0 to {length - 1}."
            )
        if frame.max() > np.iinfo(self.dtype).max:
            raise ImageError(
                f"Label {frame.max()} does not fit into {self.path}, which is "
                f"{self.dtype}: open it with the largest label that will come."
            )
        content = zlib.compress(np.ascontiguousarray(frame, self.dtype).tobytes(), 1)
        try:
            place = self._spool.seek(0, os.SEEK_END)
            self._spool.write(content)
        except OSError as error:
            raise _cannot_write(Path(tempfile.gettempdir()), error) from error
        self._places[index] = place, len(content)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._save()
        except OSError as problem:
            raise _cannot_write(self.path, problem) from problem
        finally:
            if self._spool is not None:
                self._spool.close()
            self._spool = None
            self._file.close()
            self._part.unlink(missing_ok=True)

    def _save(self) -> None:
        import tifffile

        length = math.prod(self.shape[:-2])
        tifffile.imwrite(
            self._file,
            (self._frame(index) for index in range(length)),
            shape=self.shape,
            dtype=self.dtype,
            compression="zlib",
            photometric="minisblack",
            software="napari-sam2",
        )
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        check_output(self.path, self._overwrite)  # it may have appeared meanwhile
        self._part.replace(self.path.resolve())

    def _frame(self, index: int) -> NDArray[np.unsignedinteger]:
        if self._spool is None or index not in self._places:
            return np.zeros(self.shape[-2:], self.dtype)
        place, length = self._places[index]
        self._spool.seek(place)
        content = zlib.decompress(self._spool.read(length))
        return np.frombuffer(content, self.dtype).reshape(self.shape[-2:])


def save_labels(
    path: str | os.PathLike[str],
    labels: ArrayLike,
    overwrite: bool = False,
) -> Path:
    """Write a whole label array at once.

    Parameters
    ----------
    path : path-like
        TIFF file to write.
    labels : array_like, (H, W) or (T, H, W)
        Integers >= 0.
    overwrite : bool
        Whether a file of this name may be replaced.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    ImageError
        The array is no label image, or the file cannot be written.
    """
    stack = _integers(labels)
    if stack.ndim not in (2, 3) or 0 in stack.shape:
        raise ImageError(
            f"Labels must have the shape (H, W) or (T, H, W), not {stack.shape}."
        )
    with LabelWriter(path, stack.shape, int(stack.max()), overwrite) as file:
        for index, frame in enumerate(stack.reshape(-1, *stack.shape[-2:])):
            file.write(frame, index)
    return file.path


def combine_masks(
    masks: Mapping[int, NDArray[np.bool_]], shape: tuple[int, int]
) -> NDArray[np.uint32]:
    """One label image from the masks of objects; where they overlap, the lower id wins.

    Parameters
    ----------
    masks : mapping of int to ndarray
        Per object id, at most 4294967295, a mask, (H, W) bool; may be empty.
    shape : (int, int)
        Height and width.

    Returns
    -------
    ndarray, (H, W) uint32
        Object ids, 0 where there is no object.

    Raises
    ------
    ImageError
        A mask is not (H, W) bool, or an id cannot be a label.
    """
    labels = np.zeros(shape, np.uint32)
    for object_id in sorted(masks, reverse=True):
        label_dtype(object_id)
        window, mask = mask_in_box(masks, object_id)
        mask = np.asarray(mask)
        whole = masks.shape if isinstance(masks, PackedMasks) else mask.shape
        if whole != labels.shape or mask.dtype != np.bool_:
            raise ImageError(
                f"The mask of object {object_id} must be bool of shape {labels.shape}, "
                f"not {mask.dtype} of shape {whole}."
            )
        labels[window][mask] = object_id
    return labels


def label_dtype(largest: int) -> np.dtype[np.unsignedinteger]:
    """The dtype of a label file: uint16 where the labels fit, else uint32."""
    if not 0 <= largest < 2**32:
        raise ImageError(
            f"Label {largest} does not fit into a TIFF: use 1 to 4294967295."
        )
    return np.dtype(np.uint16 if largest < 2**16 else np.uint32)


def check_output(path: Path, overwrite: bool) -> None:
    """ImageError unless a label file may be created under this name."""
    if path.suffix.lower() not in SUFFIXES:
        raise ImageError(f"Labels are written as TIFF: end {str(path)!r} with .tif.")
    try:
        exists = path.exists()
    except OSError as error:  # such as a name that is too long
        raise _cannot_write(path, error) from error
    if path.is_dir():
        raise ImageError(f"{path} is a folder: give the name of a file in it.")
    if not path.parent.is_dir():
        raise ImageError(f"There is no folder {path.parent}: create it first.")
    if exists and not overwrite:
        raise ImageError(would_overwrite(f"{path} exists already", "name"))


def _integers(labels: ArrayLike) -> NDArray[Any]:
    """The labels as an array of integers >= 0; ImageError if they are not."""
    try:
        array = np.asarray(labels)
    except ValueError as error:
        raise ImageError("Labels must be an array with equally long rows.") from error
    if array.dtype.kind not in "uib":
        raise ImageError(f"Labels must be integers, not {array.dtype}.")
    if array.size and array.min() < 0:
        raise ImageError("Labels must not be negative; 0 is the background.")
    return array


def _cannot_write(path: Path, error: OSError) -> ImageError:
    reason = error.strerror or str(error)
    return ImageError(f"{path} cannot be written ({reason}): choose another place.")
