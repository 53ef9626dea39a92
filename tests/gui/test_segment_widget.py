"""The dock without a window: controls, state and messages."""

from __future__ import annotations

import gc
import threading
import time
import weakref

import numpy as np
import pytest
import zarr
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt, QTimer

from napari_sam2 import _disk_labels
from napari_sam2._disk_labels import copy_planes
from napari_sam2.widgets._threads import run_in_thread
from sam2_core import InferenceError, PromptError
from sam2_core.errors import Cancelled

FLAT = np.zeros((40, 60), np.float32)
STACK = np.zeros((7, 40, 60), np.float32)


def press(qtbot, button):
    assert button.isEnabled()
    qtbot.mouseClick(button, Qt.LeftButton)


def messages():
    return [note.message for note in notification_manager.records]


@pytest.fixture(autouse=True)
def _no_old_messages():
    notification_manager.records.clear()


def test_without_an_image_it_says_what_to_do(segment):
    w = segment()
    assert "Open an image" in w.status.text()
    assert w.prompts.name.text() == "No image yet"
    assert not w.prompts.next.isEnabled()
    assert not w.stack.propagate.isEnabled()


def test_the_first_image_opened_later_is_taken(segment):
    w = segment()
    image = w.viewer_model.add_image(FLAT, name="late")
    assert w.state.image is image
    assert w.source.image.currentText() == "late"
    assert w.source.labels.currentText() == "SAM2 labels"


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


def test_buttons_drive_the_tool(segment, qtbot):
    w = segment(FLAT)
    press(qtbot, w.prompts.tools["box"])
    assert w.viewer_model.layers.selection.active is w.controller.stage.shapes
    assert w.controller.stage.shapes.mode == "add_rectangle"
    press(qtbot, w.prompts.tools["point"])
    assert w.controller.stage.points.mode == "add"
    press(qtbot, w.prompts.negative)
    assert not w.state.positive
    press(qtbot, w.prompts.positive)
    w.add_point((10, 20))
    press(qtbot, w.prompts.next)
    assert w.object_id == 2
    assert w.prompts.name.text() == "Object 2"
    assert "next object" in w.prompts.undo.toolTip()
    press(qtbot, w.prompts.undo)
    press(qtbot, w.prompts.undo)
    assert not w.labels.data.any()
    assert not w.prompts.undo.isEnabled()
    w.add_point((10, 20))
    press(qtbot, w.prompts.clear)
    assert not w.labels.data.any()


def test_stack_controls(segment, qtbot):
    w = segment(STACK, axis_labels=("z", "y", "x"))
    assert w.stack.axis.currentText() == "z"
    assert (w.stack.start.value(), w.stack.stop.value()) == (0, 6)
    w.add_point((3, 10, 20))
    w.stack.stop.setValue(5)
    w.stack.direction.setCurrentIndex(w.stack.direction.findData("forward"))
    w.stack.direction.activated.emit(w.stack.direction.currentIndex())
    press(qtbot, w.stack.propagate)
    filled = np.flatnonzero(w.labels.data.any(axis=(1, 2)))
    assert filled.tolist() == [3, 4, 5]
    assert "3 frames" in w.status.text()


def test_stack_controls_are_disabled_with_a_reason_in_2d(segment):
    w = segment(FLAT)
    assert not w.stack.propagate.isEnabled()
    assert "single plane" in w.stack.propagate.toolTip()


def test_model_that_is_missing_is_offered_for_download(segment, backend, qtbot):
    backend.absent = {"sam2.1_hiera_tiny": 156_000_000}
    w = segment(FLAT)
    index = w.source.model.findData("sam2.1_hiera_tiny")
    assert "needs download (156 MB)" in w.source.model.itemText(index)
    assert not w.source.download.isEnabled()
    w.source.model.setCurrentIndex(index)
    w.source.model.activated.emit(index)
    assert w.source.download.text() == "Download 156 MB"
    assert backend.absent  # nothing was fetched yet
    w.add_point((10, 20))
    with pytest.raises(Exception, match="download"):
        w.wait()
    press(qtbot, w.source.download)
    assert not backend.absent
    assert w.source.model.currentText() == "sam2.1_hiera_tiny"
    assert not w.source.download.isEnabled()


def test_weights_from_a_file_are_used_and_shown_by_name(
    segment, backend, qtbot, monkeypatch
):
    from qtpy.QtWidgets import QFileDialog

    answers = ["/data/mine.safetensors", ""]
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (answers.pop(0), ""))
    w = segment(FLAT)
    combo = w.source.model
    for shown in ("mine.safetensors", "mine.safetensors"):
        combo.setCurrentIndex(combo.count() - 1)
        assert combo.currentText() == "Weights from a file …"
        combo.activated.emit(combo.count() - 1)
        # The second time the user thinks better of it.
        assert combo.currentText() == shown
        assert w.state.model == "/data/mine.safetensors"
    assert not answers
    assert combo.toolTip() == "/data/mine.safetensors"


def test_only_what_takes_a_while_shows_a_bar_and_nothing_moves(segment, qtbot):
    w = segment(FLAT)
    w.show()
    row = w.progress
    height = row.sizeHint().height()
    assert row.bar.isHidden()
    w.state.busy = "predict"
    qtbot.wait(50)
    assert row.bar.isHidden()
    w.state.busy = ""
    qtbot.wait(300)
    assert row.bar.isHidden()
    w.state.busy = "propagate"
    qtbot.waitUntil(lambda: row.bar.isVisible() and row.stop.isVisible(), timeout=5000)
    assert row.sizeHint().height() == height
    w.state.busy = ""
    qtbot.waitUntil(lambda: row.bar.isHidden() and row.stop.isHidden(), timeout=5000)
    assert row.sizeHint().height() == height


