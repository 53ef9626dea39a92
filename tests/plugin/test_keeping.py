"""Work that is saved by itself, also where no job runs."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_sam2._keeping import APART, SessionKeeper
from napari_sam2._stacking import StackTools

STACK = np.arange(5 * 40 * 60, dtype=np.uint16).reshape(5, 40, 60)


class Clock:
    """Calls functions when a test lets time pass."""

    def __init__(self):
        self.asked = []

    def __call__(self, seconds, function):
        self.asked.append((seconds, function))

    def tick(self):
        asked, self.asked = self.asked, []
        for _, function in asked:
            function()


@pytest.fixture
def kept(tool, tmp_path):
    t = tool(STACK)
    t.clock = Clock()
    t.tools = StackTools(t)
    t.keeper = SessionKeeper(t, tmp_path / "autosaves", t.clock)
    return t


def stroke(t, frame, label=3):
    """What napari's brush does."""
    labels = t.stage.labels
    t.viewer.dims.set_current_step(0, frame)
    labels.mode = "paint"
    labels.selected_label = label
    labels.paint((frame, 20, 20), label)


def saved(t):
    """What the only autosave holds; None without one."""
    t.clock.tick()
    if t.keeper._autosave is not None:
        t.keeper._autosave.flush()
    files = list(t.keeper.folder.glob("*.json"))
    assert len(files) < 2
    return json.loads(files[0].read_text()) if files else None


def done(t):
    return [step["do"] for step in saved(t)["steps"]]


def test_strokes_alone_are_saved(kept):
    assert saved(kept) is None
    stroke(kept, 1)
    assert done(kept) == ["paint"]
    stroke(kept, 2)
    stroke(kept, 3)
    assert done(kept) == ["paint"] * 3
    kept.add_point((4, 30, 50))
    stroke(kept, 0, label=7)
    assert done(kept)[-1] == "paint"


def test_many_strokes_are_one_write(kept, monkeypatch):
    stroke(kept, 1)
    kept.clock.tick()
    writes = []
    monkeypatch.setattr(kept.keeper._autosave, "write", writes.append)
    for frame in range(5):
        stroke(kept, frame)
    assert writes == []
    (seconds, _), *others = kept.clock.asked
    assert 0.5 * APART < seconds <= APART
    assert others == []
    kept.clock.tick()
    assert len(writes) == 1


def test_undo_and_redo_are_saved(kept):
    stroke(kept, 1)
    kept.add_point((3, 30, 50))
    kept.undo()
    assert len(saved(kept)["objects"]) == 0
    kept.redo()
    assert len(saved(kept)["objects"]) == 1


def test_checked_frames_are_saved_and_offered(kept, tool):
    kept.viewer.dims.set_current_step(0, 2)
    kept.tools.check()
    assert saved(kept)["checked"] == [{"plane": [1, 2], "position": [2]}]
    kept.keeper._autosave.close()
    other = SessionKeeper(tool(STACK), kept.keeper.folder)
    assert other.offer.session.checked == [{"plane": [1, 2], "position": [2]}]


def test_names_locks_and_marks_are_saved(kept):
    kept.add_point((3, 30, 50))
    kept.notes.rename(1, "mother")
    kept.objects.lock(1, True)
    (thing,) = saved(kept)["objects"]
    assert (thing["name"], thing["locked"]) == ("mother", True)
    kept.objects.lock(1, False)
    kept.viewer.dims.set_current_step(0, 4)
    kept.tools.toggle_mark("ends")
    (thing,) = saved(kept)["objects"]
    assert "locked" not in thing
    assert thing["marks"][0]["kind"] == "ends"


def test_what_was_saved_by_hand_is_not_saved_again(kept, tmp_path):
    kept.add_point((3, 30, 50))
    stroke(kept, 1)
    kept.keeper.save(tmp_path / "mine")
    assert saved(kept) is None


def test_work_that_goes_on_is_left_to_the_end_of_its_job(kept):
    waiting = []
    kept.runner._start = lambda *job: waiting.append(job)
    kept.add_point((3, 30, 50))
    kept.clock.tick()
    assert kept.keeper._autosave is None
    assert [seconds for seconds, _ in kept.clock.asked] == [APART]


def test_a_dock_that_is_closed_at_once_has_saved(kept):
    stroke(kept, 1)
    assert kept.keeper._autosave is None
    kept.keeper.finish()
    assert done(kept) == ["paint"]
