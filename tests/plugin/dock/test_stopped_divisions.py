"""Divisions that are stopped on their way, and repeated from a session."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from divided import SHAPE, STACK, Splitting, pull_apart
from fakes import Stepper, disc

from napari_sam2.dock import _lineage
from napari_sam2.dock._lineage import LineageTools
from napari_sam2.dock._stacking import StackTools
from napari_sam2.engine._engine import Engine
from napari_sam2.following._divisions import Suspect, divide
from napari_sam2.history._history import History
from napari_sam2.history._record import Record
from napari_sam2.history._replay import Redo, apply, rerun
from napari_sam2.sessions._keeping import SessionKeeper
from napari_sam2.sessions._session_file import read_session
from sam2_core import PromptError


@pytest.fixture
def split(tool, tmp_path):
    """The same, all of it by propagation."""
    t = tool(STACK)
    t.tasks.engine = Engine(Splitting())
    t.lineage = LineageTools(StackTools(t))
    t.keeper = SessionKeeper(t, tmp_path / "autosaves")
    t.add_point((0, 20, 20))
    t.propagate("forward")
    return t


def repeated(session):
    """Labels that a session gives without the dock."""
    journal = session.journal
    labels = SimpleNamespace(name="labels", data=np.zeros(STACK.shape, np.uint16))
    history = History(Record(journal))
    for item in rerun(journal, STACK, Engine(Splitting()), lambda: False):
        if isinstance(item, Redo):
            apply(item, labels, history)
    return labels.data


def stop_at(monkeypatch, t, number, then=lambda: None):
    """Esc while this frame is being divided, after something else perhaps."""

    def slowly(*args):
        for i, item in enumerate(divide(*args)):
            if i == number:
                then()
                t.cancel()
            yield item

    monkeypatch.setattr(_lineage, "divide", slowly)


@pytest.mark.parametrize("frames", [0, 2])
def test_a_division_that_is_stopped_is_not_answered(
    split, monkeypatch, tmp_path, frames
):
    suspect = Suspect(1, 3)
    before, text = split.stage.labels.data.copy(), split.state.undo_text
    stop_at(monkeypatch, split, frames)
    split.lineage.answer(suspect, divided=True)
    np.testing.assert_array_equal(split.stage.labels.data, before)
    assert split.lineage.suspects() == [suspect]
    assert len(split.history.record.marks) == 0
    assert split.state.status == "Not divided; the question is still open."
    assert (split.state.undo_text, split.state.redo_text) == (text, "")
    np.testing.assert_array_equal(
        repeated(read_session(split.keeper.save(tmp_path / "a"))), before
    )
    monkeypatch.undo()
    split.lineage.answer(suspect, divided=True)
    labels = split.stage.labels.data
    np.testing.assert_array_equal(labels[3:] > 0, before[3:] > 0)
    assert not (labels[3:] == 1).any()
    np.testing.assert_array_equal(
        repeated(read_session(split.keeper.save(tmp_path / "b"))), labels
    )


@pytest.mark.parametrize("planes", [-1, 0, 2])
def test_a_division_is_done_when_the_dock_closes(tool, tmp_path, planes):
    """While it waits, at its beginning, and in the middle."""
    threads = Stepper()
    t = tool(STACK, start=threads.start)
    t.tasks.engine = Engine(Splitting())
    lineage = LineageTools(StackTools(t))
    keeper = SessionKeeper(t, tmp_path / "autosaves")
    t.add_point((0, 20, 20))
    threads.run()
    t.propagate("forward")
    threads.run()
    before = t.stage.labels.data.copy()
    if planes < 0:
        t.propagate("forward")
        threads.step()
    first, second = lineage.answer(Suspect(1, 3), divided=True)
    for _ in range(planes):
        threads.step()
    t.tasks.close()
    threads.run()
    labels = t.stage.labels.data
    np.testing.assert_array_equal(labels[:3], before[:3])
    for frame in range(3, 7):
        expected = first * disc(SHAPE, 12, 20) + second * disc(SHAPE, 40, 20)
        np.testing.assert_array_equal(labels[frame], expected)
    session = read_session(keeper.save(tmp_path / "a"))
    np.testing.assert_array_equal(repeated(session), labels)
    t.undo()
    np.testing.assert_array_equal(labels, before)


def test_a_stopped_division_under_later_work_is_repeated_as_far_as_it_came(
    split, monkeypatch, tmp_path
):
    suspect = Suspect(1, 3)
    stop_at(monkeypatch, split, 2, lambda: split.steps.begin("later"))
    split.lineage.answer(suspect, divided=True)
    labels = split.stage.labels.data
    assert set(np.flatnonzero((labels == 1).any((1, 2)))) == {0, 1, 2, 5, 6}
    np.testing.assert_array_equal(
        repeated(read_session(split.keeper.save(tmp_path / "a"))), labels
    )


def test_undo_while_a_division_waits_takes_back_nothing_else(lapse, backend):
    """The division waits for the answer to a click."""
    (suspect,) = lapse.lineage.suspects()
    before = lapse.stage.labels.data.copy()

    def answer_and_undo():
        backend.on_answer = lambda: None
        lapse.lineage.answer(suspect, divided=True)
        lapse.undo()

    backend.on_answer = answer_and_undo
    lapse.add_point((0, 30, 40), object_id=5)
    assert lapse.state.undo_text == "last prompt"
    assert lapse.lineage.suspects() == [suspect]
    np.testing.assert_array_equal(lapse.stage.labels.data[1:], before[1:])
    assert lapse.stage.labels.data[0, 30, 40] == 5


def test_labels_without_room_for_daughters_leave_no_answer(tool):
    t = tool(STACK)
    full = np.zeros(STACK.shape, np.uint8)
    full[0].flat[:253] = range(3, 256)  # 2 is free, and the daughters are two
    t.choose_labels(t.viewer.add_labels(full))
    lineage = LineageTools(StackTools(t))
    t.add_point((0, 20, 20), object_id=1)
    t.propagate("forward")
    pull_apart(t)
    (suspect,) = lineage.suspects()
    t.add_point((0, 24, 20), object_id=1)
    t.undo()
    with pytest.raises(PromptError, match="257"):
        lineage.answer(suspect, divided=True)
    assert t.state.redo_text == "last prompt"
    assert t.history.record.divisions == {}


def test_divisions_are_part_of_a_session(split, tmp_path):
    split.lineage.answer(Suspect(1, 3), divided=True)
    session = read_session(split.keeper.save(tmp_path / "a"))
    assert session.divisions == [{"parent": 1, "frame": 3, "daughters": [2, 3]}]
    labels = split.stage.labels.data
    assert set(np.unique(labels[3:])) == {0, 2, 3}
    np.testing.assert_array_equal(repeated(session), labels)


def test_divisions_of_older_files_are_repeated_whole(split, tmp_path):
    split.lineage.answer(Suspect(1, 3), divided=True)
    session = read_session(split.keeper.save(tmp_path / "a"))
    (entry,) = (e for e in session.journal.entries if e.do == "divide")
    entry.computed = entry.written = 0  # as they were not counted
    np.testing.assert_array_equal(repeated(session), split.stage.labels.data)
