"""Nobody prompts an image that is not to be seen."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import FLAT, STACK, click

from napari_sam2.picture._cover import lift, uncover, why_unseen

COVERED = "B covers A: choose B under Image and model, or hide it."
HIDDEN = "A is hidden: show it, or choose another under Image and model."


@pytest.fixture
def two(tool):
    """A is in use and has a mask, and B has been opened over it."""
    t = tool(FLAT, name="A")
    click(t, 10, 20)
    t.above = t.viewer.add_image(FLAT + 1, name="B")
    t.before = t.stage.labels.data.copy()
    t.select_object(2)
    return t


def is_refused(t, *position):
    number = len(t.stage.points.data)
    click(t, *position)
    refused = len(t.stage.points.data) == number
    assert refused == (not (t.stage.labels.data == 2).any())
    return refused


def test_a_click_on_the_image_above_is_refused(two):
    t = two
    assert is_refused(t, 30, 40)
    assert t.state.status == COVERED
    box = np.array([(20, 20), (20, 30), (30, 30), (30, 20)], float)
    t.stage.add_shapes([box], "rectangle")
    assert len(t.stage.shapes.data) == 0
    np.testing.assert_array_equal(t.stage.labels.data, t.before)
    t.above.visible = False
    assert not is_refused(t, 30, 40)


def test_a_click_on_a_hidden_image_is_refused(two):
    t = two
    t.above.visible = t.state.image.visible = False
    assert is_refused(t, 30, 40)
    assert t.state.status == HIDDEN
    t.state.image.visible = True
    assert not is_refused(t, 30, 40)


@pytest.mark.parametrize(
    "looks",
    [
        {"blending": "additive"},
        {"blending": "minimum"},
        {"opacity": 0.5},
        {"translate": (0, 30)},  # covers the right half
    ],
)
def test_images_that_let_it_through_refuse_nothing(two, looks):
    for name, value in looks.items():
        setattr(two.above, name, value)
    assert not is_refused(two, 30, 20)


def test_an_image_covers_what_lies_below_it(two):
    t = two
    t.above.translate = (0, 30)
    assert is_refused(t, 30, 40)
    t.viewer.layers.move(t.viewer.layers.index(t.above), 0)
    assert not is_refused(t, 30, 40)


def test_what_is_shown_is_seen(two):
    t = two
    t.state.sees = "shown"
    assert not is_refused(t, 30, 40)


def test_asking_copies_no_list_of_layers(two, monkeypatch):
    def refuse(*args):
        pytest.fail("a copy of napari's list connects to every event: 20 ms a click")

    monkeypatch.setattr(type(two.viewer.layers), "__newlike__", refuse)
    assert is_refused(two, 30, 40)


def test_scripts_prompt_what_they_like(two):
    two.add_point((30, 40))
    assert (two.stage.labels.data == 2).any()
    with pytest.raises(Exception, match="covers"):
        two.placing.check_seen((30, 40))


def test_place_and_units_count(tool):
    t = tool(STACK, name="A", scale=(1, 0.5, 0.5), units=("um", "um", "um"))
    small = t.viewer.add_image(
        np.ones((10, 10)), name="B", scale=(500, 500), units=("nm", "nm")
    )
    t.viewer.dims.set_current_step(0, 3)

    def unseen(row, column):
        return why_unseen(t.viewer, t.state, t.state.image, (3, row, column))

    assert unseen(9, 9) == COVERED  # a pixel of each is half a micrometre
    assert unseen(9, 10) == ""
    small.translate = (2500, 0)
    assert unseen(4, 5) == ""
    assert unseen(14, 9) == COVERED


def test_a_stack_covers_on_its_own_frames(tool):
    t = tool(STACK, name="A")
    t.viewer.add_image(np.ones((3, 40, 60)), name="B")
    for frame, expected in ((2, COVERED), (3, "")):
        t.viewer.dims.set_current_step(0, frame)
        where = frame, 10, 10
        assert why_unseen(t.viewer, t.state, t.state.image, where) == expected


def test_an_image_is_uncovered(two):
    t = two
    third = t.viewer.add_image(FLAT + 2, name="C")
    see_through = t.viewer.add_image(FLAT + 3, name="D", opacity=0.5)
    elsewhere = t.viewer.add_image(FLAT, name="E", translate=(0, 500))
    image = t.state.image
    image.visible = False
    assert uncover(t.viewer, t.state, image) == ("C and B are hidden now, to show A.")
    assert image.visible
    assert not third.visible
    assert not t.above.visible
    assert see_through.visible
    assert elsewhere.visible
    assert uncover(t.viewer, t.state, image) == ""
    third.visible = True
    assert uncover(t.viewer, t.state, image) == "C is hidden now, to show A."
    image.visible = False
    assert uncover(t.viewer, t.state, image) == ""
    assert image.visible


def test_layers_under_their_image_are_lifted(tool):
    t = tool(FLAT, name="A")
    layers, image = t.viewer.layers, t.state.image
    labels = t.viewer.add_labels(FLAT.astype(np.uint16), name="masks")
    layers.move(layers.index(labels), 0)
    lift(t.viewer, image, [labels])
    own = ["SAM2 labels", "SAM2 shapes", "SAM2 points"]
    assert [each.name for each in layers] == ["A", "masks", *own]
    layers.move(0, len(layers))
    lift(t.viewer, image, [layers[name] for name in own])
    assert [each.name for each in layers] == ["masks", "A", *own]
    lift(t.viewer, image, [None, labels])
    assert [each.name for each in layers] == ["A", "masks", *own]
