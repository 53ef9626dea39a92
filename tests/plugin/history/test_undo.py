"""Undo goes back step by step; the model is a fake."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import FLAT, STACK, Stepper, click, disc, plane


def test_undo_goes_back_step_by_step(tool):
    t = tool(FLAT)
    states = [plane(t).copy()]
    click(t, 10, 20)
    states.append(plane(t).copy())
    t.add_point((10, 25), positive=False)
    states.append(plane(t).copy())
    t.next_object()
    t.add_shapes([[(5, 30), (5, 40), (12, 40), (12, 30)]])
    t.undo()
    np.testing.assert_array_equal(plane(t), states[2])
    assert len(t.stage.shapes.data) == 0
    assert t.state.object_id == 2
    t.undo()
    assert t.state.object_id == t.stage.labels.selected_label == 1
    t.undo()
    np.testing.assert_array_equal(plane(t), states[1])
    t.undo()
    np.testing.assert_array_equal(plane(t), states[0])
    assert t.state.undo_text == ""
    t.undo()
    assert t.state.status == "Nothing to undo."


def test_undo_of_a_deleted_point_brings_it_and_its_mask_back(tool):
    t = tool(FLAT)
    click(t, 10, 20)
    t.add_point((10, 26))
    before = plane(t).copy()
    t.stage.points.remove([1])
    assert not np.array_equal(plane(t), before)
    t.undo()
    np.testing.assert_array_equal(plane(t), before)
    assert len(t.stage.points.data) == 2


def test_undo_of_a_propagation_keeps_the_prompted_frame(tool):
    t = tool(STACK)
    click(t, 3, 10, 20)
    t.propagate()
    assert t.stage.labels.data.any(axis=(1, 2)).all()
    t.undo()
    assert t.stage.labels.data.any(axis=(1, 2)).tolist() == [i == 3 for i in range(7)]


def test_clear_object_and_its_undo(tool):
    t = tool(STACK)
    click(t, 3, 10, 20)
    t.next_object()
    click(t, 3, 30, 40)
    t.propagate()
    before = t.stage.labels.data.copy()
    t.objects.delete([t.state.object_id])
    assert set(np.unique(t.stage.labels.data)) == {0, 1}
    assert list(t.stage.points.features["object_id"]) == [1]
    t.undo()
    np.testing.assert_array_equal(t.stage.labels.data, before)
    assert len(t.stage.points.data) == 2


@pytest.mark.parametrize("lost", ["points", "shapes", "labels"])
def test_the_first_prompt_after_a_layer_was_deleted_is_undone(tool, lost):
    t = tool(FLAT)
    click(t, 10, 20)
    t.viewer.layers.remove(getattr(t.stage, lost))
    t.steps.take_tool("point")
    given = t.stage.points.data.copy()
    masks = {name: mask.mask.unpack() for name, mask in t.stage.masks.items()}
    t.stage.points.add([(30, 40)])
    assert plane(t)[30, 40]
    t.undo()
    np.testing.assert_array_equal(t.stage.points.data, given)
    assert not plane(t)[30, 40]
    assert t.stage.masks.keys() == masks.keys()
    t.redo()
    assert plane(t)[30, 40]
    assert len(t.stage.points.data) == len(given) + 1


def test_a_locked_object_is_not_undone(tool):
    t = tool(FLAT)
    click(t, 10, 20)
    before = plane(t).copy()
    t.objects.lock(1, True)
    t.undo()
    np.testing.assert_array_equal(plane(t), before)
    assert len(t.stage.points.data) == 1
    assert t.state.status == "Object 1 is locked; unlock it to undo this step."
    t.objects.lock(1, False)
    t.undo()
    assert not plane(t).any()


def test_a_locked_object_is_not_done_again(tool):
    t = tool(FLAT)
    click(t, 10, 20)
    t.add_point((10, 26))
    larger = plane(t).copy()
    t.undo()
    smaller = plane(t).copy()
    t.objects.lock(1, True)
    t.redo()
    np.testing.assert_array_equal(plane(t), smaller)
    assert t.state.status == "Object 1 is locked; unlock it to redo this step."
    t.objects.lock(1, False)
    t.redo()
    np.testing.assert_array_equal(plane(t), larger)


def test_steps_beside_a_locked_object_are_undone(tool):
    t = tool(FLAT)
    click(t, 10, 20)
    first = plane(t).copy()
    t.objects.lock(1, True)
    t.next_object()
    t.add_point((30, 40))
    t.undo()
    np.testing.assert_array_equal(plane(t), first)
    t.redo()
    assert plane(t)[30, 40] == 2


def test_a_propagation_with_a_locked_object_stays(tool):
    t = tool(STACK)
    click(t, 3, 10, 20)
    t.next_object()
    click(t, 3, 30, 40)
    t.propagate()
    before = t.stage.labels.data.copy()
    t.objects.lock(2, True)
    t.undo()
    np.testing.assert_array_equal(t.stage.labels.data, before)
    assert "Object 2 is locked" in t.state.status
    assert t.state.undo_text == "propagation"


@pytest.fixture
def overtaken(tool):
    """A click whose answer a negative one came before; the latter was taken back.

    So the former was answered meanwhile.
    """
    threads = Stepper()
    t = tool(FLAT, start=threads.start)
    threads.run()
    t.threads, t.click = threads, disc(FLAT.shape, 20, 10)
    t.both = t.click & ~disc(FLAT.shape, 25, 10)
    click(t, 10, 20)
    t.add_point((10, 25), positive=False)
    threads.run()
    np.testing.assert_array_equal(plane(t), t.both)
    t.undo()
    threads.run()
    np.testing.assert_array_equal(plane(t), t.click)
    return t


def test_redo_of_a_click_whose_forerunner_was_answered_meanwhile(overtaken):
    t = overtaken
    t.redo()
    t.threads.run()
    assert len(t.stage.points.data) == 2
    np.testing.assert_array_equal(plane(t), t.both)
    t.undo()
    t.threads.run()
    np.testing.assert_array_equal(plane(t), t.click)
    t.undo()
    t.threads.run()
    assert not plane(t).any()


def test_redo_of_all_clicks_is_what_there_was(overtaken):
    t = overtaken
    t.redo()
    t.threads.run()
    for _ in range(2):
        t.undo()
        t.threads.run()
    t.redo()
    np.testing.assert_array_equal(plane(t), t.click)
    t.redo()
    np.testing.assert_array_equal(plane(t), t.both)
    t.threads.run()
    np.testing.assert_array_equal(plane(t), t.both)
