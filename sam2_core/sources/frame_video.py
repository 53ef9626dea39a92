"""Raw frames of a video file, with random access (needs PyAV)."""

from __future__ import annotations

import bisect
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from sam2_core.errors import ImageError
from sam2_core.sources.frame_arrays import reading

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

VIDEO_SUFFIXES = (
    ".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".wmv",
    ".gif",
)  # fmt: skip


class VideoFrames:
    """Frames of the first video stream, in the order in which they are shown.

    Opening reads the time stamps of all frames, without decoding any unless the file
    does not state them. Going forward decodes one frame per step; a jump decodes from
    the last key frame before it.

    Parameters
    ----------
    path : Path
        The file. It stays open until :meth:`close`.

    Raises
    ------
    ImageError
        PyAV is not installed, or the file is not a readable video.
    """

    def __init__(self, path: Path) -> None:
        try:
            import av
        except ImportError as exc:
            raise ImageError(
                f"Reading {path.name} needs PyAV; install it with "
                "pip install 'napari-sam2[video]'."
            ) from exc
        self._name = path.name
        self._lock = threading.Lock()
        with reading(str(path)):
            self._container: Any = av.open(str(path))
        try:
            with reading(str(path)):
                self._index()
        except BaseException:
            self._container.close()
            raise

    def _index(self) -> None:
        if not self._container.streams.video:
            raise ImageError(f"{self._name} holds no video.")
        self._stream = self._container.streams.video[0]
        self.shape = (int(self._stream.height), int(self._stream.width))
        stamps = self._stated_times() or self._decoded_times()
        self._times = sorted({shown for shown, _ in stamps})
        # Files are searched by decoding time, frames are ordered by the time they show.
        self._decoding_times = {
            shown: time for shown, time in stamps if time is not None
        }
        self._key_times = sorted(self._decoding_times)
        if not self._key_times:
            raise ImageError(f"{self._name} holds no video frames.")
        self._position = {time: i for i, time in enumerate(self._times)}
        self._decoder: Iterator[Any] | None = None
        self._next = 0

    def _stated_times(self) -> list[tuple[int, int | None]]:
        """Time each frame is shown and, of key frames, decoded; empty if unknown."""
        stamps = []
        for packet in self._container.demux(self._stream):
            if packet.size == 0 or packet.is_discard:  # the end of the stream
                continue
            if packet.pts is None:
                return []
            decoding_time = packet.pts if packet.dts is None else packet.dts
            stamps.append((packet.pts, decoding_time if packet.is_keyframe else None))
        return stamps

    def _decoded_times(self) -> list[tuple[int, int | None]]:
        """The same from decoding everything once."""
        self._container.seek(0)
        frames = self._container.decode(self._stream)
        return [
            (frame.pts, frame.pts if frame.key_frame else None)
            for frame in frames
            if frame.pts is not None
        ]

    def __len__(self) -> int:
        return len(self._times)

    def __getitem__(self, index: int, /) -> NDArray[Any]:
        with self._lock, reading(self.name(index)):
            frame = self._find(index)
            if frame is None:
                raise ImageError(
                    f"{self.name(index)} could not be decoded; the file may be damaged."
                )
            return np.asarray(frame.to_ndarray(format=_pixel_format(frame.format)))

    def name(self, index: int) -> str:
        """What to call a frame in an error message."""
        return f"Frame {index} of {self._name}"

    def close(self) -> None:
        """Close the file."""
        self._decoder = None
        self._container.close()

    def _find(self, index: int) -> Any:
        """Decode up to frame `index`; None where it cannot be found."""
        key = bisect.bisect_right(self._key_times, self._times[index]) - 1
        start = self._key_times[max(key, 0)]
        if self._decoder is not None and self._position[start] <= self._next <= index:
            frame = self._decode_until(index)
            if frame is not None:
                return frame
        self._container.seek(self._decoding_times[start], stream=self._stream)
        self._decoder = self._container.decode(self._stream)
        frame = self._decode_until(index)
        if frame is None:  # some containers jump too far: begin at the beginning
            self._container.seek(0)
            self._decoder = self._container.decode(self._stream)
            frame = self._decode_until(index)
        return frame

    def _decode_until(self, index: int) -> Any:
        for frame in self._decoder or ():
            position = self._position.get(frame.pts)
            if position is None or position < index:
                continue
            self._next = position + 1
            return frame if position == index else None
        self._decoder = None
        return None


def _pixel_format(stored: Any) -> str:
    """Format to ask for so that no bit of depth is lost."""
    deep = any(component.bits > 8 for component in stored.components)
    if stored.name.startswith("gray"):
        return "gray16le" if deep else "gray"
    return "rgb48le" if deep else "rgb24"
