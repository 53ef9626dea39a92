"""Objects that moved by more than their width are found anew, by clicks around."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from bright import Bright, iou

from sam2_core.closeups.close_following import follow
from sam2_core.closeups.closeups import CloseUps
from sam2_core.closeups.redetection import DOUBTFUL, redetected
from sam2_core.nn.closeup import IMAGE_MAPS, SeenObject

HW = (120, 160)
ROWS, COLUMNS = np.mgrid[: HW[0], : HW[1]]


def disc(x, y, r=9):
    return (COLUMNS - x) ** 2 + (ROWS - y) ** 2 <= r**2


def image(*masks):
    shown = np.full((*HW, 3), 20, np.uint8)
    shown[np.any(masks, axis=0)] = 200
    return shown


class Shy(Bright):
    """Sees nothing unless it is clicked, and then what is under the click."""

    def forward(self, maps):
        seen = super().forward(maps)
        clicked = (maps[:, IMAGE_MAPS] > 0.9).flatten(1).any(1)
        logits = torch.where(clicked[:, None, None], seen.logits, -4.0)
        sure = torch.where(clicked, 3.0, -3.0)
        return SeenObject(logits, sure, sure)


@pytest.fixture
def network():
    return Shy().eval()


def followed(network, before, now):
    """The disc at (60, 60) on a later frame, as followed and as looked for anew."""
    first, later = CloseUps(network, before), CloseUps(network, now)
    start = first.answers(np.array([[60, 60]], np.float32), np.array([1], np.int32))[:1]
    found = follow(first, later, start, [None])
    assert found[0].score < DOUBTFUL
    return later, found[0], redetected(later, start, found)[0]


def test_an_object_that_moved_by_its_width_is_found(network):
    later, _, new = followed(network, image(disc(60, 60)), image(disc(70, 64)))
    assert iou((later.draw(new) > 0).numpy(), disc(70, 64)) > 0.85
    assert new.present > 0.5


def test_another_shape_is_not_taken_for_it(network):
    bar = (abs(COLUMNS - 72) < 2) & (abs(ROWS - 60) < 30)
    new = followed(network, image(disc(60, 60)), image(bar))[2]
    assert new.present < 0.6
    likely = followed(network, image(disc(60, 60)), image(disc(72, 60)))[2]
    assert likely.present > new.present


def test_where_nothing_is_nothing_is_found(network):
    _, old, new = followed(network, image(disc(60, 60)), image(disc(140, 20, 2)))
    assert new is old


def test_sure_masks_are_kept_without_looking(network):
    network = Bright().eval()
    before = CloseUps(network, image(disc(60, 60)))
    later = CloseUps(network, image(disc(62, 60)))
    start = before.answers(np.array([[60, 60]], np.float32), np.array([1], np.int32))
    found = follow(before, later, start[:1], [None])
    calls = len(network.calls)
    assert redetected(later, start[:1], found) == found
    assert len(network.calls) == calls
    assert found[0].score > DOUBTFUL
    assert math.isclose(found[0].present, 1 / (1 + math.exp(-4)), rel_tol=1e-3)
