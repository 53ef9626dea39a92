from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sam2_core.errors import ImageError
from sam2_core.frames import open_frames

if TYPE_CHECKING:
    from pathlib import Path

FRAMES = 30
FULL = (0.0, 255.0)

# Suffix, codec, pixel format, B frames, tolerance in grey levels.
KINDS = [
    ("mp4", "libx264", "yuv420p", 3, 2),
    ("mkv", "libx264", "yuv420p", 3, 2),
    ("ts", "libx264", "yuv420p", 3, 2),
    ("mp4", "mpeg4", "yuv420p", 0, 6),
    ("avi", "mpeg4", "yuv420p", 2, 6),
    ("avi", "mjpeg", "yuvj420p", 0, 3),
    ("avi", "rawvideo", "gray", 0, 0),
    ("webm", "libvpx", "yuv420p", 0, 3),
    ("gif", "gif", "rgb8", 0, 20),
]


def write(path: Path, codec: str, pixel_format: str, b_frames: int = 0) -> None:
    """Frame t is filled with 8 t; a key frame at least every ten frames."""
    av: Any = pytest.importorskip("av", reason="PyAV, the extra 'video', is missing")
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV cannot write {codec}")
    options = {"bf": str(b_frames)} if b_frames else {}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixel_format
        stream.gop_size = 10
        for index in range(FRAMES):
            image = np.full((48, 64, 3), 8 * index, np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind[0]}-{kind[1]}")
def test_random_access_gives_the_right_frame(tmp_path: Path, kind: Any) -> None:
    suffix, codec, pixel_format, b_frames, tolerance = kind
    path = tmp_path / f"film.{suffix}"
    write(path, codec, pixel_format, b_frames)
    shuffled = np.random.default_rng(0).permutation(FRAMES)
    order = [*range(FRAMES), *reversed(range(FRAMES)), *shuffled, 5, 5, 7, 6]
    with open_frames(path, FULL) as frames:
        assert len(frames) == FRAMES
        assert frames.shape == (48, 64)
        first_seen: dict[int, np.ndarray] = {}
        for index in order:
            frame = frames.frame(int(index))
            assert frame.shape == (48, 64, 3)
            assert abs(frame.mean() - 8 * index) <= tolerance
            seen = first_seen.setdefault(int(index), frame)
            np.testing.assert_array_equal(frame, seen)


def test_colour_video_is_taken_as_it_is(tmp_path: Path) -> None:
    write(tmp_path / "film.mp4", "libx264", "yuv420p")
    with open_frames(tmp_path / "film.mp4") as frames:
        assert frames.value_range == FULL


def test_deep_grey_video_keeps_its_depth(tmp_path: Path) -> None:
    av: Any = pytest.importorskip("av", reason="PyAV, the extra 'video', is missing")
    path = tmp_path / "film.mkv"
    stack = np.random.default_rng(0).integers(0, 4096, (4, 48, 64)).astype(np.uint16)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "gray16le"
        for image in stack:
            frame = av.VideoFrame.from_ndarray(image, format="gray16le")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with open_frames(path, (0, 4095)) as frames:
        for index in range(4):
            exact = np.rint(stack[index] * (255 / 4095))
            np.testing.assert_array_equal(frames.frame(index)[..., 0], exact)


@pytest.mark.parametrize("kind", [KINDS[0], KINDS[1], KINDS[4]], ids=lambda k: k[0])
def test_one_search_per_jump_and_none_going_forward(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    suffix, codec, pixel_format, b_frames, _ = kind
    path = tmp_path / f"film.{suffix}"
    write(path, codec, pixel_format, b_frames)
    seeks: list[int] = []

    class Container:
        """The container, counting how often it is searched."""

        def __init__(self, container: Any) -> None:
            self._container = container

        def seek(self, time: int, **kwargs: Any) -> None:
            seeks.append(time)
            self._container.seek(time, **kwargs)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._container, name)

    with open_frames(path, FULL) as frames:
        raw: Any = frames._raw
        monkeypatch.setattr(raw, "_container", Container(raw._container))
        for index in range(FRAMES):
            frames.frame(index)
        assert len(seeks) == 1
        for index in reversed(range(FRAMES)):
            frames.frame(index)
        assert len(seeks) == 1 + FRAMES


def test_broken_videos_are_named(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    write(path, "libx264", "yuv420p")
    content = path.read_bytes()
    for damaged in (b"", b"no film", content[: len(content) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(ImageError, match=r"film\.mp4"):
            open_frames(path)


def test_axes_make_no_sense_for_videos(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.touch()
    with pytest.raises(ImageError, match="arrays and TIFF"):
        open_frames(path, channel_axis=0)


def test_missing_reader_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    path = tmp_path / "film.mp4"
    path.touch()
    with pytest.raises(ImageError, match=r"film\.mp4 needs PyAV.*napari-sam2\[video\]"):
        open_frames(path)
