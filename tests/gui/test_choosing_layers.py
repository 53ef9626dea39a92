"""Which image and labels the dock works on, as layers come and go."""

from __future__ import annotations

import numpy as np
from dock import FLAT, STACK, lit, messages, press
from napari.layers._source import layer_source


def test_the_first_image_opened_later_is_taken(segment):
    w = segment()
    image = w.viewer_model.add_image(FLAT, name="late")
    assert w.state.image is image
    assert w.source.image.currentText() == "late"
    assert w.source.labels.currentText() == "SAM2 labels"


def test_images_that_are_opened_leave_the_tool_in_hand(segment, qtbot):
    """napari makes each of them the active layer, after it is in the list."""
    w = segment()
    layers, points = w.viewer_model.layers, w.controller.stage
    w.viewer_model.add_image(FLAT)
    w.viewer_model.add_image(FLAT, blending="additive")
    qtbot.waitUntil(lambda: layers.selection.active is points.points)
    assert lit(w) == ["point"]
    press(qtbot, w.prompts.tools["box"])
    w.viewer_model.add_image(STACK, opacity=0.5)
    assert lit(w) == []
    qtbot.waitUntil(lambda: layers.selection.active is points.shapes)
    assert lit(w) == ["box"]


def test_an_image_that_covers_the_one_in_use_puts_the_tool_down(segment, qtbot):
    w = segment(FLAT, name="A")
    w.take_tool("box")
    above = w.viewer_model.add_image(FLAT + 1, name="B")
    qtbot.wait(50)
    assert w.viewer_model.layers.selection.active is above
    assert lit(w) == []
    covered = "B covers A: choose B under Image and model, or hide it."
    assert w.status.text() == covered
    w.add_click((20, 30), True)
    assert not w.labels.data.any()
    above.visible = False
    qtbot.waitUntil(lambda: w.status.text() != covered)
    w.add_click((20, 30), True)
    assert w.labels.data.any()


def test_without_a_tool_an_image_that_is_opened_is_the_active_layer(segment, qtbot):
    w = segment(FLAT)
    layers = w.viewer_model.layers
    layers.selection.active = w.labels
    image = w.viewer_model.add_image(STACK)
    qtbot.wait(50)
    assert layers.selection.active is image
    assert lit(w) == []


def test_choices_follow_the_layer_list(segment):
    w = segment(FLAT, name="a")
    b = w.viewer_model.add_image(STACK, name="b")
    assert w.source.image.currentText() == "a"
    assert w.source.image.findText("b") >= 0
    b.name = "renamed"
    assert w.source.image.findText("renamed") >= 0
    w.source.image.setCurrentIndex(w.source.image.findText("renamed"))
    w.source.image.activated.emit(w.source.image.currentIndex())
    assert w.state.image is b
    w.viewer_model.layers.remove(b)
    assert w.state.image is None
    assert w.source.image.currentIndex() == -1


def test_only_fitting_labels_are_offered(segment):
    w = segment(FLAT)
    w.viewer_model.add_labels(np.zeros((40, 60), int), name="fits")
    w.viewer_model.add_labels(np.zeros((4, 4), int), name="does not")
    assert w.source.labels.findText("fits") >= 0
    assert w.source.labels.findText("does not") == -1
    assert w.source.labels.currentText() == "SAM2 labels"
    w.source.labels.setCurrentIndex(w.source.labels.findText("fits"))
    w.source.labels.activated.emit(w.source.labels.currentIndex())
    assert w.labels.name == "fits"


def test_removing_the_labels_does_not_create_others(segment):
    w = segment(FLAT)
    w.viewer_model.layers.remove(w.labels)
    assert w.labels is None
    w.viewer_model.layers.clear()


def test_labels_made_before_or_after_the_dock_are_offered_below(segment):
    widget = segment(STACK)
    assert widget.status.text() == "Click on object 1 in the image."
    widget.viewer_model.add_labels(np.ones(STACK.shape, np.uint16), name="cells")
    assert "choose 'cells' under Image and model" in widget.status.text()
    assert "cells" in [widget.source.labels.itemText(i) for i in range(3)]
    widget.add_point((3, 10, 20))
    assert "cells" not in widget.status.text()


