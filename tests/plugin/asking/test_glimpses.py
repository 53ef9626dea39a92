"""The candidates of a click that are shown differ from each other."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from napari_sam2._prompts import Key, ObjectPrompts
from napari_sam2.asking._glimpses import choices

SHAPE = (40, 60)
KEY = Key((0, 1), (), 1)
CLICK = ObjectPrompts(((30.0, 20.0),), (1,))


def square(top, left, bottom, right):
    mask = np.zeros(SHAPE, bool)
    mask[top:bottom, left:right] = True
    return mask


def sorted_out(masks, scores):
    frames = SimpleNamespace(
        corner=(0, 0),
        plane_shape=SHAPE,
        crop=lambda index, rows, columns: np.zeros((1, 1, 3), np.uint8),
    )
    prediction = SimpleNamespace(masks=np.array(masks), scores=np.array(scores))
    return choices(prediction, KEY, CLICK, frames, 0, 1.0)


def test_masks_that_look_the_same_are_one():
    part, whole = square(18, 28, 22, 32), square(5, 10, 35, 50)
    nearly = whole.copy()
    nearly[5, 10:20] = False  # 10 of 1200 pixels
    found = sorted_out([nearly, part, whole, part], (0.6, 0.3, 0.9, 0.4))
    assert found.scores == (0.4, 0.9)
    np.testing.assert_array_equal(found.masks[0].unpack(), part)
    np.testing.assert_array_equal(found.masks[1].unpack(), whole)
    assert found.best == 1


def test_there_is_nothing_to_choose_among_masks_that_look_the_same():
    whole = square(5, 10, 35, 50)
    nearly = whole.copy()
    nearly[5, 10:20] = False
    assert sorted_out([whole, nearly, whole, 0 * whole], (0.9, 0.8, 0.7, 0.6)) is None


def test_masks_of_other_size_or_place_are_kept():
    masks = [square(5, 10, 35, 50), square(5, 10, 35, 46), square(18, 28, 22, 32)]
    found = sorted_out(masks, (0.9, 0.8, 0.7))
    assert found.scores == (0.7, 0.8, 0.9)
