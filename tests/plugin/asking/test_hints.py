"""Points nobody clicked, and masks kept out of their neighbours."""

from __future__ import annotations

import numpy as np
from fakes import disc

from napari_sam2._prompts import ObjectPrompts
from napari_sam2.asking._hints import deepest, inner_point, without_leak

SHAPE = (40, 60)


def test_deepest_is_the_middle_of_a_disc():
    assert deepest(disc(SHAPE, 30, 12, 8)) == (30.0, 12.0)


def test_deepest_of_a_mask_at_the_border():
    mask = np.zeros(SHAPE, bool)
    mask[0:9, 0:9] = True
    x, y = deepest(mask)
    assert mask[int(y), int(x)]


def test_inner_point_keeps_away_from_negative_clicks():
    mask = disc(SHAPE, 30, 12, 8)
    prompts = ObjectPrompts(points_xy=((30.0, 12.0),), point_labels=(0,))
    x, y = inner_point(mask, prompts)
    assert mask[int(y), int(x)]
    assert max(abs(x - 30), abs(y - 12)) > 3
    dot = np.zeros(SHAPE, bool)
    dot[12, 30] = True
    assert inner_point(dot, prompts) is None


def test_a_leak_is_answered_with_points_in_the_neighbour():
    own, neighbour = disc(SHAPE, 20, 20, 8), disc(SHAPE, 36, 20, 8)
    asked = []

    def ask(negative):
        asked.append(list(negative))
        return (own | neighbour, 0.5) if not negative else (own, 0.9)

    prompts = ObjectPrompts(points_xy=((20.0, 20.0),), point_labels=(1,))
    mask, score = without_leak(ask, prompts, neighbour * 3, 1)
    assert asked[0] == []
    ((x, y),) = asked[1]
    assert neighbour[int(y), int(x)]
    np.testing.assert_array_equal(mask, own & ~neighbour)
    assert score == 0.9


def test_an_answer_that_loses_the_click_is_not_taken():
    own, neighbour = disc(SHAPE, 20, 20, 8), disc(SHAPE, 36, 20, 8)

    def ask(negative):
        return (np.zeros(SHAPE, bool) if negative else own | neighbour), 0.5

    prompts = ObjectPrompts(points_xy=((20.0, 20.0),), point_labels=(1,))
    mask, _ = without_leak(ask, prompts, neighbour * 3, 1)
    np.testing.assert_array_equal(mask, own & ~neighbour)


def test_pieces_beyond_the_neighbour_are_dropped():
    wide = np.zeros(SHAPE, bool)
    wide[10:14, 5:50] = True
    wall = np.zeros(SHAPE, int)
    wall[:, 25:30] = 7
    prompts = ObjectPrompts(points_xy=((10.0, 12.0),), point_labels=(1,))
    mask, _ = without_leak(lambda negative: (wide, None), prompts, wall, 1)
    expected = wide.copy()
    expected[:, 25:] = False
    np.testing.assert_array_equal(mask, expected)


def test_the_object_itself_is_no_neighbour():
    mask = disc(SHAPE, 20, 20, 8)
    found, _ = without_leak(lambda n: (mask, None), ObjectPrompts(), mask * 5, 5)
    np.testing.assert_array_equal(found, mask)
