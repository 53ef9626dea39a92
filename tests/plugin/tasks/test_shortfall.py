"""A prompt of which the labels show little says why."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from fakes import FLAT, RADIUS, STACK, click, disc, plane

from napari_sam2._prompts import ObjectPrompts
from napari_sam2.asking._messages import PlaneMasks
from napari_sam2.tasks._shortfall import _is_cut_off, shortfall

KEPT = (
    "Object 2 lies in Object 1, whose pixels are kept: choose Object 1 to correct it, "
    "or change Options > Other labels."
)


@pytest.fixture
def inside(tool):
    """Object 1 is there; what is next is Object 2."""
    t = tool(FLAT)
    click(t, 20, 30)
    t.select_object(2)
    return t


def own(t):
    return int((t.stage.labels.data == 2).sum())


def test_a_click_in_another_object_names_it(inside):
    t = inside
    click(t, 20, 31)
    assert 0 < own(t) < disc(FLAT.shape, 31, 20).sum() / 2
    assert t.state.status == KEPT


def test_nothing_is_said_where_the_most_is_written(inside):
    t = inside
    click(t, 20, 30 + RADIUS + 2)
    assert disc(FLAT.shape, 38, 20).sum() / 2 < own(t)
    assert t.state.status == "Object 2: 1 prompt."


def test_a_click_that_adds_nothing_to_a_large_object_is_told(inside):
    t = inside
    t.stage.labels.data[22:, :20] = 2  # so that most of the mask is its own
    click(t, 20, 31)
    before = own(t)
    assert t.stage.labels.data[20, 31] == 1
    assert disc(FLAT.shape, 31, 20).sum() < before
    assert t.state.status == KEPT
    click(t, 30, 10)
    assert t.state.status == "Object 2: 3 prompts."  # its own pixels are one


@pytest.mark.parametrize("writing", ["keep", "empty"])
def test_boxes_that_are_objects_of_their_own(inside, writing):
    t = inside
    t.state.update(each=True, writing=writing)
    t.add_shapes([[(18, 28), (18, 32), (22, 32), (22, 28)]])
    assert own(t) == 0
    assert t.state.status == KEPT


def test_what_is_overwritten_is_no_shortfall(inside):
    t = inside
    t.state.writing = "overwrite"
    click(t, 20, 31)
    assert t.state.status == "Object 2: 1 prompt."


def test_what_keeps_the_pixels_is_named(inside):
    t = inside
    ids = 2 * disc(FLAT.shape, 30, 20).astype(np.uint32)
    masks = PlaneMasks((0, 1), (), ids, {2: ObjectPrompts()})

    def said():
        return shortfall(t.stage.labels, masks, t.notes, t.state, {})

    assert said() == KEPT
    t.state.update(writing="overwrite", neighbours=True)
    assert said().endswith("change Options > Stay out of neighbours.")
    t.notes.lock(1, True)
    assert said().startswith("Object 2 lies in Object 1, which is locked")


def test_an_object_that_is_not_found(tool, backend, monkeypatch):
    t = tool(FLAT)

    def nothing(_, coords=None, labels=None, **kwargs):
        from types import SimpleNamespace

        masks = np.zeros((1, *FLAT.shape), bool)
        return SimpleNamespace(masks=masks, scores=np.array([0.9], np.float32))

    monkeypatch.setattr("fakes.FakePredictor.predict", nothing)
    t.add_shapes([[(18, 28), (18, 32), (22, 32), (22, 28)]])
    assert not t.stage.labels.data.any()
    assert t.state.status.startswith("The model found nothing there for Object 1: ")


@pytest.mark.parametrize("locked", [False, True])
def test_a_mask_that_lies_in_another_as_a_whole_was_found(inside, locked):
    t = inside
    t.objects.lock(1, locked)
    here = np.zeros(FLAT.shape, int)  # nothing of it is left
    point = {2: ObjectPrompts(points_xy=((31, 20),), point_labels=(1,))}
    box = {2: ObjectPrompts(box_xyxy=(26.0, 16, 34, 24))}
    beside = {2: ObjectPrompts(points_xy=((55, 5),), point_labels=(1,))}
    said = [
        shortfall(
            t.stage.labels,
            PlaneMasks((0, 1), (), here, prompts=prompts),
            t.notes,
            t.state,
            {},
        )
        for prompts in (point, box, beside)
    ]
    assert said[0] == said[1]
    assert ("locked" in said[0]) == locked
    assert said[0].startswith("Object 2 lies in Object 1, wh")
    assert said[2].startswith("The model found nothing there")


@pytest.mark.parametrize(("away", "told"), [(0, True), (RADIUS + 3, False)])
def test_a_negative_click_that_leaves_nothing_on_a_frame_names_absent(tool, away, told):
    t = tool(STACK)
    click(t, 3, 20, 30)
    t.propagate()
    before = (plane(t, 5) == 1).sum()
    t.set_polarity(False)
    click(t, 5, 20, 32 + away)  # it moves a pixel with every frame
    left = (plane(t, 5) == 1).sum()
    assert left == 0 if told else left > before / 2
    gone = "Almost nothing of Object 1 is left here"
    assert t.state.status.startswith(gone if told else "Object 1: 2 prompts")


def test_a_click_where_the_object_was_cut_off_is_told(tool):
    t = tool(FLAT)
    click(t, 20, 30)
    t.add_shapes([[(10, 33), (10, 50), (30, 50), (30, 33)]], "polygon", positive=False)
    click(t, 20, 27)
    assert t.state.status == "Object 1: 3 prompts."
    click(t, 20, 40)
    assert not plane(t)[20, 40]
    assert t.state.status == (
        "Object 1 was cut off there: draw a positive outline to give that back, or "
        "delete the negative one."
    )
    click(t, 20, 24)
    assert t.state.status == "Object 1: 5 prompts."


def test_what_was_cut_off_a_large_plane_is_looked_up_on_the_spot():
    outline = ((3000.0, 3000.0), (3040.0, 3000.0), (3040.0, 3030.0), (3000.0, 3030.0))
    plane = np.zeros((4096, 4096), np.uint8)
    clicks = (2990.0, 3010.0), (3020.0, 3010.0)
    ask = ObjectPrompts(clicks, (1, 1), cuts_xy=(outline,))
    tracemalloc.start()
    told = _is_cut_off(plane, ask, 1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert told
    assert peak < plane.nbytes / 20
    assert not _is_cut_off(plane, replace(ask, points_xy=clicks[::-1]), 1)
