"""Ids of new objects while the labels that are there are still being counted."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import disc

from napari_sam2._jobs import run_inline
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


def test_labels_that_are_full_say_so_and_the_prompt_goes_back(busy):
    data = foreign(np.uint8)
    data[-1, 20:, 20:] = 255
    labels = busy.viewer.add_labels(data.copy())
    busy.choose_labels(labels)
    busy.stage.add_point((2, 20, 30))
    busy.work()
    assert [type(error) for error in busy.errors] == [PromptError]
    assert len(busy.stage.points.data) == 0
    np.testing.assert_array_equal(labels.data, data)


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
        busy.choose_labels(busy.viewer.add_labels(foreign()))
    busy.work()
    busy.sync()
    busy.work()
    assert busy.errors == []
    assert set(busy.stage.points.features["object_id"]) == {42}
    assert busy.stage.labels.data[2, 20, 30] == 42
    others = np.where(busy.stage.labels.data == 42, 0, busy.stage.labels.data)
    np.testing.assert_array_equal(others, foreign())
