"""What the user does, and what the labels show then; the model is a fake."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest
from fakes import FLAT, STACK, click, disc, plane
from napari.layers import Labels

from napari_sam2._jobs import run_inline
from napari_sam2.tasks._counting import count
from sam2_core import CheckpointError, InferenceError, PromptError, Sam2Error


def test_choosing_an_image_makes_the_layers_and_a_tool_to_click_with(tool):
    t = tool(FLAT, scale=(2, 2), name="cells")
    names = [layer.name for layer in t.viewer.layers]
    assert names == ["cells", "SAM2 labels", "SAM2 shapes", "SAM2 points"]
    assert t.viewer.layers.selection.active is t.stage.points
    assert t.stage.points.mode == "add"
    assert t.state.axis is None
    assert t.state.object_id == t.stage.labels.selected_label == 1


def test_adding_moving_and_deleting_a_point_updates_the_mask(tool):
    t = tool(FLAT)
    click(t, 10, 20)
    np.testing.assert_array_equal(plane(t), disc((40, 60), 20, 10))
    points = t.stage.points
    points.data = np.array([[25, 30]], float)
    np.testing.assert_array_equal(plane(t), disc((40, 60), 30, 25))
    points.remove([0])
    assert not plane(t).any()
    assert t.errors == []


def test_image_is_encoded_once_for_many_prompts(tool, backend):
    t = tool(FLAT)
    for column in (10, 20, 30):
        click(t, 10, column)
    assert len(backend.encoded) == 1


def test_negative_points_take_away(tool):
    t = tool(FLAT)
    click(t, 10, 20)
    t.set_polarity(False)
    click(t, 10, 25)
    expected = disc((40, 60), 20, 10) & ~disc((40, 60), 25, 10)
    np.testing.assert_array_equal(plane(t), expected)
    assert list(t.stage.points.features["polarity"]) == ["positive", "negative"]
    assert t.stage.points.face_color[1, 0] > 0.5  # red


def test_only_negative_points_ask_nothing_and_break_nothing(tool, backend):
    t = tool(FLAT)
    t.add_point((10, 10), positive=False)
    assert backend.answers == 0
    t.add_point((10, 20), positive=True)
    assert plane(t).any()
    assert t.errors == []


def test_objects_follow_the_selected_label_and_do_not_overwrite_each_other(tool):
    t = tool(FLAT)
    click(t, 10, 20)
    first = plane(t) == 1
    t.stage.labels.selected_label = 5
    click(t, 10, 25)
    second = disc((40, 60), 25, 10) & ~first
    np.testing.assert_array_equal(plane(t) == 1, first)
    np.testing.assert_array_equal(plane(t) == 5, second)
    t.state.writing = "overwrite"
    click(t, 11, 25)
    assert (plane(t) == 1).sum() < first.sum()


def test_next_object_takes_the_first_free_label(tool):
    t = tool(FLAT)
    click(t, 10, 20)
    assert t.next_object() == 2
    click(t, 30, 20)
    assert set(np.unique(plane(t))) == {0, 1, 2}
    t.stage.labels.selected_label = 40
    assert t.next_object() == 41


def test_next_object_again_leaves_no_number_out(tool):
    t = tool(FLAT)
    click(t, 10, 20)
    assert [t.next_object(), t.next_object()] == [2, 2]
    t.undo()  # there was but one step
    assert t.state.object_id == 1
    t.set_polarity(False)
    assert t.next_object() == 2
    assert t.state.positive
    click(t, 30, 20)
    assert t.next_object() == 3
    t.select_object(7)
    assert t.next_object() == 8


def test_selecting_a_prompt_reopens_its_object(tool):
    t = tool(FLAT)
    click(t, 10, 20)
    t.next_object()
    click(t, 30, 20)
    t.stage.points.selected_data = {0}
    assert t.state.object_id == t.stage.labels.selected_label == 1
    click(t, 10, 26)
    assert list(t.stage.points.features["object_id"]) == [1, 2, 1]


def test_background_cannot_be_prompted(tool, backend):
    t = tool(FLAT)
    t.stage.labels.selected_label = 0
    click(t, 10, 20)
    assert backend.answers == 0
    assert "background" in t.state.status
    assert len(t.stage.points.data) == 0
    assert t.state.undo_text == ""
    with pytest.raises(PromptError, match="background"):
        t.add_point((10, 20))


def test_box_and_polygon(tool):
    t = tool(FLAT)
    t.add_shapes([[(5, 6), (5, 16), (12, 16), (12, 6)]])
    expected = np.zeros((40, 60), bool)
    expected[5:13, 6:17] = True
    np.testing.assert_array_equal(plane(t) > 0, expected)
    t.next_object()
    t.add_shapes([[(20, 20), (20, 40), (35, 40), (35, 20)]], "polygon")
    assert plane(t)[28, 30] == 2
    assert (plane(t) == 2).sum() == pytest.approx(16 * 21, rel=0.15)


def test_adopted_labels_are_kept_and_the_next_free_id_is_chosen(tool):
    t = tool(FLAT)
    data = np.zeros((40, 60), np.uint8)
    data[8:14, 24:40] = 3
    own = t.viewer.add_layer(Labels(data, name="mine"))
    t.choose_labels(own)
    assert t.state.labels is own
    assert t.state.object_id == 4
    click(t, 10, 20)
    assert (data[8:14, 24:40] == 3).all()
    assert (data == 4).any()


def test_labels_of_another_shape_are_refused(tool):
    t = tool(STACK)
    other = t.viewer.add_layer(Labels(np.zeros((40, 61), int), name="flat"))
    with pytest.raises(Sam2Error, match="shape"):
        t.choose_labels(other)
    assert t.state.labels is not other


def test_too_large_an_id_for_the_labels_is_explained(tool):
    t = tool(FLAT)
    data = np.zeros((40, 60), np.uint8)
    t.choose_labels(t.viewer.add_layer(Labels(data)))
    with pytest.raises(PromptError, match="uint8"):
        t.select_object(300)
    t.select_object(255)
    data.flat[:255] = range(1, 256)
    count(t.tasks)
    with pytest.raises(PromptError, match="256"):
        t.next_object()
    assert t.state.object_id == 255


def test_deleting_all_prompts_gives_back_what_was_there_before(tool):
    t = tool(FLAT)
    data = np.zeros((40, 60), np.uint8)
    data[8:14, 24:40] = 3
    before = data.copy()
    t.choose_labels(t.viewer.add_layer(Labels(data)))
    t.select_object(3)
    click(t, 10, 50)
    assert not np.array_equal(data, before)
    t.stage.points.remove([0])
    np.testing.assert_array_equal(data, before)


def test_image_layer_is_never_touched(tool):
    rng = np.random.default_rng(0)
    data = rng.random((7, 40, 60))
    before = data.copy()
    t = tool(data, scale=(3, 1, 1), contrast_limits=(0.1, 0.9))
    click(t, 3, 10, 20)
    t.propagate()
    image = t.state.image
    np.testing.assert_array_equal(data, before)
    assert image.data is data
    assert list(image.scale) == [3, 1, 1]
    assert image.contrast_limits == [0.1, 0.9]


def test_prompt_layers_follow_when_the_image_is_rescaled(tool):
    t = tool(FLAT)
    t.state.image.scale = (0.5, 0.25)
    for layer in (t.stage.points, t.stage.shapes, t.stage.labels):
        assert list(layer.scale) == [0.5, 0.25]


# -- undo ---------------------------------------------------------------------------


# -- stacks -------------------------------------------------------------------------


# -- errors and changes ------------------------------------------------------------


def test_runtime_error_of_the_model_becomes_one_sentence(tool, backend):
    t = tool(FLAT)
    backend.error = RuntimeError("shape mismatch\n  at line 3\nTraceback ...")
    click(t, 10, 20)
    (error,) = t.errors
    assert isinstance(error, InferenceError)
    assert str(error) == "The model could not run: shape mismatch."
    assert t.state.busy == ""
    backend.error = None
    click(t, 30, 20)  # and it goes on
    assert plane(t)[10, 20] == plane(t)[30, 20] == 1


def test_out_of_memory_says_what_to_do(tool, backend):
    t = tool(FLAT)
    backend.error = RuntimeError("CUDA out of memory. Tried to allocate 20 GiB")
    click(t, 10, 20)
    assert "smaller model" in str(t.errors[0])


def test_missing_model_is_not_downloaded_by_itself(tool, backend):
    backend.absent = {"sam2.1_hiera_tiny": 156_000_000}
    t = tool(FLAT)
    t.choose_model("sam2.1_hiera_tiny")
    click(t, 10, 20)
    assert isinstance(t.errors[0], CheckpointError)
    assert backend.absent
    t.tasks.download()
    assert t.state.missing == {}
    assert backend.loaded[-1][0] == "sam2.1_hiera_tiny"
    assert plane(t)[10, 20] == 1


def test_prompts_without_a_model_are_answered_by_the_next_that_is_there(tool, backend):
    backend.absent = {"sam2.1_hiera_tiny": 156_000_000}
    t = tool(FLAT)
    nano = t.state.model
    t.choose_model("sam2.1_hiera_tiny")
    click(t, 10, 20)
    t.choose_model("sam2.1_hiera_tiny", "cpu")
    assert len(t.errors) == 1  # said once
    t.choose_model(nano)
    np.testing.assert_array_equal(plane(t) == 1, disc(FLAT.shape, 20, 10))
    asked = backend.answers
    t.look_again()
    assert backend.answers == asked


def test_points_outside_are_refused_in_scripts(tool):
    t = tool(FLAT)
    with pytest.raises(PromptError, match="outside"):
        t.add_point((10, 99))
    with pytest.raises(PromptError, match="coordinates"):
        t.add_point((1, 2, 3))


@pytest.mark.parametrize(("start", "stop"), [(-1, 3), (0, 7), (5, 2)])
def test_impossible_ranges_are_refused(tool, start, stop):
    t = tool(STACK)
    click(t, 3, 10, 20)
    with pytest.raises(PromptError, match="range"):
        t.propagate("both", start, stop)


def test_propagation_without_prompts_is_refused(tool):
    with pytest.raises(PromptError, match="Click"):
        tool(STACK).propagate()


def test_deleted_prompt_layers_leave_the_labels_alone_and_come_back(tool):
    t = tool(FLAT)
    click(t, 10, 20)
    before = plane(t).copy()
    t.viewer.layers.remove(t.stage.points)
    np.testing.assert_array_equal(plane(t), before)
    t.stage.activate("point")
    t.next_object()
    click(t, 30, 40)
    np.testing.assert_array_equal(plane(t) == 1, before == 1)
    assert plane(t)[30, 40] == 2


def test_deleted_labels_are_made_anew(tool):
    t = tool(FLAT)
    click(t, 10, 20)
    t.viewer.layers.remove(t.stage.labels)
    assert t.state.labels is None
    click(t, 30, 40)
    assert plane(t)[30, 40] == plane(t)[10, 20] > 0


def test_deleted_image_ends_the_session(tool):
    t = tool(FLAT)
    t.viewer.layers.remove(t.state.image)
    assert t.state.image is None
    assert "Open an image" in t.state.status
    t.viewer.layers.clear()


def test_another_channel_keeps_prompts_and_labels(tool):
    t = tool(FLAT)
    click(t, 10, 20)
    labels = t.stage.labels
    t.choose_image(
        t.viewer.add_image(FLAT + 1, name="other channel", blending="additive")
    )
    assert t.stage.labels is labels
    assert len(t.stage.points.data) == 1


def test_other_image_gets_its_own_layers_and_the_old_ones_come_back(tool):
    t = tool(FLAT)
    click(t, 10, 20)
    first, labels, points = t.state.image, t.stage.labels, t.stage.points
    t.choose_image(t.viewer.add_image(STACK, name="stack"))
    assert t.stage.labels.data.shape == STACK.shape
    assert t.stage.points is not points
    t.choose_image(first)
    assert t.stage.labels is labels
    assert t.stage.points is points
    t.undo()
    assert not plane(t).any()


def test_a_click_that_was_not_answered_is_when_its_image_comes_back(tool):
    waiting = deque()
    t = tool(FLAT, start=lambda *job: waiting.append(job[:3]))

    def work():
        while waiting:
            run_inline(*waiting.popleft())

    work()
    first, labels = t.state.image, t.stage.labels
    click(t, 10, 20)
    t.choose_image(t.viewer.add_image(FLAT + 1))
    work()
    assert not labels.data.any()
    t.choose_image(first)
    work()
    np.testing.assert_array_equal(labels.data == 1, disc(FLAT.shape, 20, 10))
    t.undo()
    work()
    assert not labels.data.any()


def test_coming_back_asks_for_nothing_that_is_answered(tool, backend):
    t = tool(FLAT)
    click(t, 10, 20)
    first, asked = t.state.image, backend.answers
    t.choose_image(second := t.viewer.add_image(FLAT + 1))
    second.visible = False
    t.choose_image(first)
    assert backend.answers == asked
    assert t.state.status.startswith("Click")


def test_shift_click_adds_one_negative_point(tool):
    from napari.utils._test_utils import read_only_mouse_event
    from napari.utils.interactions import (
        mouse_press_callbacks,
        mouse_release_callbacks,
    )

    t = tool(FLAT)
    clicks = (((10, 20), []), ((10, 25), ["Shift"]), ((12, 20), []))
    for position, modifiers in clicks:
        press = {
            "pos": np.array(position),
            "position": position,
            "modifiers": modifiers,
        }
        mouse_press_callbacks(
            t.stage.points, read_only_mouse_event(type="mouse_press", **press)
        )
        mouse_release_callbacks(
            t.stage.points, read_only_mouse_event(type="mouse_release", **press)
        )
    polarity = list(t.stage.points.features["polarity"])
    assert polarity == ["positive", "negative", "positive"]
    assert t.state.positive
