"""napari's brush through several planes of the labels; the model is a fake."""

from __future__ import annotations

import numpy as np
from painting import STACK, ball, stroke

from napari_sam2.tasks._disk_labels import move_to_disk


def stroke_3d(t, *positions, label):
    """A drag of the mouse: all of it is told at its end."""
    labels = t.stage.labels
    labels.n_edit_dimensions, labels.brush_size = 3, 4
    with labels.block_history():
        for position in positions:
            labels.paint(np.array(position), label, refresh=False)


def test_a_stroke_through_planes_is_one_step(brush):
    data = brush.stage.labels.data
    before = data.copy()
    stroke_3d(brush, (3, 30, 40), (3, 30, 42), label=8)
    expected = ball(data.shape, (3, 30, 40), 2) | ball(data.shape, (3, 30, 42), 2)
    np.testing.assert_array_equal(data == 8, expected)
    assert brush.ledger.places(8) == [(1,), (2,), (3,), (4,), (5,)]
    brush.undo()
    np.testing.assert_array_equal(data, before)
    brush.redo()
    np.testing.assert_array_equal(data == 8, expected)


def test_what_was_said_before_a_stroke_is_over(tool):
    t = tool(STACK[0])
    t.add_point((10, 20))
    t.next_object()
    t.add_point((30, 40))
    t.add_point((30, 42))
    assert t.state.status == "Object 2: 2 prompts."
    t.objects.lock(1, True)
    t.stage.labels.brush_size = 4
    stroke(t, 10, 20, label=2)
    assert "Locked" in t.state.status
    stroke(t, 30, 40 + 8, label=2)
    assert t.state.status == "Object 2: 1 prompt."  # the mask that was painted


def test_locked_objects_are_safe_in_all_planes(brush):
    data = brush.stage.labels.data
    before = data.copy()
    brush.objects.lock(1, True)
    stroke_3d(brush, (3, 10, 26), label=8)
    reach = ball(data.shape, (3, 10, 26), 2)
    np.testing.assert_array_equal(data == 1, before == 1)
    np.testing.assert_array_equal(data == 8, reach & (before == 0))
    assert "Locked" in brush.state.status
    brush.undo()
    np.testing.assert_array_equal(data, before)


def test_filling_through_planes_spares_locked_objects_and_is_undone(brush):
    labels = brush.stage.labels
    before = labels.data.copy()
    brush.objects.lock(1, True)
    labels.n_edit_dimensions = 3
    labels.fill((3, 30, 40), 8)
    np.testing.assert_array_equal(labels.data == 8, before == 0)
    labels.fill((3, 10, 20), 9)
    np.testing.assert_array_equal(labels.data == 1, before == 1)
    brush.undo()
    np.testing.assert_array_equal(labels.data, before)


def test_painting_through_followed_planes_makes_prompts_in_each(brush):
    stroke_3d(brush, (5, 30, 40), label=1)
    assert brush.stage.count_prompts(1) == 4  # on planes 3 to 6
    brush.propagate()
    assert brush.stage.labels.data[6, 30, 40] == 1


def test_painting_in_3d_display_and_in_xz(brush):
    data = brush.stage.labels.data
    before = data.copy()
    brush.objects.lock(1, True)
    for display in ({"ndisplay": 3}, {"ndisplay": 2, "order": (1, 0, 2)}):
        brush.viewer.dims.update(display)
        stroke_3d(brush, (3, 10, 26), label=8)
        np.testing.assert_array_equal(data == 1, before == 1)
        assert (data == 8).any()
        brush.undo()
        np.testing.assert_array_equal(data, before)
    assert brush.ledger.places(8) == []


def test_pixels_set_by_index_are_undone_and_spare_locked_objects(brush):
    labels = brush.stage.labels
    before = labels.data.copy()
    brush.objects.lock(1, True)
    where = tuple(np.array([(0, 30, 40), (3, 10, 20), (6, 31, 9)]).T)
    labels.data_setitem(where, 8)
    assert labels.data[where].tolist() == [8, 1, 8]
    brush.undo()
    np.testing.assert_array_equal(labels.data, before)


def test_strokes_on_labels_on_disk(brush, tmp_path):
    labels = brush.stage.labels
    before = labels.data.copy()
    move_to_disk(brush.tasks, labels, tmp_path / "labels.zarr")
    brush.objects.lock(1, True)
    stroke_3d(brush, (3, 10, 26), label=8)
    reach = ball(before.shape, (3, 10, 26), 2)
    np.testing.assert_array_equal(labels.data[:] == 8, reach & (before == 0))
    brush.undo()
    np.testing.assert_array_equal(labels.data[:], before)


def test_only_changed_pixels_are_remembered(brush):
    stroke_3d(brush, (3, 30, 40), label=8)
    pixels = int(ball(brush.stage.labels.data.shape, (3, 30, 40), 2).sum())
    patches = brush.history.last.patches
    assert sum(len(patch.old) for patch in patches) == pixels
