"""Outlines, cuts, and what gives back: the last one over a pixel counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fakes import FLAT, STACK, click, disc

from napari_sam2._masks import PackedMask
from napari_sam2._outlines import Drawn
from napari_sam2._prompts import MaskPrompt, ObjectPrompts

SHAPE = (40, 60)


def square(top, left, bottom, right):
    return ((left, top), (right, top), (right, bottom), (left, bottom))


def area(top, left, bottom, right):
    mask = np.zeros(SHAPE, bool)
    mask[top : bottom + 1, left : right + 1] = True
    return mask


CELL, CUT, PIECE = (5, 5, 30, 30), (5, 20, 30, 35), (10, 22, 20, 30)


@pytest.mark.parametrize(
    ("drawn", "expected"),
    [
        ([(CUT, False)], area(*CELL) & ~area(*CUT)),
        ([(CUT, False), (PIECE, True)], area(*CELL) & ~area(*CUT) | area(*PIECE)),
        ([(PIECE, True), (CUT, False)], area(*CELL) & ~area(*CUT)),
        ([(CUT, False), (PIECE, True), (CUT, False)], area(*CELL) & ~area(*CUT)),
        ([(CUT, False), (CELL, True)], area(*CELL)),  # drawn anew
    ],
)
def test_what_is_drawn_last_counts(drawn, expected):
    ordered = [(square(*at), positive) for at, positive in drawn]
    found = Drawn.of(ordered, SHAPE)
    left = area(*CELL) & ~found.denied | found.given
    np.testing.assert_array_equal(left, expected)


def test_prompts_know_the_order_of_outlines_and_cuts():
    ask = ObjectPrompts(
        polygons_xy=(square(*CELL), square(*PIECE)),
        cuts_xy=(square(*CUT),),
        before_cuts=(1,),
    )
    expected = area(*CELL) & ~area(*CUT) | area(*PIECE)
    np.testing.assert_array_equal(ask.cut(ask.mask(SHAPE)), expected)


def test_an_outline_alone_over_a_cut_draws_the_object():
    ask = ObjectPrompts(
        polygons_xy=(square(*PIECE),), cuts_xy=(square(*PIECE),), before_cuts=(0,)
    )
    np.testing.assert_array_equal(ask.cut(ask.mask(SHAPE)), area(*PIECE))


def corners(at, lead=()):
    return [(*lead, y, x) for x, y in square(*at)]


def test_a_piece_of_what_was_cut_off_a_followed_mask_is_given_back(tool):
    t = tool(STACK)
    t.add_point((3, 10, 20))
    t.propagate("both")
    labels, before = t.stage.labels.data, t.stage.labels.data.copy()
    t.add_shapes([corners((0, 22, 39, 59), (5,))], "polygon", positive=False)
    cut = before[5] * (np.arange(60) < 22)
    np.testing.assert_array_equal(labels[5], cut)
    t.add_shapes([corners((9, 22, 11, 24), (5,))], "polygon")
    assert before[5, 9:12, 22:25].all()
    back = cut.copy()
    back[9:12, 22:25] = 1
    np.testing.assert_array_equal(labels[5], back)
    t.propagate("both")
    np.testing.assert_array_equal(labels[5], back)
    np.testing.assert_array_equal(labels[6], np.roll(back, 1, axis=1))
    assert t.errors == []
    t.undo()
    t.undo()
    np.testing.assert_array_equal(labels[5], cut)


@pytest.mark.parametrize(("image", "lead"), [(FLAT, ()), (STACK, (3,))])
def test_a_piece_of_what_was_cut_off_a_clicked_mask_is_given_back(tool, image, lead):
    t = tool(image)
    if lead:
        t.viewer.dims.set_current_step(0, 3)
    click(t, *lead, 20, 30)
    shown = t.stage.labels.data[lead]
    whole = disc(SHAPE, 30, 20)
    t.add_shapes([corners((0, 31, 39, 59), lead)], "polygon", positive=False)
    cut = whole & (np.arange(60) < 31)
    np.testing.assert_array_equal(shown == 1, cut)
    t.add_shapes([corners((19, 31, 21, 33), lead)], "polygon")
    cut[19:22, 31:34] = True
    np.testing.assert_array_equal(shown == 1, cut)
    assert t.errors == []


def test_a_click_into_what_was_cut_off_says_so(tool):
    t = tool(FLAT)
    click(t, 20, 33)
    t.state.tool = "lasso"
    t.add_shapes([corners((0, 31, 39, 59))], "polygon", positive=False)
    assert t.state.status == "Object 1: 2 prompts."  # the click was there before
    t.state.tool = "point"
    click(t, 20, 34)
    assert t.stage.labels.data[20, 34] == 0
    assert t.state.status == (
        "Object 1 was cut off there: draw a positive outline to give that back, or "
        "delete the negative one."
    )


def test_what_was_merged_into_a_cut_stays(tool):
    t = tool(STACK)
    t.viewer.dims.set_current_step(0, 3)
    click(t, 3, 20, 20)
    t.add_shapes([corners((0, 22, 39, 59), (3,))], "polygon", positive=False)
    t.next_object()
    click(t, 3, 20, 26)
    left = disc(SHAPE, 20, 20) & (np.arange(60) < 22)
    both = left | disc(SHAPE, 26, 20)
    labels = t.stage.labels.data
    np.testing.assert_array_equal(labels[3] > 0, both)
    t.objects.merge([1, 2])
    t.propagate("both")
    np.testing.assert_array_equal(labels[3] == 1, both)
    np.testing.assert_array_equal(labels[4] == 1, np.roll(both, 1, axis=1))
    click(t, 3, 35, 5)
    np.testing.assert_array_equal(labels[3] == 1, both | disc(SHAPE, 5, 35))
    t.add_shapes([corners((0, 28, 39, 59), (3,))], "polygon", positive=False)
    assert not labels[3, :, 28:].any()
    assert (labels[3, 18:23, 22:28] == 1).all()
    assert t.errors == []


@pytest.mark.parametrize(("image", "lead"), [(FLAT, ()), (STACK, (3,))])
def test_a_cut_of_a_label_from_elsewhere_changes_nothing_else(tool, image, lead):
    t = tool(image)
    data = np.zeros(image.shape, np.uint8)
    data[(*lead, slice(10, 30), slice(20, 35))] = 3
    data[(*lead, 17, 25)] = 0  # too small for the model's masks of masks
    theirs = t.viewer.add_labels(data.copy(), name="cellpose")
    t.choose_labels(theirs)
    t.select_object(3)
    if lead:
        t.viewer.dims.set_current_step(0, 3)
    t.add_shapes([corners((0, 32, 39, 59), lead)], "polygon", positive=False)
    cut = data.copy()
    cut[..., 32:] = 0
    np.testing.assert_array_equal(theirs.data, cut)
    assert t.errors == []


def test_a_mask_that_answers_an_outline_has_no_more_of_it_until_another_is_drawn():
    kept = area(*CELL) & ~area(20, 22, 30, 30)  # the outline went into a neighbour
    given = ObjectPrompts(((10.0, 10.0),), (1,), polygons_xy=(square(*CELL),))
    ask = replace(given, start=MaskPrompt(PackedMask.of(kept), given))
    np.testing.assert_array_equal(ask.mask(SHAPE), kept)
    more = replace(ask, polygons_xy=(square(*CELL), square(30, 22, 35, 30)))
    expected = kept | area(30, 22, 35, 30)
    np.testing.assert_array_equal(more.mask(SHAPE), expected)
    np.testing.assert_array_equal(more.cut(more.mask(SHAPE)), expected)
