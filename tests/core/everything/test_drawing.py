from __future__ import annotations

import pytest
import torch

from sam2_core import transforms
from sam2_core.everything import drawing
from sam2_core.everything.drawing import MaskDrawer


def blobs(n: int, hw: tuple[int, int]) -> torch.Tensor:
    """Logits of -8 with a few bumps."""
    generator = torch.Generator().manual_seed(4)
    logits = torch.full((n, *hw), -8.0)
    for plane in logits:
        top, left = (int(torch.randint(0, s - 3, (), generator=generator)) for s in hw)
        bump = torch.randn(3, 3, generator=generator) * 8
        plane[top : top + 3, left : left + 3] = bump
        plane[top + 1, left + 1] = 6
    return logits


@pytest.mark.parametrize("image_hw", [(97, 131), (32, 32), (20, 25), (32, 90), (1, 1)])
@pytest.mark.parametrize("band", [500, 2**22])
def test_windows_hold_what_the_whole_holds(image_hw, band, monkeypatch) -> None:
    monkeypatch.setattr(drawing, "BAND_PIXELS", band)
    logits = blobs(12, (32, 32))
    whole = transforms.logits_to_image(logits[:, None], image_hw)[:, 0]
    drawer = MaskDrawer((32, 32), image_hw, torch.device("cpu"))
    for plane, expected, window in zip(
        logits, whole, drawer.windows(logits, -1.0), strict=True
    ):
        rest = expected.clone()
        if window is not None:
            part = rest[window.top : window.bottom, window.left : window.right]
            for rows, drawn in drawer.bands(plane, window):
                torch.testing.assert_close(drawn, part[rows], atol=1e-4, rtol=1e-5)
                assert drawn.numel() <= max(band, drawn.shape[1])
            part[:] = -8
        assert (rest <= -1.0).all()


def test_windows_are_small() -> None:
    logits = torch.full((1, 32, 32), -8.0)
    logits[0, 10, 20] = 5
    drawer = MaskDrawer((32, 32), (320, 640), torch.device("cpu"))
    (window,) = drawer.windows(logits, 0.0)
    assert window is not None
    # Pixels between the centres of the neighbours: 20 high, 40 wide.
    assert (window.top, window.bottom) == (95, 115)
    assert (window.left, window.right) == (390, 430)


def test_nothing_to_draw() -> None:
    drawer = MaskDrawer((16, 16), (50, 50), torch.device("cpu"))
    assert drawer.windows(torch.full((2, 16, 16), -3.0), -1.0) == [None, None]
