"""As many windows as are wanted, the same ones for the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from sam2_core.errors import ImageError
from sam2_core.training.dataset import LabelledImage
from sam2_core.training.examples.window_batch import BOX, CLICK, FOLLOW
from sam2_core.training.practice.prompting import first_looks
from sam2_core.training.practice.recording import asked_of_images, asked_of_stacks


def test_images(network, squares):
    asked = [asked_of_images(network, [squares], first_looks, {}, 12, 0) for _ in "ab"]
    assert len(asked[0]) >= 12
    assert {window.kind for window in asked[0]} == {CLICK, BOX}
    for one, other in zip(*asked, strict=True):
        np.testing.assert_array_equal(one.maps, other.maps)
        np.testing.assert_array_equal(one.target, other.target)


def test_stacks(network, moving):
    asked = asked_of_stacks(network, [moving], {}, 6, 0)
    assert len(asked) >= 6
    assert {window.kind for window in asked} == {FOLLOW}


def test_nothing_to_ask_is_one_sentence(network, moving):
    blank = np.zeros((80, 80), np.uint8)
    empty = LabelledImage("a", "a", blank, blank.astype(np.int32))
    with pytest.raises(ImageError, match="has objects"):
        asked_of_images(network, [empty], first_looks, {}, 1, 0)
    speck = blank.astype(np.int32)
    speck[40, 40] = 1
    tiny = LabelledImage("a", "a", blank, speck)
    with pytest.raises(ImageError, match="tiny"):
        asked_of_images(network, [tiny], first_looks, {}, 1, 0)
    with pytest.raises(ImageError, match="has objects"):
        asked_of_stacks(network, [], {}, 1, 0)
