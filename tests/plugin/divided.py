"""An object that comes apart in a time-lapse, for tests of divisions."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import FakeBackend, disc, facts

from napari_sam2._labels import Rules
from napari_sam2._prompts import ObjectPrompts
from napari_sam2.asking._messages import PlaneMasks
from napari_sam2.dock._lineage import LineageTools
from napari_sam2.dock._stacking import StackTools
from napari_sam2.sessions._keeping import SessionKeeper

SHAPE = (40, 60)
STACK = np.zeros((7, *SHAPE), np.float32)


class Splitting(FakeBackend):
    """A model that sees two parts from frame 3 on."""

    def session(self, model, frames):
        session = super().session(model, frames)
        found = session._mask

        def mask(index, object_id):
            if index < 3:
                return found(index, object_id)
            return disc(SHAPE, 12, 20) | disc(SHAPE, 40, 20)

        session._mask = mask
        return session


def pull_apart(t):
    """Have object 1 in two pieces from frame 3 on."""
    step = t.steps.begin("test")
    for frame in range(3, 7):
        two = disc(SHAPE, 12, 20) | disc(SHAPE, 40, 20)
        known = facts(int(two.sum()), (20.0, 26.0), parts=2)
        ids = two.astype(np.uint32)
        item = PlaneMasks((1, 2), (frame,), ids, {1: ObjectPrompts()}, {1: known})
        t.history.write(t.stage.labels, item, step, Rules())


@pytest.fixture
def lapse(tool, tmp_path):
    """Object 1 in one piece up to frame 2 and in two from frame 3 on."""
    t = tool(STACK)
    t.tools = StackTools(t)
    t.lineage = LineageTools(t.tools)
    t.keeper = SessionKeeper(t, tmp_path / "autosaves")
    t.add_point((0, 20, 20))
    t.propagate("forward")
    pull_apart(t)
    t.tools.refresh()
    return t
