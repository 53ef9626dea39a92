"""What a propagation leaves as it was is told; the model is a fake."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2.dock._stacking import StackTools

STACK = np.zeros((7, 40, 60), np.float32)
CROWDED = "Object 1 lies in Object 9 on 3 frames from frame 4 on"


@pytest.fixture
def unlinked(tool):
    """The cell that is followed has another label from frame 4 on."""
    t = tool(STACK)
    t.tools = StackTools(t)
    labels = np.zeros(STACK.shape, np.uint16)
    labels[4:, 12:28, 12:36] = 9  # masks move on
    t.choose_labels(t.viewer.add_labels(labels))
    t.viewer.dims.set_current_step(0, 0)
    t.add_point((0, 20, 20), object_id=1)
    return t


def test_a_cell_that_has_another_label_on_later_frames_is_told(unlinked):
    t = unlinked
    t.propagate("forward")
    written = (t.stage.labels.data == 1).sum((1, 2))
    assert (written[:4] > 50).all()
    assert not written[4:].any()
    assert f"{CROWDED}, whose pixels are kept" in t.state.status
    assert t.state.status.endswith("change Options > Other labels and propagate again.")


def test_a_single_frame_is_named(unlinked):
    t = unlinked
    t.state.stop = 4
    t.propagate("forward")
    assert "Object 1 lies in Object 9 on frame 4, whose" in t.state.status


def test_also_where_its_number_is_on_another_cell(unlinked):
    t = unlinked
    other = t.stage.labels.data.copy()
    other[5:, 30:40, 40:60] = 1
    t.choose_labels(t.viewer.add_labels(other))
    t.add_point((0, 20, 20), object_id=1)
    t.propagate("forward")
    assert t.tasks.ledger.area(1, (5,)) == 200
    assert "has other parts on 2 frames, which stay." in t.state.status
    assert CROWDED in t.state.status


def test_what_is_locked_is_told_to_be(unlinked):
    t = unlinked
    t.notes.lock(9, True)
    t.state.writing = "overwrite"
    t.propagate("forward")
    assert t.state.status.endswith(f"{CROWDED}; unlock that to change it.")


def test_nothing_is_told_of_labels_that_are_overwritten_or_elsewhere(unlinked):
    t = unlinked
    t.state.writing = "overwrite"
    t.propagate("forward")
    assert "lies in" not in t.state.status
    t.state.writing = "keep"
    t.stage.labels.data[:] = 0
    t.stage.labels.data[4:, 2:6, 40:50] = 9
    t.propagate("forward")
    assert "lies in" not in t.state.status


def test_objects_in_several_labels(unlinked):
    t = unlinked
    t.stage.labels.data[5:, 29:, 37:] = 8
    t.add_point((0, 30, 45), object_id=2)
    t.propagate("forward")
    said = "2 objects lie in other labels on 3 frames from frame 4 on, whose pixels"
    assert said in t.state.status


def test_of_long_stacks_no_more_is_read_than_is_told(unlinked, monkeypatch):
    t = unlinked
    monkeypatch.setattr("napari_sam2.tasks._spared.MOST_PLANES", 2)
    t.propagate("forward")
    assert (
        "Object 1 lies in Object 9 on 2 or more frames from frame 4" in t.state.status
    )
