"""The sentence that says what to do next fits what is there."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import FLAT, click
from napari.layers import Labels

from napari_sam2.tasks._counting import count


def test_an_object_with_a_mask_is_corrected(tool):
    t = tool(FLAT)
    data = np.zeros(FLAT.shape, np.uint16)
    data[5:9, 5:9] = 49
    t.choose_labels(t.viewer.add_layer(Labels(data)))
    t.select_object(49)
    assert t.state.status == "Take Point or another tool to prompt object 49."
    t.stage.activate("point")
    assert t.state.status == "Object 49 has a mask; click where it is wrong."
    t.select_object(50)
    assert t.state.status == "Click on object 50 in the image."


def test_a_model_that_is_not_there_is_fetched_in_the_dock(tool, backend):
    backend.absent = {"sam2.1_hiera_tiny": 156_000_000}
    t = tool(FLAT)
    t.choose_model("sam2.1_hiera_tiny")
    button = "press Download under Image and model."
    assert t.state.status == f"sam2.1_hiera_tiny is not on this computer: {button}"


def test_what_labels_hold_is_said_once_they_are_counted(tool):
    t = tool(FLAT)
    t.stage.labels.data[5:9, 5:9] = 1
    assert "Click on object 1" in t.state.status
    count(t.tasks)
    assert t.state.status == "Object 1 has a mask; click where it is wrong."


@pytest.mark.parametrize(
    ("name", "begins"),
    [
        ("point", "Click on object 1"),
        ("box", "Drag a box"),
        ("scribble", "Drag along"),
        ("lasso", "Outline object 1"),
        ("polygon", "Outline object 1"),
    ],
)
def test_each_tool_has_its_own(tool, name, begins):
    t = tool(FLAT)
    t.stage.activate(name)
    assert t.state.status.startswith(begins)
    click(t, 10, 20)
    assert t.state.status == "Object 1: 1 prompt."


def test_objects_have_the_names_that_were_given_to_them(tool):
    t = tool(FLAT)
    t.objects.rename(1, "mother")
    click(t, 10, 20)
    assert t.state.status == "mother: 1 prompt."
    t.objects.rename(1, "daughter")
    assert t.state.status == "daughter: 1 prompt."
    t.objects.rename(1, "mother")
    t.objects.delete([1], "prompts")
    t.stage.activate("point")
    t.select_object(2)
    assert t.state.status == "Click on object 2 in the image."
    t.select_object(1)
    assert t.state.status == "mother has a mask; click where it is wrong."


def test_a_mask_in_hidden_labels_is_told(tool):
    t = tool(FLAT)
    t.stage.labels.visible = False
    click(t, 10, 20)
    assert t.stage.labels.data[10, 20] == 1
    told = "Object 1: 1 prompt. SAM2 labels is hidden: show it to see the mask."
    assert t.state.status == told


def test_a_mask_under_the_image_is_told(tool):
    t = tool(FLAT, name="A")
    layers = t.viewer.layers
    layers.move(0, len(layers))
    click(t, 10, 20)
    told = (
        "Object 1: 1 prompt. A lies above SAM2 labels: drag it down in the list of "
        "layers to see the mask."
    )
    assert t.state.status == told
    layers["A"].blending = "additive"
    t.tasks.rest()
    assert t.state.status == "Object 1: 1 prompt."


def test_a_negative_click_alone_is_explained(tool):
    t = tool(FLAT)
    t.set_polarity(False)
    click(t, 10, 20)
    assert "Object 1 has negative prompts only" in t.state.status
    t.set_polarity(True)
    click(t, 10, 24)
    assert t.state.status == "Object 1: 2 prompts."


def test_a_negative_click_on_a_label_that_is_there_needs_no_more(tool):
    t = tool(FLAT)
    data = np.zeros(FLAT.shape, np.uint16)
    data[5:15, 5:15] = 4
    t.choose_labels(t.viewer.add_layer(Labels(data)))
    t.select_object(4)
    t.set_polarity(False)
    click(t, 14, 14)
    assert t.state.status.startswith("Object 4: ")
    assert 0 < (t.stage.labels.data == 4).sum() < 100


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (np.zeros((1, 50), np.uint8), "too small to segment: (1, 50)"),
        (np.zeros((5, 50, 1), np.uint8), "too small to segment: (5, 50, 1)"),
    ],
)
def test_an_image_that_cannot_be_segmented_is_told_when_it_is_chosen(tool, data, said):
    t = tool(data)
    assert said in t.state.status
    t.stage.add_point((0,) * data.ndim)
    assert said in t.state.status
    assert len(t.stage.points.data) == 0
    assert t.errors == []


@pytest.mark.parametrize("name", ["point", "box"])
def test_a_tool_that_is_dropped_as_its_layer_is_hidden_is_told(tool, name):
    t = tool(FLAT)
    click(t, 10, 20)
    t.stage.activate(name)
    layer = t.viewer.layers.selection.active
    layer.visible = False
    told = f"{layer.name} is hidden: show it, or take a tool again."
    assert t.state.status == told
    layer.visible = True
    assert t.state.status == "Object 1: 1 prompt."