def test_an_image_that_is_removed_is_followed_by_one_that_is_left(segment, qtbot):
    w = segment(FLAT, name="raw")
    layers, raw = w.viewer_model.layers, w.state.image
    w.viewer_model.add_image(FLAT + 1, name="denoised")
    hidden = w.viewer_model.add_image(FLAT + 2, name="hidden", visible=False)
    w.take_tool("point")
    w.add_point((20, 30))
    points, labels = w.controller.stage.points, w.labels
    layers.remove(raw)
    qtbot.waitUntil(lambda: w.state.image is not None)
    assert w.state.image.name == "denoised"
    assert w.labels is not labels
    assert labels.data.any()
    assert str(points.mode) == "pan_zoom"
    assert w.status.text() == "Click on object 1 in the image."
    layers.remove(w.state.image)
    qtbot.waitUntil(lambda: w.state.image is hidden)


def test_another_channel_goes_on_with_the_labels(segment, qtbot):
    w = segment(FLAT, name="DAPI", blending="additive")
    w.viewer_model.add_image(FLAT + 1, name="GFP", blending="additive")
    w.viewer_model.add_image(np.ones((9, 9)), name="other", blending="additive")
    w.add_point((20, 30))
    labels, number = w.labels, len(w.viewer_model.layers)
    w.viewer_model.layers.remove(w.state.image)
    assert w.state.image.name == "GFP"
    assert w.labels is labels
    assert len(w.viewer_model.layers) == number - 1
    w.undo()
    assert not labels.data.any()


def test_all_layers_can_go_at_once(segment, qtbot):
    w = segment(FLAT, blending="additive")
    w.viewer_model.add_image(FLAT + 1, blending="additive")
    w.add_point((20, 30))
    w.viewer_model.layers.clear()
    qtbot.wait(50)
    assert len(w.viewer_model.layers) == 0
    assert w.state.image is None
    assert w.status.text().startswith("Open an image")


def test_labels_of_one_frame_are_listed_and_it_is_said_where_they_are(segment):
    w = segment(STACK)
    found = np.zeros(STACK.shape[1:], np.uint16)
    found[5:15, 5:15] = 1
    w.viewer_model.add_labels(found, name="masks")
    w.viewer_model.dims.set_current_step(0, 2)
    combo = w.source.labels
    index = combo.findText("masks")
    combo.setCurrentIndex(index)
    combo.activated.emit(index)
    assert combo.currentText() == w.labels.name == "masks (stack)"
    np.testing.assert_array_equal(w.labels.data[2], found)
    (said,) = messages()
    assert said == (
        "The labels of 'masks', which is hidden now, are on frame 2 of 'masks (stack)';"
        " if that is not theirs, go there and choose 'masks' again."
    )


def test_labels_that_are_chosen_are_seen(segment):
    w = segment(FLAT)
    layers, image = w.viewer_model.layers, w.state.image
    masks = w.viewer_model.add_labels(FLAT.astype(np.uint16), name="masks")
    layers.move(layers.index(masks), 0)
    masks.visible = False
    combo = w.source.labels
    index = combo.findText("masks")
    combo.setCurrentIndex(index)
    combo.activated.emit(index)
    assert w.labels is masks
    assert masks.visible
    assert layers.index(masks) == layers.index(image) + 1


def test_an_image_that_is_opened_again_lies_under_its_layers(segment, qtbot):
    w = segment(FLAT)
    layers, stage = w.viewer_model.layers, w.controller.stage
    layers.clear()
    for _ in range(2):
        with layer_source(path="a.tif"):
            image = w.viewer_model.add_image(FLAT, name="a")
        own = [image, stage.labels, stage.shapes, stage.points]
        qtbot.waitUntil(lambda own=own: list(layers) == own)
        w.add_point((10, 20))
        w.wait()
        layers.remove(image)
