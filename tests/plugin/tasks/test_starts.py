"""Labels that exist already as prompts; old objects reopened; the model is a fake."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from fakes import FakeBackend, disc
from napari.layers import Labels

from napari_sam2.engine._engine import Engine
from napari_sam2.following._marks import ABSENT, Mark
from napari_sam2.history._history import History
from napari_sam2.history._replay import Redo, apply, rerun
from napari_sam2.sessions._keeping import SessionKeeper
from napari_sam2.sessions._session_file import read_session
from sam2_core import CheckpointError, PromptError

FLAT = np.zeros((40, 60), np.float32)
STACK = np.zeros((7, 40, 60), np.float32)


LEFT = [(4, 10), (4, 19), (21, 19), (21, 10)]  # boxes in it and about it, y, x
AROUND = [(4, 10), (4, 31), (22, 31), (22, 10)]


def square(shape=(40, 60)):
    mask = np.zeros(shape, bool)
    mask[4:22, 10:30] = True  # a disc around its middle lies inside
    return mask


def nearly_equal(found, expected):
    """Equal but for the border: masks reach the predictor in low resolution."""
    assert (found ^ expected).sum() < 30


def with_labels(t, data):
    t.choose_labels(t.viewer.add_layer(Labels(data, name="cellpose")))
    return data


def with_square(tool):
    """An image, and label 4 of it from elsewhere, which is selected."""
    t = tool(FLAT)
    data = with_labels(t, np.zeros((40, 60), np.uint16))
    data[square()] = 4
    t.select_object(4)
    return t, data


@pytest.fixture
def stack(tool):
    """A stack with two labels from elsewhere on frame 3."""
    t = tool(STACK)
    data = np.zeros(STACK.shape, np.uint16)
    data[3][square()] = 4
    data[3, 30:36, 40:50] = 9
    with_labels(t, data)
    t.viewer.dims.set_current_step(0, 3)
    return t


def test_a_label_is_fixed_with_clicks(tool):
    t, data = with_square(tool)
    t.add_point((12, 34))
    expected = square() | disc((40, 60), 34, 12)
    nearly_equal(data == 4, expected)
    t.add_point((12, 12), positive=False)
    nearly_equal(data == 4, expected & ~disc((40, 60), 12, 12))
    for _ in range(2):
        t.undo()
    np.testing.assert_array_equal(data == 4, square())
    assert t.stage.masks == {}


def test_a_box_in_a_label_that_is_wrong_draws_it_anew(tool):
    """Two cells under one label, say."""
    t, data = with_square(tool)
    t.add_shapes([LEFT], "rectangle")
    left = square() & (np.arange(60) < 20)
    np.testing.assert_array_equal(data == 4, left)
    t.undo()
    np.testing.assert_array_equal(data == 4, square())


def test_a_box_about_a_label_corrects_it(tool):
    t, data = with_square(tool)
    t.add_shapes([AROUND], "rectangle")
    nearly_equal(data == 4, square())  # the fake takes the mask that it is given


def test_a_box_in_a_label_of_a_frame_draws_it_anew(stack):
    stack.select_object(4)
    stack.add_shapes([[(3, *corner) for corner in LEFT]], "rectangle")
    data = stack.stage.labels.data
    left = square() & (np.arange(60) < 20)
    np.testing.assert_array_equal(data[3] == 4, left)
    stack.propagate()
    np.testing.assert_array_equal(data[4] == 4, np.roll(left, 1, 1))


def test_a_label_of_a_frame_is_fixed_and_followed(stack):
    stack.select_object(4)
    stack.add_point((12, 34))
    data = stack.stage.labels.data
    expected = square() | disc((40, 60), 34, 12)
    np.testing.assert_array_equal(data[3] == 4, expected)
    stack.propagate()
    np.testing.assert_array_equal(data[4] == 4, np.roll(expected, 1, 1))
    assert (data == 9).sum() == 60


def test_track_all_labels_of_a_frame(stack, backend):
    before = stack.stage.labels.data.copy()
    assert stack.objects.track_all() == [4, 9]
    data = stack.stage.labels.data
    np.testing.assert_array_equal(data[3], before[3])
    for frame in range(7):
        expected = np.roll(before[3], frame - 3, axis=1)
        np.testing.assert_array_equal(data[frame], expected)
    assert {row.object_id: row.prompts for row in stack.objects.rows()} == {
        4: 1,
        9: 1,
        10: 0,
    }
    stack.undo()
    np.testing.assert_array_equal(data, before)
    stack.undo()
    assert stack.stage.masks == {}
    stack.redo()
    stack.redo()
    assert (data[6] == 4).any()


def unlinked(shape, number=4):
    """Two still squares whose labels are exchanged with every frame."""
    data = np.zeros(shape, np.uint16)
    for frame, plane in enumerate(data):
        first = frame % 2
        plane[5:15, 10:20], plane[25:35, 40:50] = number + first, number + 1 - first
    return data


def test_other_objects_of_the_same_label_stay(tool, tmp_path):
    t = tool(STACK)
    data = with_labels(t, unlinked(STACK.shape))
    found = data.copy()
    t.ids.count()
    t.select_object(4)
    t.add_point((0, 10, 13))
    t.propagate()
    other = np.zeros((40, 60), bool)
    other[25:35, 40:50] = True
    for frame in range(7):
        np.testing.assert_array_equal(data[frame][other], found[frame][other])
        np.testing.assert_array_equal(data[frame] == 5, found[frame] == 5)
    # What was replaced does not come back where the next mask does not touch it.
    t.add_point((0, 10, 30))
    t.add_point((0, 10, 13), positive=False)
    t.propagate()
    assert not (data[2, 5:15, 10:14] == 4).any()
    for frame in (1, 3, 5):
        np.testing.assert_array_equal(data[frame][other], found[frame][other])
    history, again = History(), SimpleNamespace(data=found.astype(np.uint32))
    saved = SessionKeeper(t, tmp_path / "autosaves").save(tmp_path / "a.json")
    journal = read_session(saved).journal
    for redo in rerun(journal, STACK, Engine(FakeBackend()), lambda: False):
        if isinstance(redo, Redo):
            apply(redo, again, history)
    np.testing.assert_array_equal(again.data, data)
    for _ in range(5):
        t.undo()
    np.testing.assert_array_equal(data, found)


def test_who_overwrites_replaces_all_of_a_label(tool):
    t = tool(STACK)
    data = with_labels(t, unlinked(STACK.shape))
    t.ids.count()
    t.state.writing = "overwrite"
    t.select_object(4)
    t.add_point((0, 10, 13))
    t.propagate()
    assert not (data[1, 25:35, 40:50] == 4).any()


def test_tracking_all_links_labels(tool):
    t = tool(STACK)
    data = with_labels(t, unlinked(STACK.shape))
    before = data[0].copy()
    t.ids.count()
    t.viewer.dims.set_current_step(0, 0)
    t.objects.track_all()
    for frame in range(7):
        np.testing.assert_array_equal(data[frame], np.roll(before, frame, axis=1))


def test_track_all_counts_more_than_a_mark(stack):
    mark = Mark(4, (1, 2), (3,), ABSENT)
    stack.history.record.mark(mark, stack.steps.begin("mark"))
    before = stack.stage.labels.data[3].copy()
    stack.objects.track_all()
    np.testing.assert_array_equal(stack.stage.labels.data[3], before)
    assert not len(stack.history.record.marks)


def test_track_all_leaves_prompts_and_locked_objects_alone(stack):
    stack.objects.lock(9, True)
    stack.add_point((3, 25, 10), object_id=5)
    stack.objects.track_all()
    data = stack.stage.labels.data
    assert (data == 9).sum() == 60
    assert stack.stage.count_prompts(5) == 1
    assert (data[5] == 5).any()


def test_track_all_without_labels_says_so(tool):
    t = tool(STACK)
    with pytest.raises(PromptError, match="no labels"):
        t.objects.track_all()
    assert t.state.undo_text == ""
    assert t.state.redo_text == ""
    with pytest.raises(PromptError, match="nothing to propagate"):
        tool(FLAT).objects.track_all()


def test_track_all_that_fails_leaves_no_step_and_keeps_redo(stack):
    stack.add_point((3, 25, 10), object_id=5)
    answer = stack.stage.labels.data.copy()
    stack.undo()
    before = stack.stage.labels.data.copy()
    steps, text = list(stack.history.steps), stack.state.undo_text
    stack.state.missing = {stack.state.model: 10}
    with pytest.raises(CheckpointError):
        stack.objects.track_all()
    stack.objects.lock(4, True)
    stack.objects.lock(9, True)
    with pytest.raises(PromptError, match="locked; unlock"):
        stack.objects.track_all()
    assert stack.history.steps == steps
    assert stack.state.undo_text == text
    assert stack.stage.masks == {}
    np.testing.assert_array_equal(stack.stage.labels.data, before)
    stack.state.missing = {}
    stack.redo()
    np.testing.assert_array_equal(stack.stage.labels.data, answer)


def test_track_all_takes_all_labels_also_where_one_is_propagated_alone(stack):
    stack.select_object(4)
    stack.state.alone = True
    assert stack.objects.track_all() == [4, 9]
    data = stack.stage.labels.data
    assert all({4, 9} <= set(np.unique(plane)) for plane in data)
    assert stack.state.alone


def test_track_all_is_undone_beside_a_locked_object(stack):
    before = stack.stage.labels.data.copy()
    stack.objects.lock(9, True)
    assert stack.objects.track_all() == [4]
    stack.undo()
    stack.undo()
    np.testing.assert_array_equal(stack.stage.labels.data, before)
    assert stack.stage.masks == {}


def test_an_old_object_is_reopened_with_its_prompts_on_all_frames(tool, backend):
    t = tool(STACK)
    t.add_point((1, 10, 20))
    t.add_point((5, 12, 24))
    t.next_object()
    t.add_point((3, 30, 30))
    t.propagate()
    t.objects.select(1)
    points = t.stage.points
    own = points.features["object_id"] == 1
    assert own.sum() == 2
    assert (points.face_color[own.to_numpy(), 3] == 1).all()
    assert (points.face_color[~own.to_numpy(), 3] < 1).all()
    answers = backend.answers
    moved = points.data.copy()
    moved[0] = (1, 25, 40)
    points.data = moved
    assert backend.answers == answers + 1  # nothing but what has changed
    np.testing.assert_array_equal(t.stage.labels.data[1] == 1, disc((40, 60), 40, 25))
    t.objects.jump(1)
    assert t.viewer.dims.current_step[0] == 1


def test_a_start_is_kept_by_the_session_until_the_image_changes(tool):
    t, _ = with_square(tool)
    t.add_point((12, 34))
    first, masks = t.state.image, dict(t.stage.masks)
    assert masks
    t.choose_image(t.viewer.add_image(STACK))
    assert t.stage.masks == {}
    t.choose_image(first)
    assert t.stage.masks == masks


def test_neighbours_are_not_entered(tool, backend):
    t = tool(FLAT)
    t.add_point((10, 20))
    t.next_object()
    first = t.stage.labels.data == 1
    t.state.writing = "overwrite"
    t.state.neighbours = True
    asked = backend.answers
    t.add_point((10, 27))
    assert backend.answers > asked + 1  # once more, with points in the neighbour
    np.testing.assert_array_equal(t.stage.labels.data == 1, first)
    assert t.stage.labels.data[10, 27] == 2


def test_locked_objects_are_not_entered_even_when_overwriting(tool):
    t = tool(FLAT)
    t.add_point((10, 20))
    t.next_object()
    first = t.stage.labels.data == 1
    t.objects.lock(1, True)
    t.state.writing = "overwrite"
    t.add_point((10, 27))
    np.testing.assert_array_equal(t.stage.labels.data == 1, first)


def test_only_empty_pixels(tool):
    t = tool(FLAT)
    data = with_labels(t, np.zeros((40, 60), np.uint16))
    data[square()] = 4
    t.state.writing = "empty"
    t.select_object(4)
    t.add_point((12, 12), positive=False)
    assert (data[square()] == 4).all()
    t.add_point((12, 34))
    assert data[12, 36] == 4
    assert (data[square()] == 4).all()


def test_labels_that_are_there_are_offered_in_a_sentence(tool):
    t = tool(np.zeros((4, 40, 60), np.float32))
    t.tasks.rest()
    assert t.state.status == "Click on object 1 in the image."
    cells = t.viewer.add_labels(np.ones((4, 40, 60), np.uint16), name="cells")
    t.viewer.add_labels(np.ones((5, 40, 60), np.uint16), name="of another image")
    t.tasks.rest()
    assert t.state.status == (
        "Take Point or another tool to prompt object 1, or choose 'cells' under Image "
        "and model to go on with its labels."
    )
    own = t.stage.labels
    t.choose_labels(cells)
    t.stage.activate("point")
    assert t.state.status == (
        "Click on object 2 in the image, or follow the labels of a frame with "
        "Track all."
    )
    t.choose_labels(own)
    t.add_point((1, 20, 30))
    t.next_object()
    assert "cells" not in t.state.status
