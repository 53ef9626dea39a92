"""The dock while a thread works for it: what comes late, is stopped, or fails."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import zarr
from dock import FLAT, STACK, close_and_forget, messages, press
from qtpy.QtCore import QTimer

from napari_sam2.tasks import _disk_labels
from napari_sam2.tasks._disk_labels import copy_planes
from napari_sam2.widgets._threads import run_in_thread
from sam2_core import InferenceError
from sam2_core.errors import Cancelled


def test_runtime_error_in_the_worker_reaches_the_user(segment, backend):
    backend.error = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    w = segment(FLAT, start=run_in_thread)
    w.add_point((10, 20))
    with pytest.raises(InferenceError, match="mat1"):
        w.wait(20)
    assert messages()[-1].startswith("The model could not run: mat1")
    assert w.state.busy == ""
    backend.error = None
    w.add_point((10, 30))
    w.wait(20)
    assert w.labels.data[10, 20] == w.labels.data[10, 30] == 1


def test_newest_prompt_wins(segment, backend):
    backend.delay = 0.05
    w = segment(FLAT, start=run_in_thread)
    w.wait(20)
    for column in range(10, 30):
        w.add_point((10, column))
    w.wait(20)
    assert backend.answers < 10
    assert (w.labels.data[10, 10:30] == 1).all()


def test_frames_stream_in_and_cancel_keeps_them(segment, backend, qtbot):
    w = segment(np.zeros((60, 40, 60), np.float32), start=run_in_thread)
    w.add_point((0, 10, 20))
    w.wait(20)
    backend.delay = 0.05
    w.propagate("forward")
    qtbot.waitUntil(lambda: w.state.done >= 3, timeout=10000)
    assert w.labels.data[2].any()
    assert w.state.seconds_left > 0
    qtbot.waitUntil(lambda: "left" in w.progress.bar.format(), timeout=2000)
    assert w.progress.stop.isEnabled()
    press(qtbot, w.progress.stop)
    w.wait(20)
    filled = w.labels.data.any(axis=(1, 2))
    assert filled[:3].all()
    assert not filled[-1]
    assert "stays" in w.status.text()
    w.undo()
    w.wait(20)
    assert w.labels.data.any(axis=(1, 2)).tolist() == [True] + [False] * 59


@pytest.mark.parametrize("on_disk", [False, True])
def test_a_stream_both_ways_that_was_cancelled_is_one_step(
    segment, backend, qtbot, tmp_path, on_disk
):
    w = segment(np.zeros((60, 40, 60), np.float32), start=run_in_thread)
    w.add_point((30, 10, 20))
    w.wait(20)
    if on_disk:
        w.labels_to_disk(tmp_path / "labels.zarr")
        w.wait(20)
    before = np.asarray(w.labels.data).copy()
    backend.delay = 0.05
    w.propagate("both")
    qtbot.waitUntil(lambda: w.state.done >= 7, timeout=10000)
    press(qtbot, w.progress.stop)
    w.wait(20)
    after = np.asarray(w.labels.data).copy()
    filled = np.flatnonzero(after.any(axis=(1, 2)))
    assert filled.min() < 30 < filled.max()  # around the frame on screen
    assert 7 <= len(filled) < 40
    w.undo()
    w.wait(20)
    np.testing.assert_array_equal(np.asarray(w.labels.data), before)
    w.redo()
    w.wait(20)
    np.testing.assert_array_equal(np.asarray(w.labels.data), after)
    w.undo()
    w.undo()
    w.wait(20)
    assert not np.asarray(w.labels.data).any()


def test_what_changes_while_labels_go_to_disk_goes_along(
    segment, monkeypatch, qtbot, tmp_path
):
    w = segment(np.zeros((9, 40, 60), np.float32), start=run_in_thread)
    w.add_point((0, 10, 20))
    w.add_point((1, 10, 20))
    w.wait(20)
    there, gate = threading.Event(), threading.Event()

    def held(*args):
        for done, total in copy_planes(*args):
            if done == 5:
                there.set()
                gate.wait(20)
            yield done, total

    monkeypatch.setattr(_disk_labels, "copy_planes", held)
    w.labels_to_disk(tmp_path / "labels.zarr")
    qtbot.waitUntil(there.is_set, timeout=10000)
    w.undo()
    w.labels.selected_label = 7
    w.labels.data_setitem((np.array([2]), np.array([3]), np.array([4])), 7)
    gate.set()
    w.wait(20)
    stored = zarr.open_array(str(tmp_path / "labels.zarr"), mode="r")[:]
    assert stored[0].any()
    assert not stored[1].any()
    assert stored[2, 3, 4] == 7
    np.testing.assert_array_equal(np.asarray(w.labels.data), stored)


def test_a_copy_to_disk_that_is_stopped_leaves_nothing_behind(
    segment, monkeypatch, qtbot, tmp_path
):
    w = segment(np.zeros((9, 40, 60), np.float32), start=run_in_thread)
    w.add_point((0, 10, 20))
    w.wait(20)
    there, gate = threading.Event(), threading.Event()

    def held(*args):
        for item in copy_planes(*args):
            there.set()
            gate.wait(20)
            yield item

    monkeypatch.setattr(_disk_labels, "copy_planes", held)
    w.labels_to_disk(tmp_path / "labels.zarr")
    qtbot.waitUntil(there.is_set, timeout=10000)
    w.cancel()
    gate.set()
    with pytest.raises(Cancelled):
        w.wait(20)
    assert not (tmp_path / "labels.zarr").exists()
    assert isinstance(w.labels.data, np.ndarray)
    assert w.labels.data[0].any()


def test_window_stays_alive_while_the_model_works(segment, backend, qtbot):
    """A timer of 5 ms ticks on through large masks, many objects and slow steps."""
    w = segment(np.zeros((12, 1024, 1024), np.uint8), start=run_in_thread)
    for i in range(5):
        w.add_point((0, 100 + 150 * i, 200), object_id=i + 1)
    w.wait(60)
    backend.delay = 0.02
    ticks = [time.perf_counter()]
    timer = QTimer()
    timer.timeout.connect(lambda: ticks.append(time.perf_counter()))
    timer.start(5)
    spent = []
    write = w.controller.tasks._on_item

    def timed(*args):
        began = time.thread_time()
        write(*args)
        spent.append(time.thread_time() - began)

    w.controller.tasks._on_item = timed
    w.propagate("forward")
    w.wait(60)
    timer.stop()
    assert len(ticks) > 20
    assert len(spent) >= 12
    assert max(spent) < 0.1


def test_closed_dock_stops_working_and_is_forgotten(segment, backend, qtbot):
    from napari.components import ViewerModel

    from napari_sam2.widgets.segment import SegmentWidget

    viewer = ViewerModel()
    viewer.add_image(STACK)
    callbacks = list(viewer.mouse_drag_callbacks)
    backend.delay = 0.02
    docks = [SegmentWidget(viewer, backend=backend, start=run_in_thread)]
    docks[0].add_point((0, 10, 20))
    docks[0].wait(20)
    docks[0].propagate()
    close_and_forget(docks, backend, qtbot)
    assert viewer.mouse_drag_callbacks == callbacks


@pytest.mark.parametrize("stop", ["keys", "close"])
def test_what_is_deleted_while_the_model_works_is_gone(backend, qtbot, stop):
    """Though Esc is pressed and a click is undone, or the dock is closed at once."""
    from napari.components import ViewerModel

    from napari_sam2.widgets.segment import SegmentWidget

    viewer = ViewerModel()
    viewer.add_image(np.zeros((20, 40, 60), np.float32))
    docks = [SegmentWidget(viewer, backend=backend, start=run_in_thread)]
    w = docks[0]
    for object_id, at in ((1, (0, 10, 20)), (2, (0, 30, 40))):
        w.controller.add_point(at, object_id=object_id)
        w.wait(20)
    w.propagate("forward")
    w.wait(20)
    labels, points, state = w.labels, w.controller.stage.points, w.state
    backend.delay = 0.1
    w.propagate("forward")
    qtbot.waitUntil(lambda: state.done >= 2, timeout=10000)
    w.objects.delete([1])
    assert (labels.data == 1).any()  # it waits for the model
    if stop == "keys":
        w.cancel()
        w.choose_object(3)
        w.add_point((0, 20, 50))
        w.undo()
        w.wait(20)
        assert state.undo_text == "deletion"
    del w
    close_and_forget(docks, backend, qtbot)
    assert np.unique(labels.data).tolist() == [0, 2]
    assert points.features["object_id"].tolist() == [2]
    assert messages() == []
