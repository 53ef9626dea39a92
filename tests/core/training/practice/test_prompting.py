"""Objects are prompted and corrected as the evaluation does, and windows kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sam2_core.nn.closeup import IMAGE_MAPS
from sam2_core.training.examples.window_batch import BOX, CLICK
from sam2_core.training.practice import prompting
from sam2_core.training.practice.asked import LARGEST, Recorder
from sam2_core.training.practice.prompting import corrections, first_looks

POSITIVE, NEGATIVE, BOXED, EARLIER = (IMAGE_MAPS + k for k in (0, 2, 4, 6))


@pytest.fixture
def close(network, squares):
    return Recorder(network, np.stack([squares.image] * 3, -1))


def maps_of(asked):
    return {int(c): asked.maps[k] for k, c in enumerate(asked.channels)}


@torch.inference_mode()
def test_first_looks_are_at_clicks_and_boxes_and_no_others(close, squares):
    asked = list(first_looks(close, squares.labels == 2, np.random.default_rng(0)))
    kinds = [window.kind for window in asked]
    assert kinds.count(CLICK) >= 3
    assert kinds.count(BOX) >= 2
    for window in asked:
        maps = maps_of(window)
        assert (POSITIVE in maps) == (window.kind == CLICK)
        assert (BOXED in maps) == (window.kind == BOX)
        assert NEGATIVE not in maps
        # Windows on which next to nothing of the object is seen teach nothing.
        seen = np.count_nonzero(window.target)
        assert seen >= max(6, 0.08 * window.area)
    assert any(EARLIER in maps_of(window) for window in asked)


@torch.inference_mode()
@pytest.mark.parametrize("careful", [1.0, 0.0])
def test_corrections_click_on_what_was_wrong(close, squares, monkeypatch, careful):
    monkeypatch.setattr(prompting, "CAREFUL", careful)
    monkeypatch.setattr(prompting, "BOXED", 0.0)
    target = (squares.labels == 2) & (np.arange(200) < 140)  # half of a square
    asked = list(corrections(close, target, np.random.default_rng(0)))
    assert 1 <= len(asked) <= 4
    for window in asked:
        maps = maps_of(window)
        assert {POSITIVE, EARLIER} <= maps.keys()
        if NEGATIVE in maps:
            row, column = np.unravel_index(maps[NEGATIVE].argmax(), window.target.shape)
            assert not window.target[row, column]
        assert len(window.target) <= LARGEST
    # The whole square is found first, so half of it is taken away.
    assert NEGATIVE in maps_of(asked[0])


@torch.inference_mode()
def test_a_box_may_be_corrected_too(close, squares, monkeypatch):
    monkeypatch.setattr(prompting, "BOXED", 1.0)
    target = (squares.labels == 2) & (np.arange(200) < 140)
    asked = list(corrections(close, target, np.random.default_rng(0)))
    assert asked
    assert all(window.kind == BOX and BOXED in maps_of(window) for window in asked)
