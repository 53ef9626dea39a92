from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from napari.layers import Image

from napari_sam2 import _layers
from napari_sam2._masks import PackedMask
from napari_sam2._outlines import SCRIBBLE_POINTS
from napari_sam2._prompts import Key, MaskPrompt, collect
from napari_sam2.history import _snapshots
from sam2_core import PromptError


def pair(shape, **place):
    image = Image(np.zeros(shape), **place)
    points, shapes = _layers.new_points(image), _layers.new_shapes(image)
    tag = f"{len(shape) - 2}-{len(shape) - 1}"
    defaults = {"polarity": "positive", "object_id": 1, "plane": tag}
    points.feature_defaults = defaults
    shapes.feature_defaults = defaults
    return points, shapes


def test_points_become_xy_per_frame_and_object():
    points, shapes = pair((4, 30, 50))
    points.add(np.array([[2, 10, 40], [2, 11.5, 3], [3, 1, 2]], float))
    points.features.loc[1, "polarity"] = "negative"
    points.features.loc[2, "object_id"] = 7
    found = collect(points, shapes, (4, 30, 50))
    assert set(found) == {Key((1, 2), (2,), 1), Key((1, 2), (3,), 7)}
    ask = found[Key((1, 2), (2,), 1)]
    assert ask.points_xy == ((40.0, 10.0), (3.0, 11.5))
    assert ask.point_labels == (1, 0)


def test_a_click_lands_on_the_pixel_under_it_whatever_the_transform():
    place = {"scale": (3, 0.2, 0.2), "translate": (5, -1, 2), "rotate": 30.0}
    image = Image(np.zeros((4, 30, 50)), **place)
    points, shapes = pair((4, 30, 50), **place)
    world = image.data_to_world((2, 12, 34))
    points.add(np.array([points.world_to_data(world)]))
    (ask,) = collect(points, shapes, (4, 30, 50)).values()
    np.testing.assert_allclose(ask.points_xy, [(34, 12)], atol=1e-6)


def test_points_outside_and_of_the_background_are_left_out():
    points, shapes = pair((30, 50))
    points.add(np.array([[-3, 4], [29.6, 4], [4, 49.4], [5, 5]], float))
    points.features.loc[3, "object_id"] = 0
    (ask,) = collect(points, shapes, (30, 50)).values()
    assert ask.points_xy == ((49.4, 4.0),)


def test_4d_points_keep_both_positions():
    points, shapes = pair((2, 4, 30, 50))
    points.add(np.array([[1, 3, 10, 40]], float))
    (key,) = collect(points, shapes, (2, 4, 30, 50))
    assert key == Key((2, 3), (1, 3), 1)


def test_points_placed_in_a_rolled_view_belong_to_that_plane():
    points, shapes = pair((4, 30, 50))
    points.feature_defaults = {"polarity": "positive", "object_id": 1, "plane": "0-2"}
    points.add(np.array([[3, 10, 40]], float))
    ((key, ask),) = collect(points, shapes, (4, 30, 50)).items()
    assert key == Key((0, 2), (10,), 1)
    assert ask.points_xy == ((40.0, 3.0),)


def test_rectangle_is_a_box_and_the_newest_wins():
    points, shapes = pair((30, 50))
    shapes.add_rectangles(np.array([[2, 3], [8, 9]]))
    shapes.add_rectangles(np.array([[5, 6], [60, 20]]))
    (ask,) = collect(points, shapes, (30, 50)).values()
    assert ask.box_xyxy == (6, 5, 20, 29)  # cut off at the border
    np.testing.assert_array_equal(ask.box_array(), [6, 5, 20, 29])


def test_rotated_rectangle_gives_its_bounding_box():
    points, shapes = pair((3, 30, 50))
    corners = np.array([[1, 10, 20], [1, 15, 25], [1, 20, 20], [1, 15, 15]], float)
    shapes.add(corners, shape_type="rectangle")
    ((key, ask),) = collect(points, shapes, (3, 30, 50)).items()
    assert key.position == (1,)
    assert ask.box_xyxy == (15, 10, 25, 20)


def test_outline_is_a_filled_mask():
    points, shapes = pair((30, 50))
    outline = np.array([[5, 5], [5, 15], [12, 15], [12, 5]], float)
    shapes.add(outline, shape_type="polygon")
    (ask,) = collect(points, shapes, (30, 50)).values()
    expected = np.zeros((30, 50), bool)
    expected[5:13, 5:16] = True
    np.testing.assert_array_equal(ask.mask((30, 50)), expected)
    assert ask.box_xyxy is None


def test_ellipse_has_the_area_of_an_ellipse():
    points, shapes = pair((100, 120))
    corners = np.array([[10, 20], [10, 100], [60, 100], [60, 20]], float)
    shapes.add(corners, shape_type="ellipse")
    (ask,) = collect(points, shapes, (100, 120)).values()
    mask = ask.mask((100, 120))
    assert mask.sum() == pytest.approx(np.pi * 25 * 40, rel=0.03)
    assert mask[35, 60]
    assert not mask[11, 21]


def test_line_is_a_row_of_positive_points():
    points, shapes = pair((30, 50))
    shapes.add(np.array([[10, 10], [10, 30]], float), shape_type="line")
    (ask,) = collect(points, shapes, (30, 50)).values()
    assert {y for _, y in ask.points_xy} == {10.0}
    assert all(10 <= x <= 30 for x, _ in ask.points_xy)
    assert set(ask.point_labels) == {1}


