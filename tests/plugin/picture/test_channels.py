"""Several layers as one picture: what napari would draw, computed by hand."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image
from napari.layers._source import layer_source

from napari_sam2._state import SegmentationState
from napari_sam2.picture._channels import (
    blend_from_json,
    channel_as_json,
    channel_of,
    one_picture,
)
from napari_sam2.picture._sight import Sight
from sam2_core import ImageError

RNG = np.random.default_rng(4)
A, B = RNG.random((20, 30)), RNG.random((20, 30))


def seen(viewer, image, axis=None, position=()):
    sight = Sight(viewer, SegmentationState(sees="shown"))
    plane = (image.ndim - 2, image.ndim - 1)
    return sight.frames(image, plane, position, axis)


@pytest.fixture
def pair():
    viewer = ViewerModel()
    settings = {"blending": "additive", "contrast_limits": (0, 1)}
    green = viewer.add_image(A, colormap="green", name="green", **settings)
    viewer.add_image(B, colormap="magenta", name="magenta", **settings)
    return viewer, green


def test_additive_channels_add_up_in_their_colours(pair):
    viewer, image = pair
    picture = seen(viewer, image).frame(0)
    expected = np.stack([B, A, B], -1) * 255
    assert picture.dtype == np.uint8
    np.testing.assert_allclose(picture, expected, atol=1)


def test_contrast_gamma_and_opacity_count(pair):
    viewer, image = pair
    image.contrast_limits = (0.25, 0.75)
    image.gamma = 2.0
    viewer.layers["magenta"].opacity = 0.5
    picture = seen(viewer, image).frame(0)
    green = np.clip((A - 0.25) / 0.5, 0, 1) ** 2
    np.testing.assert_allclose(picture[..., 1], green * 255, atol=1)
    np.testing.assert_allclose(picture[..., 0], B * 0.5 * 255, atol=1)


def test_sums_are_cut_off_at_white():
    viewer = ViewerModel()
    for data in (A, B):
        image = viewer.add_image(data, blending="additive", contrast_limits=(0, 1))
    picture = seen(viewer, image).frame(0)
    np.testing.assert_allclose(picture[..., 0], np.minimum(A + B, 1) * 255, atol=1)


@pytest.mark.parametrize(
    ("blending", "expected"),
    [
        ("translucent", A * 0.4 + B * 0.6),
        ("opaque", B),
        ("minimum", np.minimum(A, B)),
        ("multiplicative", A * B),
    ],
)
def test_layers_above_follow_their_blending(blending, expected):
    viewer = ViewerModel()
    below = viewer.add_image(A, contrast_limits=(0, 1))
    viewer.add_image(B, contrast_limits=(0, 1), opacity=0.6, blending=blending)
    picture = seen(viewer, below).frame(0)
    np.testing.assert_allclose(picture[..., 0], expected * 255, atol=1)


def test_rgb_is_a_channel_too():
    viewer = ViewerModel()
    rgb = RNG.integers(0, 255, (20, 30, 3), np.uint8)
    image = viewer.add_image(rgb, rgb=True)
    np.testing.assert_array_equal(seen(viewer, image).frame(0), rgb)


def test_hidden_layers_and_those_elsewhere_are_left_out(pair):
    viewer, image = pair
    viewer.layers["magenta"].visible = False
    viewer.add_image(A[:10], name="small")
    viewer.add_image(B, translate=(5, 0), name="moved")
    sight = Sight(viewer, SegmentationState(sees="shown"))
    shown, left_out = sight.shown(image)
    assert [layer.name for layer in shown] == ["green"]
    assert [layer.name for layer in left_out] == ["small", "moved"]
    picture = seen(viewer, image).frame(0)
    assert not picture[..., 0].any()
    image.visible = False
    with pytest.raises(ImageError, match="visible"):
        seen(viewer, image)


def test_whatever_changes_the_picture_makes_other_frames(pair):
    viewer, image = pair
    other = viewer.layers["magenta"]
    before = seen(viewer, image)
    assert before == seen(viewer, image)
    assert hash(before) == hash(seen(viewer, image))
    for name, value in (
        ("contrast_limits", (0, 0.5)),
        ("gamma", 0.5),
        ("colormap", "red"),
        ("opacity", 0.9),
        ("blending", "translucent"),
        ("visible", False),
    ):
        setattr(other, name, value)
        after = seen(viewer, image)
        assert after != before, name
        before = after


def test_stacks_are_read_one_frame_at_a_time():
    asked = []

    def load(block_info=None):
        asked.append(block_info[None]["chunk-location"][0])
        return np.full((1, 8, 9), asked[-1], np.float32)

    viewer = ViewerModel()
    for color in ("red", "green"):
        lazy = da.map_blocks(
            load,
            chunks=((1,) * 9, (8,), (9,)),
            dtype=np.float32,
            meta=np.empty((0,) * 3),
        )
        image = viewer.add_image(
            lazy, contrast_limits=(0, 8), colormap=color, blending="additive", rgb=False
        )
    frames = seen(viewer, image, axis=0, position=(0,))
    asked.clear()
    picture = frames.frame(6)
    assert asked == [6, 6]
    assert picture[0, 0].tolist() == [191, 191, 0]


def test_parts_that_can_be_read_alone_are_chunks_of_every_channel():
    viewer = ViewerModel()
    for chunk in (512, 600):
        lazy = da.zeros((3, 2000, 1800), chunks=(1, chunk, chunk))
        image = viewer.add_image(
            lazy, contrast_limits=(0, 1), blending="additive", rgb=False
        )
    frames = seen(viewer, image, axis=0, position=(0,))
    assert frames.tile == (600, 600)


def test_a_region_is_cut_out_of_every_channel(pair):
    from dataclasses import replace

    viewer, image = pair
    frames = seen(viewer, image)
    part = replace(frames, region=(5, 2, 25, 12))
    np.testing.assert_array_equal(part.frame(0), frames.frame(0)[2:12, 5:25])


@pytest.mark.parametrize("name", ["green", "viridis", "gist_earth", "hsv"])
def test_a_channel_looks_the_same_after_a_session_file(name):
    image = ViewerModel().add_image(A, colormap=name, gamma=1.3)
    channel = channel_of(image)
    content = channel_as_json(channel, 0)
    (again,) = blend_from_json([content], [A], [channel.reference]).channels
    assert again == channel
    ours = blend_from_json([content], [A], [channel.reference])
    where = (slice(None), slice(None))
    low, high = image.contrast_limits
    normal = np.clip((A - low) / (high - low), 0, 1) ** 1.3
    colors = image.colormap.map(normal.ravel()).reshape(*A.shape, 4)[..., :3]
    np.testing.assert_allclose(ours.picture(where), colors * 255, atol=3)


def layer(path=None, data=A, **look):
    with layer_source(path=path):
        return Image(data, **look)


def test_channels_of_a_file_are_one_picture_whichever_is_visible():
    a = layer("a.tif", blending="additive")
    b = layer("a.tif", blending="additive", visible=False)
    other = layer("b.tif", blending="additive")
    shown = [a, b, other]
    assert one_picture(a, b, shown)
    assert one_picture(b, a, shown)
    assert not one_picture(a, other, shown)  # a file of several is complete


def test_files_of_a_channel_each_are_one_picture_while_shown_together():
    a, b = layer("a.tif"), layer("b.tif", blending="additive")
    assert one_picture(a, b, [a, b])
    b.visible = False
    assert not one_picture(a, b, [a, b])


def test_an_image_that_covers_another_is_another_picture():
    a, b = layer(), layer(data=B)
    assert not one_picture(a, b, [a, b])
    b.opacity = 0.5
    assert one_picture(a, b, [a, b])
    assert not one_picture(a, b, [b, a])
    moved = layer(translate=(5, 0), blending="additive")
    assert not one_picture(a, moved, [a, moved])
