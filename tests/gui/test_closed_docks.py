"""A dock or a window that is closed leaves its work to the next, in a real window."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from dock import open_dock, silent
from mouse import click
from windows import STACK, filled, open_stack

from napari_sam2.sessions._autosaves import autosave_folder

pytestmark = pytest.mark.display


CLOSED = """
import napari, numpy
from qtpy.QtCore import QTimer
viewer = napari.Viewer()
viewer.add_image(numpy.zeros((3, 40, 60)))
viewer.window.add_plugin_dock_widget("napari-sam2", "Segment")
QTimer.singleShot(1500, viewer.window._qt_window.close)
napari.run()
print("left")
"""


def test_closing_the_dock_keeps_the_work_for_the_next(
    make_napari_viewer_proxy, fake, halfway, qtbot
):
    viewer = make_napari_viewer_proxy()
    segment = open_stack(viewer)
    gate = halfway(segment)
    dock = segment.parent()
    while not hasattr(dock, "destroyOnClose"):
        dock = dock.parent()
    labels, points = segment.labels, segment.controller.stage.points
    segment.objects.rename(1, "mine")
    dock.destroyOnClose()
    qtbot.wait(50)
    asked = fake.answers
    gate.set()
    qtbot.wait(200)
    assert fake.answers == asked  # it stopped
    done = filled(labels)
    assert done == [3, 4]
    assert len(points.data) == 1
    number = len(viewer.layers)
    again = open_dock(viewer)
    again.wait(30)
    assert len(viewer.layers) == number  # no second set of layers
    assert again.labels is labels
    assert filled(labels) == done
    assert again.controller.notes.name(1) == "mine"
    assert again.object_id == 2
    click(points, (3, 30, 40), viewer)
    again.choose_object(1)
    click(points, (3, 14, 20), viewer)
    again.wait(30)
    assert labels.data[3, 10, 20] == labels.data[3, 14, 20] == 1
    assert labels.data[3, 30, 40] == 2
    again.propagate("both")
    again.wait(30)
    assert filled(labels) == list(range(8))
    for _ in range(5):  # to before the first propagation; one was the name
        again.undo()
        again.wait(30)
    assert filled(labels) == [3]
    assert silent()


def test_prompts_of_other_labels_wait_for_the_next_dock(
    make_napari_viewer_proxy, fake, qtbot
):
    viewer = make_napari_viewer_proxy()
    segment = open_stack(viewer)
    own, points = segment.labels, segment.controller.stage.points
    before = own.data.copy()
    other = viewer.add_labels(np.zeros(STACK.shape, np.uint16))
    segment.choose_labels(other)
    assert len(points.data) == 0
    dock = segment.parent()
    while not hasattr(dock, "destroyOnClose"):
        dock = dock.parent()
    dock.destroyOnClose()
    qtbot.wait(50)
    again = open_dock(viewer)
    again.wait(30)
    assert again.labels.name == other.name
    again.choose_labels(own)
    again.wait(30)
    assert points.data.tolist() == [[3, 10, 20]]
    assert list(points.features["object_id"]) == [1]
    np.testing.assert_array_equal(own.data, before)
    again.undo()
    again.wait(30)
    assert len(points.data) == 0
    assert not own.data.any()
    assert silent()


def test_labels_of_another_dock_are_not_taken_for_ones_own(make_napari_viewer, fake):
    viewer = make_napari_viewer()
    one = open_stack(viewer)
    two = open_dock(viewer)
    two.wait(30)
    two.choose_labels(one.labels)
    two.add_point((3, 30, 40), object_id=2)
    two.wait(30)
    assert one.labels.data[3, 10, 20] == 1
    assert one.labels.data[3, 30, 40] == 2
    one.add_point((3, 14, 20), object_id=1)
    one.wait(30)
    assert one.labels.data[3, 14, 20] == 1
    assert one.labels.data[3, 30, 40] == 2
    assert silent()


def test_a_window_that_is_closed_leaves_without_an_error():
    call = [sys.executable, "-c", CLOSED]
    said = subprocess.run(call, capture_output=True, text=True, timeout=120, check=True)
    assert said.stdout.strip() == "left"
    assert "RuntimeError" not in said.stderr


def test_closing_the_window_stops_what_a_script_still_holds(
    make_napari_viewer, fake, halfway, qtbot
):
    viewer = make_napari_viewer()
    segment = open_stack(viewer)
    labels, gate = segment.labels, halfway(segment)
    viewer.close()
    qtbot.wait(50)
    asked = fake.answers
    gate.set()
    qtbot.wait(200)
    assert fake.answers == asked
    assert filled(labels) == [3, 4]
    assert silent()


def test_a_closed_dock_leaves_its_autosave_to_others(
    make_napari_viewer_proxy, fake, qtbot
):
    folder = autosave_folder()
    earlier = set(folder.glob("*"))

    def new(pattern):
        return len(set(folder.glob(pattern)) - earlier)

    viewer = make_napari_viewer_proxy()
    segment = open_stack(viewer)
    click(segment.controller.stage.points, (3, 10, 20), viewer)
    segment.wait(30)
    keeper = segment.keeper  # kept alive, as by the last job
    keeper.autosave()
    qtbot.waitUntil(lambda: new("*.lock") == 1, timeout=5000)
    dock = segment.parent()
    while not hasattr(dock, "destroyOnClose"):
        dock = dock.parent()
    dock.destroyOnClose()
    qtbot.waitUntil(lambda: new("*.lock") == 0, timeout=5000)
    assert new("*.json") == 1
    assert keeper.folder == folder
