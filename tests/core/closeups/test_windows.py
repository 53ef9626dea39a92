"""Windows cut out of an image and put back."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sam2_core.closeups.windows import Window, cut, paste

HW = (60, 100)


def ramps(hw=HW):
    """Image whose two channels are the x and y of each pixel."""
    y, x = np.mgrid[: hw[0], : hw[1]]
    return torch.from_numpy(np.stack((x, y)).astype(np.float32))


def test_a_window_of_its_own_size_is_a_slice():
    image = torch.rand(3, *HW)
    window = Window(9.5, 19.5, 32)  # pixels 10 to 41 and 20 to 51
    assert window.pixels(HW) == (10, 42, 20, 52)
    torch.testing.assert_close(
        cut(image, [window], 32)[0], image[:, 20:52, 10:42], rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("side", [8.0, 24.0, 50.0])
def test_every_scale_shows_the_same_places(side):
    window = Window(20.25, 5.5, side)
    found = cut(ramps(), [window], 16)[0]
    # Centre of output pixel k, in image pixels; ramps are kept by any averaging.
    at = (np.arange(16) + 0.5) * side / 16
    expected = np.stack(np.meshgrid(20.25 + at, 5.5 + at))
    np.testing.assert_allclose(found.numpy(), expected, atol=0.05)


def test_points_are_where_the_window_shows_them():
    window = Window(20.25, 5.5, 24)
    xy = np.array([[30.0, 12.0], [21.0, 29.0]], np.float32)
    for (x, y), (column, row) in zip(xy, window.points(xy, 96), strict=True):
        # Window pixel k has its centre at (k + 0.5) * 24 / 96.
        assert 20.25 + (column + 0.5) / 4 == pytest.approx(x)
        assert 5.5 + (row + 0.5) / 4 == pytest.approx(y)


def test_windows_move_into_the_image():
    window = Window.around((2, 58), 20, HW)
    assert (window.x, window.y) == (-0.5, 39.5)
    # Larger than the image is high: about its middle.
    tall = Window.around((49.5, 3), 80, HW)  # pixels 10 to 89
    assert tall.y == -0.5 + (60 - 80) / 2
    assert tall.pixels(HW) == (10, 90, 0, 60)


@pytest.mark.parametrize("side", [20.0, 96.0])
def test_what_is_pasted_lies_where_it_was_cut(side):
    image = torch.zeros(1, *HW)
    image[0, 20:34, 40:52] = 1
    window = Window.around((46, 27), side, HW)
    back, (rows, columns) = paste(cut(image, [window], 96)[0], window, HW)
    whole = torch.zeros(HW)
    whole[rows, columns] = back[0]
    assert ((whole > 0.5) == (image[0] > 0.5)).all()


def test_a_window_is_pasted_in_strips_as_at_once(monkeypatch):
    values = torch.rand(2, 32, 32, generator=torch.Generator().manual_seed(1))
    window = Window(-3.2, 11.7, 70)
    whole, (rows, columns) = paste(values, window, HW)
    monkeypatch.setattr(
        "sam2_core.closeups.windows.DRAWN_AT_ONCE", 7 * whole.shape[2] + 3
    )
    canvas = torch.full((2, *HW), -9.0)
    part, _ = paste(values, window, HW, canvas)
    torch.testing.assert_close(part, whole, rtol=0, atol=0)
    torch.testing.assert_close(canvas[:, rows, columns], whole, rtol=0, atol=0)
    assert (canvas == -9).sum() == canvas.numel() - whole.numel()


def test_beyond_the_image_its_edge_is_repeated():
    found = cut(ramps((10, 10)), [Window(-10.5, -0.5, 20)], 20)[0]
    assert (found[0, :, :10] < 0.01).all()


def test_grey_images_are_cut_once_and_look_the_same():
    grey = torch.randint(0, 255, (1, 70, 90), dtype=torch.uint8)
    windows = [Window(3.2, 5.1, 20), Window(-4.0, 1.0, 64), Window(0.5, 0.5, 300)]
    once = cut(grey.expand(3, -1, -1), windows, 32)
    assert once.shape == (3, 3, 32, 32)
    torch.testing.assert_close(
        once, cut(grey.repeat(3, 1, 1), windows, 32), rtol=0, atol=0
    )
