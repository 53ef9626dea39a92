"""Candidates become labels, and leave them again; the model is a fake."""

from __future__ import annotations

import numpy as np
import pytest
from search_fakes import (
    FLAT,
    LARGE,
    SHAKY,
    SHAPE,
    SMALL,
    THREAD,
    FakeSearchBackend,
    preview,
    shown,
)

from napari_sam2._layers import new_labels
from napari_sam2.history._object_notes import Notes
from napari_sam2.stage import _aside
from napari_sam2.stage._sharing import history_of
from sam2_core import ImageError, PromptError


@pytest.fixture
def backend():
    return FakeSearchBackend()


def beside(a, tool):
    """A controller of the Segment dock in the same viewer."""
    t = tool()
    return type(t)(a.viewer, t.state, t.runner, t.tasks.engine)


def test_add_and_undo(automatic):
    a = automatic()
    a.search()
    assert "SAM2 labels" not in a.viewer.layers
    ids = a.add_to_labels()
    labels = a.viewer.layers["SAM2 labels"]
    assert a.state.labels is labels
    assert ids == sorted(set(np.unique(labels.data)) - {0})
    assert len(ids) == 3
    assert (labels.data[SMALL] == labels.data[30, 30]).all()
    assert ((labels.data > 0) == (LARGE | THREAD)).all()
    assert a.state.shown == 0  # all of them are labelled now
    assert a.state.undo_text
    a.undo()
    assert not labels.data.any()
    assert a.state.shown == 3
    assert a.state.undo_text == ""


def test_what_is_labelled_already_is_said_to_be(automatic):
    a = automatic()
    a.search()
    a.add_to_labels()
    written = a.state.labels.data.copy()
    with pytest.raises(ImageError, match="labelled already"):
        a.add_to_labels()
    a.search()
    assert "labelled already" in a.state.status
    np.testing.assert_array_equal(a.state.labels.data, written)
    a.filter(min_iou=1.0)  # none passes at all
    with pytest.raises(ImageError, match="No candidate passes"):
        a.add_to_labels()


def test_locked_objects_are_not_taken_back(automatic):
    a = automatic()
    a.search()
    ids = a.add_to_labels()
    before = a.state.labels.data.copy()
    notes = Notes({}, frozenset(ids[1:2]), frozenset())
    history_of(a.state.labels).record.notes = notes
    with pytest.raises(PromptError, match=f"Object {ids[1]} is locked"):
        a.undo()
    assert (a.state.labels.data == before).all()
    assert a.state.undo_text


def test_existing_labels_are_kept(automatic):
    a = automatic()
    labels = a.viewer.add_labels(np.zeros(SHAPE, np.uint8))
    labels.data[:, 35:] = 9
    before = labels.data.copy()
    a.choose_labels(labels)
    a.search()
    ids = a.add_to_labels()
    assert min(ids) > 9
    assert (labels.data[:, 35:] == 9).all()
    assert (labels.data[:, :35] > 0).any()
    a.undo()
    assert (labels.data == before).all()
    a.keep_labels(False)
    a.add_to_labels()
    assert (labels.data[LARGE] != 9).all()
    assert (labels.data[~(LARGE | THREAD)] == before[~(LARGE | THREAD)]).all()
    a.undo()
    assert (labels.data == before).all()


def test_locked_objects_are_left_out_also_when_others_are_overwritten(automatic):
    a = automatic()
    a.search()
    first = a.add_to_labels()
    labels = a.state.labels
    small, thread = int(labels.data[30, 30]), int(labels.data[56, 40])
    notes = Notes({}, frozenset([small, thread]), frozenset())
    history_of(labels).record.notes = notes
    a.keep_labels(False)
    assert shown(a) == {"large"}
    assert not preview(a)[SMALL | THREAD].any()
    (added,) = a.add_to_labels()
    assert (labels.data[SMALL] == small).all()
    assert (labels.data[THREAD] == thread).all()
    assert (labels.data[LARGE & ~SMALL] == added).all()
    assert set(np.unique(labels.data)) == {0, small, thread, added}
    assert added not in first


def test_labels_of_both_docks_do_not_collide(automatic, tool):
    """The object being prompted in the Segment dock is the selected label."""
    a = automatic()
    labels = a.viewer.add_layer(new_labels(a.state.image))
    dock = beside(a, tool)
    dock.choose_image(a.state.image)
    dock.choose_labels(labels)
    labels.selected_label = 4
    a.choose_labels(labels)
    a.search()
    assert a.add_to_labels() == [5, 6, 7]
    assert labels.selected_label == 8


def test_numbers_begin_with_one_where_nobody_prompts(automatic):
    a = automatic()
    a.search()
    assert a.add_to_labels() == [1, 2, 3]
    assert a.state.labels.selected_label == 4


def test_labels_type_that_is_too_small(automatic):
    a = automatic()
    labels = a.viewer.add_labels(np.zeros(SHAPE, np.uint8))
    labels.data[0, 0] = 254
    a.choose_labels(labels)
    a.search()
    before = labels.data.copy()
    with pytest.raises(PromptError, match="uint8"):
        a.add_to_labels()
    assert (labels.data == before).all()
    assert not a.state.undo_text


def test_labels_that_do_not_fit(automatic):
    a = automatic()
    labels = a.viewer.add_labels(np.zeros((4, 4), int))
    with pytest.raises(ImageError, match="shape"):
        a.choose_labels(labels)


def test_own_labels_are_found_again(automatic):
    a = automatic(None)
    image = a.viewer.add_image(FLAT)
    a.viewer.add_labels(np.zeros(SHAPE, int), name="others")
    ours = a.viewer.add_layer(new_labels(image))
    a.choose_image(image)
    assert a.state.labels is ours


