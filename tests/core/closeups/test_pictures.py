"""Large frames of which only tiles are read, against the same frames read whole."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import torch
import zarr
from bright import Bright, iou
from micro import micro_model

from sam2_core.closeups import pictures
from sam2_core.closeups.closeups import CloseUps
from sam2_core.closeups.pictures import (
    TiledPicture,
    is_blank,
    picture_of,
    whole_picture,
)
from sam2_core.closeups.questions import NEARBY
from sam2_core.closeups.windows import Window, cut
from sam2_core.frames import open_frames
from sam2_core.nn.closeup import SIDE
from sam2_core.sources.frame_arrays import TILE, tile_of
from sam2_core.video import VideoSession

CPU = torch.device("cpu")
HW = (1400, 1900)


class Counted:
    """Frames that remember which parts were read."""

    def __init__(self, frames):
        self.frames, self.read = frames, []
        self.shape = frames.shape[1:3]
        self.tile = TILE, TILE

    def __len__(self):
        return len(self.frames)

    def frame(self, index):
        self.read.append((index, self.shape[0] * self.shape[1]))
        return self.frames[index].copy()

    def crop(self, index, rows, columns):
        part = np.ascontiguousarray(self.frames[index][rows, columns])
        self.read.append((index, part.shape[0] * part.shape[1]))
        return part


class Unknown:
    """An array that does not say how it is stored."""

    def __init__(self, shape):
        self.shape = shape

    def chunks(self):
        """Something else."""


class Whole:
    """Frames that can only be read whole."""

    def __init__(self, frames):
        self.frame, self.shape = frames.frame, frames.shape


def disc(x, y, radius, hw=HW):
    rows, columns = np.ogrid[: hw[0], : hw[1]]
    return (columns - x) ** 2 + (rows - y) ** 2 <= radius**2


@pytest.fixture
def noisy():
    """One frame, grey on the left and coloured on the right."""
    rng = np.random.default_rng(0)
    frame = np.repeat(rng.integers(0, 256, (*HW, 1), dtype=np.uint8), 3, 2)
    frame[:, 1100:] = rng.integers(0, 256, (HW[0], 800, 3), dtype=np.uint8)
    return frame


@pytest.mark.parametrize(
    ("rows", "columns"),
    [
        ((0, 10), (0, 10)),
        ((500, 530), (1000, 1100)),
        ((1000, HW[0]), (1030, HW[1])),
        ((0, HW[0]), (0, HW[1])),
        ((TILE, 2 * TILE), (TILE, 2 * TILE)),
    ],
)
def test_tiles_hold_what_the_frame_holds(noisy, rows, columns):
    tiled = TiledPicture(Counted(noisy[None]), 0, CPU)
    part = tiled[:, slice(*rows), slice(*columns)]
    expected = noisy[slice(*rows), slice(*columns)].transpose(2, 0, 1)
    np.testing.assert_array_equal(part.numpy(), expected)


def test_a_tile_is_read_once_and_only_when_it_is_looked_at(noisy):
    frames = Counted(noisy[None])
    tiled = TiledPicture(frames, 0, CPU)
    assert frames.read == []
    for _ in range(3):
        _ = tiled[:, 10:20, 510:520]
    assert frames.read == [(0, TILE**2)] * 2


def test_windows_of_tiles_are_windows_of_the_frame(noisy):
    windows = [
        Window(3.3, 7.1, 40.0),  # grey
        Window(1080.2, 500.9, 48.5),  # both, over a seam
        Window(1500.0, 900.0, 300.0),  # coloured, reduced
        Window(-100.0, -300.0, 2100.0),  # beyond the frame
    ]
    tiled = TiledPicture(Counted(noisy[None]), 0, CPU)
    whole = whole_picture(noisy, CPU)
    expected = cut(whole, windows, SIDE)
    torch.testing.assert_close(cut(tiled, windows, SIDE), expected, rtol=0, atol=0)


def test_small_frames_and_sources_without_parts_are_read_whole(noisy, monkeypatch):
    frames = Counted(noisy[None])
    assert isinstance(picture_of(frames, 0, CPU), TiledPicture)
    assert isinstance(picture_of(Whole(frames), 0, CPU), torch.Tensor)
    frames.tile = HW
    assert isinstance(picture_of(frames, 0, CPU), torch.Tensor)
    frames.tile = TILE, TILE
    monkeypatch.setattr(pictures, "TILED_FROM", 2000**2)
    assert isinstance(picture_of(frames, 0, CPU), torch.Tensor)


def test_tiles_are_whole_chunks(tmp_path):
    shape = (4, 2000, 3000)
    assert tile_of(np.zeros(shape, np.uint8), (1, 2)) == (TILE, TILE)
    assert tile_of(np.zeros((300, 4, 2000), np.uint8), (0, 2)) == (300, TILE)
    stored = zarr.create_array(
        tmp_path / "a.zarr", shape=shape, chunks=(1, 200, 700), dtype="u1"
    )
    assert tile_of(stored, (1, 2)) == (600, 700)
    frame_by_frame = da.zeros(shape, chunks=(1, 2000, 3000))
    assert tile_of(frame_by_frame, (1, 2)) == (2000, 3000)
    assert tile_of(da.zeros(shape, chunks=(1, 256, 256)), (1, 2)) == (TILE, TILE)
    assert tile_of(Unknown(shape), (1, 2)) == (2000, 3000)


def test_a_click_reads_what_is_about_it_and_more_for_a_large_object():
    hw, small, large = (3000, 4000), (3200, 400, 20), (1300, 1500, 1000)
    frame = np.full((*hw, 3), 20, np.uint8)
    for each in (small, large):
        frame[disc(*each, hw)] = 200
    network = Bright().eval()
    whole = CloseUps(network, frame)
    for each, most in ((small, (2 * NEARBY) ** 2), (large, hw[0] * hw[1])):
        frames = Counted(frame[None])
        close = CloseUps(network, TiledPicture(frames, 0, CPU))
        click = np.array([each[:2]], np.float32), np.array([1], np.int32)
        found = close.answers(*click)[0]
        assert iou((close.draw(found) > 0).numpy(), disc(*each, hw)) > 0.9
        assert sum(area for _, area in frames.read) <= most
        same = whole.answers(*click)[0]
        assert found.window == same.window
        torch.testing.assert_close(found.logits, same.logits, rtol=0, atol=0)


def test_an_object_is_followed_by_reading_little_of_each_frame():
    hw, length = (3000, 3000), 5
    stack = np.full((length, *hw, 3), 20, np.uint8)
    for t in range(length):
        stack[t][disc(700 + 5 * t, 600, 15, hw)] = 200
    model = micro_model(guided=True, closeups=True)
    model.closeup = Bright().eval()
    frames = Counted(stack)
    session = VideoSession(model, frames)
    session.add_prompts(0, 1, point_coords=[[700, 600]])
    frames.read.clear()
    for result in session.propagate():
        t = result.frame_index
        assert iou(result.masks[1], disc(700 + 5 * t, 600, 15, hw)) > 0.85
    assert {index for index, _ in frames.read} == set(range(1, length))
    for t in range(1, length):
        # It lies across one seam.
        assert sum(area for i, area in frames.read if i == t) <= 4 * TILE**2


def test_fewer_frames_are_sampled_of_huge_ones(monkeypatch):
    monkeypatch.setattr("sam2_core.frames.MOST_SAMPLED", 3 * 40 * 50)
    array = np.arange(10, dtype=np.uint16)[:, None, None] * np.ones((1, 40, 50), "u2")
    # The first, the middle and the last one, so the range is that of all.
    assert open_frames(array).value_range == (0, 9)


def test_parts_of_arrays_have_the_values_of_the_frame():
    rng = np.random.default_rng(1)
    array = rng.integers(0, 4000, (2, 60, 80), dtype=np.uint16)
    stack = open_frames(array, (100, 3000))
    part = stack.crop(1, slice(10, 30), slice(5, 80))
    np.testing.assert_array_equal(part, stack.frame(1)[10:30, 5:80])
    channels = open_frames(rng.random((2, 3, 60, 80)), channel_axis=1)
    part = channels.crop(0, slice(1, 4), slice(2, 9))
    np.testing.assert_array_equal(part, channels.frame(0)[1:4, 2:9])


@pytest.mark.parametrize("grey", [True, False])
def test_a_picture_is_blank_if_no_pixel_differs(grey):
    image = np.full((1100, 60, 3), (7, 7, 7) if grey else (7, 8, 9), np.uint8)
    near = slice(10, 20), slice(30, 40)
    nowhere = slice(0, 0), slice(0, 0)
    for where in (near, nowhere):
        assert is_blank(whole_picture(image, CPU), where)
    for at in ((12, 32), (0, 0), (1099, 59)):
        other = image.copy()
        other[*at, 1] += 1
        assert not is_blank(whole_picture(other, CPU), near)
        assert not is_blank(whole_picture(other, CPU), nowhere)
