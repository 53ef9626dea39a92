"""Scaling between images and the network, against formulas and recorded checksums."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
import torch
from golden import Golden, inputs
from PIL import Image

from sam2_core import transforms

CPU = torch.device("cpu")


def colours(pixels: torch.Tensor) -> np.ndarray:
    """Undo the normalisation, (3, S, S) in 0 to 255."""
    mean = np.array([0.485, 0.456, 0.406])[:, None, None]
    std = np.array([0.229, 0.224, 0.225])[:, None, None]
    return (pixels[0].numpy() * std + mean) * 255


def ramp(height: int, width: int) -> np.ndarray:
    """Red grows with x, green with y, blue is constant."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x, 2 * y, np.full_like(x, 77)], -1).astype(np.uint8)


@pytest.mark.parametrize("make", [transforms.image_to_input, transforms.frame_to_input])
def test_input_follows_pixel_centres(make):
    size, height, width = 64, 40, 128
    pixels = make(ramp(height, width), size, CPU)
    assert pixels.shape == (1, 3, size, size)
    assert pixels.dtype == torch.float32
    centre = np.arange(size) + 0.5
    red, green, blue = colours(pixels)
    inner = slice(4, -4)
    x = centre * width / size - 0.5
    y = centre * height / size - 0.5
    np.testing.assert_allclose(red[32, inner], x[inner], atol=0.6)
    np.testing.assert_allclose(green[inner, 32], 2 * y[inner], atol=0.6)
    np.testing.assert_allclose(blue, 77, atol=1e-3)


@pytest.mark.parametrize(
    "hw", [(64, 64), (40, 128), (300, 90)], ids=["larger", "mixed", "smaller"]
)
def test_matrix_products_resize_as_pillow_does(hw):
    # Noise of black and white overshoots most, so rounding and clipping both matter.
    noise = np.random.default_rng(3).choice([0, 90, 255], (*hw, 3)).astype(np.uint8)
    rows = Image.fromarray(noise).resize((128, hw[0]), Image.BICUBIC)
    pillow = np.array(rows.resize((128, 128), Image.BICUBIC))
    ours = transforms.bicubic(torch.from_numpy(noise), 128).numpy()
    off = np.abs(ours - pillow)
    assert off.max() <= 1
    assert (off > 0).mean() < 1e-3


def test_image_is_averaged_where_it_shrinks():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 200
    pixels = transforms.image_to_input(stripes, 16, CPU)
    np.testing.assert_allclose(colours(pixels)[:, :, 2:-2], 100, atol=1)


def test_float_images_are_taken_as_they_are():
    image = ramp(16, 16)
    ours = transforms.image_to_input(image.astype(np.float32) / 255, 32, CPU)
    assert torch.allclose(ours, transforms.image_to_input(image, 32, CPU), atol=1e-5)


def test_views_with_negative_strides_are_accepted():
    image = ramp(16, 20)
    flipped = transforms.image_to_input(image[:, ::-1], 32, CPU)
    upright = transforms.image_to_input(image, 32, CPU)
    assert torch.allclose(flipped.flip(-1), upright, atol=1e-5)


def test_frames_are_resized_as_recorded():
    golden = Golden.load("sam2.1_hiera_t/video_absent")
    mean = torch.tensor(transforms.MEAN)[:, None, None]
    std = torch.tensor(transforms.STD)[:, None, None]
    wanted = golden.arrays["c00.frame_resized_crc32"]
    for frame, crc in zip(inputs()["frames"][:3], wanted[:3], strict=True):
        pixels = transforms.frame_to_input(frame, 1024, CPU)[0] * std + mean
        resized = (pixels * 255).round().byte().permute(1, 2, 0).contiguous()
        assert zlib.crc32(resized.numpy().tobytes()) == crc


def test_image_is_resized_as_recorded():
    golden = Golden.load("sam2.1_hiera_t/image_fallback")
    pixels = transforms.image_to_input(inputs()["photo"], 1024, CPU)
    golden.check_tensor("c00.input", pixels)


def test_points_scale_each_axis_by_itself():
    got = transforms.points_to_input([[[10, 20], [100, 50]]], (50, 100), 1024)
    np.testing.assert_allclose(got, [[[102.4, 409.6], [1024, 1024]]], rtol=1e-6)
    assert got.dtype == np.float32


def test_logits_are_drawn_linearly():
    low = torch.arange(16.0).expand(1, 2, 16, 16)
    drawn = transforms.logits_to_image(low, (48, 80))
    assert drawn.shape == (1, 2, 48, 80)
    x = (np.arange(80) + 0.5) * 16 / 80 - 0.5
    np.testing.assert_allclose(drawn[0, 1, 7], x.clip(0, 15), atol=1e-4)
    assert transforms.logits_to_input(low, 64).shape == (1, 2, 64, 64)


def test_masks_stay_binary():
    mask = np.zeros((30, 50), bool)
    mask[:, 25:] = True
    drawn = transforms.mask_to_input(mask, 128, CPU)
    assert drawn.shape == (1, 1, 128, 128)
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    assert drawn[0, 0, :, 64:].all()
    assert not drawn[0, 0, :, :64].any()


def test_masks_of_the_right_size_are_untouched():
    mask = np.random.default_rng(1).random((64, 64)) > 0.5
    drawn = transforms.mask_to_input(mask, 64, CPU)
    np.testing.assert_array_equal(drawn[0, 0].numpy(), mask)


def test_given_masks_shrink_with_antialiasing():
    logits = torch.full((1, 1, 64, 64), -10.0)
    logits[..., 1::2] = 10.0
    low = transforms.input_to_low_res(logits, 16)
    np.testing.assert_allclose(low[0, 0, :, 2:-2], 0, atol=1e-4)
