"""Ids of new objects while the labels that are there are still being counted."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import disc
from napari.layers import Labels

from napari_sam2._jobs import run_inline
from napari_sam2._labels import first_free_id
from napari_sam2.tasks._counting import count
from sam2_core import PromptError

SHAPE = (30, 40, 60)
STACK = np.zeros(SHAPE, np.float32)


class OnDisk:
    """Labels that count how often a plane of theirs is read."""

    def __init__(self, data):
        self.array = data
        self.shape, self.dtype, self.ndim = data.shape, data.dtype, data.ndim
        self.size, self.reads = data.size, 0

    def __getitem__(self, index):
        self.reads += 1
        return self.array[index]

    def __setitem__(self, index, value):
        self.array[index] = value

    def __array__(self, dtype=None, copy=None):
        self.reads += len(self.array)
        return np.asarray(self.array, dtype)


def foreign(dtype=np.uint16):
    """Ids 1 to 30, one on each frame, and 41 on the last."""
    data = np.zeros(SHAPE, dtype)
    for frame in range(len(data)):
        data[frame, :5, :5] = frame + 1
    data[-1, :5, 10:15] = 41
    return data


@pytest.fixture
def busy(tool):
    """A controller whose jobs wait until ``t.work()``; labels are not counted yet."""
    t = tool(STACK)
    waiting = []
    t.runner._start = lambda *job: waiting.append(job)

    def work():
        while waiting:
            run_inline(*waiting.pop(0))

    t.work = work
    return t


def test_choosing_labels_does_not_read_them(busy):
    labels = busy.viewer.add_labels(OnDisk(foreign()))
    before = labels.data.reads
    busy.choose_labels(labels)
    assert labels.data.reads - before < 10  # of 30 planes: those that are drawn
    busy.work()
    assert busy.state.object_id == labels.selected_label == 42


def test_a_click_before_all_is_counted_gets_a_free_id(busy):
    busy.choose_labels(busy.viewer.add_labels(foreign()))
    labels = busy.stage.labels
    busy.viewer.dims.set_current_step(0, 2)
    busy.stage.add_point((2, 20, 30))  # a click does not wait
    assert "counted" in busy.state.status
    busy.stage.add_point((2, 22, 30))
    np.testing.assert_array_equal(labels.data, foreign())
    busy.work()
    assert busy.state.object_id == labels.selected_label == 42
    assert set(busy.stage.points.features["object_id"]) == {42}
    expected = disc((40, 60), 30, 20) | disc((40, 60), 30, 22)
    np.testing.assert_array_equal(labels.data[2] == 42, expected)
    others = np.where(labels.data == 42, 0, labels.data)
    np.testing.assert_array_equal(others, foreign())
    assert busy.errors == []
    busy.undo()
    busy.work()
    np.testing.assert_array_equal(labels.data, foreign())


def test_who_cannot_wait_gets_a_free_id_too(busy):
    busy.choose_labels(busy.viewer.add_labels(foreign()))
    busy.stage.add_point((2, 20, 30))
    assert busy.next_object() == 43  # after that of the click
    busy.work()
    assert busy.stage.labels.data[2, 20, 30] == 42


def test_an_object_that_was_chosen_is_not_exchanged(busy):
    busy.choose_labels(busy.viewer.add_labels(foreign()))
    busy.add_point((2, 20, 30), object_id=1)
    busy.work()
    assert busy.stage.labels.data[2, 20, 30] == 1
    assert busy.next_object() == 42


def test_propagation_right_after_a_prompt_follows_it(busy):
    busy.choose_labels(busy.viewer.add_labels(foreign()))
    busy.stage.add_point((2, 20, 30))
    busy.propagate("forward")
    busy.work()
    assert (busy.stage.labels.data[2:] == 42).any((1, 2)).all()
    assert busy.errors == []


@pytest.mark.parametrize("how", ["delete", "merge"])
def test_a_click_that_waits_is_not_taken_for_the_object_that_goes(busy, how):
    busy.choose_labels(busy.viewer.add_labels(foreign()))
    busy.viewer.dims.set_current_step(0, 2)
    busy.stage.add_point((2, 20, 30))  # for object 1, as far as is known
    if how == "delete":
        busy.objects.delete([1])
    else:
        busy.objects.merge([1, 2])
    busy.work()
    assert set(busy.stage.points.features["object_id"]) == {42}
    expected = foreign()
    if how == "delete":
        expected[expected == 1] = 0
    else:
        expected[expected == 2] = 1
    expected[2][disc(SHAPE[1:], 30, 20)] = 42
    np.testing.assert_array_equal(busy.stage.labels.data, expected)
    busy.undo()
    busy.work()
    assert 42 in busy.stage.labels.data
    busy.undo()
    busy.work()
    np.testing.assert_array_equal(busy.stage.labels.data, foreign())
    assert busy.errors == []


def test_labels_that_are_full_say_so_and_the_prompt_goes_back(busy):
    data = foreign(np.uint8)
    data[-1].flat[:255] = np.arange(1, 256)
    labels = busy.viewer.add_labels(data.copy())
    busy.choose_labels(labels)
    busy.stage.add_point((2, 20, 30))
    busy.work()
    assert [type(error) for error in busy.errors] == [PromptError]
    assert len(busy.stage.points.data) == 0
    np.testing.assert_array_equal(labels.data, data)


@pytest.mark.parametrize("count", ["before", "meanwhile"])
def test_labels_with_the_largest_number_go_on_with_the_lowest_free_one(busy, count):
    data = np.zeros(SHAPE, np.uint8)
    data[-1, 20:, 20:], data[0, 0, 0], data[1, 0, 0] = 255, 1, 3
    before = data.copy()
    busy.choose_labels(busy.viewer.add_labels(data))
    if count == "before":
        busy.work()
        assert busy.state.object_id == 2
    busy.stage.add_point((2, 20, 30))
    busy.work()
    before[2][disc((40, 60), 30, 20)] = 2
    np.testing.assert_array_equal(data, before)
    assert set(busy.stage.points.features["object_id"]) == {2}
    assert busy.errors == []


def test_further_objects_of_a_binary_mask_get_the_ids_below_255(busy):
    data = np.zeros(SHAPE, np.uint8)
    data[:, :5, :5], data[0, 9, 9] = 255, 4
    busy.choose_labels(busy.viewer.add_labels(data))
    busy.work()
    for number in (1, 2, 3):
        assert busy.next_object() == number
        busy.stage.add_point((0, 20, 10 * number))
        busy.work()
    assert busy.ids.reserve(2, busy.stage.labels) == 5  # 4 is there
    assert busy.ids.reserve(248, busy.stage.labels) == 7
    with pytest.raises(PromptError, match="cannot take label"):
        busy.ids.reserve(1, busy.stage.labels)


def test_full_labels_leave_the_next_prompt_its_object(busy):
    data = np.zeros(SHAPE, np.uint8)
    data[-1].flat[:255] = np.arange(1, 256)
    busy.choose_labels(busy.viewer.add_labels(data))
    busy.work()
    assert "cannot take label 256" in busy.state.status
    busy.stage.add_point((2, 20, 30))
    busy.work()
    (object_id,) = busy.stage.points.features["object_id"]
    assert object_id == busy.state.object_id
    assert data[2, 20, 30] == object_id


def test_undo_takes_back_what_waits_one_by_one(busy):
    labels = busy.viewer.add_labels(foreign())
    busy.choose_labels(labels)
    busy.stage.add_point((2, 20, 30))
    busy.add_shapes([[(2, 30, 5), (2, 30, 12), (2, 38, 12), (2, 38, 5)]])
    assert busy.state.undo_text == "last prompt"
    busy.undo()
    assert (len(busy.stage.points.data), len(busy.stage.shapes.data)) == (1, 0)
    assert "counted" in busy.state.status
    busy.undo()
    assert len(busy.stage.points.data) == 0
    assert "counted" not in busy.state.status
    assert busy.state.undo_text == ""
    busy.stage.add_point((2, 20, 40))
    busy.work()
    expected = foreign()
    expected[2][disc((40, 60), 40, 20)] = 42
    np.testing.assert_array_equal(labels.data, expected)
    assert busy.errors == []


def test_undo_of_what_waits_leaves_the_steps_before_it(busy):
    labels = busy.viewer.add_labels(foreign())
    busy.choose_labels(labels)
    busy.stage.add_point((2, 20, 30))
    busy.work()
    count(busy.tasks)  # as when the labels' data are exchanged
    busy.stage.add_point((2, 30, 30))
    busy.undo()
    busy.work()
    assert len(busy.stage.points.data) == 1
    assert len(busy.history.steps) == 1
    busy.undo()
    busy.work()
    np.testing.assert_array_equal(labels.data, foreign())
    busy.redo()
    busy.work()
    assert labels.data[2, 20, 30] == 42


def test_a_prompt_that_is_refused_takes_no_waiting_one_along(busy):
    busy.choose_labels(busy.viewer.add_labels(foreign()))
    busy.stage.add_point((2, 20, 30))
    busy.stage.add_point((2, 20, 300))  # beside the image
    np.testing.assert_array_equal(busy.stage.points.data, [[2, 20, 30]])
    busy.work()
    assert busy.stage.labels.data[2, 20, 30] == 42


def test_a_plane_that_cannot_be_read_does_not_hold_up_the_rest(busy):
    class Broken(OnDisk):
        def __getitem__(self, index):
            if index == (7,):
                raise OSError("gone")
            return super().__getitem__(index)

    busy.choose_labels(busy.viewer.add_labels(Broken(foreign())))
    busy.work()
    assert busy.state.object_id == 42


@pytest.mark.parametrize("what", ["image", "labels"])
def test_a_click_is_not_forgotten_over_another_image_or_labels(busy, what):
    first = busy.stage.image
    cells = busy.viewer.add_labels(foreign())
    busy.choose_labels(cells)
    busy.stage.add_point((2, 20, 30))
    if what == "image":
        busy.choose_image(busy.viewer.add_image(np.zeros((9, 9))))
        busy.work()
        busy.choose_image(first)
    else:
        others = busy.viewer.add_labels(foreign())
        busy.choose_labels(others)
        busy.work()
        np.testing.assert_array_equal(others.data, foreign())
        busy.choose_labels(cells)
    busy.work()
    busy.sync()
    busy.work()
    assert busy.errors == []
    assert set(busy.stage.points.features["object_id"]) == {42}
    assert busy.stage.labels.data[2, 20, 30] == 42
    others = np.where(busy.stage.labels.data == 42, 0, busy.stage.labels.data)
    np.testing.assert_array_equal(others, foreign())


def borders(shape=(40, 60)):
    """Objects 1 and 2 with a border of -1, as some watersheds leave them."""
    data = np.zeros(shape, np.int32)
    data[..., 2:8, 2:8] = 1
    data[..., 2:8, 9:15] = 2
    data[..., 8, :] = data[..., 2:8, 8] = -1
    return data


def test_objects_beside_borders_of_minus_1_are_seen(tool):
    t = tool(STACK)
    data = borders(SHAPE)
    t.choose_labels(t.viewer.add_labels(data.copy()))
    assert [row.object_id for row in t.objects.rows()] == [1, 2, 3]
    assert t.state.object_id == 3
    t.viewer.dims.set_current_step(0, 4)
    t.add_point((4, 12, 30))
    new = t.stage.labels.data
    np.testing.assert_array_equal(new[4] == 3, disc((40, 60), 30, 12))  # border, too
    for object_id in (1, 2):
        np.testing.assert_array_equal(new == object_id, data == object_id)
    t.undo()
    np.testing.assert_array_equal(t.stage.labels.data, data)
    assert t.objects.track_all() == [1, 2]
    assert t.errors == []


def test_border_pixels_are_background_like_0(tool):
    t = tool(STACK[0])
    t.choose_labels(t.viewer.add_labels(borders()))
    t.stage.labels.selected_label = -1
    assert "-1 is the background" in t.state.status
    with pytest.raises(PromptError, match="-1 is the background"):
        t.add_point((12, 30))
    t.stage.add_point((12, 30))
    assert [row.object_id for row in t.objects.rows()] == [1, 2]
    np.testing.assert_array_equal(t.stage.labels.data, borders())


HUGE = 2**32 + 5


def electron_microscopy():
    data = np.zeros((40, 60), np.int64)
    data[2:8, 2:8] = HUGE
    data[2:8, 9:15] = 2**40
    data[30:35, 2:8] = 7
    return data


def test_new_objects_have_ids_that_masks_can_have(tool):
    t = tool(STACK[0])
    data = electron_microscopy()
    t.choose_labels(t.viewer.add_labels(data.copy()))
    assert t.state.object_id == 8
    t.add_point((20, 30))
    np.testing.assert_array_equal(t.stage.labels.data == 8, disc((40, 60), 30, 20))
    assert t.next_object() == 9
    t.select_object(HUGE)
    assert t.next_object() == 9  # nothing has it
    assert t.errors == []


def test_objects_above_those_of_masks_are_refused_by_name_and_can_be_merged(tool):
    t = tool(STACK[0])
    t.choose_labels(t.viewer.add_labels(electron_microscopy()))
    t.select_object(HUGE)
    t.objects.rename(HUGE, "axon")
    with pytest.raises(PromptError, match="axon cannot be prompted"):
        t.add_point((4, 4))
    t.stage.add_point((4, 4))  # a click
    assert "axon cannot be prompted" in t.state.status
    assert len(t.stage.points.data) == 0
    np.testing.assert_array_equal(t.stage.labels.data, electron_microscopy())
    t.objects.merge([7, HUGE])
    before = electron_microscopy()
    np.testing.assert_array_equal(
        t.stage.labels.data == 7, (before == 7) | (before == HUGE)
    )
    t.add_point((12, 12))
    expected = disc((40, 60), 12, 12) & (before == 0)
    assert (t.stage.labels.data[expected] == 7).all()
    t.undo()
    t.undo()
    np.testing.assert_array_equal(t.stage.labels.data, before)


def test_tracking_all_names_the_label_that_masks_cannot_have(tool):
    t = tool(STACK)
    t.choose_labels(t.viewer.add_labels(np.stack([electron_microscopy()] * 30)))
    with pytest.raises(PromptError, match=f"Object {2**40} cannot be prompted"):
        t.objects.track_all()
    assert t.state.undo_text == ""


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
def test_the_first_free_id_is_above_those_that_masks_can_have(dtype):
    data = np.array([[[0, 3]], [[2**40, 1]]], dtype)
    assert first_free_id(Labels(data)) == first_free_id(Labels(data[0])) == 4
    assert first_free_id(Labels(np.full((2, 2), -1))) == 1


def test_labels_that_are_deleted_are_not_waited_for(busy):
    busy.choose_labels(busy.viewer.add_labels(foreign()))
    busy.viewer.dims.set_current_step(0, 2)
    busy.stage.add_point((2, 20, 30))
    assert "counted" in busy.state.status
    busy.viewer.layers.remove(busy.stage.labels)
    busy.work()
    assert "counted" not in busy.state.status
    busy.stage.add_point((2, 20, 40))
    busy.work()
    found = np.asarray(busy.stage.labels.data[2]) > 0
    expected = disc((40, 60), 30, 20) | disc((40, 60), 40, 20)
    np.testing.assert_array_equal(found, expected)
