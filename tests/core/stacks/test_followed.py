"""Some of a session's objects followed, the others left as they are."""

from __future__ import annotations

import numpy as np
import pytest
from micro import micro_model, moving_disc

from sam2_core import PromptError
from sam2_core.video import VideoSession

LENGTH = 8
FRAMES = moving_disc(LENGTH)


@pytest.fixture(scope="module")
def model():
    return micro_model()


@pytest.fixture
def session(model):
    session = VideoSession(model, FRAMES)
    session.add_prompts(2, 1, point_coords=[[20, 20]])
    session.add_prompts(4, 2, box=[2, 2, 30, 30])
    return session


def run(session, **kwargs):
    found = {}
    for result in session.propagate(**kwargs):
        found.update({(result.frame_index, i): m for i, m in result.masks.items()})
    return found


def test_an_object_alone_is_followed_as_if_there_were_no_other(model, session):
    found = run(session, object_ids=[2])
    alone = VideoSession(model, FRAMES)
    alone.add_prompts(4, 2, box=[2, 2, 30, 30])
    expected = run(alone)
    assert found.keys() == expected.keys() == {(i, 2) for i in range(LENGTH)}
    for key, mask in found.items():
        np.testing.assert_array_equal(mask, expected[key])
    assert session.object_ids == [1, 2]


def test_the_others_can_be_followed_later(model, session):
    run(session, object_ids={1})
    assert {i for _, i in run(session, only_changed=True)} == {2}


def test_an_object_that_is_removed_on_the_way_is_left_alone(session):
    frames = []
    for result in session.propagate(direction="forward", object_ids=[1]):
        frames.append(result.frame_index)
        session.remove_object(1)
    assert frames == [2]


@pytest.mark.parametrize("object_ids", [[3], []])
def test_objects_must_have_prompts(session, object_ids):
    with pytest.raises(PromptError):
        session.propagate(object_ids=object_ids)
