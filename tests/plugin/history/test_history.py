"""Undo and redo over the labels alone: values, order, memory."""

from __future__ import annotations

import numpy as np
from napari.layers import Labels

from napari_sam2._labels import Rules
from napari_sam2._prompts import Key, ObjectPrompts
from napari_sam2.asking._messages import PlaneMasks
from napari_sam2.history import _history
from napari_sam2.history._history import History
from napari_sam2.history._snapshots import Moment

ASK = ObjectPrompts(points_xy=((1.0, 1.0),), point_labels=(1,))
PLANE = (1, 2)


def masks(frame, rows, columns, object_id=1, ask=ASK, shape=(20, 30)):
    ids = np.zeros(shape, np.uint32)
    ids[rows, columns] = object_id
    return PlaneMasks(PLANE, (frame,), ids, {object_id: ask})


def test_many_steps_there_and_back():
    labels = Labels(np.zeros((4, 20, 30), np.uint16))
    history = History()
    rng = np.random.default_rng(0)
    states = [labels.data.copy()]
    for i in range(25):
        step = history.begin(f"step {i}", Moment(object_id=i))
        for frame in rng.choice(4, 2, replace=False):
            top, left = rng.integers(0, 12), rng.integers(0, 20)
            where = slice(top, top + 8), slice(left, left + 9)
            item = masks(int(frame), *where, object_id=1 + i % 3)
            history.write(labels, item, step, Rules())
        states.append(labels.data.copy())
    known = dict(history.written)
    for i in range(24, -1, -1):
        step = history.take_back(labels, Moment(object_id=i + 1))
        assert step.before.object_id == i
        np.testing.assert_array_equal(labels.data, states[i])
    assert history.written == {}
    for i in range(25):
        assert history.redo_text == f"step {i}"
        step = history.redo(labels)
        assert step.after.object_id == i + 1
        np.testing.assert_array_equal(labels.data, states[i + 1])
    assert history.written == known
    assert history.redo(labels) is None


def test_a_new_step_ends_redo():
    labels = Labels(np.zeros((2, 20, 30), np.uint16))
    history = History()
    step = history.begin("one", Moment())
    history.write(labels, masks(0, slice(2, 8), slice(2, 8)), step, Rules())
    history.take_back(labels)
    history.begin("two", Moment())
    assert history.redo(labels) is None
    assert history.nbytes == 0


def test_memory_is_that_of_the_changed_pixels_and_bounded(monkeypatch):
    labels = Labels(np.zeros((3, 1000, 1000), np.uint16))
    history = History()
    size = slice(100, 150)
    for i in range(40):
        step = history.begin("click", Moment())
        item = masks(i % 3, size, size, 1 + i, shape=(1000, 1000))
        history.write(labels, item, step, Rules(keep_others=False))
    # 2500 pixels, old and new in 2 bytes each, and a bit per pixel
    one = 2500 * 4 + -(-2500 // 8)
    assert history.nbytes == 40 * one
    monkeypatch.setattr(_history, "MAX_BYTES", 10 * one)
    step = history.begin("click", Moment())
    item = masks(0, size, size, 99, shape=(1000, 1000))
    history.write(labels, item, step, Rules(keep_others=False))
    assert history.nbytes <= 10 * one
    assert len(history.steps) == 10


def test_paint_of_others_survives_undo_and_redo():
    labels = Labels(np.zeros((2, 20, 30), np.uint16))
    history = History()
    step = history.begin("one", Moment())
    history.write(labels, masks(0, slice(2, 8), slice(2, 8)), step, Rules())
    labels.data[0, 3, 3] = 7
    history.take_back(labels)
    assert (labels.data[0] > 0).sum() == 1
    history.redo(labels)
    assert labels.data[0, 3, 3] == 7
    assert (labels.data[0] == 1).sum() == 35


def test_locked_labels_neither_lose_nor_gain_pixels():
    labels = Labels(np.zeros((2, 20, 30), np.uint16))
    labels.data[0, 4:10, 4:10] = 5
    before = labels.data.copy()
    history = History()
    rules = Rules(keep_others=False, locked=frozenset({5}))
    item = masks(0, slice(2, 12), slice(2, 12), object_id=1)
    history.write(labels, item, None, rules)
    np.testing.assert_array_equal(labels.data == 5, before == 5)
    assert (labels.data[0] == 1).sum() == 100 - 36
    history.write(labels, masks(0, slice(0, 2), slice(0, 9), 5), None, rules)
    np.testing.assert_array_equal(labels.data == 5, before == 5)


def test_only_empty_pixels_keeps_the_objects_own_old_ones():
    labels = Labels(np.zeros((2, 20, 30), np.uint16))
    labels.data[0, 4:10, 4:10] = 1
    labels.data[0, 4:10, 12:15] = 2
    history = History()
    rules = Rules(only_empty=True)
    history.write(labels, masks(0, slice(8, 14), slice(8, 16)), None, rules)
    expected = np.zeros((20, 30), int)
    expected[8:14, 8:16] = 1
    expected[4:10, 4:10] = 1
    expected[4:10, 12:15] = 2
    np.testing.assert_array_equal(labels.data[0], expected)
    # A second answer replaces the first, but not what was there before.
    history.write(labels, masks(0, slice(15, 17), slice(0, 5)), None, rules)
    expected[8:14, 8:16] = 0
    expected[4:10, 4:10] = 1
    expected[4:10, 12:15] = 2
    expected[15:17, 0:5] = 1
    np.testing.assert_array_equal(labels.data[0], expected)


def test_propagated_masks_are_known_but_answer_no_prompts():
    labels = Labels(np.zeros((2, 20, 30), np.uint16))
    history = History()
    item = masks(1, slice(2, 8), slice(2, 8), ask=ObjectPrompts())
    history.write(labels, item, None, Rules())
    key = Key(PLANE, (1,), 1)
    assert key in history.written
    assert history.orphans({}) == []
    assert history.stale({key: ASK}) == [key]


def test_a_part_stays_unless_new_masks_take_its_place():
    labels = Labels(np.zeros((2, 60, 60), np.uint16))
    there = labels.data[1]
    there[5:25, 5:25] = 1  # met by another object's mask in a corner
    there[30:40, 30:40] = 1  # half of it is another object's now
    there[45:55, 30:40] = 1  # met by its own new mask
    there[5:10, 50:55] = 1  # met by none
    ids = np.zeros((60, 60), np.uint32)
    ids[24:30, 24:30] = ids[30:35, 30:40] = 2
    ids[54:58, 30:40] = 1
    asked = {1: ObjectPrompts(), 2: ObjectPrompts()}
    expected = ids.copy()
    expected[5:25, 5:25] = expected[5:10, 50:55] = 1
    expected[24, 24] = 2
    rules = Rules(parts=True)
    History().write(labels, PlaneMasks(PLANE, (1,), ids, asked, {}), None, rules)
    np.testing.assert_array_equal(there, expected)
