"""napari's own brush on the labels, with undo and prompts; the model is a fake."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from fakes import FakeBackend, disc
from painting import STACK, ball, stroke

from napari_sam2.dock._stacking import StackTools
from napari_sam2.engine._engine import Engine
from napari_sam2.following._marks import ABSENT, END, Mark
from napari_sam2.history._history import History
from napari_sam2.history._replay import Redo, apply, rerun
from napari_sam2.sessions._keeping import SessionKeeper
from napari_sam2.sessions._session_file import read_session


def test_a_stroke_is_a_step_of_its_own(brush):
    data = brush.stage.labels.data
    before = data.copy()
    stroke(brush, 3, 30, 40, label=8)
    painted = data.copy()
    assert (painted[3] == 8).any()
    assert brush.state.undo_text == "painting"
    assert brush.ledger.places(8) == [(3,)]
    brush.undo()
    np.testing.assert_array_equal(data, before)
    assert brush.ledger.places(8) == []
    brush.redo()
    np.testing.assert_array_equal(data, painted)


def test_painting_on_a_mask_replaces_its_prompts_and_is_followed(brush):
    data = brush.stage.labels.data
    stroke(brush, 3, 30, 40)
    painted = data[3] == 1
    assert painted[30, 40]
    assert len(brush.stage.points.data) == 0
    assert brush.stage.count_prompts(1) == 1
    brush.sync()
    np.testing.assert_array_equal(data[3] == 1, painted)
    brush.propagate()
    np.testing.assert_array_equal(data[4] == 1, np.roll(painted, 1, 1))
    brush.undo()
    brush.undo()
    assert len(brush.stage.points.data) == 1
    assert not data[3, 30, 40]


def test_painting_on_a_followed_frame_makes_it_a_mask_prompt(brush):
    brush.viewer.dims.set_current_step(0, 5)
    stroke(brush, 5, 30, 40)
    assert brush.stage.count_prompts(1) == 2
    brush.propagate()
    assert brush.stage.labels.data[6, 30, 41] == 1


def test_erasing_all_of_an_object_takes_its_prompts(brush):
    labels = brush.stage.labels
    labels.brush_size = 60
    stroke(brush, 3, 10, 20, label=0)
    assert brush.stage.count_prompts(1) == 0
    brush.sync()
    assert not (labels.data[3] == 1).any()


def test_what_is_erased_whole_stays_so(brush, tmp_path):
    t, data = brush, brush.stage.labels.data
    t.stage.labels.brush_size = 60
    stroke(t, 5, 10, 22, label=0)
    assert list(t.history.record.marks) == [Mark(1, (1, 2), (5,), ABSENT)]
    assert "absent" in t.state.status
    t.add_point((3, 30, 40), object_id=2)
    t.propagate()
    assert np.flatnonzero((data == 1).any((1, 2))).tolist() == [0, 1, 2, 3, 4, 6]
    np.testing.assert_array_equal(repeated(t, tmp_path), data)
    for _ in range(3):
        t.undo()
    assert (data[5] == 1).any()
    assert not len(t.history.record.marks)


def test_an_object_that_is_erased_everywhere_has_no_marks(tool):
    t = tool(STACK)
    t.add_point((3, 10, 20))
    t.stage.labels.brush_size = 60
    stroke(t, 3, 10, 20, label=0)
    assert not (t.stage.labels.data == 1).any()
    assert not len(t.history.record.marks)


@pytest.mark.parametrize(("marked", "kind"), [(5, ABSENT), (4, END)])
def test_painting_counts_more_than_marks(brush, tmp_path, marked, kind):
    t, data = brush, brush.stage.labels.data
    t.history.record.mark(Mark(1, (1, 2), (marked,), kind), t.steps.begin("mark"))
    t.propagate()
    assert kind == END or not (data[5] == 1).any()
    stroke(t, 5, 30, 40)
    painted = data[5] == 1
    assert not len(t.history.record.marks)
    t.propagate()
    np.testing.assert_array_equal(data[5] == 1, painted)
    np.testing.assert_array_equal(data[6] == 1, np.roll(painted, 1, 1))
    np.testing.assert_array_equal(repeated(t, tmp_path), data)
    t.undo()
    t.undo()
    assert [mark.kind for mark in t.history.record.marks] == [kind]
    t.redo()
    assert not len(t.history.record.marks)


# -- labels that the plugin has not made -----------------------------------------------


def painted_at(shape, row, column, size=4):
    return ball((1, *shape), (0, row, column), size / 2)[0]


def test_a_label_drawn_by_hand_is_followed(tool, tmp_path):
    t = tool(STACK)
    t._ensure()
    t.stage.labels.brush_size = 4
    stroke(t, 3, 30, 40, label=5)
    assert t.stage.count_prompts(5) == 1
    t.propagate()
    data, drawn = t.stage.labels.data, painted_at((40, 60), 30, 40)
    for frame in range(7):
        np.testing.assert_array_equal(data[frame] == 5, np.roll(drawn, frame - 3, 1))
    np.testing.assert_array_equal(repeated(t, tmp_path), data)
    t.undo()
    t.undo()
    assert not data.any()
    assert t.stage.count_prompts(5) == 0


def test_frames_drawn_by_hand_are_kept_by_a_propagation(brush):
    t, data = brush, brush.stage.labels.data
    stroke(t, 6, 30, 20, label=5)
    t.add_point((0, 30, 20), object_id=5)
    t.propagate()
    np.testing.assert_array_equal(data[6] == 5, painted_at((40, 60), 30, 20))
    assert (data == 5).any((1, 2)).all()


@pytest.mark.parametrize("label", [4, 0])
def test_a_fix_of_a_label_from_elsewhere_is_kept(tool, label):
    t = tool(STACK)
    found = np.zeros(STACK.shape, np.uint16)
    found[:, 10:20, 10:20] = 4
    found[:, 10:20, 20:30] = 9
    t.choose_labels(t.viewer.add_labels(found))
    t.stage.labels.brush_size = 4
    stroke(t, 4, 12, 19, label=label)
    fixed = (found[4] == 4).copy()
    assert t.stage.count_prompts(4) == 1
    assert t.stage.count_prompts(9) == 0 or label == 0  # is only painted over
    t.add_point((0, 14, 14), object_id=4)
    t.propagate()
    np.testing.assert_array_equal(t.stage.labels.data[4] == 4, fixed)


def test_a_mask_split_by_hand_is_two_objects(brush):
    t, labels = brush, brush.stage.labels
    for row in range(0, 40, 2):
        labels.paint(np.array((3, row, 20)), 0)
    labels.fill((3, 10, 24), 7)
    split = labels.data[3].copy()
    t.propagate()
    for frame in range(7):
        np.testing.assert_array_equal(labels.data[frame], np.roll(split, frame - 3, 1))


def test_planes_that_stand_alone_have_no_prompts_by_hand(tool):
    t = tool(STACK)
    t.choose_axis(None)
    t._ensure()
    stroke(t, 3, 30, 40, label=5)
    assert t.stage.count_prompts(5) == 0


def test_locked_objects_are_not_painted_over(brush):
    before = brush.stage.labels.data == 1
    brush.objects.lock(1, True)
    stroke(brush, 3, 10, 24, label=8)
    data = brush.stage.labels.data
    np.testing.assert_array_equal(data == 1, before)
    assert "Locked" in brush.state.status


def test_prompting_goes_on_while_a_brush_is_in_hand(brush):
    brush.add_point((3, 12, 26), object_id=1)
    stroke(brush, 3, 30, 40, label=8)
    brush.undo()
    assert brush.stage.labels.data[3, 12, 26] == 1
    assert not brush.stage.labels.data[3, 30, 40]


def test_painting_from_a_script_is_counted_and_its_label_is_taken(brush):
    labels = brush.stage.labels
    labels.mode = "pan_zoom"
    labels.paint(np.array((3, 30, 40)), 8)
    assert brush.ledger.places(8) == [(3,)]
    assert brush.next_object() == 9


# -- while masks are on their way ------------------------------------------------------


@pytest.fixture
def busy(brush, backend):
    """Has a stroke made while the model is at its work, after some more answers."""

    def at_answer(number, paint, work):
        left = number

        def on_answer():
            nonlocal left
            left -= 1
            if left == 0:
                paint()

        backend.on_answer = on_answer
        work()
        backend.on_answer = lambda: None

    return at_answer


def repeated(t, tmp_path):
    """Labels that a session of all this gives without the dock."""
    saved = SessionKeeper(t, tmp_path / "autosaves").save(tmp_path / "a.json")
    journal = read_session(saved).journal
    labels, history = SimpleNamespace(data=np.zeros(STACK.shape, np.uint32)), History()
    for redo in rerun(journal, STACK, Engine(FakeBackend()), lambda: False):
        if isinstance(redo, Redo):
            apply(redo, labels, history)
    return labels.data


@pytest.mark.parametrize("label", [0, 1, 8])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_stroke_stops_a_propagation_and_both_are_undone(
    brush, busy, tmp_path, label, overwrite
):
    t, data = brush, brush.stage.labels.data
    if overwrite:
        t.state.writing = "overwrite"
    before = data.copy()
    painted = np.where(ball((1, 40, 60), (0, 10, 29), 2)[0], label, before[6])
    # Frames 3, 4, 5, then 6; the stroke comes when 5 is asked for.
    busy(3, lambda: stroke(t, 6, 10, 29, label=label), lambda: t.propagate("forward"))
    np.testing.assert_array_equal(data[6], painted)
    np.testing.assert_array_equal(data[:6], before[:6])
    assert "stroke has stopped" in t.state.status
    assert t.stage.count_prompts(1) == 2
    np.testing.assert_array_equal(repeated(t, tmp_path), data)
    t.undo()
    np.testing.assert_array_equal(data, before)
    assert t.state.undo_text == "propagation"
    t.undo()
    np.testing.assert_array_equal(data, before)
    np.testing.assert_array_equal(repeated(t, tmp_path), data)


def test_while_a_stroke_goes_on_nothing_is_written_under_it(brush, busy):
    """The mouse is held down for some frames before napari tells of the stroke."""
    t, labels = brush, brush.stage.labels
    before = labels.data.copy()
    held = ExitStack()

    def press():
        held.enter_context(labels.block_history())
        labels.paint(np.array((6, 10, 23)), 0)

    busy(2, press, lambda: t.propagate("forward"))
    assert not labels.data[6, 10, 23]
    held.close()
    assert t.state.undo_text == "painting"
    t.undo()
    t.undo()
    np.testing.assert_array_equal(labels.data, before)


def test_a_prompt_that_a_stroke_interrupts_is_answered_after_it(brush, busy, tmp_path):
    t, data = brush, brush.stage.labels.data
    before = data.copy()
    ask = partial(t.add_point, (3, 30, 40), object_id=2)
    busy(1, lambda: stroke(t, 3, 30, 43, label=8), ask)
    brushed = ball((1, 40, 60), (0, 30, 43), 2)[0]
    np.testing.assert_array_equal(data[3] == 8, brushed)
    np.testing.assert_array_equal(data[3] == 2, disc((40, 60), 40, 30) & ~brushed)
    np.testing.assert_array_equal(repeated(t, tmp_path), data)
    t.undo()
    np.testing.assert_array_equal(data[3] == 2, disc((40, 60), 40, 30))
    t.undo()
    np.testing.assert_array_equal(data, before)


def test_a_stroke_while_a_session_is_restored_is_no_prompt(brush, monkeypatch):
    t = brush
    monkeypatch.setattr(t.runner, "awaits", lambda kind: kind == "restore")
    stroke(t, 5, 30, 40)
    assert t.stage.labels.data[5, 30, 40] == 1
    assert t.state.undo_text == "painting"
    assert not t.stage.masks
    assert "paint once more" in t.state.status
    monkeypatch.undo()
    stroke(t, 5, 30, 42)
    ((key, start),) = t.stage.masks.items()
    assert key.position == (5,)
    np.testing.assert_array_equal(start.mask.unpack(), t.stage.labels.data[5] == 1)


def test_saying_that_what_was_erased_is_absent_confirms_it(brush):
    t = brush
    t.tools = StackTools(t)
    t.viewer.dims.set_current_step(0, 5)
    t.stage.labels.brush_size = 60
    stroke(t, 5, 10, 22, label=0)
    t.select_object(1)
    mark = Mark(1, (1, 2), (5,), ABSENT)
    assert t.tools.toggle_mark(ABSENT)
    assert list(t.history.record.marks) == [mark]
    assert t.state.status == "Object 1 is marked absent here already."
    assert not t.tools.toggle_mark(ABSENT)
    assert not len(t.history.record.marks)
    assert t.tools.toggle_mark(ABSENT)
    assert not t.tools.toggle_mark(ABSENT)
