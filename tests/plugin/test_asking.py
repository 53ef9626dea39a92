"""Outlines beside other prompts of a frame; the session believes points alone."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from fakes import RADIUS, disc, draw

from napari_sam2._asking import answer
from napari_sam2._prompts import ObjectPrompts

SHAPE = (40, 60)
CELL = disc(SHAPE, 30, 20)  # what a click at its centre leads to


def ask(left, right, *, points=((30.0, 20.0),), labels=(1,)):
    """The mask of clicks and an outline of rows 18 to 22; the outline's pixels."""
    outline = (left, 18), (right, 18), (right, 22), (left, 22)
    prompts = ObjectPrompts(points, labels, polygons_xy=(outline,))

    def add(index, object_id, point_coords=None, point_labels=None, mask=None, **_):
        found = mask
        if point_coords is not None:
            found = draw(SHAPE, point_coords, point_labels, None, None)
        return SimpleNamespace(masks={object_id: found})

    mask, _ = answer(SimpleNamespace(add_prompts=add), 3, 1, prompts, SHAPE)
    inside = np.zeros(SHAPE, bool)
    inside[18:23, left : right + 1] = True
    return mask, inside


def test_an_outline_of_a_missing_piece_adds_to_a_clicked_mask():
    mask, piece = ask(30 + RADIUS - 1, 30 + RADIUS + 4)
    assert (piece & ~CELL).any()
    np.testing.assert_array_equal(mask, CELL | piece)


def test_points_refine_what_is_no_piece():
    mask, inside = ask(28, 32)  # within the mask
    assert CELL[inside].all()
    np.testing.assert_array_equal(mask, CELL)
    mask, apart = ask(45, 50)
    assert not mask[apart].any()


def test_a_negative_click_into_a_piece_counts():
    mask, _ = ask(
        30 + RADIUS - 1,
        30 + RADIUS + 4,
        points=((30.0, 20.0), (33.0 + RADIUS, 20.0)),
        labels=(1, 0),
    )
    assert not mask[20, 33 + RADIUS]
