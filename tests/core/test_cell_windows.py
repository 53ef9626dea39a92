"""Windows of the feature grid: where they lie, and what is cut out and put back."""

from __future__ import annotations

import pytest
import torch
from micro import micro_model

from sam2_core.cell_windows import (
    Area,
    CellWindow,
    crop,
    crop_features,
    occupied,
    paste,
)
from sam2_core.memory import Memory
from sam2_core.stacks import tracking

GRID = 64


@pytest.mark.parametrize(
    ("side", "window"), [(1, 16), (8, 16), (8.5, 24), (12, 24), (16, 32), (16.5, None)]
)
def test_windows_are_twice_as_wide_as_the_object(side, window):
    found = CellWindow.around(Area(20, 20, 20 + side, 22), GRID)
    assert (None if found is None else found.side) == window


def test_windows_are_around_the_object_and_inside_the_frame():
    assert CellWindow.around(Area(30, 40, 34, 44), GRID) == CellWindow(24, 34, 16)
    assert CellWindow.around(Area(0, 60, 4, 64), GRID) == CellWindow(0, 48, 16)


def test_larger_ones_on_request():
    area = Area(30, 40, 34, 44)
    assert CellWindow.around(area, GRID, beyond=16) == CellWindow(20, 30, 24)
    assert CellWindow.around(area, GRID, beyond=32) is None


def test_masks_at_the_border_are_cut_but_not_at_the_frames():
    window = CellWindow(0, 20, 16)
    assert not window.cuts(Area(0, 25, 5, 30), GRID)
    assert window.cuts(Area(0, 20.5, 5, 30), GRID)
    assert window.cuts(Area(3, 25, 15.5, 30), GRID)
    assert not CellWindow(48, 48, 16).cuts(Area(50, 50, 64, 64), GRID)


def test_where_masks_are_without_their_specks():
    logits = torch.full((3, 1, 256, 256), -1.0)
    logits[0, 0, 40:60, 80:100] = 1
    logits[0, 0, 250, 3] = 1
    logits[1, 0, 8, 12] = 1
    areas = occupied(logits)
    assert areas == [Area(10, 20, 15, 25), Area(2, 3, 2.25, 3.25), None]


def test_what_is_cut_out_can_be_put_back():
    logits = torch.randn(2, 1, 32, 32)
    windows = [CellWindow(1, 2, 3), CellWindow(5, 0, 3)]
    whole = paste(crop(logits, windows, 4), windows, 8)
    for row, (top, left) in enumerate([(4, 8), (20, 0)]):
        inside = (row, 0, slice(top, top + 12), slice(left, left + 12))
        torch.testing.assert_close(whole[inside], logits[inside])
        whole[inside] = -1024
    assert (whole == -1024).all()


def test_a_window_holds_the_frames_features_and_knows_where_they_are():
    features = micro_model().encode_image(torch.randn(1, 3, 128, 128))
    seen = crop_features(features, [CellWindow(2, 3, 2), CellWindow(6, 0, 2)], 8)
    assert seen.cells.tolist() == [[[19, 20], [27, 28]], [[48, 49], [56, 57]]]
    torch.testing.assert_close(
        seen.embedding[1], features.embedding[0, :, 6:8, 0:2], rtol=0, atol=0
    )
    torch.testing.assert_close(
        seen.high_res[0][0], features.high_res[0][0, :, 8:16, 12:20], rtol=0, atol=0
    )
    torch.testing.assert_close(
        seen.high_res[1][0], features.high_res[1][0, :, 4:8, 6:10], rtol=0, atol=0
    )


@pytest.mark.parametrize("corner", [(0, 0), (3, 14), (12, 9), (24, 24)])
def test_memories_are_those_of_the_frame_with_their_halo(corner):
    """On a grid of 32 cells a window of 8 with its halo takes 24."""
    model = micro_model(image_size=512)
    features = model.encode_image(torch.randn(1, 3, 512, 512))
    found = Memory(
        torch.randn(1, 1, 128, 128) * 4,
        torch.ones(1),
        torch.ones(1, 1),
        torch.zeros(1, 32),
    )
    whole = tracking.remember(model, features, found, prompted=False).float()
    window = CellWindow(*corner, 8)
    wide = window.widened(32)
    assert wide.side == 24
    part = Memory(crop(found.logits, [wide], 4), *_others(found))
    seen = crop_features(features, [wide], 32)
    spatial = tracking.remember(model, seen, part, prompted=False).float()
    at = CellWindow(window.row - wide.row, window.column - wide.column, 8)
    torch.testing.assert_close(
        at.part(spatial), window.part(whole), rtol=0.01, atol=1e-3
    )


def _others(memory):
    return memory.iou, memory.object_score, memory.pointer
