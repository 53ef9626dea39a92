"""Parts of a plane, and which part is looked at."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_sam2._masks import PackedMask
from napari_sam2._prompts import MaskPrompt, ObjectPrompts
from napari_sam2._state import SegmentationState
from napari_sam2.picture._region import Looked, around, cuts, doubled, excerpt, extent
from napari_sam2.picture._sight import Sight

HW = (4000, 6000)
OFFICIAL = "sam2.1_hiera_tiny"


def test_regions_stay_inside_and_keep_their_size():
    assert around((10, 20, 30, 40), 100, HW) == (0, 0, 100, 100)
    assert around((5990, 3990, 6000, 4000), 100, HW) == (5900, 3900, 6000, 4000)
    assert around((100, 200, 400, 300), 50, HW) == (100, 200, 400, 300)
    assert around((0, 0, 10, 10), 9999, HW) == (0, 0, 6000, 4000)


def test_a_weight_file_is_looked_at_like_the_model_it_holds():
    mine = "/data/mine.safetensors"
    s, image = sight(HW, 1.0, (2000, 3000), model=mine)
    frames = s.frames(image, (0, 1), (), None)
    at_first = s.part(frames, image, None).region
    s.state.close_ups[mine] = True  # as the engine says once it is loaded
    assert s.ahead(frames, image) is None
    click = ObjectPrompts(points_xy=((3000.0, 2000.0),), point_labels=(1,))
    found = s.part(frames, image, click).region
    bundled, other = sight(HW, 1.0, (2000, 3000), model="sam2_nano")
    expected = bundled.part(bundled.frames(other, (0, 1), (), None), other, click)
    assert found == expected.region
    assert at_first is not None


def test_doubling_grows_about_the_same_place():
    assert doubled((1000, 1000, 1200, 1100), HW) == (900, 950, 1300, 1150)
    assert doubled((0, 0, 200, 100), HW) == (0, 0, 400, 200)


def test_only_inner_edges_cut():
    mask = np.zeros((10, 20), bool)
    mask[4, 0] = True
    assert cuts((100, 100, 120, 110), mask, HW)
    assert not cuts((0, 100, 20, 110), mask, HW)
    assert not cuts((100, 100, 120, 110), np.eye(10, 20, 5, dtype=bool) & False, HW)


def test_prompts_move_into_the_region_with_their_masks():
    mask = np.zeros((100, 200), bool)
    mask[40:50, 60:80] = True
    packed = PackedMask.of(mask[30:60, 50:90], (30, 50), (100, 200))
    np.testing.assert_array_equal(packed.unpack(), mask)
    assert packed.bounds() == (60, 40, 79, 49)
    clicks = ObjectPrompts(points_xy=((70.5, 45.0),), point_labels=(1,))
    prompts = ObjectPrompts(
        points_xy=((70.5, 45.0),),
        point_labels=(1,),
        start=MaskPrompt(packed, clicks),
    )
    assert extent(prompts) == (60, 40, 79, 49)
    part = excerpt(prompts, (40, 20, 140, 80))
    assert part.points_xy == ((30.5, 25.0),)
    np.testing.assert_array_equal(part.start.mask.unpack(), mask[20:80, 40:140])
    assert part.answer is not None
    assert prompts.answer is packed


def sight(hw, zoom, center, model=OFFICIAL, part="auto"):
    """With a canvas of 800 x 600 pixels about a place (row, column)."""
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros(hw, np.uint8))
    viewer.canvas.size = (600, 800)
    viewer.scene.camera.zoom = zoom
    viewer.scene.camera.center = (0, *center)
    return Sight(viewer, SegmentationState(model=model, part=part)), image


def look(eye, image, x, y):
    frames = eye.frames(image, (0, 1), (), None)
    return eye.part(frames, image, ObjectPrompts(((x, y),), (1,))).region


def test_zoomed_in_the_part_on_screen_is_looked_at():
    eye, image = sight(HW, 4.0, (1000, 2000))
    x0, y0, x1, y1 = look(eye, image, 2000, 1000)
    assert (x0 + x1) / 2 == pytest.approx(2000, abs=2)
    assert (y0 + y1) / 2 == pytest.approx(1000, abs=2)
    assert 200 <= x1 - x0 <= 300  # 800 / 4 on screen, and a margin
    assert 150 <= y1 - y0 <= 220


def test_small_images_and_those_seen_whole_are_not_cut():
    eye, image = sight((900, 1200), 4.0, (400, 400))
    assert look(eye, image, 400, 400) is None
    eye.state.part = "screen"
    assert look(eye, image, 400, 400) is not None
    eye, image = sight(HW, 0.13, (2000, 3000))
    assert look(eye, image, 3000, 2000) is None
    eye, image = sight(HW, 4.0, (1000, 2000), part="whole")
    assert look(eye, image, 2000, 1000) is None


def test_close_ups_never_need_all_of_a_large_image():
    eye, image = sight(HW, 0.13, (2000, 3000), model="sam2_nano")
    x0, y0, x1, y1 = look(eye, image, 5990, 10)
    assert (x0, y0) == (6000 - 2048, 0) or x1 == 6000
    assert max(x1 - x0, y1 - y0) <= 2050
    eye, image = sight((2000, 2000), 8.0, (100, 100), model="sam2_nano")
    assert look(eye, image, 100, 100) is None


def test_prompts_beyond_the_screen_are_well_inside():
    eye, image = sight(HW, 4.0, (1000, 2000))
    frames = eye.frames(image, (0, 1), (), None)
    box = ObjectPrompts(box_xyxy=(2500, 1500, 2900, 1700))
    x0, y0, x1, y1 = eye.part(frames, image, box).region
    assert x0 < 2450
    assert x1 > 2950
    assert y0 < 1480
    assert y1 > 1720


def test_the_last_region_serves_until_it_does_not_fit():
    eye, image = sight(HW, 2.0, (1000, 2000))
    first = look(eye, image, 2000, 1000)
    eye.state.looked = Looked((0, 1), (), first)
    eye.viewer.scene.camera.center = (0, 1010, 2020)
    assert look(eye, image, 2010, 1005) == first
    assert look(eye, image, first[2] - 2, 1000) != first  # too close to its edge
    eye.viewer.scene.camera.zoom = 20.0
    finer = look(eye, image, 2010, 1005)
    assert finer[2] - finer[0] < (first[2] - first[0]) / 2


def test_stacks_are_followed_whole():
    eye, image = sight((3, *HW), 4.0, (1000, 2000))
    frames = eye.frames(image, (1, 2), (1,), 0)
    spot = ObjectPrompts(((2000.0, 1000.0),), (1,))
    assert eye.part(frames, image, spot).region is None
    alone = eye.frames(image, (1, 2), (1,), None)
    assert eye.part(alone, image, spot).region is not None


def test_the_first_click_is_prepared_where_that_helps():
    eye, image = sight(HW, 4.0, (1000, 2000))
    frames = eye.frames(image, (0, 1), (), None)
    assert eye.ahead(frames, image).region is not None
    eye.state.model = "sam2_nano"
    assert eye.ahead(frames, image) is None
