"""What is worth a look, from numbers and from masks."""

from __future__ import annotations

import numpy as np
from fakes import disc, facts

from napari_sam2.asking._facts import measure
from napari_sam2.following._flags import find_flags
from napari_sam2.following._review import Review, least_certain, least_certain_object

SHAPE = (40, 60)


def row(*frames):
    return dict(enumerate(frames))


def kinds(line):
    return [(f.kind, f.object_id, f.frame) for f in find_flags(line)]


def test_measures_of_a_mask_are_those_of_its_pixels():
    mask = disc(SHAPE, 20, 10)
    mask[30:33, 50:53] = True  # 9 pixels, less than a tenth: no part of its own
    found = measure({4: mask}, {4: 0.8}, {4: 0.5})[4]
    rows, columns = np.nonzero(mask)
    assert found.area == mask.sum()
    np.testing.assert_allclose(found.centre, (rows.mean(), columns.mean()), atol=0.01)
    assert found.parts == 1
    assert found.certainty == 0.4
    two = disc(SHAPE, 10, 20) | disc(SHAPE, 40, 20)
    assert measure({1: two}, {}, {})[1].parts == 2
    nothing = measure({1: np.zeros(SHAPE, bool)}, {}, {})[1]
    assert (nothing.area, nothing.centre, nothing.parts) == (0, None, 0)


def test_overlaps_are_shares_of_the_smaller_mask():
    big, small = disc(SHAPE, 20, 20, 12), disc(SHAPE, 22, 20, 5)
    far = disc(SHAPE, 50, 20, 4)
    found = measure({1: big, 2: small, 3: far}, {}, {})
    assert found[1].overlaps == ((2, 1.0),)
    assert found[2].overlaps == ((1, 1.0),)
    assert found[3].overlaps == ()


def test_steady_objects_raise_no_flag():
    line = {1: row(facts(100), facts(120), facts(140)), 2: row(facts(50), facts(50))}
    assert find_flags(line) == []


def test_lost_area_and_split():
    line = {
        1: row(facts(100), facts(0, parts=0), facts(0, parts=0)),
        2: row(facts(100), facts(170), facts(100)),
        3: row(facts(100), facts(100, parts=2), facts(100, parts=2)),
    }
    assert kinds(line) == [
        ("lost", 1, 1),
        ("area", 2, 1),
        ("split", 3, 1),
        ("area", 2, 2),
    ]


def test_a_division_that_was_answered_is_not_to_be_looked_at():
    line = {1: row(facts(100), facts(45), facts(20)), 2: row(facts(90), facts(40))}
    assert [(f.object_id, f.frame) for f in find_flags(line, divided={(1, 1)})] == [
        (2, 1),
        (1, 2),
    ]


def test_gaps_and_prompted_frames_are_not_judged():
    line = {1: {0: facts(100), 5: facts(10), 6: facts(100, prompted=True)}}
    assert find_flags(line) == []


def test_merged_objects():
    before = facts(100, overlaps=((2, 0.1),))
    after = facts(100, overlaps=((2, 0.8),))
    assert kinds({1: row(before, after, after)}) == [("merged", 1, 1)]


def test_swapped_objects_went_to_each_others_place():
    left, right = (10.0, 10.0), (10.0, 40.0)
    line = {
        1: row(facts(centre=left), facts(centre=right)),
        2: row(facts(centre=right), facts(centre=left)),
    }
    assert kinds(line) == [("swapped", 1, 1), ("swapped", 2, 1)]
    together = {
        1: row(facts(centre=left), facts(centre=(10.0, 15.0))),
        2: row(facts(centre=right), facts(centre=(10.0, 45.0))),
    }
    assert find_flags(together) == []


def test_the_next_frame_is_a_flagged_one_and_then_the_least_certain():
    line = {
        1: row(facts(iou=0.9), facts(iou=0.3), facts(iou=0.8)),
        2: row(facts(iou=0.9), facts(iou=0.9), facts(iou=0.2, prompted=True)),
    }
    assert least_certain(line, set(), set()) == 1
    assert least_certain(line, set(), {2}) == 2
    assert least_certain(line, {1}, set()) == 2
    assert least_certain(line, {0, 1, 2}, {2}) is None


def test_the_object_to_look_at_is_a_flagged_one_and_then_the_least_certain():
    line = {
        1: row(facts(iou=0.9), facts(iou=0.3)),
        2: row(facts(iou=0.9), facts(iou=0.9)),
        3: row(facts(iou=0.9), facts(iou=0.2, prompted=True)),
    }
    assert least_certain_object(line, 1, set()) == 1
    assert least_certain_object(line, 1, {2}) == 2
    assert least_certain_object(line, 1, {1, 2}) == 1
    assert least_certain_object({3: line[3]}, 1, set()) == 3


def test_review_takes_facts_back():
    review = Review()
    told = []
    review.measured.connect(lambda *a: told.append(a))
    first = [((1, 2), (3,), 1, facts(100)), ((1, 2), (3,), 2, facts(50))]
    back = review.put(first)
    review.look((1, 2), (3,))
    forward = review.put(back)
    assert review.line((1, 2), (), 0) == {}
    assert review.seen == set()  # other masks: to be looked at again
    review.put(forward)
    assert review.line((1, 2), (), 0)[1][3].area == 100
    assert told[0] == ((1, 2), (3,), (1, 2))
    assert review.lowest(2) == 0.9
    back = review.forget(1)
    assert review.lowest(1) is None
    review.put(back)
    assert review.lowest(1) == 0.9
