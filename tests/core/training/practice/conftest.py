"""Bright squares on dark ground, still and moving, and the close-ups that ship."""

from __future__ import annotations

import numpy as np
import pytest

from sam2_core.models import load_model
from sam2_core.training.dataset import LabelledImage, LabelledStack


@pytest.fixture(scope="session")
def network():
    return load_model("sam2_nano", device="cpu", dtype="float32").closeup


@pytest.fixture(scope="session")
def squares():
    """Three of them, numbers 1 to 3, 12, 40 and 20 pixels wide."""
    labels = np.zeros((150, 200), np.int32)
    places = (20, 30, 12), (60, 120, 40), (110, 20, 20)
    for number, (y, x, side) in enumerate(places, start=1):
        labels[y : y + side, x : x + side] = number
    image = np.where(labels > 0, 210, 30).astype(np.uint8)
    return LabelledImage("squares/a", "squares", image, labels)


@pytest.fixture(scope="session")
def moving(squares):
    """They go to the right by two pixels a frame, and the small one ends."""
    steps = [np.roll(squares.labels, 2 * t, 1) for t in range(7)]
    labels = np.stack(steps)
    labels[4:][labels[4:] == 1] = 0
    images = np.where(labels > 0, 210, 30).astype(np.uint8)
    return LabelledStack("s", "moving", images, labels, "t")
