from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from napari.layers import Image

from napari_sam2._images import frames_of, split_position, value_range
from sam2_core import ImageError


def test_contrast_limits_become_black_and_white():
    data = np.array([[100, 200], [300, 400]], np.uint16)
    image = Image(data, contrast_limits=(100, 300))
    frame = frames_of(image, (0, 1), (), None).frame(0)
    assert frame.dtype == np.uint8
    np.testing.assert_allclose(
        frame[..., 0].astype(int), [[0, 127.5], [255, 255]], atol=1
    )
    assert (frame[..., 0] == frame[..., 2]).all()


def test_every_frame_gets_the_same_contrast():
    data = np.stack([np.full((4, 4), v, np.float32) for v in (0.0, 5.0, 10.0)])
    frames = frames_of(Image(data, contrast_limits=(0, 10)), (1, 2), (0,), 0)
    assert len(frames) == 3
    assert frames.shape == (4, 4)
    levels = [int(frames.frame(i).mean()) for i in range(3)]
    assert levels[0] == 0
    assert levels[1] == pytest.approx(127, abs=1)
    assert levels[2] == 255


def test_changed_contrast_makes_other_frames():
    image = Image(np.random.default_rng(0).random((3, 8, 8)))
    before = frames_of(image, (1, 2), (0,), 0)
    assert before == frames_of(image, (1, 2), (2,), 0)  # same line of frames
    image.contrast_limits = (0.2, 0.6)
    assert before != frames_of(image, (1, 2), (0,), 0)


def test_rgb_is_taken_as_it_is_and_alpha_dropped():
    rgb = np.random.default_rng(0).integers(0, 255, (3, 8, 9, 3), np.uint8)
    image = Image(rgb, rgb=True)
    assert value_range(image) is None
    np.testing.assert_array_equal(frames_of(image, (1, 2), (1,), 0).frame(2), rgb[2])
    rgba = np.concatenate([rgb, np.full((3, 8, 9, 1), 255, np.uint8)], -1)
    frame = frames_of(Image(rgba, rgb=True), (1, 2), (1,), 0).frame(0)
    np.testing.assert_array_equal(frame, rgb[0])


def test_rgb_of_floats_runs_from_0_to_1():
    image = Image(np.full((4, 5, 3), 0.5, np.float32), rgb=True)
    assert frames_of(image, (0, 1), (), None).frame(0).mean() == pytest.approx(
        127.5, abs=1
    )


def test_multiscale_is_read_at_full_resolution():
    fine = np.random.default_rng(0).random((64, 48))
    image = Image([fine, fine[::2, ::2]], multiscale=True, contrast_limits=(0, 1))
    frames = frames_of(image, (0, 1), (), None)
    assert frames.shape == (64, 48)
    np.testing.assert_allclose(frames.frame(0)[..., 0], fine * 255, atol=1)


def test_dask_is_computed_one_frame_at_a_time():
    asked = []

    def load(block_info=None):
        asked.append(block_info[None]["chunk-location"][0])
        return np.full((1, 8, 9), asked[-1], np.float32)

    lazy = da.map_blocks(
        load, chunks=((1,) * 50, (8,), (9,)), dtype=np.float32, meta=np.empty((0, 0, 0))
    )
    image = Image(lazy, contrast_limits=(0, 50), multiscale=False, rgb=False)
    asked.clear()
    frame = frames_of(image, (1, 2), (0,), 0).frame(25)
    assert asked == [25]
    assert frame.mean() == pytest.approx(127, abs=1)


def test_4d_frames_along_either_axis_hold_the_other():
    data = np.zeros((2, 3, 4, 5), np.float32)
    data[1, :, 0, 0] = [10, 20, 30]
    data[:, 2, 1, 1] = [40, 50]
    image = Image(data, contrast_limits=(0, 255))
    along_z = frames_of(image, (2, 3), (1, 0), 1)
    assert [along_z.frame(i)[0, 0, 0] for i in range(len(along_z))] == [10, 20, 30]
    along_t = frames_of(image, (2, 3), (0, 2), 0)
    assert [along_t.frame(i)[1, 1, 0] for i in range(len(along_t))] == [40, 50]
    assert along_t.position(1) == (1, 2)
    assert split_position((2, 3), (1, 2), 0) == ((2,), 1)
    assert split_position((2, 3), (1, 2), 1) == ((1,), 2)


def test_planes_along_other_axes():
    data = np.random.default_rng(0).random((6, 7, 8))
    image = Image(data, contrast_limits=(0, 1))
    frames = frames_of(image, (0, 2), (3,), 1)
    assert frames.shape == (6, 8)
    np.testing.assert_allclose(frames.frame(5)[..., 0], data[:, 5] * 255, atol=1)


def test_a_frame_that_cannot_be_read_is_named_whole_or_in_part():
    def load(block_id=None):
        if block_id[0] == 2:
            raise OSError("disk failure\ndetails")
        return np.zeros((1, 8, 9), np.float32)

    lazy = da.map_blocks(
        load, chunks=((1,) * 4, (8,), (9,)), dtype=np.float32, meta=np.empty((0, 0, 0))
    )
    image = Image(lazy, contrast_limits=(0, 50), multiscale=False, rgb=False)
    frames = frames_of(image, (1, 2), (0,), 0)
    said = r"^Frame 2 of the image cannot be read \(disk failure\); what is done"
    with pytest.raises(ImageError, match=said):
        frames.frame(2)
    with pytest.raises(ImageError, match=said):
        frames.crop(2, slice(0, 3), slice(0, 3))
    assert frames.crop(1, slice(0, 3), slice(0, 4)).shape == (3, 4, 3)


def test_unusable_images_are_refused():
    with pytest.raises(ImageError, match="too small"):
        frames_of(Image(np.zeros((5, 1, 9))), (1, 2), (0,), 0)
