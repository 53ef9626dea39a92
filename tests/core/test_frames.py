from __future__ import annotations

import gc
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr

import sam2_core
from sam2_core.errors import ImageError
from sam2_core.frames import FrameStack, open_frames

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FULL = (0.0, 255.0)


def numbered(*shape: int, dtype: Any = np.uint8) -> np.ndarray:
    """A stack whose frame t is filled with 10 t."""
    stack = np.zeros(shape, dtype)
    stack += (
        (10 * np.arange(shape[0])).astype(dtype).reshape(-1, *[1] * (len(shape) - 1))
    )
    return stack


def grey_levels(frames: Any) -> list[int]:
    """The one grey level of each frame."""
    levels = []
    for index in range(len(frames)):
        values = np.unique(frames.frame(index))
        assert len(values) == 1
        levels.append(int(values[0]))
    return levels


class CountingArray:
    """An array that remembers every index expression it was read with."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim
        self.keys: list[Any] = []

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, key: Any) -> np.ndarray:
        self.keys.append(key)
        return self.array[key]


def as_zarr(array: np.ndarray) -> Any:
    stored = zarr.create_array(
        store={}, shape=array.shape, chunks=(1, *array.shape[1:]), dtype=array.dtype
    )
    stored[...] = array
    return stored


@pytest.mark.parametrize("convert", [np.asarray, da.from_array, as_zarr, list])
@pytest.mark.parametrize("shape", [(4, 6, 8), (4, 6, 8, 3), (4, 6, 8, 4)])
def test_arrays_of_every_kind(convert: Callable[..., Any], shape: Any) -> None:
    frames = open_frames(convert(numbered(*shape)), FULL)
    assert len(frames) == 4
    assert frames.shape == (6, 8)
    assert frames.frame(0).shape == (6, 8, 3)
    assert frames.frame(0).dtype == np.uint8
    assert grey_levels(frames) == [0, 10, 20, 30]


def test_one_image_is_a_stack_of_one() -> None:
    image = np.arange(48, dtype=np.uint8).reshape(6, 8)
    frames = open_frames(image, FULL)
    assert len(frames) == 1
    np.testing.assert_array_equal(frames.frame(0)[..., 1], image)
    assert open_frames(np.zeros((1, 1))).frame(0).tolist() == [[[0, 0, 0]]]


def test_one_rgb_image() -> None:
    image = np.random.default_rng(0).integers(0, 255, (32, 20, 3), np.uint8)
    with pytest.raises(ImageError, match="channel_axis=-1"):
        open_frames(image)
    np.testing.assert_array_equal(open_frames(image, channel_axis=-1).frame(0), image)
    np.testing.assert_array_equal(open_frames(image[None]).frame(0), image)


@pytest.mark.parametrize("channel_axis", [0, 1, 2, 3])
def test_channels_on_any_axis(channel_axis: int) -> None:
    rgb = np.random.default_rng(0).integers(0, 255, (4, 6, 8, 3), np.uint8)
    moved = np.moveaxis(rgb, -1, channel_axis)
    frames = open_frames(moved, channel_axis=channel_axis)
    assert (len(frames), frames.shape) == (4, (6, 8))
    for index in range(4):
        np.testing.assert_array_equal(frames.frame(index), rgb[index])


def test_two_channels_must_be_chosen_from() -> None:
    stack = numbered(4, 2, 6, 8)
    with pytest.raises(ImageError, match=r"2 channels.*select=\{1: 0\}"):
        open_frames(stack, channel_axis=1)


@pytest.mark.parametrize("axis", ["Y", "X", 0, -1])
def test_height_and_width_are_no_channels(tmp_path: Path, axis: int | str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", numbered(6, 8))
    with pytest.raises(ImageError, match="must stay free") as caught:
        open_frames(tmp_path / "a.tif", channel_axis=axis)
    assert "select" not in str(caught.value)  # a position on Y leaves no image


def test_time_lapse_of_volumes() -> None:
    tzyx = np.random.default_rng(0).integers(0, 255, (3, 4, 6, 8), np.uint8)
    with pytest.raises(ImageError, match=r"select=\{1: 0\}"):
        open_frames(tzyx)
    over_time = open_frames(tzyx, FULL, select={1: 2})
    through_z = open_frames(tzyx, FULL, select={0: -1})
    assert (len(over_time), len(through_z)) == (3, 4)
    np.testing.assert_array_equal(over_time.frame(1)[..., 0], tzyx[1, 2])
    np.testing.assert_array_equal(through_z.frame(3)[..., 0], tzyx[2, 3])


def test_selection_in_five_axes_with_channels_last() -> None:
    stack = np.random.default_rng(0).integers(0, 255, (3, 4, 6, 8, 3), np.uint8)
    frames = open_frames(stack, select={0: 1})
    np.testing.assert_array_equal(frames.frame(2), stack[1, 2])


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((5,), {}, "no image or stack"),
        ((0, 6, 8), {}, "empty"),
        ((4, 0, 8), {}, "empty"),
        ((3, 4, 6, 8), {"select": {1: 4}}, "choose 0 to 3"),
        ((3, 4, 6, 8), {"select": {7: 0}}, "no axis 7"),
        ((3, 4, 6, 8), {"select": {"Z": 0}}, "'Z'"),
        ((4, 6, 8), {"channel_axis": 5}, "no axis 5"),
        ((4, 6, 8, 3), {"channel_axis": 3, "select": {3: 0}}, "either"),
        ((4, 6, 8), {"value_range": (3, 3)}, "low < high"),
    ],
)
def test_unclear_arrays_are_refused(shape: Any, options: Any, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        open_frames(np.zeros(shape), **options)


@pytest.mark.parametrize("data", [[], (), None, 7, {"a": 1}, object(), [[]], [7]])
def test_what_is_no_stack_is_refused(data: Any) -> None:
    with pytest.raises(ImageError):
        open_frames(data)


@pytest.mark.parametrize("index", [-1, 4, 1000, -5])
def test_index_outside_is_refused(index: int) -> None:
    with pytest.raises(ImageError, match="0 to 3"):
        open_frames(numbered(4, 6, 8)).frame(index)


def test_numpy_index_is_an_index() -> None:
    assert open_frames(numbered(4, 6, 8), FULL).frame(np.int64(2))[0, 0, 0] == 20


def test_complex_array_is_refused() -> None:
    with pytest.raises(ImageError, match="complex"):
        open_frames(np.zeros((2, 6, 8), complex)).frame(0)


def test_list_with_an_odd_one_names_it() -> None:
    frames = open_frames([np.zeros((6, 8)), np.zeros((6, 9))])
    frames.frame(0)
    with pytest.raises(ImageError, match="Frame 1 has 6 x 9 pixels"):
        frames.frame(1)


def test_broken_chunk_names_the_frame() -> None:
    def read(block_info: Any = None) -> np.ndarray:
        if block_info[None]["chunk-location"][0] == 2:
            raise OSError("disk gone")
        return np.zeros((1, 6, 8))

    stack = da.map_blocks(read, chunks=((1,) * 4, (6,), (8,)), dtype=float)
    frames = open_frames(stack, (0, 1))
    frames.frame(1)
    with pytest.raises(ImageError, match="Frame 2 could not be read: disk gone"):
        frames.frame(2)


def test_opening_reads_nothing_and_a_frame_reads_one_frame() -> None:
    array = CountingArray(numbered(40, 6, 8, dtype=np.uint16))
    frames = open_frames(array, (0, 390))
    assert len(frames) == 40
    assert frames.shape == (6, 8)
    assert array.keys == []
    frames.frame(7)
    frames.frame(7)
    assert [key[0] for key in array.keys] == [7, 7]


def test_range_is_sampled_once_at_the_first_frame() -> None:
    array = CountingArray(numbered(20, 6, 8, dtype=np.uint16))
    frames = open_frames(array)
    assert array.keys == []
    frames.frame(3)
    assert len(array.keys) == 16 + 1
    frames.frame(4)
    assert len(array.keys) == 16 + 2


def test_dask_computes_one_chunk_per_frame() -> None:
    computed: list[int] = []

    def read(block_info: Any = None) -> np.ndarray:
        index = block_info[None]["chunk-location"][0]
        computed.append(index)
        return np.full((1, 6, 8), index, np.uint16)

    stack = da.map_blocks(
        read, chunks=((1,) * 30, (6,), (8,)), dtype=np.uint16, meta=np.empty((0, 0, 0))
    )
    frames = open_frames(stack, (0, 29))
    assert computed == []
    assert frames.frame(29)[0, 0, 0] == 255
    assert frames.frame(0)[0, 0, 0] == 0
    assert computed == [29, 0]


def test_one_range_for_the_whole_stack() -> None:
    """Frames of different brightness stay different: nothing is stretched singly."""
    stack = np.random.default_rng(0).normal(0, 1, (5, 50, 50)).astype(np.float32)
    stack += 100 * np.arange(5, dtype=np.float32)[:, None, None]
    frames = open_frames(stack)
    assert frames.value_range == pytest.approx(np.quantile(stack, [0.001, 0.999]))
    means = [frames.frame(index).mean() for index in range(5)]
    assert np.diff(means) == pytest.approx(255 / 4, rel=0.05)


def test_uint8_rgb_stack_is_taken_as_it_is() -> None:
    stack = np.random.default_rng(0).integers(50, 90, (3, 6, 8, 3), np.uint8)
    np.testing.assert_array_equal(open_frames(stack).frame(1), stack[1])


def test_value_range_given() -> None:
    frames = open_frames(numbered(4, 6, 8, dtype=np.float32), (0, 20))
    assert frames.value_range == (0.0, 20.0)
    assert grey_levels(frames) == [0, 128, 255, 255]


def test_frames_are_not_kept() -> None:
    """Reading 15 MB of frames leaves less than two frames allocated."""

    class Generated:
        shape, dtype, ndim = (60, 500, 500), np.dtype(np.uint8), 3

        def __getitem__(self, key: Any) -> np.ndarray:
            return np.full(self.shape[1:], key[0], np.uint8)

    frames = open_frames(Generated(), FULL)
    frames.frame(0)
    gc.collect()
    tracemalloc.start()
    for index in range(60):
        frames.frame(index)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 500_000


def test_the_array_is_not_changed_by_changing_a_frame() -> None:
    stack = numbered(4, 6, 8, 3)
    open_frames(stack).frame(1)[...] = 99
    assert stack[1].max() == 10


def test_frames_from_many_threads(tmp_path: Path) -> None:
    stack = np.random.default_rng(0).integers(0, 255, (20, 30, 40), np.uint8)
    tifffile.imwrite(tmp_path / "stack.tif", stack, compression="zlib")
    with open_frames(tmp_path / "stack.tif", FULL) as frames:
        order = np.random.default_rng(1).permutation(100) % 20
        with ThreadPoolExecutor(8) as pool:
            results = list(pool.map(frames.frame, order))
    for index, result in zip(order, results, strict=True):
        np.testing.assert_array_equal(result[..., 0], stack[index])


def test_threads_determine_the_range_once() -> None:
    class SlowArray(CountingArray):
        def __getitem__(self, key: Any) -> np.ndarray:
            time.sleep(0.002)
            return super().__getitem__(key)

    array = SlowArray(numbered(16, 6, 8, dtype=np.uint16))
    frames = open_frames(array)
    barrier = threading.Barrier(4)

    def read(_: int) -> tuple[float, float]:
        barrier.wait()
        return frames.value_range

    with ThreadPoolExecutor(4) as pool:
        ranges = set(pool.map(read, range(4)))
    assert len(ranges) == 1
    assert len(array.keys) == 16


def test_a_frame_source_is_returned_as_it_is() -> None:
    frames = open_frames(numbered(4, 6, 8))
    assert open_frames(frames) is frames
    with pytest.raises(ImageError, match="opened already"):
        open_frames(frames, value_range=(0, 1))


def test_closed_stack_says_so() -> None:
    with open_frames(numbered(4, 6, 8)) as frames:
        pass
    frames.close()
    with pytest.raises(ImageError, match="closed"):
        frames.frame(0)
    with pytest.raises(ImageError, match="closed"):
        _ = frames.value_range


def test_a_forgotten_stack_closes_its_file() -> None:
    class Raw:
        shape = (6, 8)
        closed = 0

        def __len__(self) -> int:
            return 1

        def __getitem__(self, index: int) -> np.ndarray:
            return np.zeros((6, 8))

        def name(self, index: int) -> str:
            return "raw"

        def close(self) -> None:
            self.closed += 1

    raw = Raw()
    frames = FrameStack(raw)
    frames.frame(0)
    assert raw.closed == 0
    del frames
    gc.collect()
    assert raw.closed == 1
    with pytest.raises(ImageError):
        FrameStack(raw, (1, 0))
    assert raw.closed == 2


def test_public_names() -> None:
    assert sam2_core.open_frames is open_frames