def test_labels_that_the_other_dock_makes_later_are_added_to(automatic, tool):
    a = automatic()
    t = beside(a, tool)
    a.search()
    t.choose_image(a.state.image)
    t.prepare()
    assert a.state.labels is t.stage.labels
    t.add_point((15, 65))
    first = t.stage.labels
    a.viewer.layers.remove(first)
    assert a.state.labels is None
    t.add_point((15, 65))
    assert t.stage.labels is not first
    assert shown(a) == {"large", "small", "thread"}
    a.add_to_labels()
    assert a.state.labels is t.stage.labels
    assert (t.stage.labels.data > 0)[LARGE | THREAD].all()
    t.undo()
    assert not t.stage.labels.data[LARGE | THREAD].any()


def test_new_labels_that_were_asked_for_are_not_the_other_dock_s(automatic, tool):
    a = automatic()
    t = beside(a, tool)
    a.choose_labels(None)
    t.choose_image(a.state.image)
    t.add_point((15, 65))
    a.search()
    a.add_to_labels()
    assert a.state.labels is not t.stage.labels
    assert not t.stage.labels.data[LARGE | THREAD].any()


def test_labels_that_are_chosen_in_the_other_dock_are_added_to(automatic, tool):
    a = automatic()
    t = beside(a, tool)
    t.choose_image(a.state.image)
    t.prepare()
    begun = t.stage.labels
    assert a.state.labels is begun
    theirs = a.viewer.add_labels(LARGE.astype(np.uint8) * 7, name="cellpose")
    a.search()
    assert a.state.labels is begun
    t.choose_labels(theirs)
    assert a.state.labels is theirs
    preview = a.preview.layer.data
    assert preview[THREAD].any()
    assert not preview[LARGE].any()  # it is labelled there
    a.add_to_labels()
    assert not begun.data.any()
    assert (theirs.data[LARGE] == 7).all()
    assert (theirs.data[THREAD] > 7).all()
    t.choose_labels(begun)
    a.choose_labels(theirs)  # said here, it counts here
    a.search()
    assert a.state.labels is theirs


def test_a_dock_that_is_opened_later_adds_to_the_labels_in_use(automatic, tool):
    a = automatic(None)
    t = beside(a, tool)
    image = a.viewer.add_image(FLAT)
    t.choose_image(image)
    t.prepare()
    theirs = a.viewer.add_labels(np.zeros(SHAPE, np.uint8), name="cellpose")
    t.choose_labels(theirs)
    a.choose_image(image)
    assert a.state.labels is theirs
    a.search()
    other = a.viewer.add_labels(np.zeros(SHAPE, np.uint8), name="stardist")
    t.choose_labels(other)
    a.add_to_labels()
    assert not theirs.data.any()
    assert other.data[LARGE].all()


def test_labels_that_the_other_dock_makes_for_another_image_are_not_taken(
    automatic, tool
):
    a = automatic()
    t = beside(a, tool)
    t.choose_image(a.viewer.add_image(np.ones(SHAPE), translate=(0, 100)))
    t.add_point((15, 65))
    assert a.state.labels is None


def test_labels_of_another_image_are_left_alone(automatic):
    """Both docks have labels on images of one shape, newer ones on the other image."""
    a = automatic(FLAT, name="one")
    one, two = a.state.image, a.viewer.add_image(FLAT + 1, name="two")
    a.search()
    a.add_to_labels()
    first = a.state.labels
    written = first.data.copy()
    a.choose_image(two)
    assert a.state.labels is None
    a.search()
    a.add_to_labels()
    assert a.state.labels is not first
    np.testing.assert_array_equal(first.data, written)
    a.choose_image(one)
    assert a.state.labels is first
    a.viewer.layers.remove(two)
    a.choose_image(a.viewer.add_image(FLAT))
    assert a.state.labels is None


def test_labels_that_are_out_of_sight_are_seen_when_they_are_added_to(automatic):
    """Segment has put them aside while it works on another image."""
    a = automatic()
    labels = a.viewer.add_layer(new_labels(a.state.image))
    a.choose_labels(labels)
    _aside.put([labels])
    a.search()
    assert not labels.visible
    a.add_to_labels()
    assert labels.visible


def test_channels_share_what_is_added(automatic):
    a = automatic(FLAT, blending="additive")
    a.search()
    a.add_to_labels()
    labels = a.state.labels
    a.choose_image(a.viewer.add_image(FLAT + 1, blending="additive"))
    assert a.state.labels is labels


def test_second_search_adds_only_what_is_new(automatic, backend):
    a = automatic()
    a.search()
    a.add_to_labels()
    a.search()
    assert a.state.shown == 0
    assert a.state.min_iou == 0.8  # not lowered: the others are labelled
    a.filter(min_stability=0.4)
    assert shown(a) == {"shaky"}
    (new,) = a.add_to_labels()
    assert (a.state.labels.data[SHAKY] == new).all()


def test_user_paints_between_preview_and_adding(automatic):
    a = automatic()
    a.search()
    first = a.add_to_labels()
    a.undo()
    a.state.labels.data[LARGE] = 1
    ids = a.add_to_labels()
    assert len(ids) < len(first)
    assert (a.state.labels.data[LARGE] == 1).all()


def test_preview_is_read_only_and_no_target(automatic):
    from napari_sam2._layers import why_not_labels

    a = automatic(scale=(2, 3), translate=(5, 6))
    a.search()
    layer = a.viewer.layers["SAM2 candidates"]
    assert why_not_labels(layer, a.state.image)
    assert layer.extent.world.tolist() == a.state.image.extent.world.tolist()
    assert a.viewer.layers.selection.active is a.state.image
