from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from sam2_core.errors import AxesError, ImageError
from sam2_core.frames import open_frames, read_image

RGB = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
FULL = (0.0, 255.0)


def save_grey(path: Path, level: int, shape: tuple[int, int] = (6, 8)) -> None:
    Image.fromarray(np.full(shape, level, np.uint8)).save(path)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".TIF", ".PNG"])
def test_colour_images(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"image{suffix}"
    Image.fromarray(RGB).save(path)
    np.testing.assert_array_equal(read_image(path), RGB)
    np.testing.assert_array_equal(read_image(str(path)), RGB)


def test_jpeg(tmp_path: Path) -> None:
    Image.new("RGB", (40, 30), (200, 100, 50)).save(tmp_path / "image.jpg", quality=95)
    image = read_image(tmp_path / "image.jpg")
    assert image.shape == (30, 40, 3)
    assert np.abs(image.astype(int) - [200, 100, 50]).max() <= 3


@pytest.mark.parametrize(
    ("suffix", "dtype"),
    [
        (".png", bool),
        (".png", np.uint8),
        (".png", np.uint16),
        (".tif", np.uint8),
        (".tif", np.uint16),
        (".tif", np.float32),
    ],
)
def test_grey_images_keep_their_depth(tmp_path: Path, suffix: str, dtype: Any) -> None:
    image = np.random.default_rng(1).integers(0, 4096, (6, 8)).astype(dtype)
    path = tmp_path / f"image{suffix}"
    if suffix == ".tif":
        tifffile.imwrite(path, image)
    else:
        Image.fromarray(image).save(path)
    read = read_image(path)
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, image)


def test_palette_alpha_and_cmyk(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    four_colours = (RGB // 128) * 255
    Image.fromarray(four_colours).quantize(8).save(path)
    np.testing.assert_array_equal(read_image(path), four_colours)
    grey = RGB[..., 0]
    alpha = Image.fromarray(RGB[..., 1])
    with_alpha = Image.fromarray(grey).convert("LA")
    with_alpha.putalpha(alpha)
    with_alpha.save(path)
    np.testing.assert_array_equal(read_image(path), grey)
    rgba = Image.fromarray(RGB)
    rgba.putalpha(alpha)
    rgba.save(path)
    np.testing.assert_array_equal(read_image(path)[..., :3], RGB)
    Image.new("CMYK", (8, 6), (0, 255, 255, 0)).save(tmp_path / "image.jpg")
    red, green, _ = read_image(tmp_path / "image.jpg")[0, 0]
    assert red > 200
    assert green < 60


def test_deep_colour_png_is_refused_not_cut_to_eight_bits(tmp_path: Path) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content)
        return (
            struct.pack(">I", len(content))
            + kind
            + content
            + struct.pack(">I", checksum)
        )

    path = tmp_path / "deep.png"
    pixel_row = b"\0" + struct.pack(">3H", 1, 2, 4095)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(pixel_row))
        + chunk(b"IEND", b"")
    )
    with Image.open(path) as picture:
        assert picture.size == (1, 1)  # a valid file
    with pytest.raises(ImageError, match="16-bit colour PNG"):
        read_image(path)


def test_read_image_of_a_stack(tmp_path: Path) -> None:
    path = tmp_path / "stack.tif"
    stack = np.arange(120, dtype=np.uint16).reshape(2, 6, 10)
    tifffile.imwrite(path, stack, imagej=True, metadata={"axes": "ZYX"})
    with pytest.raises(AxesError, match=r"stack\.tif is a stack of 2 .*\{'Z': 0\}"):
        read_image(path)
    np.testing.assert_array_equal(read_image(path, select={"Z": 1}), stack[1])


def test_missing_and_unreadable_images(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no file or folder"):
        read_image(tmp_path / "none.png")
    with pytest.raises(ImageError, match="is a folder"):
        read_image(tmp_path)
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(ImageError, match=r"text\.png could not be read"):
        read_image(tmp_path / "text.png")
    (tmp_path / "data.csv").write_text("1,2")
    with pytest.raises(ImageError, match=r"data\.csv could not be read"):
        open_frames(tmp_path / "data.csv")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp"])
def test_cut_short_image_is_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"image{suffix}"
    Image.fromarray(np.tile(RGB, (20, 20, 1))).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ImageError, match=rf"image\{suffix} could not be read"):
        read_image(path)


def test_folder_in_natural_order(tmp_path: Path) -> None:
    for level in (1, 2, 10, 21, 100):
        save_grey(tmp_path / f"frame{level}.png", level)
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / ".hidden.png").write_text("not an image either")
    frames = open_frames(tmp_path, FULL)
    assert frames.shape == (6, 8)
    levels = [int(frames.frame(i)[0, 0, 0]) for i in range(len(frames))]
    assert levels == [1, 2, 10, 21, 100]


