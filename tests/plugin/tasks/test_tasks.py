"""Jobs that wait: what is said of them, and what those leave that never begin."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import STACK, Stepper, disc


@pytest.fixture
def going(tool):
    """Object 1 on the first frame, and a propagation that is at frame 2."""
    threads = Stepper()
    t = tool(STACK, start=threads.start)
    t.threads = threads
    threads.run()
    t.add_point((0, 10, 20))
    threads.run()
    t.propagate("forward")
    while t.state.done < 2:
        threads.step()
    return t


def test_a_prompt_that_waits_is_said_to(going):
    t = going
    t.add_point((5, 30, 40), object_id=2)
    said = "Your prompt is answered once the propagation is done; Esc stops that."
    assert t.state.status == said
    t.threads.run()
    assert t.state.status != said
    assert (t.stage.labels.data[5] == 2)[30, 40]


def test_esc_stops_what_a_prompt_waits_for_and_answers_it(going):
    t = going
    t.add_point((5, 30, 40), object_id=2)
    t.cancel()
    t.threads.run()
    labels = t.stage.labels.data
    np.testing.assert_array_equal(labels[5] == 2, disc(STACK.shape[1:], 40, 30))
    assert not (labels[6] == 1).any()


def test_progress_goes_on_when_a_prompt_waits_no_longer(going):
    t = going
    t.add_point((5, 30, 40), object_id=2)
    t.undo()
    assert (t.state.busy, t.state.done, t.state.total) == ("propagate", 2, 7)


def test_frames_that_undo_has_taken_back_are_not_said_to_stay(going):
    t = going
    t.undo()
    t.threads.run()
    assert t.stage.labels.data.any((1, 2)).tolist() == [True, *[False] * 6]
    assert "stays" not in t.state.status


def test_frames_that_esc_leaves_are_said_to_stay(going):
    t = going
    t.cancel()
    t.threads.run()
    assert t.stage.labels.data.any((1, 2)).sum() > 1
    assert t.state.status == "Stopped; what is done stays."


def test_propagations_that_never_began_are_no_steps(going):
    t = going
    for direction in ("both", "backward", "forward"):
        t.propagate(direction)
    t.threads.run()
    t.undo()
    t.undo()
    assert t.stage.labels.data.any((1, 2)).tolist() == [True, *[False] * 6]
    assert t.state.undo_text == "last prompt"


def test_a_propagation_without_a_mask_is_no_step(going):
    t = going
    t.threads.run()
    t.propagate("forward")
    t.cancel()
    t.threads.run()
    t.undo()
    assert t.stage.labels.data.any((1, 2)).tolist() == [True, *[False] * 6]
