from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_sam2 import _layers
from napari_sam2._label_colors import LabelColors
from sam2_core import ImageError

PLACE = {
    "scale": (2.0, 0.5, 0.25),
    "translate": (10.0, -3.0, 7.0),
    "rotate": 20.0,
    "units": ("s", "um", "um"),
    "axis_labels": ("t", "y", "x"),
}


@pytest.mark.parametrize(
    "make", [_layers.new_points, _layers.new_shapes, _layers.new_labels]
)
def test_new_layers_lie_on_the_image(make):
    image = Image(np.zeros((4, 30, 50)), **PLACE)
    layer = make(image)
    corners = np.array([[0, 0, 0], [3, 29, 49], [1, 10, 40]])
    for corner in corners:
        np.testing.assert_allclose(
            layer.data_to_world(corner), image.data_to_world(corner)
        )
    assert layer.units == image.units
    assert layer.axis_labels == image.axis_labels


def test_new_labels_of_rgb_and_multiscale_have_no_channels_and_full_size():
    rgb = Image(np.zeros((20, 30, 3), np.uint8), rgb=True)
    assert _layers.new_labels(rgb).data.shape == (20, 30)
    pyramid = Image([np.zeros((64, 48)), np.zeros((32, 24))], multiscale=True)
    assert _layers.new_labels(pyramid).data.shape == (64, 48)


@pytest.mark.parametrize(
    ("place", "world", "frame"),
    [
        ({}, 3, 3),
        ({"scale": (2, 1, 1)}, 6, 3),
        ({"scale": (2, 1, 1), "translate": (100, 0, 0)}, 104, 2),
    ],
)
def test_current_view_finds_the_frame_in_data_coordinates(place, world, frame):
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((5, 20, 30)), **place)
    viewer.dims.set_point(0, world)
    view = _layers.current_view(viewer, image)
    assert view.plane == (1, 2)
    assert view.position == (frame,)
    assert view.tag == "1-2"


def test_current_view_of_4d_and_of_2d_beside_it():
    viewer = ViewerModel()
    stack = viewer.add_image(np.zeros((3, 5, 20, 30)))
    flat = viewer.add_image(np.zeros((20, 30)))
    viewer.dims.set_current_step((0, 1), (2, 4))
    assert _layers.current_view(viewer, stack).position == (2, 4)
    assert _layers.current_view(viewer, flat).position == ()


def test_current_view_follows_rolled_axes():
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((5, 20, 30)))
    viewer.dims.order = (1, 2, 0)
    viewer.dims.set_current_step(1, 7)
    view = _layers.current_view(viewer, image)
    assert view.plane == (0, 2)
    assert view.position == (7,)
    assert view.others == (1,)


def test_current_view_converts_units_between_layers():
    viewer = ViewerModel()
    image = viewer.add_image(
        np.zeros((5, 20, 30)), scale=(1, 1, 1), units=("um", "um", "um")
    )
    viewer.add_points(np.zeros((1, 3)), units=("nm", "nm", "nm"))
    viewer.dims.set_point(0, 3000)  # the viewer counts in nm now
    assert _layers.current_view(viewer, image).position == (3,)


def test_3d_display_is_refused_with_a_hint():
    viewer = ViewerModel(ndisplay=3)
    image = viewer.add_image(np.zeros((5, 20, 30)))
    with pytest.raises(ImageError, match="2D display"):
        _layers.current_view(viewer, image)


def test_why_not_labels():
    image = Image(np.zeros((5, 20, 30)))
    assert _layers.why_not_labels(Labels(np.zeros((5, 20, 30), int)), image) == ""
    assert "shape" in _layers.why_not_labels(Labels(np.zeros((20, 30), int)), image)
    fixed = np.zeros((5, 20, 30), int)
    fixed.flags.writeable = False
    assert "read-only" in _layers.why_not_labels(Labels(fixed), image)


def test_plane_index_cuts_the_plane():
    data = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    cut = data[_layers.plane_index((1, 3), (1, 2))]
    np.testing.assert_array_equal(cut, data[1, :, 2, :])


def test_prompts_of_other_objects_are_faded():
    points = _layers.new_points(Image(np.zeros((20, 30))))
    points.add(np.array([[1, 1], [2, 2]]))
    points.features.loc[1, "object_id"] = 2
    points.features.loc[1, "polarity"] = "negative"
    _layers.style_points(points, 1, lambda i: (0, 0, i / 2, 1))
    np.testing.assert_allclose(points.face_color[0], _layers.GREEN, atol=1e-6)
    np.testing.assert_allclose(points.face_color[1, :3], _layers.RED[:3], atol=1e-6)
    assert points.face_color[1, 3] < 0.5
    np.testing.assert_allclose(points.border_color[:, 2], [0.5, 1])


def test_what_looks_right_is_not_drawn_again():
    points, drawn = _layers.new_points(Image(np.zeros((20, 30)))), []
    points.add(np.array([[1, 1], [2, 2]]))
    shapes = _layers.new_shapes(Image(np.zeros((20, 30))))
    shapes.add_rectangles(np.array([[1, 1], [4, 4]]))
    for layer, names in (
        (points, ("face_color", "border_color")),
        (shapes, ("edge_color",)),
    ):
        for name in names:
            layer.events[name].connect(lambda event: drawn.append(event.type))

    def style(object_id):
        drawn.clear()
        _layers.style_points(points, object_id, lambda i: (0, 0, 1, 1))
        _layers.style_shapes(shapes, object_id)
        return drawn

    style(1)
    assert style(1) == []
    assert set(style(2)) == {"face_color", "edge_color"}  # faded


def test_label_colors_follow_the_colormap():
    labels, colors = Labels(np.zeros((4, 4), int)), LabelColors()
    assert colors.of(None, 1) == (1.0, 1.0, 1.0, 1.0)
    before = colors.of(labels, 3)
    assert before == pytest.approx(tuple(labels.get_color(3)))
    assert colors.of(labels, 0) == (1.0, 1.0, 1.0, 1.0)
    labels.new_colormap(seed=7)
    assert colors.of(labels, 3) == pytest.approx(tuple(labels.get_color(3)))
    assert colors.of(labels, 3) != before
    labels.selected_label, labels.show_selected_label = 2, True
    assert colors.of(labels, 3)[3] == 1  # tables show it all the same


@pytest.mark.parametrize(
    ("shape", "names", "axis"),
    [
        ((5, 8, 9), None, 0),
        ((3, 5, 8, 9), None, 0),
        ((1, 5, 8, 9), None, 1),
        ((1, 1, 5, 8, 9), None, 2),
        ((2, 5, 8, 9), ("C", "z", "y", "x"), 1),
        ((1, 2, 5, 8, 9), ("t", "c", "z", "y", "x"), 2),
        ((1, 8, 9), None, 0),
        ((8, 9), None, None),
    ],
)
@pytest.mark.parametrize("ndisplay", [2, 3])
def test_stacks_are_followed_along_the_first_axis_of_frames(
    shape, names, axis, ndisplay
):
    viewer = ViewerModel(ndisplay=ndisplay)
    image = viewer.add_image(np.zeros(shape, np.uint8), axis_labels=names)
    assert _layers.default_axis(viewer, image) == axis
