"""Views are squares of an image with an object, and labels that lie on it."""

from __future__ import annotations

import numpy as np
import pytest

from sam2_core.training.practice.views import random_view, some_frames


@pytest.mark.parametrize("seed", range(6))
def test_a_view_shows_objects_where_its_labels_are(squares, seed):
    rng = np.random.default_rng(seed)
    view = random_view(rng, squares.image[None], squares.labels[None], squares.objects)
    (labels,) = view.labels
    assert view.images.shape == (1, *labels.shape, 3)
    assert labels.shape[0] == labels.shape[1] >= 64
    assert set(np.unique(labels)) <= {0, 1, 2, 3}
    assert labels.any()
    grey = view.images[0].mean(-1)
    inside, outside = grey[labels > 0], grey[labels == 0]
    # Brighter or, where contrast was inverted, darker.
    assert abs(np.median(inside) - np.median(outside)) > 10


def test_frames_of_a_stack_are_shown_alike(moving):
    rng = np.random.default_rng(1)
    view = random_view(rng, moving.images, moving.labels, moving.objects(0))
    assert len(view.images) == len(view.labels) == len(moving)
    there = [set(np.unique(labels)) for labels in view.labels]
    assert all(1 not in numbers for numbers in there[4:])
    # An object keeps its size and moves by the same way on each frame.
    at = [np.argwhere(labels == 2).mean(0) for labels in view.labels[:3]]
    np.testing.assert_allclose(at[1] - at[0], at[2] - at[1], atol=1.0)


def test_parts_of_stacks_go_both_ways():
    rng = np.random.default_rng(0)
    parts = [some_frames(rng, 20) for _ in range(50)]
    steps = [set(np.diff(part).tolist()) for part in parts]
    assert {1} in steps
    assert {-1} in steps
    assert all(len(step) == 1 for step in steps)
    assert all(0 <= part.min() <= part.max() < 20 for part in parts)
    assert len(some_frames(rng, 2)) <= 2
