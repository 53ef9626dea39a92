"""Corrections that follow by themselves and give way to prompts; a fake model."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import STACK, Stepper, disc

from napari_sam2.dock._stacking import StackTools


@pytest.fixture
def followed(tool):
    """An object that was followed; what is corrected follows by itself."""

    def make(stepper=None):
        t = tool(STACK, **({"start": stepper.start} if stepper else {}))
        t.tools = StackTools(t)
        run = stepper.run if stepper else lambda: None
        t.add_point((3, 10, 20))
        run()
        t.propagate("both")
        run()
        t.state.follow_corrections = True
        return t

    return make


def test_a_stroke_is_carried(followed, backend):
    t = followed()
    data = t.stage.labels.data
    t.stage.labels.brush_size = 4
    t.stage.labels.paint(np.array((5, 30, 40)), 1)
    assert backend.asked[1:] == [("both", True, 3)]
    np.testing.assert_array_equal(data[6] == 1, np.roll(data[5] == 1, 1, 1))
    assert data[5, 30, 40]
    for _ in range(2):
        t.undo()
    np.testing.assert_array_equal(data[6] == 1, disc((40, 60), 23, 10))


def test_a_stroke_of_a_label_that_was_not_followed_is_not_carried(followed, backend):
    t = followed()
    t.stage.labels.paint(np.array((5, 30, 40)), 8)
    assert len(backend.asked) == 1
    assert np.flatnonzero((t.stage.labels.data == 8).any((1, 2))).tolist() == [5]


def test_a_correction_that_is_deleted_is_carried(followed, backend):
    t = followed()
    data = t.stage.labels.data
    before = data.copy()
    t.add_point((5, 30, 40))
    assert data[6, 30, 41]
    t.stage.points.selected_data = {1}
    t.stage.points.remove_selected()
    assert len(backend.asked) == 3
    np.testing.assert_array_equal(data, before)


def test_a_click_on_a_new_object_carries_nothing(followed, backend):
    t = followed()
    t.next_object()
    t.add_point((5, 30, 40))
    assert len(backend.asked) == 1
    assert np.flatnonzero((t.stage.labels.data == 2).any((1, 2))).tolist() == [5]


def test_a_prompt_that_is_refused_carries_nothing(followed, backend):
    t = followed()
    t.add_point((5, 30, 40))
    t.objects.lock(1, True)
    t.stage.add_point((5, 34, 40))
    assert len(t.stage.points.data) == 2
    assert len(backend.asked) == 2
    assert "locked" in t.state.status


@pytest.mark.parametrize("new", [False, True])
def test_a_prompt_interrupts_what_runs_by_itself(followed, backend, new):
    stepper = Stepper()
    t = followed(stepper)
    data = t.stage.labels.data
    t.add_point((5, 30, 40))
    while t.state.busy != "propagate" or t.state.done == 0:
        stepper.step()
    if new:
        t.next_object()
    t.add_point((5, 20, 50))
    assert "answered once" not in t.state.status
    while not data[5, 20, 50]:
        stepper.step()
    assert backend.settled == 1  # that of the user
    stepper.run()
    assert backend.settled == 2
    assert data[6, 30, 41] == 1
    assert data[6, 20, 51] == (0 if new else 1)


def test_a_prompt_waits_for_what_the_user_began(followed, backend):
    stepper = Stepper()
    t = followed(stepper)
    t.propagate("both")
    stepper.step()
    t.add_point((5, 20, 50))
    assert "answered once" in t.state.status
    stepper.run()
    assert backend.settled == 3
