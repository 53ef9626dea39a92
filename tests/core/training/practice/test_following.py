"""Objects are followed on, and what they are meant to be is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sam2_core.nn.closeup import FRAME_MAPS, IMAGE_MAPS, MAPS
from sam2_core.training.examples.window_batch import FOLLOW
from sam2_core.training.practice.asked import Recorder
from sam2_core.training.practice.following import _meant, followed


@pytest.fixture
def frames(network, moving):
    return [Recorder(network, np.stack([im] * 3, -1)) for im in moving.images]


@torch.inference_mode()
def test_each_frame_asks_with_the_mask_of_the_one_before(frames, moving):
    asked = list(followed(frames, moving.labels, 2, np.random.default_rng(0)))
    assert len(asked) >= len(frames) - 1
    for window in asked:
        assert window.kind == FOLLOW
        assert not window.stranger
        assert set(range(MAPS - FRAME_MAPS, MAPS)) <= set(window.channels.tolist())
        prompts = set(range(IMAGE_MAPS, MAPS - FRAME_MAPS))
        assert not prompts & set(window.channels.tolist())
        before = window.maps[window.channels.tolist().index(MAPS - 3)] > 0
        shared = np.count_nonzero(before & window.target)
        # It has moved by two of 40 pixels.
        assert 0.8 < shared / np.count_nonzero(before | window.target) <= 1


@torch.inference_mode()
def test_an_object_that_ends_is_not_there(frames, moving):
    asked = list(followed(frames, moving.labels, 1, np.random.default_rng(0)))
    there = [bool(window.target.any()) for window in asked]
    assert there[0]
    assert not there[-1]
    assert all(window.area == 0 for window in asked if not window.target.any())


def test_what_a_mask_is_carried_on_as():
    labels = np.zeros((20, 30), np.int32)
    labels[:10, :10], labels[:10, 15:25] = 1, 2

    def mask(rows, columns):
        drawn = np.zeros(labels.shape, bool)
        drawn[rows, columns] = True
        return drawn

    top = slice(0, 10)
    assert _meant(mask(top, slice(0, 6)), labels, 1) == 1
    assert _meant(mask(top, slice(15, 25)), labels, 1) == 2  # gone over to it
    assert _meant(mask(slice(12, 20), slice(0, 30)), labels, 1) == 0  # to nothing
    assert _meant(mask(slice(12, 20), slice(0, 30)), labels, 3) == 3  # has ended
    assert _meant(mask(top, slice(0, 2)), labels, 1) == 0  # neither this nor that
