"""Divisions from numbers and masks: what is asked, and what becomes of the parts."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import disc, facts

from napari_sam2.following._divisions import (
    Suspect,
    divide,
    find_suspects,
    joined,
    without,
)

SHAPE = (40, 60)


def test_two_parts_are_asked_about_once_if_they_stay():
    steady = {0: facts(), 1: facts(parts=2), 2: facts(parts=2), 3: facts(parts=2)}
    flaw = {0: facts(), 1: facts(parts=2), 2: facts()}
    line = {1: steady, 2: flaw}
    assert find_suspects(line, {}) == [Suspect(1, 1)]
    assert find_suspects(line, {(1, 1, 0): ()}) == []
    assert "Cell 1 is in two parts" in Suspect(1, 1).question("Cell {}".format)


def test_after_a_no_a_later_split_of_the_object_is_asked_about():
    parts = dict(enumerate([1, 2, 2, 1, 1, 2, 2]))
    line = {1: {frame: facts(parts=n) for frame, n in parts.items()}}
    assert find_suspects(line, {}) == [Suspect(1, 1)]
    assert find_suspects(line, {(1, 1, 0): ()}) == [Suspect(1, 5)]
    assert find_suspects(line, {(1, 1, 0): (), (1, 5, 0): ()}) == []


def test_an_object_that_appears_beside_a_shrinking_one_is_asked_about():
    mother = {0: facts(100), 1: facts(100), 2: facts(55)}
    daughter = {2: facts(50, (12.0, 18.0))}
    far = {2: facts(50, (12.0, 58.0))}
    steady = {0: facts(90, (13.0, 20.0)), 2: facts(90)}
    line = {1: mother, 2: daughter, 3: far, 4: steady}
    assert find_suspects(line, {}) == [Suspect(1, 2, 2)]
    said = Suspect(1, 2, 2).reply("Cell {}".format, (2,))
    assert said == "Cell 2 comes from Cell 1 and begins in frame 2."


def test_parts_become_daughters_that_keep_their_sides():
    class Labels:
        data = np.zeros((4, *SHAPE), np.uint16)

    for t, (a, b) in enumerate([(20, 34), (18, 36), (24, 32), (16, 40)]):
        Labels.data[t][disc(SHAPE, a, 20) | disc(SHAPE, b, 20)] = 5
    # In frame 2 the discs touch: one piece, shared by the nearer centre.
    items = list(divide(Labels, (1, 2), [(t,) for t in range(4)], 5, (8, 9)))
    assert len(items) == 4
    for t, item in enumerate(items):
        left, right = item.ids == 8, item.ids == 9
        np.testing.assert_array_equal(left | right, Labels.data[t] == 5)
        assert left.any()
        assert right.any()
        assert np.nonzero(left)[1].max() <= np.nonzero(right)[1].min() + 3
        assert set(item.prompts) == {5, 8, 9}
    np.testing.assert_array_equal(items[0].ids == 8, disc(SHAPE, 20, 20))
    for t in range(2):
        Labels.data[t] = items[t].ids
    rest = list(divide(Labels, (1, 2), [(t,) for t in range(4)], 5, (8, 9)))
    assert [item.position for item in rest] == [(2,), (3,)]
    for item, as_before in zip(rest, items[2:], strict=True):
        np.testing.assert_array_equal(item.ids, as_before.ids)


def test_on_other_slices_the_daughters_keep_their_sides_whoever_is_there():
    class Labels:
        data = np.zeros((3, 4, *SHAPE), np.uint16)

    data, left, right = Labels.data, disc(SHAPE, 15, 20), disc(SHAPE, 45, 20)
    data[:, 1][:, left | right] = 5
    data[1:, 0][:, right] = 5  # from the second frame on, and one of them only
    data[2, 0][left] = 5
    data[:, 3, 18:23, 10:51] = 5  # not yet in two
    positions = [(t, z) for z in (1, 0, 3) for t in range(3)]
    for item in divide(Labels, (2, 3), positions, 5, (8, 9), 3):
        data[item.position] = item.ids
    assert not (data == 5).any()
    one = data[0, 1, 20, 15]
    other = 17 - one
    for t, z in ((0, 1), (1, 1), (2, 1), (2, 0)):
        np.testing.assert_array_equal(data[t, z], one * left + other * right)
    np.testing.assert_array_equal(data[1, 0], other * right)
    for t in range(3):
        assert (data[t, 3, 18:23, 10:30] == one).all()
        assert (data[t, 3, 18:23, 31:51] == other).all()


def test_answers_are_those_of_the_objects_that_are_left():
    answers = {(1, 3, 0): (4, 5), (1, 3, 2): (2,), (2, 6, 5): (), (5, 7, 0): (8, 9)}
    assert without(answers, 4) == {**answers, (1, 3, 0): (5,)}
    assert without(answers, 2) == {(1, 3, 0): (4, 5), (5, 7, 0): (8, 9)}
    assert without(answers, 5) == {(1, 3, 0): (4,), (1, 3, 2): (2,)}
    into_mother = {(1, 3, 0): (4, 5), (1, 6, 5): (), (5, 7, 0): (8, 9)}
    assert joined(answers, [2], 1) == into_mother
    assert joined({(1, 3, 0): (4, 5)}, [4, 5], 1) == {(1, 3, 0): ()}


@pytest.mark.parametrize("frame", [3, 2])
def test_a_piece_of_a_daughter_takes_no_division_along(frame):
    """She was said to be one, and a piece of her, in its first frame, to be none."""
    answers = {(1, 3, 4): (4,), (1, frame, 5): (), (6, frame, 5): ()}
    for told in (answers, dict(reversed(answers.items()))):
        assert joined(told, [5], 4) == {(1, 3, 4): (4,), (6, frame, 4): ()}
