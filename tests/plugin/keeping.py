"""What tests of work that is saved by itself have in common."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_sam2.dock._stacking import StackTools
from napari_sam2.sessions._keeping import SessionKeeper

STACK = np.arange(5 * 40 * 60, dtype=np.uint16).reshape(5, 40, 60)
LONG = np.arange(9 * 40 * 60, dtype=np.uint16).reshape(9, 40, 60)


def kept_with_tools(tool, tmp_path):
    """Makes controllers with their tools and the keeper of their sessions."""

    def make(data=LONG, **kwargs):
        t = tool(data, **kwargs)
        t.tools = StackTools(t)
        t.keeper = SessionKeeper(t, tmp_path / "autosaves")
        return t

    return make


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
def saving(tool, tmp_path):
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
    return acts(saved(t))


def acts(content):
    """What was done; that it became a prompt is noted beside it."""
    return [step["do"] for step in content["steps"] if step["do"] != "note"]


def prompts(content):
    return sum(len(thing["prompts"]) for thing in content["objects"])


def other_image(t):
    return t.viewer.add_image(STACK[::-1].copy(), name="other")


def clear_layers(t):
    """All layers go, the newest first, as when they are selected and deleted."""
    t.viewer.layers.clear()
    for autosave in t.keeper._open:
        autosave.flush()
