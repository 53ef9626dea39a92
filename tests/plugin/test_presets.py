"""Quality or speed of stacks: chosen, remembered, repeated."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from napari_sam2._settings import takes_preset, usable
from napari_sam2.engine._engine import Engine
from napari_sam2.history._history import History
from napari_sam2.history._record import Record
from napari_sam2.history._replay import Redo, apply, rerun
from napari_sam2.sessions._keeping import SessionKeeper
from napari_sam2.sessions._session_file import read_session

STACK = np.zeros((5, 40, 60), np.float32)
OFFICIAL = "sam2.1_hiera_tiny"


@pytest.fixture
def t(tool, backend):
    t = tool(STACK)
    t.choose_model(OFFICIAL)
    t.add_point((2, 10, 20))
    t.propagate("both")
    return t


def choose(t, preset):
    """As the dock does."""
    t.state.preset = preset
    t.prepare()


def test_the_bundled_model_takes_none():
    assert not takes_preset("sam2_nano")
    assert takes_preset(OFFICIAL)
    assert takes_preset("/home/me/mine.pt")  # nobody knows yet
    assert usable("sam2_nano", "fast") == ""
    assert usable(OFFICIAL, "fast") == "fast"


def test_a_new_session_with_all_prompts_and_masks(t, backend):
    assert backend.presets == ["", ""]  # of the bundled model first
    labels = t.stage.labels.data.copy()
    choose(t, "fast")
    assert backend.presets[-1] == "fast"
    np.testing.assert_array_equal(t.stage.labels.data, labels)
    assert len(t.stage.points.data) == 1
    opened = len(backend.sessions)
    t.add_point((3, 30, 40))
    assert len(backend.sessions) == opened + 1
    assert set(backend.sessions[-1].prompts) == {(2, 1), (3, 1)}
    t.choose_model("sam2_nano")
    assert backend.presets[-1] == ""


def test_a_session_file_has_it_and_a_replay_uses_it(t, backend, tmp_path):
    choose(t, "balanced")
    t.add_point((3, 30, 40))
    t.propagate("both")
    keeper = SessionKeeper(t, tmp_path / "autosaves")
    session = read_session(keeper.save(tmp_path / "session.json"))
    assert session.settings["preset"] == "balanced"
    assert [s.get("preset") for s in session.journal.setups] == [None, "balanced"]
    again = SimpleNamespace(data=np.zeros_like(t.stage.labels.data), name="labels")
    history = History(Record(session.journal))
    del backend.presets[:]
    for item in rerun(session.journal, STACK, Engine(backend), lambda: False):
        if isinstance(item, Redo):
            apply(item, again, history)
    assert backend.presets == ["", "balanced"]
    np.testing.assert_array_equal(again.data, t.stage.labels.data)
