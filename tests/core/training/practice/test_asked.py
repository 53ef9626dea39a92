"""What a network is asked is kept as it looked at it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sam2_core.closeups.closeups import CloseUps
from sam2_core.closeups.windows import Window
from sam2_core.nn.closeup import IMAGE_MAPS, LIMIT, MAPS
from sam2_core.training.examples.window_batch import CLICK, FOLLOW
from sam2_core.training.practice.asked import AskedBatch, Recorder, told

CLICKED = np.array([[140, 80]], np.float32), np.array([1], np.int32)


@pytest.fixture
def maps():
    """A grey image, a map of clicks and one of the frame before; nothing else."""
    rng = np.random.default_rng(0)
    maps = np.zeros((MAPS, 32, 32), np.int8)
    maps[:IMAGE_MAPS] = rng.integers(-127, 127, (32, 32))
    maps[4] = rng.integers(0, 127, (32, 32))
    maps[-2] = rng.integers(-127, 127, (32, 32))
    return maps


def test_answers_are_those_of_close_ups(network, squares):
    rgb = np.stack([squares.image] * 3, -1)
    close = Recorder(network, rgb)
    with torch.no_grad():
        found = close.answers(*CLICKED)
        expected = CloseUps(network, rgb).answers(*CLICKED)
        torch.testing.assert_close(found[0].logits, expected[0].logits)
        asked = close.take()
        assert len(asked) > 3  # several scales, and a second look
        assert close.take() == []
        # Asked again, the windows that were kept get the answer that was given.
        given = [maps for window, maps, _ in asked if window == found[0].window]
        again = torch.from_numpy(given[-1][None]).float() / 127
        again[:, :IMAGE_MAPS] *= LIMIT
        logits = network.for_first_answers()(again).logits[0]
    same = (logits > 0) == (found[0].logits > 0)
    assert same.float().mean() > 0.99
    assert all(first for _, _, first in asked)


def test_what_is_true_lies_where_the_window_is(maps):
    target = np.zeros((40, 60), bool)
    target[8:16, 20:24] = True
    window = Window(-0.5 + 16, -0.5 - 8, 32)  # eight rows of it above the image
    asked = told(window, maps, target, CLICK)
    expected = np.zeros((32, 32), bool)
    expected[16:24, 4:8] = True
    np.testing.assert_array_equal(asked.target, expected)
    assert asked.area == 32
    np.testing.assert_array_equal(
        asked.known, np.arange(32)[:, None] >= 8 + 0 * asked.known
    )
    # The whole of an object counts, in pixels of the window.
    assert told(Window(0, 0, 64), maps, target, CLICK).area == 8


def test_empty_maps_are_not_kept_and_come_back(maps):
    target = np.zeros((40, 60), bool)
    asked = told(Window(0, 0, 32), maps, target, FOLLOW, stranger=True)
    assert asked.channels.tolist() == [0, 4, MAPS - 2]
    batch = AskedBatch.of([asked, asked])
    np.testing.assert_array_equal(batch.maps[1].numpy(), maps)
    assert batch.kinds.tolist() == [FOLLOW, FOLLOW]
    assert batch.strangers.all()
    assert float(batch.seen()[0, 0].max()) == pytest.approx(maps[0].max() / 127 * LIMIT)
    assert float(batch.seen()[0, 4].max()) == pytest.approx(maps[4].max() / 127)


def test_a_grey_image_is_kept_once_and_a_coloured_one_whole(maps):
    coloured = maps.copy()
    coloured[1] = 5
    target = np.zeros((40, 60), bool)
    asked = [told(Window(0, 0, 32), m, target, CLICK) for m in (maps, coloured)]
    assert [len(a.channels) for a in asked] == [3, 5]
    batch = AskedBatch.of(asked)
    np.testing.assert_array_equal(batch.maps.numpy(), np.stack((maps, coloured)))


def test_windows_are_turned_with_what_is_true(maps):
    target = np.zeros((32, 32), bool)
    target[3:20, 5:9] = True
    maps[4] = 127 * target
    asked = told(Window(-0.5, -0.5, 32), maps, target, CLICK)
    batch = AskedBatch.of([asked] * 64, np.random.default_rng(0))
    torch.testing.assert_close(batch.maps[:, 4] > 0, batch.target)
    ways = {row.numpy().tobytes() for row in batch.target}
    assert len(ways) == 8