def test_a_single_plane_has_no_controls_of_stacks(segment):
    w = segment()
    assert w.stack.isHidden()
    w.choose_image(w.viewer_model.add_image(FLAT))
    assert w.stack.isHidden()
    w.choose_image(w.viewer_model.add_image(STACK))
    assert not w.stack.isHidden()
    w.choose_axis(None)  # every plane by itself: it must be possible to go back
    assert not w.stack.isHidden()


def test_errors_are_notifications_of_one_sentence(segment, qtbot):
    w = segment(STACK)
    press(qtbot, w.stack.propagate)
    assert messages() == ["Click on an object in one of these frames first."]
    with pytest.raises(PromptError):
        w.propagate()


def test_keys_are_bound_and_released(segment, qtbot):
    from napari_sam2._keys import SHORTCUTS

    w = segment(FLAT)
    viewer = w.viewer_model
    before = w.state.positive
    assert all(hasattr(w, shortcut.method) for shortcut in SHORTCUTS.values())
    keys = {str(key): run for key, run in viewer.keymap.items()}
    assert len(keys) >= len(SHORTCUTS)
    next(run for key, run in keys.items() if key == "T")(viewer)
    assert w.state.positive is not before


def test_narrow(segment):
    w = segment(STACK)
    assert w.sizeHint().width() <= 320
    assert w.minimumSizeHint().width() <= 320


# -- with threads -------------------------------------------------------------------


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
    w = SegmentWidget(viewer, backend=backend, start=run_in_thread)
    w.add_point((0, 10, 20))
    w.wait(20)
    w.propagate()
    gone = weakref.ref(w)
    runner = w.runner
    w.deleteLater()
    del w
    qtbot.wait(50)
    gc.collect()
    assert gone() is None
    asked = backend.answers
    qtbot.wait(150)
    assert backend.answers <= asked + 1
    assert viewer.mouse_drag_callbacks == callbacks
    runner.close()


def test_a_preset_is_for_models_that_remember(segment, backend):
    w = segment(STACK)
    combo = w.options.preset
    assert not combo.isEnabled()
    assert "close-ups" in combo.toolTip()
    w.choose_model("sam2.1_hiera_tiny")
    assert combo.isEnabled()
    assert "512 pixels" in combo.toolTip()
    w.add_point((3, 10, 20))
    before = w.labels.data.copy()
    combo.setCurrentIndex(combo.findData("fast"))
    combo.activated.emit(combo.currentIndex())
    assert w.state.preset == "fast"
    assert backend.presets[-1] == "fast"
    np.testing.assert_array_equal(w.labels.data, before)
    w.choose_model("sam2_nano")
    assert combo.currentText() == "As trained"
    assert backend.presets[-1] == ""
    with pytest.raises(PromptError, match="preset"):
        w.choose_option("preset", "quick")


def test_rows_of_seeing_stand_in_line_with_those_of_the_source(segment):
    dock = segment(np.zeros((20, 20), np.uint8))
    form = dock.source.layout()
    fields = [dock.source.image, dock.seeing.sees, dock.seeing.part, dock.source.model]
    rows = [form.getWidgetPosition(field)[0] for field in fields]
    assert rows == sorted(rows)
    assert rows[0] >= 0
    dock.folds["source"].header.setChecked(True)
    dock.resize(320, 900)
    dock.show()
    assert len({field.x() for field in fields}) == 1


def test_icons_keep_their_colours_in_selected_rows(qtbot):
    from qtpy.QtGui import QIcon

    from napari_sam2.widgets._icons import dot_icon, eye_icon, lock_icon

    for icon in (
        dot_icon((1, 0.5, 0, 1), square=True),
        eye_icon(True),
        lock_icon(True),
    ):
        shown, selected = (
            icon.pixmap(16, 16, mode).toImage()
            for mode in (QIcon.Normal, QIcon.Selected)
        )
        assert shown == selected


def test_icons_of_the_table_are_in_the_colour_of_the_text(segment):
    from qtpy.QtCore import QSize
    from qtpy.QtGui import QColor

    w = segment(FLAT)
    w.add_point((10, 20))
    table = w.table.model
    for color in (QColor(250, 10, 20), QColor(10, 20, 250)):
        w.table.setStyleSheet(f"QWidget {{ color: {color.name()}; }}")
        w.table.ensurePolished()
        icon = table.data(table.index(0, 0), Qt.DecorationRole)
        image = icon.pixmap(QSize(32, 32)).toImage()
        pixels = [image.pixelColor(x, y) for x in range(32) for y in range(32)]
        strongest = max(pixels, key=lambda pixel: pixel.alpha())
        assert strongest.alpha() > 150
        assert abs(strongest.red() - color.red()) < 10
        assert abs(strongest.blue() - color.blue()) < 10


def test_thumbnails_of_candidates_are_sharp_on_fine_screens(qtbot):
    from napari_sam2.widgets._candidates import SIDE, picture

    mask = np.zeros((30, 30), bool)
    pixmap = picture(np.zeros((30, 30, 3), np.uint8), mask, (1, 0, 0, 1))
    assert pixmap.width() == 2 * SIDE
