from __future__ import annotations

import numpy as np
import pytest

from sam2_core.errors import PromptError
from sam2_core.everything.crops import (
    Crop,
    check_grids,
    layer_grids,
    make_crops,
    point_grid,
)


def test_points_are_centres_row_by_row() -> None:
    np.testing.assert_allclose(
        point_grid(2), [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)]
    )


def test_fewer_points_in_deeper_layers() -> None:
    assert [len(grid) for grid in layer_grids(8, 2, 2)] == [64, 16, 4]
    with pytest.raises(PromptError, match="no point in crop layer 2"):
        layer_grids(3, 2, 2)


def test_only_the_whole_without_layers() -> None:
    assert make_crops((0, 0, 9, 7), 0, 0.3) == [Crop((0, 0, 9, 7), 0)]


def test_quarters_overlap() -> None:
    # Overlap 0.2 * 60 = 12, so sides are (100 + 12) / 2 and (60 + 12) / 2.
    assert [crop.box for crop in make_crops((0, 0, 100, 60), 1, 0.2)[1:]] == [
        (0, 0, 56, 36),
        (0, 24, 56, 60),
        (44, 0, 100, 36),
        (44, 24, 100, 60),
    ]


@pytest.mark.parametrize("size", [(100, 61), (3, 50), (1, 1)])
def test_each_layer_covers_the_region(size: tuple[int, int]) -> None:
    width, height = size
    crops = make_crops((7, 9, 7 + width, 9 + height), 3, 512 / 1500)
    for layer in range(4):
        seen = np.zeros((80, 120), bool)
        for crop in crops:
            if crop.layer == layer:
                assert min(crop.hw) > 0
                x0, y0, x1, y1 = crop.box
                seen[y0:y1, x0:x1] = True
        assert seen[9 : 9 + height, 7 : 7 + width].all()
        assert seen.sum() == width * height


def test_cut_by_the_crop_but_not_by_the_image() -> None:
    crop = Crop((0, 50, 100, 150), 1)
    image_hw = (400, 400)
    assert not crop.is_cut((0, 80, 30, 110), image_hw, 5)  # the image's own border
    assert not crop.is_cut((40, 60, 60, 80), image_hw, 5)
    assert crop.is_cut((40, 55, 60, 80), image_hw, 5)
    assert crop.is_cut((40, 60, 96, 80), image_hw, 5)
    assert crop.is_cut((40, 60, 60, 149), image_hw, 1)
    assert not crop.is_cut((40, 60, 60, 148), image_hw, 1)


@pytest.mark.parametrize(
    "grids",
    [
        [],
        [[(0.5, 0.5)], [(0.5, 0.5)]],
        [[(0.5, 1.5)]],
        [[(0.5, 0.5, 0.5)]],
        [np.zeros((0, 2))],
        [[(float("nan"), 0.5)]],
        ["here"],
    ],
)
def test_bad_grids(grids: list) -> None:
    with pytest.raises(PromptError, match="point_grids"):
        check_grids(grids, 0)
