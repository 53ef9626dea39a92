"""Strokes on other labels than the plugin's, undone in the order they were made."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2.dock._other_strokes import OtherStrokes

SHAPE = (40, 60)


@pytest.fixture
def painting(tool):
    t = tool(np.zeros(SHAPE))
    t.prepare()
    t.mine = t.viewer.add_labels(np.zeros(SHAPE, np.uint8), name="mine")
    t.strokes = OtherStrokes(t.tasks)
    t.strokes.watch(t.mine)
    return t


def paint(layer, row, label=3):
    layer.paint((row, 10), label)
    assert layer.data[row, 10] == label


def rows_of(layer):
    """Rows painted in column 10; the brush is larger than a pixel, by far not 8."""
    return [row for row in (4, 20, 36) if layer.data[row, 10]]


def test_what_came_last_is_undone_first_and_done_again_last(painting):
    t = painting
    paint(t.mine, 4)
    t.add_point((20, 40))
    paint(t.mine, 36)
    assert t.strokes.undo(t.mine)
    assert rows_of(t.mine) == [4]
    assert not t.strokes.undo(t.mine)  # the point is the plugin's to undo
    t.undo()
    assert not t.stage.labels.data.any()
    assert t.strokes.undo(t.mine)
    assert rows_of(t.mine) == []
    assert t.strokes.redo(t.mine)
    assert rows_of(t.mine) == [4]
    assert not t.strokes.redo(t.mine)
    t.redo()
    assert t.stage.labels.data[20, 40] == 1
    assert t.strokes.redo(t.mine)
    assert rows_of(t.mine) == [4, 36]


def test_a_stroke_after_an_undone_one_cannot_be_skipped(painting):
    t = painting
    paint(t.mine, 4)
    assert t.strokes.undo(t.mine)
    t.add_point((20, 40))
    t.undo()
    paint(t.mine, 36)
    assert not t.strokes.redo(t.mine)  # nothing of napari's: the point comes back
    t.redo()
    assert rows_of(t.mine) == [36]
    assert t.stage.labels.data[20, 40] == 1


def test_strokes_from_before_the_dock_are_undone_when_it_has_nothing(tool):
    t = tool(np.zeros(SHAPE))
    mine = t.viewer.add_labels(np.zeros(SHAPE, np.uint8))
    paint(mine, 20)
    strokes = OtherStrokes(t.tasks)
    strokes.watch(mine)
    t.add_point((20, 40))
    assert not strokes.undo(mine)
    t.undo()
    assert strokes.undo(mine)
    assert rows_of(mine) == []


def test_strokes_from_before_the_labels_were_chosen(painting):
    t = painting
    paint(t.mine, 4, label=3)
    paint(t.mine, 36, label=5)
    t.choose_labels(t.mine)
    t.add_point((20, 40))
    assert not t.strokes.undo(t.mine)  # the point is the plugin's to undo
    t.undo()
    assert t.strokes.undo(t.mine)
    assert rows_of(t.mine) == [4]
    assert set(t.ledger.ids) == {3}
    assert t.strokes.redo(t.mine)
    assert rows_of(t.mine) == [4, 36]
    assert set(t.ledger.ids) == {3, 5}
    assert t.strokes.undo(t.mine)
    paint(t.mine, 20, label=7)  # a step, on top of the other stroke
    assert not t.strokes.undo(t.mine)
    assert not t.strokes.redo(t.mine)
    t.undo()
    assert not t.strokes.undo(t.mine)
    assert rows_of(t.mine) == [4]


def test_the_labels_in_use_are_never_napari_s_to_undo(painting):
    t = painting
    t.choose_labels(t.mine)
    paint(t.mine, 20)
    assert not t.strokes.undo(t.mine)
    assert not t.strokes.redo(t.mine)
    assert rows_of(t.mine) == [20]
