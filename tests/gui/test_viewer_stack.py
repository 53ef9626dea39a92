"""Stories of a stack in a real napari window: prompts, review, session, tracks."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from dock import open_dock
from mouse import click
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QScrollArea

from napari_sam2.widgets._strip import GUTTER

pytestmark = pytest.mark.display

STACK = np.random.default_rng(1).integers(0, 99, (8, 40, 60), dtype=np.uint8)


def test_from_click_to_review_to_session_and_back(
    make_napari_viewer_proxy, fake, tmp_path, qtbot
):
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, STACK, photometric="minisblack")
    viewer = make_napari_viewer_proxy()
    viewer.open(str(path), plugin="napari")
    viewer.dims.set_current_step(0, 3)
    segment = open_dock(viewer)
    segment.wait(30)
    click(segment.controller.stage.points, (3, 10, 20), viewer)
    segment.wait(30)
    segment.propagate("both")
    segment.wait(30)
    strip = segment.review.strip
    assert strip.ids == [1]
    column = (strip.width() - GUTTER) / 8
    place = QPoint(round(GUTTER + 6.5 * column), strip.height() // 3)
    qtbot.mouseClick(strip, Qt.LeftButton, pos=place)
    assert viewer.dims.current_step[0] == 6
    segment.mark_end()
    segment.wait(30)
    labels = segment.labels.data.copy()
    assert np.flatnonzero(labels.any((1, 2))).tolist() == list(range(7))

    file = str(tmp_path / "work.json")
    saved = viewer.layers["SAM2 labels"].save(file, plugin="napari-sam2")
    assert saved == [file]
    viewer.close()

    again = make_napari_viewer_proxy()
    again.open(file, plugin="napari-sam2")
    restored = open_dock(again)
    restored.wait(30)
    np.testing.assert_array_equal(restored.labels.data, labels)
    again.dims.set_current_step(0, 6)
    assert restored.stack.ends.isChecked()
    restored.make_tracks()
    restored.wait(30)
    tracks = again.layers["SAM2 tracks"].data
    assert tracks[:, 1].tolist() == list(range(7))
    restored.labels_to_disk(tmp_path / "labels")
    restored.wait(30)
    restored.next_object()
    restored.add_point((6, 30, 40))
    restored.wait(30)
    assert restored.labels.data[6, 30, 40] == 2
    assert (tmp_path / "labels.zarr").is_dir()


def test_two_windows_side_by_side(make_napari_viewer_proxy, fake):
    one, two = make_napari_viewer_proxy(), make_napari_viewer_proxy()
    docks = []
    for viewer in (one, two):
        viewer.add_image(STACK)
        docks.append(open_dock(viewer))
    a, b = docks
    a.add_point((3, 10, 20))
    b.add_point((5, 30, 40))
    a.propagate("both")
    a.wait(30)
    b.wait(30)
    assert a.labels.data.any((1, 2)).all()
    assert np.flatnonzero(b.labels.data.any((1, 2))).tolist() == [5]
    one.close()
    b.propagate("both")
    b.wait(30)
    assert b.labels.data.any((1, 2)).all()


def test_closing_the_dock_while_it_works(make_napari_viewer, fake):
    viewer = make_napari_viewer()
    viewer.add_image(STACK)
    dock, segment = viewer.window.add_plugin_dock_widget("napari-sam2", "Segment")
    segment.add_point((3, 10, 20))
    segment.wait(30)
    fake.delay = 0.05
    segment.propagate("both")
    viewer.window.remove_dock_widget(dock)
    assert viewer.layers["SAM2 labels"].data[3, 10, 20] == 1
    segment.runner.close()


def test_five_objects_of_a_stack_need_no_scroll_bar(
    make_napari_viewer_proxy, fake, qtbot
):
    viewer = make_napari_viewer_proxy(show=True)
    viewer.window.resize(1100, 900)
    viewer.add_image(STACK)
    segment = open_dock(viewer)
    segment.wait(30)
    for row in (4, 12, 20, 28, 36):
        segment.add_box((row, 18), (row + 3, 24), object_id=row)
        segment.wait(30)
    segment.propagate("both")
    segment.wait(30)
    assert len(segment.table.model.rows) == 5
    qtbot.wait(200)
    assert segment.findChild(QScrollArea).verticalScrollBar().maximum() == 0
