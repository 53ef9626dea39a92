from __future__ import annotations

import io
import logging
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from sam2_core.errors import AxesError, ImageError
from sam2_core.frames import open_frames
from sam2_core.sources.frame_tiff import TiffFrames

if TYPE_CHECKING:
    from pathlib import Path

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 4096, (5, 18, 20)).astype(np.uint16)
RGB = RNG.integers(0, 256, (5, 18, 20, 3), np.uint8)
HYPER = RNG.integers(0, 4096, (3, 4, 2, 18, 20)).astype(np.uint16)

GREY_VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "compressed": {"compression": "zlib"},
    "predictor": {"compression": "zlib", "predictor": True},
    "bigtiff": {"bigtiff": True},
    "big-endian": {"byteorder": ">"},
    "big-endian compressed": {"byteorder": ">", "compression": "zlib"},
    "strips": {"rowsperstrip": 4},
    "compressed strips": {"rowsperstrip": 4, "compression": "zlib"},
    "tiles": {"tile": (16, 16)},
    "compressed tiles": {"tile": (16, 16), "compression": "zlib"},
    "imagej": {"imagej": True},
    "imagej slices": {"imagej": True, "metadata": {"axes": "ZYX"}},
    "imagej frames": {"imagej": True, "metadata": {"axes": "TYX"}},
    "ome": {"ome": True, "metadata": {"axes": "ZYX"}},
    "ome compressed": {
        "ome": True, "metadata": {"axes": "TYX"}, "compression": "zlib"
    },
    "one page for all": {"truncate": True, "metadata": {"axes": "ZYX"}},
    "volumetric": {"volumetric": True},
    "volumetric compressed": {"volumetric": True, "compression": "zlib"},
    "no metadata": {"metadata": None},
}  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "stack.tif"


def assert_frames(path: Path, expected: np.ndarray, **options: Any) -> None:
    """Every raw frame, in an order that is not the file's."""
    with closing(TiffFrames(path, **options)) as frames:
        assert len(frames) == len(expected)
        assert frames.shape == expected.shape[1:3]
        rows, columns = slice(3, 11), slice(2, 13)
        for index in reversed(range(len(frames))):
            frame = frames[index]
            assert frame.dtype.newbyteorder("=") == expected.dtype
            np.testing.assert_array_equal(frame, expected[index])
            part = frames.crop(index, rows, columns)
            np.testing.assert_array_equal(part, expected[index, rows, columns])


@pytest.mark.parametrize("variant", GREY_VARIANTS)
def test_grey_stacks(path: Path, variant: str) -> None:
    tifffile.imwrite(path, GREY, **GREY_VARIANTS[variant])
    assert_frames(path, GREY)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("stack", [GREY, RGB], ids=["grey", "rgb"])
def test_pages_written_one_by_one(
    path: Path, stack: np.ndarray, compression: str | None
) -> None:
    """tifffile calls every page a series of its own."""
    photometric = "rgb" if stack.ndim == 4 else "minisblack"
    with tifffile.TiffWriter(path) as writer:
        for image in stack:
            writer.write(image, compression=compression, photometric=photometric)
    with tifffile.TiffFile(path) as file:
        assert len(file.series) == len(stack)
    assert_frames(path, stack)


def test_first_of_several_series(path: Path) -> None:
    with tifffile.TiffWriter(path) as writer:
        writer.write(GREY)
        writer.write(GREY[0, :9, :10])
    assert_frames(path, GREY)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.uint32, "f2", "f4"])
def test_pixel_types(path: Path, dtype: Any) -> None:
    stack = (GREY % 2).astype(dtype)
    tifffile.imwrite(path, stack)
    assert_frames(path, stack)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("imagej", [False, True])
def test_rgb_stacks(path: Path, compression: str | None, imagej: bool) -> None:
    tifffile.imwrite(
        path, RGB, photometric="rgb", compression=compression, imagej=imagej
    )
    assert_frames(path, RGB)
    with open_frames(path) as frames:
        np.testing.assert_array_equal(frames.frame(3), RGB[3])


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_rgb_in_separate_planes(path: Path, compression: str | None) -> None:
    tifffile.imwrite(
        path,
        np.moveaxis(RGB, -1, 1),
        photometric="rgb",
        planarconfig="separate",
        compression=compression,
    )
    assert_frames(path, RGB)


