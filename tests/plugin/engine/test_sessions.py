"""Which sessions of the model are kept."""

from __future__ import annotations

import numpy as np
from fakes import FakeBackend

from napari_sam2.engine._engine import Engine
from napari_sam2.engine._sessions import MAX_SESSIONS, Sessions
from napari_sam2.history._history import History
from napari_sam2.history._record import Record
from napari_sam2.history._replay import Redo, apply, rerun
from napari_sam2.sessions._keeping import SessionKeeper
from napari_sam2.sessions._session_file import read_session

FOUR_D = np.zeros((5, 4, 40, 60), np.uint8)


def test_those_that_were_told_last_are_kept():
    sessions, made = Sessions(), []
    for frames in range(MAX_SESSIONS + 1):
        sessions.tell(frames, made.append)
    assert sessions.find(0) is None
    sessions.tell(1, made.append)
    sessions.tell(9, made.append)
    assert sessions.find(1) is not None
    assert sessions.find(2) is None
    assert made == [0, 1, 2, 9]
    assert sessions.opened == 4
    sessions.forget(1)
    assert sessions.find(1) is None


def test_looking_throws_nothing_out_and_decides_nothing():
    sessions, made = Sessions(), []
    for frames in range(MAX_SESSIONS):
        sessions.tell(frames, made.append)
    for frames in (7, 8, 0, 8):
        sessions.look(frames, made.append)
    assert made == [0, 1, 7, 8]
    assert sessions.find(7) is None
    assert sessions.opened == MAX_SESSIONS
    # What was only looked at is told next: the one told first goes, looked at or not.
    told = sessions.tell(8, made.append)
    assert told is sessions.find(8)
    assert made == [0, 1, 7, 8]
    assert sessions.find(0) is None
    assert sessions.find(1) is not None


def test_a_preview_in_other_planes_leaves_what_was_followed(tool, backend, tmp_path):
    t = tool(FOUR_D)
    keeper = SessionKeeper(t, tmp_path / "autosaves")
    t.choose_axis(0)
    hover = t.tasks.engine.hover

    def look(z):
        frames = t.sight.frames(t.stage.image, (2, 3), (0, z), 0)
        list(hover(t.tasks.choice, frames, (0, z), (20.0, 10.0), lambda: False))

    for z in (0, 1):
        t.add_point((0, z, 10, 20))
        t.viewer.dims.set_current_step(1, z)
        t.propagate("forward")
    for z in (2, 3, 0):
        look(z)
    t.add_point((0, 2, 10, 20))
    t.add_point((3, 0, 10, 27), positive=False)
    labels = np.asarray(t.stage.labels.data)
    session = read_session(keeper.save(tmp_path / "a.json"))

    class Again:
        data = np.zeros_like(labels)
        name = "labels"

    history, engine = History(Record(session.journal)), Engine(FakeBackend())
    for item in rerun(session.journal, FOUR_D, engine, lambda: False):
        if isinstance(item, Redo):
            apply(item, Again, history)
    np.testing.assert_array_equal(Again.data, labels)
    fresh = [entry.fresh for entry in session.journal.entries]
    assert fresh == [True, False, True, False, True, True]
