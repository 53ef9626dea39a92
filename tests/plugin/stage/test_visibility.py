"""Objects that are not drawn, whatever happens to the colours of their layer."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
from napari.layers import Layer

FLAT = np.zeros((40, 60), np.float32)
CORNERS = (30, 40), (30, 50), (38, 50)
STACK = np.zeros((7, 40, 60), np.float32)


@pytest.fixture(params=["image", "stack"])
def pair(tool, request):
    """Two objects in an image and in a stack, one point each; the first is hidden."""
    t = tool(FLAT if request.param == "image" else STACK)
    t.lead = () if request.param == "image" else (3,)
    if t.lead:
        t.viewer.dims.set_current_step(0, 3)
    t.add_point((*t.lead, 10, 20))
    t.next_object()
    t.add_point((*t.lead, 30, 30))
    t.objects.hide(1, True)
    return t


def alphas(t, ids=(1, 2)):
    return [float(t.stage.labels.get_color(i)[3]) for i in ids]


def test_shuffled_colours_do_not_draw_what_is_hidden(pair):
    labels = pair.stage.labels
    before = tuple(labels.get_color(2))
    for seed in (5, 6):
        labels.new_colormap(seed=seed)
        assert alphas(pair) == [0, 1]
        assert tuple(labels.get_color(2)) != before
        assert pair.stage.label_color(1)[3] == 1  # its swatch
        before = tuple(labels.get_color(2))
    swatch = pair.stage.label_color(1)
    pair.objects.hide(1, False)
    assert alphas(pair) == [1, 1]
    assert tuple(labels.get_color(1)) == pytest.approx(swatch)
    labels.new_colormap(seed=7)
    assert alphas(pair) == [1, 1]


def test_colours_of_labels_chosen_later_are_watched_and_of_former_ones_not(pair):
    former = pair.stage.labels
    other = pair.viewer.add_labels(np.zeros(former.data.shape, np.uint16))
    pair.choose_labels(other)
    pair.objects.hide(4, True)
    other.new_colormap(seed=5)
    assert alphas(pair, (1, 4)) == [1, 0]
    former.new_colormap(seed=5)
    assert former.get_color(4)[3] == 1


def duplicated(t):
    """As napari does it."""
    layer = t.stage.labels
    data, state, kind = layer.as_layer_data_tuple()
    state["name"] = f"{layer.name} copy"
    double = Layer.create(deepcopy(data), state, kind)
    t.viewer.layers.insert(t.viewer.layers.index(layer) + 1, double)
    return double


def test_nothing_is_hidden_in_a_duplicate(pair):
    pair.objects.hide(1, False)
    expected = [tuple(pair.stage.labels.get_color(i)) for i in (1, 2, 3)]
    pair.objects.hide(1, True)
    double = duplicated(pair)
    pair.choose_labels(double)
    assert all(row.visible for row in pair.objects.rows())
    assert [tuple(double.get_color(i)) for i in (1, 2, 3)] == expected
    pair.objects.hide(2, True)
    assert alphas(pair, (1, 2, 3)) == [1, 0, 1]
    pair.objects.hide(2, False)
    assert [tuple(double.get_color(i)) for i in (1, 2, 3)] == expected


def test_what_is_about_to_be_painted_has_its_colour(pair):
    labels = pair.stage.labels
    for object_id in (pair.next_object(), 17):
        labels.selected_label = object_id
        assert alphas(pair, (1, 2, object_id)) == [0, 1, 1]
    labels.selected_label = 1
    assert alphas(pair) == [0, 1]


def test_points_of_hidden_objects_are_transparent(pair):
    """napari 0.9 draws points of 2D layers that it was told not to show."""
    points = pair.stage.points
    for object_id in (1, 2):
        pair.select_object(object_id)
        assert points.face_color[:, 3].astype(bool).tolist() == [False, True]
        assert points.border_color[:, 3].astype(bool).tolist() == [False, True]
    pair.objects.hide(1, False)
    assert points.face_color[:, 3].all()
    np.testing.assert_array_equal(points.border_color[:, 3], 1)


def test_prompts_that_are_hidden_are_not_outlined_as_selected(pair):
    pair.add_shapes([[(*pair.lead, *at) for at in CORNERS]], "polygon", 2)
    points, shapes = pair.stage.points, pair.stage.shapes
    points.selected_data, shapes.selected_data = {1}, {0}
    pair.objects.hide(1, False)
    assert (set(points.selected_data), set(shapes.selected_data)) == ({1}, {0})
    pair.objects.hide(2, True)
    assert not points.selected_data
    assert not shapes.selected_data
    assert pair.state.object_id == 2


def test_a_deleted_object_hides_nothing_made_later(pair):
    pair.objects.delete([1], "prompts")
    assert pair.notes.hidden == {1}
    pair.objects.delete([1])
    assert not pair.notes.hidden
    pair.stage.labels.data[(*pair.lead, 5, 5)] = 1
    assert alphas(pair) == [1, 1]


@pytest.mark.parametrize("hidden", [1, 2])
def test_a_merged_object_is_drawn(pair, hidden):
    pair.objects.hide(1, False)
    pair.objects.hide(hidden, True)
    assert pair.objects.merge([1, 2]) == 1
    assert not pair.notes.hidden
    assert alphas(pair) == [1, 1]


def test_prompting_a_hidden_object_draws_it_again(pair):
    pair.objects.hide(2, True)
    pair.add_point((*pair.lead, 12, 22), object_id=1)
    assert pair.notes.hidden == {2}  # that one was not prompted
    assert alphas(pair) == [1, 0]
    assert pair.stage.points.shown.tolist() == [True, False, True]


def test_painting_with_a_hidden_label_draws_it(pair):
    labels = pair.stage.labels
    labels.mode = "paint"
    labels.selected_label = 2
    labels.paint((*pair.lead, 5, 50), 2)
    assert pair.notes.hidden == {1}
    labels.selected_label = 1
    labels.paint((*pair.lead, 5, 50), 1)
    assert not pair.notes.hidden
