"""A look at one frame: what the image predictor says of it, and nothing remembered."""

from __future__ import annotations

import numpy as np
import pytest
from bright import Bright
from micro import micro_model, moving_disc

from sam2_core.errors import PromptError
from sam2_core.glance import glance
from sam2_core.video import VideoSession


@pytest.fixture(scope="module")
def model():
    return micro_model()


def test_the_best_is_what_a_click_gives(model):
    frames = moving_disc()
    session = VideoSession(model, frames)
    found = glance(session, 2, [[20, 20]], [1])
    assert found.masks.shape == (3, 40, 56)
    assert found.logits.shape[0] == found.scores.shape[0] == 3
    best = int(np.argmax(found.scores))
    clicked = VideoSession(model, frames).add_prompts(2, 7, point_coords=[[20, 20]])
    np.testing.assert_array_equal(found.masks[best], clicked.masks[7])
    assert found.scores[best] == pytest.approx(clicked.scores[7], abs=1e-4)


def test_one_mask_for_a_clear_prompt(model):
    session = VideoSession(model, moving_disc())
    found = glance(session, 2, box=[10, 10, 30, 30], multimask_output=False)
    assert found.masks.shape == (1, 40, 56)


def test_nothing_is_remembered(model):
    frames = moving_disc()
    one, other = VideoSession(model, frames), VideoSession(model, frames)
    for session in (one, other):
        session.add_prompts(1, 1, point_coords=[[16, 20]])
    glance(one, 3, [[5, 5]], [1])
    assert one.prompted_frames == {1: [1]}
    for a, b in zip(one.propagate(), other.propagate(), strict=True):
        np.testing.assert_array_equal(a.masks[1], b.masks[1])


def test_mistakes_are_explained(model):
    session = VideoSession(model, moving_disc())
    with pytest.raises(PromptError, match="no prompt"):
        glance(session, 0)
    with pytest.raises(PromptError):
        glance(session, 99, [[5, 5]], [1])


def test_a_model_with_close_ups_is_asked_as_a_click_asks_it():
    model = micro_model(guided=True, closeups=True)
    model.closeup = Bright().eval()
    frames = moving_disc()
    session = VideoSession(model, frames)
    found = glance(session, 2, [[20, 20]], [1])
    assert found.masks.shape == (3, 40, 56)
    clicked = VideoSession(model, frames).add_prompts(2, 7, point_coords=[[20, 20]])
    np.testing.assert_array_equal(found.masks[0], clicked.masks[7])
    assert found.scores[0] == pytest.approx(clicked.scores[7])
