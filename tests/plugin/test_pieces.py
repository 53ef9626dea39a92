"""Outlines of pieces that a mask lacks; without a window."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from fakes import FLAT, RADIUS, STACK, disc, draw, plane
from napari.layers import Labels

from napari_sam2._prompts import ObjectPrompts
from napari_sam2.asking._asking import answer, grown

PIECE = [(18, 34), (18, 44), (22, 44), (22, 34)]
DRAWN = np.zeros(FLAT.shape, bool)
DRAWN[18:23, 34:45] = True


@pytest.fixture
def flat(tool):
    return tool(FLAT)


def test_an_outlined_piece_adds_to_a_clicked_mask(flat):
    flat.add_point((20, 30))
    cell = disc(FLAT.shape, 30, 20)
    np.testing.assert_array_equal(plane(flat) > 0, cell)
    flat.add_shapes([PIECE], "polygon")
    assert flat.errors == []
    np.testing.assert_array_equal(plane(flat) > 0, cell | DRAWN)
    flat.undo()
    np.testing.assert_array_equal(plane(flat) > 0, cell)


def test_an_outlined_piece_adds_to_a_box(flat):
    flat.add_shapes([[(10, 10), (10, 34), (30, 34), (30, 10)]])
    boxed = plane(flat) > 0
    assert boxed.sum() == 21 * 25
    flat.add_shapes([PIECE], "polygon")
    np.testing.assert_array_equal(plane(flat) > 0, boxed | DRAWN)


def test_an_outlined_piece_adds_to_a_label_from_elsewhere(flat):
    data = np.zeros(FLAT.shape, np.uint8)
    data[10:30, 20:35] = 3
    data[15:18, 25:28] = 0  # a hole stays as it is
    theirs = flat.viewer.add_layer(Labels(data.copy(), name="cellpose"))
    flat.choose_labels(theirs)
    flat.select_object(3)
    flat.add_shapes([PIECE], "polygon")
    np.testing.assert_array_equal(theirs.data == 3, (data == 3) | DRAWN)


def test_a_negative_click_corrects_an_outlined_piece(flat):
    flat.add_point((20, 30))
    flat.add_shapes([PIECE], "polygon")
    flat.add_point((20, 43), positive=False)
    labels = plane(flat) > 0
    assert not labels[20, 43]
    assert labels[20, 30]


@pytest.mark.parametrize(
    "outline_xy",
    [
        ((28, 16), (44, 16), (44, 22), (28, 22)),  # as large, around the click
        ((28, 18), (32, 18), (32, 22), (28, 22)),  # small, within the mask
        ((50, 5), (58, 5), (58, 9), (50, 9)),  # elsewhere
    ],
)
def test_other_outlines_draw_the_object_anew(outline_xy):
    ask = ObjectPrompts(((30.0, 20.0),), (1,), polygons_xy=(outline_xy,))
    assert grown(ask, disc(FLAT.shape, 30, 20)) == ask


def test_an_outlined_piece_adds_to_a_mask_clicked_in_a_stack(tool):
    t = tool(STACK)
    t.add_point((3, 20, 30))
    t.add_point((3, 26, 36), positive=False)
    before = t.stage.labels.data[3] > 0
    assert before.any()
    t.add_shapes([[(3, *corner) for corner in PIECE]], "polygon")
    assert t.errors == []
    np.testing.assert_array_equal(t.stage.labels.data[3] > 0, before | DRAWN)


def test_an_outline_in_a_blank_image_is_drawn_whatever_was_clicked(
    flat, backend, monkeypatch
):
    flat.add_point((20, 30))
    monkeypatch.setattr(backend, "blank", lambda frames, index: "nothing to see")
    flat.add_shapes([PIECE], "polygon")
    assert flat.errors == []
    assert (plane(flat) > 0)[DRAWN].mean() > 0.8


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
