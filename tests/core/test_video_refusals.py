"""What a session refuses, and that it stays usable."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from micro import micro_model, moving_disc

from sam2_core.errors import ImageError, InferenceError, PromptError
from sam2_core.video import VideoSession

HW = (40, 56)
CLICK = {"point_coords": [[20, 20]], "point_labels": [1]}


@pytest.fixture(scope="module")
def model():
    return micro_model()


@pytest.fixture
def session(model):
    return VideoSession(model, moving_disc(8))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frame_index": 8, "object_id": 1, **CLICK}, "no frame 8"),
        ({"frame_index": -1, "object_id": 1, **CLICK}, "no frame -1"),
        ({"frame_index": 0.5, "object_id": 1, **CLICK}, "no frame"),
        ({"frame_index": 0, "object_id": 0, **CLICK}, "object id"),
        ({"frame_index": 0, "object_id": "a", **CLICK}, "object id"),
        ({"frame_index": 0, "object_id": 1}, "no prompt"),
        ({"frame_index": 0, "object_id": 1, "point_coords": [[99, 1]]}, "outside"),
        ({"frame_index": 0, "object_id": 1, "mask": np.ones((3, 3))}, "size of the"),
        ({"frame_index": 0, "object_id": 1, "mask": np.ones(HW), **CLICK}, "not both"),
        ({"frame_index": 0, "object_id": 1, "box": [[1, 1, 4, 4]] * 2}, "one object"),
    ],
)
def test_bad_prompts_are_refused_and_leave_nothing(session, arguments, message):
    with pytest.raises(PromptError, match=message):
        session.add_prompts(**arguments)
    assert session.object_ids == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"direction": "sideways"}, "direction"),
        ({"start": 5, "stop": 2}, "empty"),
        ({"stop": 8}, "no frame 8"),
        ({"start": -1}, "no frame -1"),
    ],
)
def test_bad_ranges_are_refused_before_anything_runs(session, arguments, message):
    session.add_prompts(0, 1, **CLICK)
    with pytest.raises(PromptError, match=message):
        session.propagate(**arguments)


def test_nothing_to_propagate(session):
    with pytest.raises(PromptError, match="add a prompt"):
        session.propagate()


def test_an_error_of_the_model_leaves_the_session_usable(session, monkeypatch):
    session.add_prompts(0, 1, **CLICK)

    def fail(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with monkeypatch.context() as patch:
        patch.setattr(session.model, "decode_masks", fail)
        with pytest.raises(InferenceError):
            session.add_prompts(0, 2, **CLICK)
        with pytest.raises(InferenceError):
            list(session.propagate())
    assert session.object_ids == [1]
    frames = [result.frame_index for result in session.propagate()]
    assert frames == list(range(8))


def test_an_empty_stack_is_refused(model):
    with pytest.raises(ImageError):
        VideoSession(model, np.zeros((0, 4, 4), np.uint8))
