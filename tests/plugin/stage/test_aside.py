"""Labels and prompts of an image that another has replaced are out of sight."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import FLAT, click, disc, plane
from napari.layers._source import layer_source

from napari_sam2._controller import SegmentController
from napari_sam2._jobs import JobRunner, run_inline
from napari_sam2._state import SegmentationState
from napari_sam2.dock._ambiguity import Ambiguity
from napari_sam2.engine._engine import Engine
from napari_sam2.stage import _sharing


def test_layers_are_hidden_until_their_image_comes_back(tool):
    t = tool(FLAT)
    click(t, 10, 20)
    first, labels, points = t.state.image, t.stage.labels, t.stage.points
    t.choose_image(t.viewer.add_image(FLAT + 1))
    assert not labels.visible
    assert not points.visible
    assert t.stage.labels.visible
    t.choose_image(first)
    assert labels.visible
    assert points.visible


def test_what_the_user_hides_stays_hidden(tool):
    t = tool(FLAT)
    click(t, 10, 20)
    first, labels = t.state.image, t.stage.labels
    labels.visible = False
    t.choose_image(t.viewer.add_image(FLAT + 1))
    t.choose_image(first)
    assert not labels.visible


def test_an_image_elsewhere_hides_nothing(tool):
    t = tool(FLAT)
    click(t, 10, 20)
    labels = t.stage.labels
    t.choose_image(t.viewer.add_image(FLAT, translate=(0, 70)))
    assert t.stage.labels is not labels
    assert labels.visible


@pytest.mark.parametrize("shape", [(30, 50), (90, 90)])
def test_an_image_of_another_size_is_not_seen_beneath_foreign_masks(tool, shape):
    t = tool(FLAT)
    click(t, 10, 20)
    first, labels, points = t.state.image, t.stage.labels, t.stage.points
    t.choose_image(t.viewer.add_image(np.zeros(shape)))
    click(t, 10, 20)
    others = t.stage.labels, t.stage.points
    assert not labels.visible
    assert not points.visible
    t.choose_image(first)
    assert labels.visible
    assert not any(layer.visible for layer in others)


@pytest.fixture
def fields(tool):
    """A prompted image, another one that replaced it, and the labels of the first."""
    t = tool(FLAT)
    click(t, 10, 20)
    first, labels = t.state.image, t.stage.labels
    t.choose_image(t.viewer.add_image(FLAT + 1))
    assert not labels.visible
    return t, first, labels


def test_labels_that_are_chosen_for_another_image_are_seen(fields):
    t, first, labels = fields
    t.choose_labels(labels)
    assert labels.visible
    t.choose_image(first)
    assert labels.visible


def test_labels_of_an_image_that_is_removed_are_seen(fields):
    t, first, labels = fields
    t.viewer.layers.remove(first)
    assert labels.visible
    assert t.stage.labels is not labels


def another_dock(viewer, backend):
    runner = JobRunner(run_inline)
    return SegmentController(viewer, SegmentationState(), runner, Engine(backend))


@pytest.mark.parametrize("removed", [False, True])
def test_the_next_dock_shows_what_the_last_one_has_hidden(fields, backend, removed):
    t, first, labels = fields
    second, points = t.state.image, t.stage.remembered[first].points
    t.steps.leave()
    _sharing.leave(t.stage, t.history)
    t.stage.remembered.clear()  # a dock that is closed shows nothing
    assert not labels.visible
    new = another_dock(t.viewer, backend)
    new.choose_image(second)
    if removed:
        t.viewer.layers.remove(first)
    else:
        new.choose_image(first)
        assert new.stage.labels is labels
    assert labels.visible
    assert points.visible


# -- layers that are deleted in the meantime ----------------------------------------


@pytest.fixture
def away(fields):
    """Masks 1 by a point and 2 by a box on the first field; the second is in use."""
    t, first, labels = fields
    second = t.state.image
    t.choose_image(first)
    t.add_shapes([[(25, 40), (25, 50), (34, 50), (34, 40)]], object_id=2)
    t.own = t.stage.points, t.stage.shapes
    t.choose_image(second)
    return t, first, labels


def expected(*numbers):
    """(H, W) what the fake makes of the prompts of these numbers."""
    masks = np.zeros((4, *FLAT.shape), bool)
    masks[1], masks[3] = disc(FLAT.shape, 20, 10), disc(FLAT.shape, 40, 10)
    masks[2, 25:35, 40:51] = True
    return sum(number * masks[number].astype(int) for number in numbers)


@pytest.mark.parametrize("lost", ["points", "shapes"])
@pytest.mark.parametrize("away", [False, True])
def test_a_mask_stays_when_a_part_of_its_prompts_is_deleted(kept, tmp_path, lost, away):
    """Whether the layer goes while its image is in use, or another is."""
    t = kept(FLAT)
    t.add_shapes([[(25, 40), (25, 50), (34, 50), (34, 40)]], "rectangle")
    t.add_point((26, 42), positive=False)
    t.add_point((10, 10))
    before = plane(t).copy()
    first, layer = t.stage.image, getattr(t.stage, lost)
    if away:
        t.choose_image(t.viewer.add_image(FLAT + 1))
    t.viewer.layers.remove(layer)
    t.choose_image(first)
    t.steps.take_tool("point")
    t.next_object()
    t.add_point((10, 55))
    np.testing.assert_array_equal(plane(t) == 1, before)
    file = t.keeper.save(tmp_path / "work")
    t.undo()
    np.testing.assert_array_equal(plane(t), before)
    t = kept(FLAT)
    t.keeper.load(file)
    np.testing.assert_array_equal(plane(t) == 1, before)
    t.add_point((26, 44), object_id=1)
    assert not np.array_equal(plane(t) == 1, before)


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("objects", [(1, 2), (1,), (2,)])
def test_prompt_layers_that_are_deleted_leave_their_masks(
    away, backend, objects, closed
):
    t, first, labels = away
    own = t.own
    np.testing.assert_array_equal(labels.data, expected(1, 2))
    if closed:
        t.steps.leave()
        _sharing.leave(t.stage, t.history)
        t = another_dock(t.viewer, backend)
    asked = backend.answers
    for number in objects:
        t.viewer.layers.remove(own[number - 1])
    t.choose_image(first)
    assert t.stage.labels is labels
    assert t.state.object_id == 3
    assert backend.answers == asked
    t.viewer.layers.move(t.viewer.layers.index(first), -1)  # the other covers it
    click(t, 10, 40)
    for number in (*objects, 3):  # others start from their masks
        mask = labels.data == number
        np.testing.assert_array_equal(mask, expected(number) > 0)
    t.undo()
    np.testing.assert_array_equal(labels.data, expected(1, 2))


def test_layers_that_were_never_used_are_no_loss(fields):
    """Those for shapes go when another image is next; the way back stays open."""
    t, first, labels = fields
    t.choose_image(first)
    t.undo()
    assert not labels.data.any()
    t.redo()
    np.testing.assert_array_equal(labels.data, expected(1))


def test_prompts_whose_labels_were_deleted_are_answered_in_new_ones(away):
    t, first, labels = away
    t.viewer.layers.remove(labels)
    t.choose_image(first)
    assert t.stage.labels is not labels
    np.testing.assert_array_equal(t.stage.labels.data, expected(1, 2))
    t.select_object(3)
    t.viewer.layers.move(t.viewer.layers.index(first), -1)  # the other covers it
    click(t, 10, 40)
    np.testing.assert_array_equal(t.stage.labels.data, expected(1, 2, 3))


# -- channels -----------------------------------------------------------------------


@pytest.fixture
def channels(tool):
    """Two channels of one picture, a mask by a point, and another image."""
    t = tool(FLAT, name="DAPI", blending="additive")
    t.dapi = t.state.image
    t.gfp = t.viewer.add_image(FLAT + 1, name="GFP", blending="additive")
    t.other = t.viewer.add_image(np.ones((20, 20), np.float32), name="other")
    click(t, 10, 20)
    t.choose_image(t.gfp)
    return t


@pytest.mark.parametrize("by_way_of", [False, True])
def test_labels_that_one_channel_writes_into_are_the_others_too(channels, by_way_of):
    t, own = channels, channels.stage.labels
    mine = t.viewer.add_labels(np.zeros(FLAT.shape, int), name="mine")
    t.choose_labels(mine)
    t.select_object(2)
    t.add_shapes([[(25, 40), (25, 50), (34, 50), (34, 40)]])
    if by_way_of:
        t.choose_image(t.other)
    t.choose_image(t.dapi)
    assert t.stage.labels is mine
    t.undo()
    assert not mine.data.any()
    t.redo()
    np.testing.assert_array_equal(mine.data, expected(2))
    np.testing.assert_array_equal(own.data, expected(1))
    t.choose_labels(own)
    assert t.stage.points.data.tolist() == [[10, 20]]
    t.undo()
    assert not own.data.any()
    np.testing.assert_array_equal(mine.data, expected(2))


def test_masks_that_were_chosen_on_one_channel_stay_on_the_others(channels):
    t = channels
    t.undo()
    t.redo()  # the masks are others than those that were there on leaving
    Ambiguity(t).choose(0)
    smaller = t.stage.labels.data.copy()
    assert set(np.unique(smaller)) == {0, 1}
    assert not np.array_equal(smaller, expected(1))
    t.choose_image(t.dapi)
    np.testing.assert_array_equal(t.stage.labels.data, smaller)


def test_new_labels_of_one_channel_are_the_others_too(channels):
    t = channels
    t.viewer.layers.remove(t.stage.labels)
    t.select_object(3)
    click(t, 10, 40)
    new = t.stage.labels
    t.choose_image(t.dapi)
    assert t.stage.labels is new
    np.testing.assert_array_equal(new.data, expected(1, 3))


def test_layers_of_a_removed_image_give_way_to_the_next(fields):
    t = fields[0]
    click(t, 10, 20)
    image, labels, points = t.state.image, t.stage.labels, t.stage.points
    t.viewer.layers.remove(image)
    assert t.state.image is None
    assert labels.visible  # nothing is in their place
    t.choose_image(t.viewer.add_image(FLAT + 2))
    assert not labels.visible
    assert not points.visible
    assert t.stage.labels.visible
    t.choose_labels(labels)
    assert labels.visible


def opened(t, path, data=FLAT, name="a"):
    with layer_source(path=path):
        return t.viewer.add_image(data.copy(), name=name)


@pytest.mark.parametrize("change", ["renamed", "rewritten"])
def test_it_is_the_same_image_if_its_file_is_the_same(tool, tmp_path, change):
    t, path = tool(FLAT + 1), tmp_path / "a.tif"
    path.write_bytes(b"pixels")
    image = opened(t, str(path))
    t.choose_image(image)
    click(t, 10, 20)
    labels = t.stage.labels
    if change == "renamed":
        image.name = "my cells"
    else:
        path.write_bytes(b"other pixels")
    t.viewer.layers.remove(image)
    t.choose_image(opened(t, str(path)))
    assert (t.stage.labels is labels) is (change == "renamed")


@pytest.mark.parametrize("between", [False, True])
def test_an_image_that_was_removed_and_is_opened_again_has_its_layers(tool, between):
    t = tool(FLAT + 1)
    image = opened(t, "a.tif")
    t.choose_image(image)
    click(t, 10, 20)
    t.next_object()
    click(t, 30, 40)
    points, labels = t.stage.points, t.stage.labels
    data = labels.data.copy()
    t.viewer.layers.remove(image)
    if between:
        t.choose_image(t.viewer.layers[0])
        assert not t.stage.labels.data.any()
    t.choose_image(opened(t, "a.tif"))
    assert t.stage.points is points
    assert t.stage.labels is labels
    assert points.visible
    assert labels.visible
    np.testing.assert_array_equal(labels.data, data)
    t.undo()
    np.testing.assert_array_equal(labels.data, disc(FLAT.shape, 20, 10))
    assert len(points.data) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"path": "b.tif"},
        {"path": None},
        {"name": "b"},
        {"data": FLAT[:30]},
    ],
)
def test_another_image_has_layers_of_its_own(tool, other):
    t = tool(FLAT + 1)
    image = opened(t, other.get("path", "a.tif") and "a.tif")
    t.choose_image(image)
    click(t, 10, 20)
    labels = t.stage.labels
    t.viewer.layers.remove(image)
    t.choose_image(opened(t, **{"path": "a.tif", **other}))
    assert t.stage.labels is not labels
    assert not t.stage.labels.data.any()


def test_an_image_whose_labels_were_deleted_begins_anew(tool):
    t = tool(FLAT + 1)
    image = opened(t, "a.tif")
    t.choose_image(image)
    click(t, 10, 20)
    labels = t.stage.labels
    t.viewer.layers.remove(image)
    t.viewer.layers.remove(labels)
    t.choose_image(opened(t, "a.tif"))
    assert t.stage.labels is not labels
    assert len(t.stage.points.data) == 0


def test_an_image_that_was_let_go_and_comes_back_has_its_layers(tool):
    t = tool(FLAT)
    t.stage.points.visible = True
    image, before = t.state.image, t.stage.points
    t.choose_image(None)
    t.choose_image(image)
    assert t.stage.points is before
    assert before in t.viewer.layers
    assert t.stage.labels.visible
