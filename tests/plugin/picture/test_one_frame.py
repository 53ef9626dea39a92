"""Labels of one frame are where a stack begins; the model is a fake."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_sam2.automatic._automatic import AutomaticController
from sam2_core import ImageError

STACK = np.zeros((7, 40, 60), np.float32)


@pytest.fixture
def cells():
    found = np.zeros(STACK.shape[1:], np.int32)
    found[5:15, 5:15], found[20:30, 30:40], found[0, 0] = 3, 70_000, -1
    return found


def test_they_go_into_the_frame_on_display_and_are_tracked(tool, cells):
    t = tool(STACK, scale=(1, 2, 2))
    one = t.viewer.add_labels(cells.copy(), name="masks")
    assert t.state.status.endswith(
        "or choose 'masks' under Image and model, on its own frame, to go on with its "
        "labels."
    )
    t.viewer.dims.set_current_step(0, 2)
    t.choose_labels(one)
    labels = t.stage.labels
    assert labels.data.shape == STACK.shape
    assert labels.scale.tolist() == [1, 2, 2]
    np.testing.assert_array_equal(labels.data[2], cells.clip(min=0))
    assert not np.delete(labels.data, 2, 0).any()
    np.testing.assert_array_equal(one.data, cells)
    assert not one.visible
    assert t.state.status.endswith("or follow the labels of frame 2 with Track all.")
    assert t.objects.track_all() == [3, 70_000]
    assert (labels.data == 3).any((1, 2)).all()
    assert "Track all" not in t.state.status


def test_volumes_of_four_dimensions(tool):
    t = tool(np.zeros((4, 3, 40, 60), np.float32))
    volume = np.zeros((3, 40, 60), np.uint16)
    volume[1, 5:15, 5:15] = 2
    t.viewer.dims.set_current_step(0, 3)
    t.choose_labels(t.viewer.add_labels(volume))
    np.testing.assert_array_equal(t.stage.labels.data[3], volume)
    assert not t.stage.labels.data[:3].any()


def test_a_session_that_began_with_them_hides_them(kept, cells, tmp_path):
    """On all frames they would be seen beneath, with what was deleted since."""
    t = kept(STACK)
    t.viewer.dims.set_current_step(0, 2)
    t.choose_labels(t.viewer.add_labels(cells.copy()))
    t.objects.delete([70_000])
    t.add_point((2, 10, 50), object_id=1)
    saved = t.keeper.save(tmp_path / "work")
    expected = t.stage.labels.data.copy()
    t = kept(STACK)
    opened = t.viewer.add_labels(cells.clip(min=0), name="masks")
    other = t.viewer.add_labels(cells + 1, name="others")
    t.keeper.load(saved)
    np.testing.assert_array_equal(t.stage.labels.data, expected)
    assert (opened.visible, other.visible) == (False, True)


def test_seen_from_the_side_no_frame_is_on_display(tool, cells):
    t = tool(STACK)
    one = t.viewer.add_labels(cells)
    before = t.stage.labels
    t.viewer.dims.order = (1, 0, 2)
    with pytest.raises(ImageError, match="Show the frame"):
        t.choose_labels(one)
    assert t.stage.labels is before
    assert one.visible


def test_candidates_are_added_to_them(cells):
    viewer = ViewerModel()
    image = viewer.add_image(STACK)
    controller = AutomaticController(viewer)
    controller.choose_image(image)
    controller.choose_labels(viewer.add_labels(cells))
    frame = viewer.dims.current_step[0]
    np.testing.assert_array_equal(
        controller.state.labels.data[frame], cells.clip(min=0)
    )


def test_a_frame_without_labels_sends_to_another(tool):
    t = tool(STACK)
    labels = np.zeros(STACK.shape, np.uint16)
    labels[0, 5:15, 5:15] = 1
    t.choose_labels(t.viewer.add_labels(labels))
    t.viewer.dims.set_current_step(0, 4)
    with pytest.raises(Exception, match="go to one that has some"):
        t.objects.track_all()
