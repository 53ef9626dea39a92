"""Whose labels and prompts an image has, and what selecting a prompt does."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import FLAT, click, disc

SHAPE = FLAT.shape
BOX = np.array([(5, 6), (5, 16), (12, 16), (12, 6)], float)


def test_fields_of_view_have_labels_of_their_own(tool):
    t = tool(FLAT, name="fov1")
    click(t, 10, 20)
    one, first = t.state.image, t.stage.labels
    two = t.viewer.add_image(FLAT + 1, name="fov2")
    t.choose_image(two)
    assert len(t.stage.points.data) == 0
    assert t.history.text == ""
    click(t, 30, 40)
    np.testing.assert_array_equal(first.data == 1, disc(SHAPE, 20, 10))
    np.testing.assert_array_equal(t.stage.labels.data == 1, disc(SHAPE, 40, 30))
    assert t.stage.labels.name == "SAM2 labels (fov2)"
    t.choose_image(one)
    assert t.stage.labels is first
    assert t.stage.points.data.tolist() == [[10, 20]]


def test_twenty_fields_of_view_one_after_another(tool):
    t = tool(FLAT, name="0")
    fields = [t.state.image]
    fields += [t.viewer.add_image(FLAT + i, name=str(i)) for i in range(1, 20)]
    for i, image in enumerate(fields):
        for other in fields:
            other.visible = other is image
        t.choose_image(image)
        click(t, 10 + i, 20)
    found = [np.argwhere(np.asarray(layer.data)).mean(0) for layer in _labels(t)]
    assert [round(row) for row, _ in found] == list(range(10, 30))


def _labels(t):
    return [layer for layer in t.viewer.layers if type(layer).__name__ == "Labels"]


def test_channels_share_labels_whichever_is_visible(tool):
    t = tool(FLAT, name="DAPI", blending="additive", colormap="blue")
    dapi = t.state.image
    gfp = t.viewer.add_image(FLAT + 1, name="GFP", blending="additive")
    click(t, 10, 20)
    labels, points = t.stage.labels, t.stage.points
    gfp.visible = False
    for image in (gfp, dapi, gfp):
        t.choose_image(image)
        assert t.stage.labels is labels
        assert t.stage.points is points
        assert labels.visible
    gfp.visible = True
    click(t, 10, 24)
    assert t.stage.count_prompts(1) == 2


def test_labels_of_a_search_stay_with_their_image(tool):
    """Segment goes on in what Automatic found, but not on another image."""
    from napari_sam2.history._entry import Entry
    from napari_sam2.stage._sharing import history_of

    t = tool(FLAT)
    t.choose_image(None)
    found = t.viewer.add_labels(np.zeros(SHAPE, np.uint16))
    one, two = t.viewer.add_image(FLAT), t.viewer.add_image(FLAT + 1)
    history_of(found).record.journal.entries.append(Entry("add", {}))
    t.choose_image(one)
    assert t.stage.labels is found
    t.choose_image(two)
    assert t.stage.labels is not found


def test_labels_of_a_search_wait_for_their_image(tool):
    """Automatic has worked on one image when Segment opens on another."""
    from napari_sam2.history._entry import Entry
    from napari_sam2.stage._sharing import belong, history_of

    t = tool()
    one, two = t.viewer.add_image(FLAT), t.viewer.add_image(FLAT + 1)
    found = t.viewer.add_labels(np.zeros(SHAPE, np.uint16))
    belong(found, one)
    history_of(found).record.journal.entries.append(Entry("add", {}))
    t.choose_image(two)
    assert t.stage.labels is not found
    t.choose_image(one)
    assert t.stage.labels is found


def test_a_search_goes_on_in_the_labels_of_its_own_image(tool):
    from napari_sam2.stage._sharing import labels_of

    t = tool(FLAT)
    one, first = t.state.image, t.stage.labels
    two = t.viewer.add_image(FLAT + 1)
    t.choose_image(two)
    second = t.stage.labels
    nobodys = t.viewer.add_labels(np.zeros(SHAPE, int))
    t.viewer.add_labels(np.zeros((4, 4), int))
    assert labels_of(one, t.viewer.layers) == [first, nobodys]
    assert labels_of(two, t.viewer.layers) == [second, nobodys]
    t.choose_labels(first)  # a user's choice for both
    assert labels_of(two, t.viewer.layers) == [second, first, nobodys]


@pytest.fixture
def prompted(tool):
    """Object 1 with a positive and a negative point, object 2 with a point."""
    t = tool(FLAT)
    click(t, 10, 20)
    t.add_point((14, 24), positive=False)
    t.next_object()
    click(t, 30, 40)
    return t


@pytest.mark.parametrize(
    ("index", "object_id", "positive"), [(0, 1, True), (1, 1, False), (2, 2, True)]
)
def test_a_point_that_is_selected_stays_so(prompted, index, object_id, positive):
    before = prompted.stage.points.features.copy()
    prompted.stage.points.selected_data = {index}
    assert set(prompted.stage.points.selected_data) == {index}
    assert (prompted.state.object_id, prompted.state.positive) == (object_id, positive)
    assert prompted.stage.points.features.equals(before)
    prompted.stage.points.remove_selected()
    assert len(prompted.stage.points.data) == 2
    assert prompted.stage.count_prompts(object_id) == (1 if object_id == 1 else 0)


def test_a_shape_that_is_selected_brings_its_object(tool):
    t = tool(FLAT)
    t.add_shapes([BOX])
    t.next_object()
    t.add_shapes([BOX + 20])
    t.set_polarity(False)
    shapes = t.stage.shapes
    shapes.selected_data = {0}
    assert set(shapes.selected_data) == {0}
    assert t.state.object_id == t.stage.labels.selected_label == 1
    assert t.state.positive
    shapes.remove_selected()
    assert set(np.unique(t.stage.labels.data)) == {0, 2}


def test_prompts_of_several_objects_may_be_selected_together(prompted):
    prompted.stage.points.selected_data = {0, 2}
    assert set(prompted.stage.points.selected_data) == {0, 2}
    assert prompted.state.object_id == 2


def test_another_object_takes_the_selection_away(prompted):
    """Delete must not take a prompt of an object that is done with."""
    prompted.stage.points.selected_data = {2}
    prompted.select_object(1)
    assert not prompted.stage.points.selected_data
    assert list(prompted.stage.points.features["object_id"]) == [1, 1, 2]
