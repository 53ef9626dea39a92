from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import zarr

from sam2_core.errors import AxesError, ImageError
from sam2_core.frames import CroppedStack, open_frames

if TYPE_CHECKING:
    from pathlib import Path

FULL = (0, 255)
STACK = np.random.default_rng(5).integers(0, 256, (3, 4, 2, 12, 15)).astype(np.uint8)
AXES = [{"name": name} for name in "tczyx"]


def ome(path: Path, levels: int = 2, **about: object) -> Path:
    """An image of the axes TCZYX in OME-Zarr 0.4 (or with `about` in place of it)."""
    group = zarr.open_group(str(path), mode="w")
    for level in range(levels):
        data = STACK.swapaxes(1, 2)[..., :: 2**level, :: 2**level]
        group.create_array(str(level), shape=data.shape, dtype=data.dtype)
        group[str(level)][:] = data
    datasets = [{"path": str(level)} for level in range(levels)]
    multiscales = [{"axes": AXES, "datasets": datasets}]
    group.attrs.update(about or {"multiscales": multiscales})
    return path


def test_an_array_is_opened_from_its_folder(tmp_path: Path) -> None:
    data = STACK[:, 0, 0]
    array = zarr.open_array(
        str(tmp_path / "a.zarr"), mode="w", shape=data.shape, dtype=data.dtype
    )
    array[:] = data
    with open_frames(tmp_path / "a.zarr", FULL) as frames:
        assert isinstance(frames, CroppedStack)
        assert (len(frames), frames.shape) == (3, (12, 15))
        np.testing.assert_array_equal(frames.frame(2)[..., 0], data[2])
        crop = frames.crop(1, slice(2, 7), slice(3, 9))
        np.testing.assert_array_equal(crop[..., 1], data[1, 2:7, 3:9])


def test_axes_of_ome_zarr_have_letters(tmp_path: Path) -> None:
    path = ome(tmp_path / "image.zarr")
    with pytest.raises(AxesError, match=r"image.zarr has the axes TCZYX") as caught:
        open_frames(path)
    assert caught.value.axes == ("Z", "C")
    frames = open_frames(path, FULL, select={"C": 1, "T": 2})
    assert len(frames) == 4
    np.testing.assert_array_equal(frames.frame(3)[..., 0], STACK[2, 3, 1])


def test_the_later_layout_of_ome_zarr(tmp_path: Path) -> None:
    datasets = [{"path": "0"}]
    path = ome(
        tmp_path / "image.zarr",
        ome={"multiscales": [{"axes": AXES, "datasets": datasets}]},
    )
    frames = open_frames(path, FULL, select={"C": 0, "Z": 3})
    np.testing.assert_array_equal(frames.frame(1)[..., 0], STACK[1, 3, 0])


def test_a_group_of_one_array(tmp_path: Path) -> None:
    path = ome(tmp_path / "group.zarr", 1, note="no image")
    frames = open_frames(path, FULL, select={0: 1, 1: 1})
    np.testing.assert_array_equal(frames.frame(2)[..., 0], STACK[1, 2, 1])


def test_stores_without_one_array_are_refused(tmp_path: Path) -> None:
    path = ome(tmp_path / "two.zarr", 2, note="no image")
    with pytest.raises(ImageError, match=r"two.zarr holds 2 arrays: give the folder"):
        open_frames(path)
    (tmp_path / "broken.zarr").mkdir()
    (tmp_path / "broken.zarr" / "zarr.json").write_text("{")
    with pytest.raises(ImageError, match=r"broken.zarr could not be read"):
        open_frames(tmp_path / "broken.zarr")


def test_a_folder_without_images_says_so(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"There are no images in the folder [^;]*$"):
        open_frames(tmp_path)