def test_single_images_are_stacks_of_one(path: Path) -> None:
    tifffile.imwrite(path, GREY[0])
    assert_frames(path, GREY[:1])
    tifffile.imwrite(path, RGB[0], photometric="rgb")
    assert_frames(path, RGB[:1])
    tifffile.imwrite(path, GREY[0, :1, :1])
    assert_frames(path, GREY[:1, :1, :1])


@pytest.mark.parametrize("kind", ["imagej", "ome"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_hyperstacks(path: Path, kind: str, compression: str | None) -> None:
    metadata = {"axes": "TZCYX"}
    tifffile.imwrite(
        path, HYPER, compression=compression, metadata=metadata, **{kind: True}
    )
    with pytest.raises(ImageError, match=r"TZCYX.*select=\{'Z': 0, 'C': 0\}"):
        TiffFrames(path)
    assert_frames(path, HYPER[:, 2, 1], select={"Z": 2, "C": 1})
    assert_frames(path, HYPER[2, :, 0], select={"t": 2, "c": 0})
    assert_frames(path, HYPER[1, 1, :1], select={0: 1, 1: 1, "C": 0})
    with pytest.raises(AxesError, match=r"C are channels, .*select=\{'C': 0\}"):
        TiffFrames(path, select={0: 1, 1: 1})


CHANNELS = {
    "plain": {"metadata": {"axes": "CYX"}},
    "ome": {"ome": True, "metadata": {"axes": "CYX"}},
    "imagej": {"imagej": True, "metadata": {"axes": "CYX", "mode": "composite"}},
}


@pytest.mark.parametrize("options", CHANNELS.values(), ids=CHANNELS)
@pytest.mark.parametrize("count", [2, 3, 5])
def test_channels_are_not_followed(path: Path, options: Any, count: int) -> None:
    tifffile.imwrite(path, GREY[:count], photometric="minisblack", **options)
    with pytest.raises(AxesError, match=r"C are channels, .*select=\{'C': 0\}"):
        TiffFrames(path)
    assert_frames(path, GREY[1:2], select={"C": 1})


def test_few_channels_of_imagej_are_channels(path: Path) -> None:
    tifffile.imwrite(path, GREY[:2], imagej=True)
    with pytest.raises(AxesError, match="C are channels"):
        TiffFrames(path)


def test_an_axis_of_one_position_needs_no_choice(path: Path) -> None:
    tifffile.imwrite(
        path, HYPER[:, :1, :1], metadata={"axes": "TZCYX"}, photometric="minisblack"
    )
    assert_frames(path, HYPER[:, 0, 0])


def test_hyperstack_without_axis_names(path: Path) -> None:
    tifffile.imwrite(path, HYPER)
    with pytest.raises(ImageError, match=r"select=\{1: 0, 2: 0\}"):
        TiffFrames(path)
    assert_frames(path, HYPER[:, 3, 1], select={1: 3, 2: 1})


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_channel_pages_shown_as_rgb(path: Path, compression: str | None) -> None:
    tcyx = np.moveaxis(RGB.astype(np.uint16) * 16, -1, 1)
    metadata = {"axes": "TCYX"}
    tifffile.imwrite(path, tcyx, ome=True, metadata=metadata, compression=compression)
    assert_frames(path, np.moveaxis(tcyx, 1, -1), channel_axis="C")


def test_a_position_that_does_not_exist(path: Path) -> None:
    tifffile.imwrite(path, HYPER, imagej=True)
    with pytest.raises(ImageError, match="axis Z has no position 4; choose 0 to 3"):
        TiffFrames(path, select={"Z": 4, "C": 0})
    with pytest.raises(ImageError, match="'Q'"):
        TiffFrames(path, select={"Q": 0})
    with pytest.raises(ImageError, match="axis 1 is selected twice"):
        TiffFrames(path, select={"Z": 1, 1: 2})
    with pytest.raises(ImageError, match="must stay free"):
        TiffFrames(path, select={"Y": 0})


def test_only_the_plane_asked_for_is_decoded(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tifffile.imwrite(path, GREY, compression="zlib")
    decoded: list[int] = []
    original = tifffile.TiffPage.asarray

    def asarray(self: Any, *args: Any, **kwargs: Any) -> np.ndarray:
        decoded.append(self.index)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(tifffile.TiffPage, "asarray", asarray)
    monkeypatch.setattr(tifffile.TiffFrame, "asarray", asarray)
    with open_frames(path, (0, 4095)) as frames:
        assert decoded == []
        frames.frame(3)
    assert decoded == [3]


def test_only_the_bytes_of_one_plane_are_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tifffile.imwrite(path, GREY, imagej=True)
    frames = TiffFrames(path)
    requested: list[int] = []
    original = tifffile.FileHandle.read

    def read(self: Any, size: int = -1, /) -> bytes:
        requested.append(size)
        return original(self, size)

    monkeypatch.setattr(tifffile.FileHandle, "read", read)
    frames[4]
    frames.crop(4, slice(5, 12), slice(0, 20))
    frames.close()
    assert requested == [18 * 20 * 2, 7 * 20 * 2]


@pytest.mark.parametrize(
    ("options", "tile"),
    [
        ({}, (512, 700)),
        ({"imagej": True}, (512, 700)),
        ({"compression": "zlib"}, (900, 700)),
    ],
)
def test_rows_are_read_alone_where_they_lie_as_they_are(
    path: Path, options: Any, tile: tuple[int, int]
) -> None:
    tifffile.imwrite(path, np.zeros((5, 900, 700), np.uint16), **options)
    with open_frames(path, (0, 1)) as frames:
        assert frames.tile == tile


@pytest.mark.parametrize("variant", ["plain", "compressed", "imagej", "no metadata"])
@pytest.mark.parametrize("part", [0.001, 0.2, 0.5, 0.8, 0.95])
def test_cut_short_file_is_never_taken_for_a_shorter_stack(
    path: Path, variant: str, part: float
) -> None:
    """Either the file is refused, by name, or every frame is there and right."""
    tifffile.imwrite(path, GREY, **GREY_VARIANTS[variant])
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    message = ""
    try:
        assert_frames(path, GREY)
    except ImageError as exc:
        message = str(exc)
    assert message == "" or ("stack.tif" in message and "\n" not in message)


def test_missing_pixels_at_the_end(path: Path) -> None:
    """The page is listed before its pixels, of which the last byte is missing."""
    for options in ({}, {"imagej": True}, {"compression": "zlib"}):
        tifffile.imwrite(path, GREY[0], **options)
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(ImageError, match=r"stack\.tif.*cut short"):
            assert_frames(path, GREY[:1])


@pytest.mark.parametrize("content", [b"", b"not a tiff at all", b"II*\0\x08\0\0\0"])
def test_foreign_content_is_refused_by_name(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r"stack\.tif"):
        TiffFrames(path)


def test_damaged_pixels_name_frame_and_file(path: Path) -> None:
    tifffile.imwrite(path, GREY, compression="zlib")
    with tifffile.TiffFile(path) as file:
        offset = file.pages[2].dataoffsets[0]
    with path.open("r+b") as raw:
        raw.seek(offset)
        raw.write(b"\xff" * 8)
    with open_frames(path, (0, 4095)) as frames:
        frames.frame(1)
        with pytest.raises(
            ImageError, match=r"Frame 2 of stack\.tif could not be read"
        ):
            frames.frame(2)


def test_library_chatter_stays_off_the_screen(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any logging set up, Python would write tifffile's errors to stderr."""
    tifffile.imwrite(path, GREY, compression="zlib")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    logger = logging.getLogger("tifffile")
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(logger, "propagate", False)
    handlers = list(logger.handlers)
    with pytest.raises(ImageError):
        TiffFrames(path)
    assert screen.getvalue() == ""
    assert logger.handlers == handlers


def test_the_file_is_closed(path: Path) -> None:
    tifffile.imwrite(path, GREY)
    frames = TiffFrames(path)
    frames.close()
    frames.close()
    path.rename(path.with_name("moved.tif"))
    with pytest.raises(ImageError, match="could not be read"):
        frames[0]
