"""Prompts and steps belong to the labels that show their masks."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import FLAT, click, disc

from napari_sam2.stage._sharing import first_image, leave


def cells():
    """Labels 1 and 2 of somebody else's, as corners."""
    data = np.zeros(FLAT.shape, np.uint16)
    data[:4, 50:55] = 1
    data[36:, 50:55] = 2
    return data


@pytest.fixture
def two(tool):
    """Objects 1 and 2 prompted in labels of the dock's, ``own``; ``other`` ones."""
    t = tool(FLAT)
    click(t, 10, 20)
    t.next_object()
    t.add_shapes([[(25, 10), (25, 20), (34, 20), (34, 10)]])
    t.own, t.other = t.stage.labels, t.viewer.add_labels(cells())
    return t


def drawn(t):
    """Objects of the points and of the shapes there are."""
    layers = t.stage.points, t.stage.shapes
    return [[int(i) for i in layer.features["object_id"]] for layer in layers]


def test_prompts_are_not_answered_in_other_labels(two):
    before = two.own.data.copy()
    two.choose_labels(two.other)
    assert drawn(two) == [[], []]
    assert two.state.object_id == 3
    click(two, 20, 40)
    expected = cells()
    expected[disc(FLAT.shape, 40, 20)] = 3
    np.testing.assert_array_equal(two.other.data, expected)
    np.testing.assert_array_equal(two.own.data, before)
    two.choose_labels(two.own)
    assert drawn(two) == [[1], [2]]
    np.testing.assert_array_equal(two.own.data, before)
    two.choose_labels(two.other)
    assert drawn(two) == [[3], []]
    np.testing.assert_array_equal(two.other.data, expected)
    assert two.errors == []


def test_undo_goes_back_in_the_labels_in_use_alone(two):
    two.choose_labels(two.other)
    click(two, 20, 40)
    kept = two.other.data.copy()
    two.choose_labels(two.own)
    two.undo()
    assert drawn(two) == [[1], []]
    assert set(np.unique(two.own.data)) == {0, 1}
    np.testing.assert_array_equal(two.other.data, kept)
    two.choose_labels(two.other)
    two.undo()
    assert drawn(two) == [[], []]
    np.testing.assert_array_equal(two.other.data, cells())
    two.choose_labels(two.own)
    two.redo()
    assert drawn(two) == [[1], [2]]
    assert (two.own.data[26:34, 11:20] == 2).all()


def test_new_labels_begin_without_prompts(two):
    before = two.own.data.copy()
    two.choose_labels(None)
    assert two.stage.labels is not two.own
    assert drawn(two) == [[], []]
    click(two, 20, 40)
    np.testing.assert_array_equal(two.stage.labels.data > 0, disc(FLAT.shape, 40, 20))
    two.choose_labels(two.own)
    two.select_object(1)
    click(two, 10, 24)
    expected = disc(FLAT.shape, 20, 10) | disc(FLAT.shape, 24, 10)
    np.testing.assert_array_equal(two.own.data == 1, expected)
    np.testing.assert_array_equal(two.own.data == 2, before == 2)


def test_masks_that_were_started_from_stay_with_their_labels(two):
    two.choose_labels(two.other)
    two.select_object(1)
    click(two, 2, 48)
    grown = two.other.data.copy()
    assert list(two.stage.masks)
    two.choose_labels(two.own)
    assert not two.stage.masks
    two.choose_labels(two.other)
    assert [key.object_id for key in two.stage.masks] == [1]
    two.stage.points.remove([0])
    assert (grown == 1).sum() > 20
    np.testing.assert_array_equal(two.other.data, cells())


def test_labels_that_were_deleted_come_back_with_their_prompts(two):
    before = two.own.data.copy()
    two.viewer.layers.remove(two.own)
    two.choose_labels(two.other)
    assert drawn(two) == [[], []]
    two.viewer.layers.append(two.own)
    two.choose_labels(two.own)
    assert drawn(two) == [[1], [2]]
    click(two, 20, 40)
    before[disc(FLAT.shape, 40, 20)] = 3
    np.testing.assert_array_equal(two.own.data, before)
    np.testing.assert_array_equal(two.other.data, cells())


def test_an_object_whose_mask_is_empty_keeps_its_id(two):
    two.own.data[:] = 0
    two.choose_labels(two.other)
    two.choose_labels(two.own)
    assert two.state.object_id == 3


def test_a_deleted_layer_of_prompts_takes_the_other_not_along(two):
    two.viewer.layers.remove(two.stage.points)
    before = two.own.data.copy()
    two.choose_labels(two.other)
    two.choose_labels(two.own)
    assert drawn(two) == [[], [2]]
    np.testing.assert_array_equal(two.own.data == 1, before == 1)
    assert (two.own.data == 2).any()


# -- the image that a new dock begins with ---------------------------------------------


def left_on(tool, name):
    """Two images, the other one on top, and a dock that was closed on this one."""
    t = tool()
    images = {n: t.viewer.add_image(FLAT, name=n) for n in ("first", "second")}
    for image in (*images.values(), images[name]):
        t.choose_image(image)
    click(t, 10, 20)
    assert t.viewer.layers.selection.active is t.stage.points
    leave(t.stage, t.history)
    return t.viewer, images


@pytest.mark.parametrize("name", ["first", "second"])
def test_a_new_dock_goes_on_where_the_last_was_left(tool, name):
    viewer, images = left_on(tool, name)
    viewer.layers.selection.active = None
    images["first"].visible = images["second"].visible = False
    assert first_image(viewer) is images[name]


def test_a_new_dock_begins_with_what_is_active(tool):
    viewer, images = left_on(tool, "first")
    assert first_image(viewer) is images["first"]
    for layer in (images["second"], viewer.layers["SAM2 labels (second)"]):
        viewer.layers.selection.active = layer
        assert first_image(viewer) is images["second"]
    viewer.layers.remove(images["second"])
    assert first_image(viewer) is images["first"]


def test_a_first_dock_begins_with_the_topmost_image_that_is_visible(tool):
    viewer = tool().viewer
    assert first_image(viewer) is None
    low, high = (viewer.add_image(FLAT, visible=i == 0) for i in range(2))
    viewer.layers.selection.active = None
    assert first_image(viewer) is low
    low.visible = False
    assert first_image(viewer) is high