def test_a_folder_called_like_an_image_is_none(tmp_path: Path) -> None:
    save_grey(tmp_path / "a.png", 7)
    (tmp_path / "b.tif").mkdir()
    assert len(open_frames(tmp_path)) == 1


def test_an_empty_name_is_not_the_current_folder() -> None:
    for call in (open_frames, read_image):
        with pytest.raises(ImageError, match="is empty: give one"):
            call("")


def test_order_of_mixed_names(tmp_path: Path) -> None:
    names = ["1.png", "02.png", "A1.png", "a02.png", "a10.png", "b.png"]
    for level, name in enumerate(names):
        save_grey(tmp_path / name, level)
    frames = open_frames(str(tmp_path), FULL)
    assert [int(frames.frame(i)[0, 0, 0]) for i in range(6)] == [0, 1, 2, 3, 4, 5]


def test_list_of_paths_keeps_its_order(tmp_path: Path) -> None:
    for level in (1, 2, 3):
        save_grey(tmp_path / f"{level}.png", level)
    paths = [str(tmp_path / "3.png"), tmp_path / "1.png"]
    frames = open_frames(paths, FULL)
    assert [int(frames.frame(i)[0, 0, 0]) for i in range(2)] == [3, 1]


def test_one_picture_is_a_stack_of_one(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "image.png")
    frames = open_frames(tmp_path / "image.png")
    assert len(frames) == 1
    np.testing.assert_array_equal(frames.frame(0), RGB)


def test_folder_of_volumes(tmp_path: Path) -> None:
    """One TIFF per time point, as in the Cell Tracking Challenge."""
    volumes = np.random.default_rng(0).integers(0, 255, (3, 4, 6, 8), np.uint8)
    for index, volume in enumerate(volumes):
        tifffile.imwrite(
            tmp_path / f"t{index:03}.tif",
            volume,
            photometric="minisblack",
            metadata={"axes": "ZYX"},
        )
    with pytest.raises(ImageError, match=r"t000\.tif is a stack of 4"):
        open_frames(tmp_path)
    frames = open_frames(tmp_path, FULL, select={"Z": 2})
    for index in range(3):
        np.testing.assert_array_equal(frames.frame(index)[..., 0], volumes[index, 2])


def test_range_of_a_folder_spans_all_its_files(tmp_path: Path) -> None:
    for index, level in enumerate((100, 200, 300)):
        image = np.full((6, 8), level, np.uint16)
        tifffile.imwrite(tmp_path / f"{index}.tif", image)
    frames = open_frames(tmp_path)
    assert frames.value_range == (100, 300)
    assert [int(frames.frame(i)[0, 0, 0]) for i in range(3)] == [0, 128, 255]


def test_odd_files_are_named(tmp_path: Path) -> None:
    for index in range(3):
        save_grey(tmp_path / f"{index}.png", index)
    save_grey(tmp_path / "3.png", 3, shape=(6, 9))
    (tmp_path / "4.png").write_bytes((tmp_path / "2.png").read_bytes()[:40])
    frames = open_frames(tmp_path, FULL)
    frames.frame(2)
    with pytest.raises(ImageError, match=r"3\.png has 6 x 9 pixels.*6 x 8"):
        frames.frame(3)
    with pytest.raises(ImageError, match=r"4\.png could not be read"):
        frames.frame(4)
    (tmp_path / "1.png").unlink()
    with pytest.raises(ImageError, match=r"1\.png"):
        frames.frame(1)


def test_nothing_to_open(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no images in the folder"):
        open_frames(tmp_path)
    with pytest.raises(ImageError, match="no file or folder"):
        open_frames(tmp_path / "nowhere")
    with pytest.raises(ImageError, match="no file or folder"):
        open_frames([tmp_path / "nowhere.png"])


def test_axes_make_no_sense_for_pictures(tmp_path: Path) -> None:
    save_grey(tmp_path / "0.png", 0)
    with pytest.raises(ImageError, match="arrays and TIFF"):
        open_frames(tmp_path, select={0: 0})


def test_only_the_file_asked_for_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for index in range(5):
        save_grey(tmp_path / f"{index}.png", index)
    opened: list[str] = []
    original = Image.open

    def spy(path: Any, *args: Any, **kwargs: Any) -> Any:
        opened.append(Path(path).name)
        return original(path, *args, **kwargs)

    monkeypatch.setattr(Image, "open", spy)
    frames = open_frames(tmp_path, FULL)
    assert opened == ["0.png"]
    frames.frame(3)
    assert opened == ["0.png", "3.png"]