def test_scribbles_are_points_along_them_positive_or_negative():
    points, shapes = pair((100, 120))
    corner = np.array([[10, 10], [10, 70], [40, 70]], float)
    shapes.add(corner, shape_type="path")
    shapes.feature_defaults = {**shapes.feature_defaults, "polarity": "negative"}
    shapes.add(np.array([[80, 20], [80, 60]], float), shape_type="path")
    shapes.features.loc[1, "polarity"] = "negative"
    (ask,) = collect(points, shapes, (100, 120)).values()
    pairs = list(zip(ask.points_xy, ask.point_labels, strict=True))
    good = [xy for xy, label in pairs if label]
    bad = [xy for xy, label in pairs if not label]
    assert 3 <= len(good) <= SCRIBBLE_POINTS
    assert all(y == 10 or x == 70 for x, y in good)
    assert all(y == 80 and 20 < x < 60 for x, y in bad)
    assert ask.polygons_xy == ()


def test_negative_outlines_are_cut_off():
    points, shapes = pair((30, 50))
    square = np.array([[5, 5], [5, 15], [12, 15], [12, 5]], float)
    shapes.add(square, shape_type="polygon")
    shapes.features.loc[0, "polarity"] = "negative"
    (ask,) = collect(points, shapes, (30, 50)).values()
    assert not ask.positive
    kept = ask.cut(np.ones((30, 50), bool))
    expected = np.ones((30, 50), bool)
    expected[5:13, 5:16] = False
    np.testing.assert_array_equal(kept, expected)


def test_a_mask_to_start_from_counts_as_long_as_its_prompts_are_there():
    points, shapes = pair((30, 50))
    points.add(np.array([[10, 20]], float))
    ((key, drawn),) = collect(points, shapes, (30, 50)).items()
    disc = np.zeros((30, 50), bool)
    disc[8:14, 15:25] = True
    masks = {key: MaskPrompt(PackedMask.of(disc), drawn)}
    (ask,) = collect(points, shapes, (30, 50), masks).values()
    np.testing.assert_array_equal(ask.answer.unpack(), disc)
    points.add(np.array([[12, 30]], float))
    (ask,) = collect(points, shapes, (30, 50), masks).values()
    assert ask.answer is None
    np.testing.assert_array_equal(ask.mask((30, 50)), disc)
    points.remove([0])
    (ask,) = collect(points, shapes, (30, 50), masks).values()
    assert ask.start is None


@pytest.mark.parametrize(
    ("box", "about_it"),
    [
        ((15, 8, 24, 13), True),  # all of it
        ((15, 8, 27, 13), True),  # 60 of 78 pixels
        ((15, 8, 28, 13), False),  # 60 of 84
        ((20, 8, 24, 13), False),  # a half
        ((10, 4, 30, 18), False),  # much more
        ((35, 8, 44, 13), False),  # elsewhere
    ],
)
def test_a_box_says_whether_a_mask_is_what_is_meant(box, about_it):
    disc = np.zeros((30, 50), bool)
    disc[8:14, 15:25] = True
    points, shapes = pair((30, 50))
    key = Key((0, 1), (), 1)
    masks = {key: MaskPrompt(PackedMask.of(disc))}
    x0, y0, x1, y1 = box
    shapes.add_rectangles(np.array([[y0, x0], [y0, x1], [y1, x1], [y1, x0]], float))
    (ask,) = collect(points, shapes, (30, 50), masks).values()
    assert ask.box_xyxy == box
    assert (ask.start is not None) == about_it
    # A mask that was drawn or chosen after the box is an answer to it.
    masks = {key: MaskPrompt(PackedMask.of(disc), replace(ask, start=None))}
    (ask,) = collect(points, shapes, (30, 50), masks).values()
    assert ask.start is not None


def test_a_mask_by_itself_is_a_prompt():
    points, shapes = pair((30, 50))
    key = Key((0, 1), (), 4)
    masks = {key: MaskPrompt(PackedMask.of(np.eye(30, 50)))}
    found = collect(points, shapes, (30, 50), masks)
    assert found[key].positive
    assert found[key].answer == masks[key].mask


def test_shape_across_frames_is_refused():
    points, shapes = pair((4, 30, 50))
    slanted = np.array([[0, 5, 5], [0, 5, 15], [2, 12, 15]], float)
    shapes.add(slanted, shape_type="polygon")
    with pytest.raises(PromptError, match="several frames"):
        collect(points, shapes, (4, 30, 50))


def test_clicking_a_rectangle_without_dragging_asks_nothing():
    points, shapes = pair((30, 50))
    shapes.add_rectangles(np.array([[5, 5], [5.2, 5.1]]))
    assert collect(points, shapes, (30, 50)) == {}


def test_snapshot_and_restore():
    points, shapes = pair((30, 50))
    points.add(np.array([[4, 5]], float))
    shapes.add(np.array([[1, 1], [1, 9], [9, 9]], float), shape_type="polygon")
    before = collect(points, shapes, (30, 50))
    saved = _snapshots.snapshot(points, shapes)
    points.add(np.array([[7, 8]], float))
    points.features.loc[0, "polarity"] = "negative"
    shapes.add_rectangles(np.array([[5, 6], [9, 20]]))
    assert collect(points, shapes, (30, 50)) != before
    _snapshots.restore(saved, points, shapes)
    assert collect(points, shapes, (30, 50)) == before
