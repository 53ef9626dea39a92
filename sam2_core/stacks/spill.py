"""Encoded frames on disk: what memory has no room for, read back instead of encoded."""

from __future__ import annotations

import shutil
import tempfile
import warnings
import weakref
import zlib
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sam2_core.nn.sam2 import ImageFeatures

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

# Part of the free space that the store may take where nobody says how much.
SHARE = 2
PREFIX = "napari-sam2-features-"


@dataclass(frozen=True)
class Layout:
    """How the bytes of a frame are to be read: the same for all frames of a session.

    Attributes
    ----------
    tensors : list of (torch.Size, torch.dtype)
        Of each tensor, in the order in which they follow each other.
    device : torch.device
        Where they belong.
    """

    tensors: list[tuple[torch.Size, torch.dtype]]
    device: torch.device

    @classmethod
    def of(cls, features: ImageFeatures) -> Layout:
        """That of given features."""
        tensors = [(tensor.shape, tensor.dtype) for tensor in _tensors(features)]
        return cls(tensors, features.embedding.device)

    def read(self, data: NDArray[np.uint8]) -> ImageFeatures:
        """Features from their bytes, which they take over."""
        sizes = [shape.numel() * dtype.itemsize for shape, dtype in self.tensors]
        found = [
            part.view(dtype).view(shape).to(self.device)
            for part, (shape, dtype) in zip(
                torch.split(torch.from_numpy(data), sizes), self.tensors, strict=True
            )
        ]
        embedding, fine, coarse = found[:3]
        return ImageFeatures(embedding, (fine, coarse), *found[3:])


@dataclass(frozen=True)
class Entry:
    """Where a frame is, and what tells that it is all there.

    Attributes
    ----------
    row : int
        Of the array.
    checksum : int
        CRC-32 of its bytes.
    """

    row: int
    checksum: int


class FeatureStore:
    """Features of frames in a folder, up to a byte budget, the ones used lately.

    They are a zarr array of bytes, one row and one file for each frame, bit for bit as
    the network gave them: in bfloat16 where the model is in bfloat16. The folder is
    made when the first frame comes, inside the given one, and removed with this object
    or at the end of the process. A frame counts as stored once all of it has been
    written, and is checked when it is read.

    Whatever goes wrong with the disk is a warning, after which the store stays empty.

    Parameters
    ----------
    folder : path-like
        Where to make the store; created if missing.
    max_bytes : int, optional
        What it may hold; half of the free space by default.
    """

    def __init__(
        self, folder: str | os.PathLike[str], max_bytes: int | None = None
    ) -> None:
        self.folder = Path(folder)
        self.max_bytes = max_bytes
        self._rows: Any = None
        self._layout: Layout | None = None
        self._entries: OrderedDict[int, Entry] = OrderedDict()
        self._failed = False
        self._remove: Callable[[], object] | None = None

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, frame_index: int) -> bool:
        return frame_index in self._entries

    @property
    def nbytes(self) -> int:
        """Bytes of the features stored."""
        return len(self) * (0 if self._rows is None else self._rows.shape[1])

    def put(self, frame_index: int, features: ImageFeatures) -> None:
        """Store a frame, unless it is there, there is no room, or the disk failed."""
        if self._failed or frame_index in self:
            return
        try:
            rows = self._open(features)
            if rows is None:
                return
            if len(self) < rows.shape[0]:
                row = len(self)
            else:
                row = self._entries.popitem(last=False)[1].row
            data = _to_bytes(features)
            rows[row] = data
        except (OSError, ValueError) as error:
            self._fail(f"no more encoded frames are kept in {self.folder}: {error}")
            return
        self._entries[frame_index] = Entry(row, zlib.crc32(data.data))

    def get(self, frame_index: int) -> ImageFeatures | None:
        """Features of a frame where the network runs; None if they are not here."""
        entry = self._entries.get(frame_index)
        if entry is None:
            return None
        assert self._layout is not None
        try:
            data = np.ascontiguousarray(self._rows[entry.row])
            if zlib.crc32(data.data) != entry.checksum:
                raise OSError("it has been changed by something else")
        except (OSError, ValueError) as error:
            self._fail(f"an encoded frame in {self.folder} cannot be read: {error}")
            return None
        self._entries.move_to_end(frame_index)
        return self._layout.read(data)

    def clear(self) -> None:
        """Forget all frames; their places are written over."""
        self._entries.clear()

    def close(self) -> None:
        """Remove everything from the disk; may be called twice."""
        self._entries.clear()
        self._rows = None
        if self._remove is not None:
            self._remove()

    def _open(self, features: ImageFeatures) -> Any:
        """The array, made for features of this size; None if none of them fits."""
        if self._rows is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            budget = self.max_bytes
            if budget is None:
                budget = shutil.disk_usage(self.folder).free // SHARE
            size = features.nbytes
            if budget < size:
                return None
            import zarr  # takes a while

            path = tempfile.mkdtemp(prefix=PREFIX, dir=self.folder)
            self._remove = weakref.finalize(self, shutil.rmtree, path, True)
            # Features do not compress. Version 2 has said so in the same way for long.
            known: dict[str, Any] = (
                {} if zarr.__version__.startswith("2.") else {"zarr_format": 2}
            )
            self._rows = zarr.open_array(
                path,
                mode="w",
                shape=(budget // size, size),
                chunks=(1, size),
                dtype="u1",
                compressor=None,
                fill_value=0,
                **known,
            )
            self._layout = Layout.of(features)
        return self._rows

    def _fail(self, what: str) -> None:
        self._failed = True
        self.close()
        warnings.warn(
            f"Frames are encoded again where memory has no room for them, since {what}",
            stacklevel=2,
        )


def _tensors(features: ImageFeatures) -> list[Tensor]:
    tensors = [features.embedding, *features.high_res]
    return tensors if features.guide is None else [*tensors, features.guide]


def _to_bytes(features: ImageFeatures) -> NDArray[np.uint8]:
    parts = [
        tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
        for tensor in _tensors(features)
    ]
    return torch.cat(parts).numpy()
