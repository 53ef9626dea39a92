"""The network of close-ups: its input maps, and what folding leaves unchanged."""

from __future__ import annotations

import pytest
import torch

from sam2_core.nn.closeup import (
    MAPS,
    CloseUp,
    folded,
    frame_maps,
    prompt_maps,
    standardised,
    window_maps,
)


def test_folding_changes_nothing_but_the_normalisation():
    torch.manual_seed(0)
    learning = CloseUp(learning=True)
    with torch.no_grad():
        for module in learning.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
                module.weight.normal_(1, 0.3)
                module.bias.normal_()
    learning.eval()
    plain = folded(learning).eval()
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in plain.modules())
    maps = torch.randn(2, MAPS, 32, 32)
    with torch.no_grad():
        expected, found = learning(maps), plain(maps)
    scale = expected.logits.abs().max()
    assert (expected.logits - found.logits).abs().max() < 1e-4 * scale
    torch.testing.assert_close(expected.iou, found.iou, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(expected.present, found.present, rtol=1e-3, atol=1e-3)


def test_the_mask_has_the_size_of_the_window():
    with torch.no_grad():
        seen = CloseUp().eval()(torch.zeros(3, MAPS, 48, 64))
    assert seen.logits.shape == (3, 48, 64)
    assert seen.iou.shape == seen.present.shape == (3,)


def test_contrast_and_brightness_do_not_matter():
    window = torch.rand(1, 3, 16, 16) * 100
    plain = standardised(window)
    assert plain.mean().abs() < 1e-5
    assert plain.std() == pytest.approx(1, abs=0.2)
    # Only the constant that keeps flat windows flat tells them apart.
    torch.testing.assert_close(standardised(window * 2 + 40), plain, rtol=0.1, atol=0.1)
    assert standardised(torch.full((1, 3, 8, 8), 77.0)).abs().max() == 0


def test_the_frame_before_is_seen_to_be_brighter():
    faint = torch.rand(1, 3, 16, 16) * 20
    bright = faint.mean(1, keepdim=True) * 3 + 50
    assert standardised(bright).mean().abs() < 1e-5
    seen = standardised(bright, faint)
    assert seen.mean() > 2
    assert seen.max() <= 8
    torch.testing.assert_close(standardised(faint, faint), standardised(faint))


def test_clicks_are_spots_at_their_place():
    xy = torch.tensor([[[4.0, 10.0], [12.0, 3.0], [0.0, 0.0]]])
    maps = prompt_maps(xy, torch.tensor([[1, 0, -1]]), None, side=16)[0]
    for spot, glow, (x, y) in ((0, 1, (4, 10)), (2, 3, (12, 3))):
        for index in (spot, glow):
            assert divmod(int(maps[index].argmax()), 16) == (y, x)
            assert maps[index, y, x] == 1
        # Two pixels off a spot of reach 2: exp(-1/2); a glow reaches farther.
        assert maps[spot, y, x - 2] == pytest.approx(0.6065, abs=1e-3)
        assert maps[glow, y, x - 2] > 0.9
    assert (maps[4:] == 0).all()


def test_a_box_is_filled_and_padding_draws_nothing():
    corners = torch.tensor([[[3.0, 2.0], [9.0, 12.0]], [[5.0, 5.0], [5.0, 5.0]]])
    labels = torch.tensor([[2, 3], [-1, -1]])
    boxed, empty = prompt_maps(corners, labels, None, side=16)
    inside = torch.full((16, 16), -1.0)
    inside[2:13, 3:10] = 1
    torch.testing.assert_close(boxed[4], inside)
    assert boxed[5, 7, 6] == 1  # middle of the ellipse
    assert boxed[5, 2, 3] == -1  # a corner of the box lies outside it
    assert (empty == 0).all()


def test_window_maps_join_everything_in_order():
    windows = torch.rand(2, 3, 16, 16) * 255
    prompts, before = torch.rand(2, 7, 16, 16), torch.rand(2, 4, 16, 16)
    maps = window_maps(windows, prompts, before)
    assert maps.shape == (2, MAPS, 16, 16)
    torch.testing.assert_close(maps[:, 3:10], prompts)
    torch.testing.assert_close(maps[:, 10:], before)
    assert (window_maps(windows, prompts)[:, 10:] == 0).all()


def test_other_frames_are_seen_in_the_light_of_the_present_one():
    windows = torch.rand(2, 3, 16, 16) * 255
    grey = torch.rand(2, 2, 16, 16) * 255
    masks = torch.where(torch.rand(2, 2, 16, 16) > 0.5, 1.0, -1.0)
    masks[1, 1] = 0  # the second object's prompted frame is not known
    maps = frame_maps(windows, grey, masks)
    for i in range(2):
        mean = windows[i].mean()
        spread = (windows[i] - mean).square().mean().sqrt()
        seen = (grey[i] - mean) / (spread + 4)
        torch.testing.assert_close(maps[i, 0], seen[0])
        torch.testing.assert_close(maps[i, 1], masks[i, 0])
        torch.testing.assert_close(maps[i, 2], seen[1] * (i == 0))
        torch.testing.assert_close(maps[i, 3], masks[i, 1])
