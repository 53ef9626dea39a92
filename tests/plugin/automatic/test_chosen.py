"""Which candidates are chosen, and which pixels they get."""

from __future__ import annotations

import numpy as np
from search_fakes import (
    LARGE,
    SCENE,
    SHAPE,
    SMALL,
    THREAD,
    scene,
)

from napari_sam2.automatic._chosen import choose


def test_small_objects_lie_on_top():
    chosen = choose(scene(), SHAPE, min_iou=0.8, min_stability=0.9)
    assert len(chosen.numbers) == 3
    small, large = chosen.ids[30, 30], chosen.ids[15, 30]
    assert (chosen.ids == small).sum() == SMALL.sum()
    assert (chosen.ids == large).sum() == (LARGE & ~SMALL).sum()


def test_numbers_do_not_change_with_the_limits():
    loose = choose(scene(), SHAPE, min_iou=0.0, min_stability=0.0)
    tight = choose(scene(), SHAPE, min_iou=0.94, min_stability=0.9)
    assert len(loose.numbers) == len(SCENE)
    assert tight.numbers == [loose.ids[30, 30]]


def test_labelled_pixels_stay_and_labelled_objects_are_left_out():
    labelled = LARGE & (np.arange(SHAPE[1]) < 24)  # a third of it
    assert 0.2 < labelled.sum() / LARGE.sum() < 0.5
    chosen = choose(scene(), SHAPE, labelled, min_iou=0.8, min_stability=0.9)
    assert chosen.ids[30, 45] > 0
    assert not chosen.ids[labelled].any()
    labelled = LARGE & (np.arange(SHAPE[1]) < 36)  # most of it
    chosen = choose(scene(), SHAPE, labelled, min_iou=0.8, min_stability=0.9)
    assert not chosen.ids[LARGE].any()
    assert len(chosen.numbers) == 1


def test_renumbered():
    chosen = choose(scene(), SHAPE, min_iou=0.8, min_stability=0.9)
    labels = chosen.renumbered([7, 8, 9])
    assert labels[30, 30] == 7  # the smallest
    assert set(np.unique(labels)) == {0, 7, 8, 9}
    assert (labels[THREAD] == 8).all()


def test_nothing_chosen():
    chosen = choose([], SHAPE)
    assert not chosen.ids.any()
    assert not chosen.renumbered([]).any()
