"""The object table and what it does; the model is a fake."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from fakes import Stepper, disc
from napari.layers import Labels

from napari_sam2._layers import current_view
from napari_sam2.dock._objects import _first_prompt
from napari_sam2.stage._visibility import Visibility
from sam2_core import PromptError

FLAT = np.zeros((40, 60), np.float32)
STACK = np.zeros((7, 40, 60), np.float32)


@pytest.fixture
def pair(tool):
    """Two objects of a stack, followed through all frames."""
    t = tool(STACK)
    t.add_point((3, 10, 20))
    t.next_object()
    t.add_point((3, 30, 30))
    t.add_point((3, 31, 31))
    t.propagate()
    return t


def table(t):
    return {row.object_id: row for row in t.objects.rows()}


def test_rows_tell_prompts_frames_and_confidence(pair):
    rows = table(pair)
    assert list(rows) == [1, 2]
    assert [row.prompts for row in rows.values()] == [1, 2]
    assert [row.frames for row in rows.values()] == [7, 7]
    assert rows[1].name == "Object 1"
    assert rows[1].visible
    assert not rows[1].locked


def test_confidence_is_the_lowest_score_of_a_mask(tool):
    t = tool(FLAT)
    t.add_point((10, 20))
    assert table(t)[1].confidence == pytest.approx(0.9)


def test_a_new_object_has_a_row_before_it_has_anything(tool):
    t = tool(FLAT)
    assert [row.object_id for row in t.objects.rows()] == [1]
    t.add_point((10, 20))
    t.objects.new()
    assert [row.object_id for row in t.objects.rows()] == [1, 2]


def test_without_an_image_there_are_no_rows(tool):
    assert tool().objects.rows() == []


def test_labels_from_elsewhere_are_rows_with_their_frames(tool):
    t = tool(STACK)
    data = np.zeros(STACK.shape, np.uint16)
    data[1:4, 5:9, 5:9] = 6
    data[2, 20:30, 20:30] = 300
    t.choose_labels(t.viewer.add_layer(Labels(data, name="mine")))
    rows = table(t)
    assert {i: row.frames for i, row in rows.items()} == {6: 3, 300: 1, 301: 0}
    assert rows[6].prompts == 0


def test_selected_label_and_table_follow_each_other(pair):
    pair.objects.select(1)
    assert pair.stage.labels.selected_label == 1
    pair.stage.labels.selected_label = 2
    assert pair.state.object_id == 2


def test_jump_shows_the_first_prompt(pair):
    pair.viewer.dims.set_current_step(0, 6)
    pair.objects.jump(1)
    assert pair.viewer.dims.current_step[0] == 3
    assert pair.state.object_id == 1


def test_jump_to_a_label_without_prompts_shows_where_it_begins(tool):
    t = tool(STACK, scale=(4, 1, 1), translate=(10, 0, 0))
    data = np.zeros(STACK.shape, np.uint16)
    data[5:7, 5:9, 5:9] = 6
    layer = Labels(data, scale=(4, 1, 1), translate=(10, 0, 0))
    t.choose_labels(t.viewer.add_layer(layer))
    t.objects.jump(6)
    assert t.viewer.dims.current_step[0] == 5


def test_rename_and_its_undo(pair):
    pair.objects.rename(1, "  mother ")
    assert table(pair)[1].name == "mother"
    pair.objects.rename(1, "daughter")
    pair.undo()
    assert table(pair)[1].name == "mother"
    pair.undo()
    assert table(pair)[1].name == "Object 1"
    pair.redo()
    assert table(pair)[1].name == "mother"


@pytest.mark.parametrize("what", ["both", "mask", "prompts"])
def test_delete(pair, what):
    before = pair.stage.labels.data.copy()
    pair.objects.delete([2], what)
    data = pair.stage.labels.data
    np.testing.assert_array_equal(data == 1, before == 1)
    assert (data == 2).any() == (what == "prompts")
    assert pair.stage.count_prompts(2) == (2 if what == "mask" else 0)
    assert pair.stage.count_prompts(1) == 1
    pair.sync()
    assert (data == 2).any() == (what == "prompts")
    pair.undo()
    np.testing.assert_array_equal(data, before)
    assert pair.stage.count_prompts(2) == 2
    pair.redo()
    assert (data == 2).any() == (what == "prompts")


def test_the_masks_of_deleted_prompts_stay_when_others_are_prompted(pair):
    pair.objects.delete([2], "prompts")
    before = pair.stage.labels.data == 2
    pair.add_point((3, 12, 22), object_id=1)
    np.testing.assert_array_equal(pair.stage.labels.data == 2, before)


def test_merge_unites_masks_and_prompts(pair):
    before = pair.stage.labels.data.copy()
    assert pair.objects.merge([2, 1]) == 1
    data = pair.stage.labels.data
    np.testing.assert_array_equal(data == 1, before > 0)
    assert list(pair.stage.points.features["object_id"]) == [1, 1, 1]
    assert pair.state.object_id == 1
    assert list(table(pair)) == [1]
    pair.sync()
    np.testing.assert_array_equal(data == 1, before > 0)
    pair.undo()
    np.testing.assert_array_equal(data, before)
    assert list(pair.stage.points.features["object_id"]) == [1, 2, 2]


def test_a_merged_object_is_corrected_from_its_union(pair):
    pair.objects.merge([1, 2])
    union = pair.stage.labels.data[3] == 1
    pair.add_point((3, 30, 50))
    expected = union | disc((40, 60), 50, 30)
    np.testing.assert_array_equal(pair.stage.labels.data[3] == 1, expected)


def test_merging_one_is_refused(pair):
    with pytest.raises(PromptError, match="two or more"):
        pair.objects.merge([1])


def test_locked_objects_do_not_change(pair):
    before = pair.stage.labels.data == 1
    pair.objects.lock(1, True)
    pair.select_object(1)
    points = len(pair.stage.points.data)
    pair.stage.points.add(np.array([[3, 20, 20]], float))
    assert "locked" in pair.state.status
    assert len(pair.stage.points.data) == points
    pair.state.writing = "overwrite"
    pair.add_point((3, 12, 22), object_id=2)
    pair.propagate()
    np.testing.assert_array_equal(pair.stage.labels.data == 1, before)
    for action in (pair.objects.delete, pair.objects.merge):
        with pytest.raises(PromptError, match="locked"):
            action([1, 2])
    with pytest.raises(PromptError, match="locked"):
        pair.add_point((3, 12, 22), object_id=1)
    pair.objects.lock(1, False)
    pair.add_point((3, 20, 20), object_id=1)
    assert pair.stage.labels.data[3, 20, 20] == 1


def test_hidden_objects_have_no_colour_and_get_theirs_back(pair):
    labels = pair.stage.labels
    before = [tuple(labels.get_color(i)) for i in (1, 2)]
    pair.objects.hide(1, True)
    assert labels.get_color(1)[3] == 0
    assert tuple(labels.get_color(2)) == pytest.approx(before[1])
    assert not table(pair)[1].visible
    pair.next_object()
    pair.add_point((3, 20, 50))
    assert labels.get_color(3)[3] == 1
    pair.objects.hide(1, False)
    assert [tuple(labels.get_color(i)) for i in (1, 2)] == before


def test_colours_come_back_after_a_look_at_other_labels(pair):
    labels = pair.stage.labels
    before = tuple(labels.get_color(1))
    pair.objects.hide(1, True)
    other = pair.viewer.add_labels(np.zeros(STACK.shape, np.uint16))
    pair.choose_labels(other)
    pair.objects.hide(2, True)
    pair.choose_labels(labels)
    assert labels.get_color(1)[3] == 0
    pair.objects.hide(1, False)
    assert tuple(labels.get_color(1)) == before
    assert other.get_color(2)[3] == 0


def test_colours_come_back_in_another_dock(pair):
    labels = pair.stage.labels
    before = tuple(labels.get_color(1))
    pair.objects.hide(1, True)
    pair.objects = None
    gc.collect()
    another = Visibility(pair.stage, pair.notes, pair.ledger)
    pair.notes.hide(1, False)
    assert tuple(labels.get_color(1)) == before
    del another


def test_colours_given_while_something_is_hidden_stay(pair):
    labels = pair.stage.labels
    pair.objects.hide(1, True)
    labels.new_colormap(seed=5)
    given = tuple(labels.get_color(2))
    pair.objects.hide(2, True)
    pair.objects.hide(1, False)
    pair.objects.hide(2, False)
    assert tuple(labels.get_color(2)) == given


def test_hiding_while_one_label_alone_is_drawn(pair):
    labels = pair.stage.labels
    before = [tuple(labels.get_color(i)) for i in (1, 2)]
    labels.show_selected_label = True
    pair.objects.hide(1, True)
    pair.objects.hide(1, False)
    assert tuple(labels.colormap.map(1)) == (0, 0, 0, 0)  # 2 is selected
    assert pair.stage.label_color(1) == before[0]
    labels.show_selected_label = False
    assert [tuple(labels.colormap.map(i)) for i in (1, 2)] == before


def test_hidden_objects_keep_their_swatch_and_prompts_but_show_no_dots(pair):
    pair.add_shapes([[(3, 30, 40), (3, 30, 50), (3, 38, 50)]], "polygon")
    points, shapes = pair.stage.points, pair.stage.shapes
    swatch, dots = pair.stage.label_color(2), points.data.copy()
    pair.objects.hide(2, True)
    assert pair.stage.label_color(2) == swatch
    assert points.shown.tolist() == [True, False, False]
    assert shapes.edge_color[0, 3] == 0
    np.testing.assert_array_equal(points.data, dots)
    pair.add_point((3, 12, 22), object_id=1)
    assert points.shown.tolist() == [True, False, False, True]
    pair.undo()
    assert points.shown.tolist() == [True, False, False]
    pair.objects.hide(2, False)
    assert points.shown.all()
    assert shapes.edge_color[0, 3] > 0
    assert table(pair)[2].prompts == 3


def test_names_and_locks_belong_to_their_labels(tool):
    t = tool(FLAT)
    first = t.state.image
    t.objects.rename(1, "cell")
    t.objects.lock(1, True)
    t.choose_image(t.viewer.add_image(STACK))
    assert t.notes.names == {}
    assert not t.notes.locked
    t.choose_image(first)
    assert t.notes.names == {1: "cell"}
    assert t.notes.locked == {1}


def test_jumping_finds_the_first_mask_prompt(tool):
    """On frames before there are pixels, but nothing that the user said."""
    t = tool(STACK)
    data = np.zeros(STACK.shape, np.uint16)
    data[:, 8:13, 18:23] = 4
    t.choose_labels(t.viewer.add_layer(Labels(data)))
    t.viewer.dims.set_current_step(0, 5)
    t.objects.track_all()
    t.viewer.dims.set_current_step(0, 6)
    t.objects.jump(4)
    assert t.viewer.dims.current_step[0] == 5
    t.add_point((3, 10, 20), object_id=4)
    t.objects.jump(4)
    assert t.viewer.dims.current_step[0] == 3


def test_jumping_to_a_mask_shows_its_middle(tool):
    t = tool(np.zeros((400, 600), np.float32))
    data = np.zeros((400, 600), np.uint16)
    data[300:321, 500:541] = 4
    t.choose_labels(t.viewer.add_layer(Labels(data)))
    view = current_view(t.viewer, t.state.image)
    t.starts.adopt_plane(t.stage.labels, view, t.steps.begin("masks"))
    where = _first_prompt(t.stage.points, t.stage.shapes, t.stage.masks, 4)
    assert where.tolist() == [310, 520]


@pytest.mark.parametrize("what", ["delete", "prompts", "merge"])
def test_what_ends_a_propagation_says_so(tool, what):
    threads = Stepper()
    t = tool(STACK, start=threads.start)
    threads.run()
    for object_id, row in ((1, 8), (2, 20), (3, 32)):
        t.add_point((0, row, 20), object_id=object_id)
        threads.run()
    t.propagate("forward", alone=False)
    while t.state.done < 2:
        threads.step()
    assert t.state.busy == "propagate"
    if what == "merge":
        t.objects.merge([2, 3])
    else:
        t.objects.delete([3], "both" if what == "delete" else "prompts")
    threads.run()
    word = "Merging" if what == "merge" else "Deleting"
    assert t.state.status.startswith(f"{word} has stopped the propagation")
    t.objects.delete([2])
    threads.run()
    assert "stopped the propagation" not in t.state.status
