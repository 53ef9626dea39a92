"""A real napari window and the installed plugin, from the click to the labels."""

from __future__ import annotations

import numpy as np
import pytest
from mouse import click

from sam2_core.registry import is_available

pytestmark = pytest.mark.display


def open_dock(viewer):
    return viewer.window.add_plugin_dock_widget("napari-sam2", "Segment")[1]


def test_2d_from_click_to_labels(make_napari_viewer_proxy, fake):
    viewer = make_napari_viewer_proxy()
    viewer.add_image(np.zeros((40, 60)), scale=(0.5, 0.5), translate=(3, 4))
    segment = open_dock(viewer)
    points = segment.controller.stage.points
    assert points.mode == "add"
    click(points, (3 + 10 / 2, 4 + 20 / 2), viewer)
    segment.wait(30)
    labels = viewer.layers["SAM2 labels"]
    assert labels.data[10, 20] == 1
    segment.next_object()
    segment.add_box((20, 30), (35, 50))
    segment.wait(30)
    assert (labels.data[20:36, 30:51] == 2).all()
    segment.undo()
    segment.wait(30)
    assert set(np.unique(labels.data)) == {0, 1}


def test_stack_from_click_to_labels(make_napari_viewer_proxy, fake):
    viewer = make_napari_viewer_proxy()
    viewer.open_sample("napari-sam2", "nuclei")
    viewer.dims.set_current_step(0, 20)
    segment = open_dock(viewer)
    image = viewer.layers["nuclei"]
    click(segment.controller.stage.points, image.data_to_world((20, 138, 32)), viewer)
    segment.wait(30)
    labels = viewer.layers["SAM2 labels"]
    assert labels.data[20, 138, 32] == 1
    segment.propagate("both", 15, 25)
    segment.wait(60)
    assert np.flatnonzero(labels.data.any(axis=(1, 2))).tolist() == list(range(15, 26))
    assert [str(u) for u in labels.units] == [str(u) for u in image.units]
    segment.undo()
    segment.wait(30)
    assert np.flatnonzero(labels.data.any(axis=(1, 2))).tolist() == [20]


def test_scripts_may_hand_in_what_the_viewer_gives_them(make_napari_viewer_proxy, fake):
    viewer = make_napari_viewer_proxy()
    viewer.add_image(np.zeros((40, 60)), name="a")
    segment = open_dock(viewer)
    viewer.add_image(np.zeros((5, 40, 60)), name="b")
    segment.choose_image(viewer.layers["b"])
    segment.add_point((2, 10, 20))
    segment.wait(30)
    assert segment.labels.data.shape == (5, 40, 60)
    assert segment.labels.data[2, 10, 20] == 1


def test_opening_the_dock_is_in_the_menu(make_napari_viewer):
    from napari._app_model import get_app_model

    make_napari_viewer()
    commands = get_app_model().commands
    assert any("napari-sam2" in str(key) for key, _ in commands)


@pytest.mark.skipif(not is_available("sam2_nano"), reason="no bundled weights yet")
def test_bundled_model_finds_a_nucleus_and_follows_it(make_napari_viewer_proxy):
    viewer = make_napari_viewer_proxy()
    viewer.open_sample("napari-sam2", "nuclei")
    viewer.dims.set_current_step(0, 20)
    segment = open_dock(viewer)
    image = viewer.layers["nuclei"]
    click(segment.controller.stage.points, image.data_to_world((20, 138, 32)), viewer)
    segment.wait(120)
    labels = viewer.layers["SAM2 labels"]
    assert labels.data[20, 138, 32] == 1
    area = int((labels.data[20] == 1).sum())
    assert 300 < area < 4000
    segment.propagate("both", 18, 22)
    segment.wait(240)
    for frame in range(18, 23):
        assert (labels.data[frame] == 1).sum() > area / 4


def test_two_lines_of_the_status_are_seen_whole(make_napari_viewer, fake, qtbot):
    viewer = make_napari_viewer(show=True)
    viewer.add_image(np.zeros((5, 40, 60)))
    segment = open_dock(viewer)
    segment.wait(30)
    message = segment.status
    viewer.dims.ndisplay = 3
    assert "2D display" in message.text()

    def is_whole():
        two = 2 * message.fontMetrics().lineSpacing()
        return message.height() >= max(two, message.heightForWidth(message.width()))

    qtbot.waitUntil(is_whole, timeout=5000)
