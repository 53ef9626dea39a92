"""The Automatic dock: controls, threads, and a real window."""

from __future__ import annotations

import time

import numpy as np
import pytest
from dock import close_and_forget, messages, press
from napari.components import ViewerModel
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication, QLineEdit
from search_fakes import LARGE, SCENE, SHAPE, SMALL, THREAD, FakeSearchBackend

from napari_sam2._jobs import run_inline
from napari_sam2.automatic._search import Sam2SearchBackend
from napari_sam2.stage._sharing import belong
from napari_sam2.widgets._choosing import STEPS
from napari_sam2.widgets._threads import run_in_thread
from napari_sam2.widgets.automatic import AutomaticWidget
from sam2_core import ImageError, InferenceError, PromptError
from sam2_core.registry import is_available

FLAT = np.zeros(SHAPE, np.float32)


@pytest.fixture
def backend():
    return FakeSearchBackend()


@pytest.fixture
def automatic(qtbot, backend):
    def make(data=FLAT, start=run_inline, **kwargs):
        viewer = ViewerModel()
        if data is not None:
            viewer.add_image(data, **kwargs)
        widget = AutomaticWidget(viewer, backend=backend, start=start)
        widget.viewer_model = viewer
        qtbot.addWidget(widget)
        return widget

    return make


def test_without_an_image_it_says_what_to_do(automatic):
    w = automatic(None)
    assert "Open an image" in w.status.text()
    for button in (
        w.searching.find,
        w.choosing.add,
        w.choosing.undo,
        w.choosing.discard,
    ):
        assert not button.isEnabled()
        assert button.toolTip()
    image = w.viewer_model.add_image(FLAT)
    assert w.state.image is image
    assert w.searching.find.isEnabled()


def test_the_model_may_see_a_blend(automatic, qtbot, backend):
    """Not the parts of the Segment dock, as searches have their own."""
    w = automatic()
    assert w.seeing.part.parent() is None
    red = np.zeros(SHAPE, np.float32)
    red[:10] = 1
    w.viewer_model.add_image(red, colormap="red", blending="additive", name="red")
    combo = w.seeing.sees
    combo.setCurrentIndex(combo.findData("shown"))
    combo.activated.emit(combo.currentIndex())
    assert w.state.sees == "shown"
    assert "red" in w.seeing.channels.text()
    press(qtbot, w.searching.find)
    frame = np.asarray(backend.searches[-1][0])
    assert frame.shape == (*SHAPE, 3)
    top, bottom = frame[2, 2], frame[-2, -2]
    assert top[0] > bottom[0]
    assert top[1] == bottom[1]
    with pytest.raises(PromptError, match="layer, shown"):
        w.choose_sight("everything")


def focus(qtbot, dock, widget):
    dock.show()
    dock.activateWindow()
    widget.setFocus()
    qtbot.waitUntil(lambda: QApplication.focusWidget() is widget, timeout=5000)


@pytest.mark.display
def test_keys_do_in_the_dock_what_they_do_on_the_canvas(automatic, qtbot):
    w = automatic()
    pressed = []
    w.viewer_model.bind_key("M", lambda _: pressed.append("viewer's"))
    w.state.image.bind_key("Shift-S", lambda _: pressed.append("layer's"))
    points, line = w.searching.points, w.choosing.scores["min_iou"]
    for field in (points, w.searching.where, line.findChild(QLineEdit)):
        focus(qtbot, w, field)
        qtbot.keyClick(field, Qt.Key_M)
        qtbot.keyClick(field, Qt.Key_S, Qt.ShiftModifier)
        qtbot.keyClick(field, Qt.Key_N)
        assert pressed == ["viewer's", "layer's"], field
        pressed.clear()
    focus(qtbot, w, points)
    points.selectAll()
    qtbot.keyClicks(points, "17")
    assert w.state.points_per_side == 17


@pytest.mark.display
def test_escape_and_undo_in_the_dock_are_its_own(automatic, qtbot, backend):
    w = automatic(start=run_in_thread)
    undone = []
    w.viewer_model.bind_key("Control-Z", lambda _: undone.append(True))
    w.search()
    w.wait(30)
    w.add_to_labels()
    points = w.searching.points
    focus(qtbot, w, points)
    qtbot.keyClick(points, Qt.Key_Z, Qt.ControlModifier)
    assert not w.labels.data.any()
    assert undone == []
    qtbot.keyClick(points, Qt.Key_Z, Qt.ControlModifier)
    assert undone == [True]
    backend.delay, backend.steps = 0.05, 100
    w.search()
    qtbot.waitUntil(lambda: w.state.busy == "search", timeout=5000)
    qtbot.keyClick(points, Qt.Key_Escape)
    qtbot.waitUntil(lambda: not w.state.busy, timeout=2000)
    assert w.state.status == "Stopped."


def test_find_choose_add_undo(automatic, qtbot):
    w = automatic()
    w.searching.points.setValue(8)
    press(qtbot, w.searching.find)
    assert "<b>3</b> of 5" in w.choosing.count.text()
    w.choosing.scores["min_iou"].setValue(0.94)
    qtbot.waitUntil(lambda: w.state.min_iou == 0.94, timeout=5000)
    assert w.state.shown == 1
    w.choosing.scores["min_iou"].setValue(0.8)
    qtbot.waitUntil(lambda: w.state.shown == 3, timeout=5000)
    press(qtbot, w.choosing.add)
    assert ((w.labels.data > 0) == (LARGE | THREAD)).all()
    assert w.source.labels.currentText() == "SAM2 labels"
    assert not w.choosing.add.isEnabled()
    press(qtbot, w.choosing.undo)
    assert not w.labels.data.any()
    press(qtbot, w.choosing.discard)
    assert "SAM2 candidates" not in w.viewer_model.layers
    assert w.choosing.count.text() == "Nothing found yet"


def test_size_slider_covers_the_candidates(automatic, qtbot):
    w = automatic()
    press(qtbot, w.searching.find)
    size = w.choosing.size
    assert size.limits() == (0, float("inf"))
    assert str(SMALL.sum()) in size.text.text()
    size.slider.setValue((STEPS // 10, STEPS))
    qtbot.waitUntil(lambda: w.state.min_area > SMALL.sum(), timeout=5000)
    assert w.state.shown == 2
    size.slider.setValue((0, STEPS - 1))
    qtbot.waitUntil(lambda: w.state.max_area < LARGE.sum(), timeout=5000)
    assert w.state.min_area == 0
    assert w.state.shown == 2


def test_sliders_follow_a_script(automatic):
    w = automatic()
    w.search()
    w.filter(min_iou=0.25, min_roundness=0.5, max_area=200)
    assert w.choosing.scores["min_iou"].value() == pytest.approx(0.25)
    assert w.choosing.scores["min_roundness"].value() == pytest.approx(0.5)
    low, high = w.choosing.size.limits()
    assert low == 0
    assert high == pytest.approx(200, rel=0.05)
    assert w.state.max_area == 200  # the slider is coarser, and does not take over


def test_choices_reach_the_search(automatic, qtbot, backend):
    w = automatic()
    for combo, value in ((w.searching.where, "screen"), (w.searching.crops, 1)):
        combo.setCurrentIndex(combo.findData(value))
        combo.activated.emit(combo.currentIndex())
    w.searching.points.setValue(16)
    w.viewer_model.scene.camera.zoom *= 4
    press(qtbot, w.searching.find)
    options = backend.searches[0][1]
    assert (options.points_per_side, options.crop_layers) == (16, 1)
    assert options.region is not None


def test_preview_is_not_offered_as_labels(automatic):
    w = automatic()
    w.search()
    assert w.source.labels.findText("SAM2 candidates") == -1


def test_missing_model_has_to_be_downloaded(automatic, backend, qtbot):
    backend.absent = {"sam2.1_hiera_tiny": 156_000_000}
    w = automatic()
    w.choose_model("sam2.1_hiera_tiny")
    assert not w.searching.find.isEnabled()
    assert "press Download" in w.status.text()
    press(qtbot, w.source.download)
    assert w.searching.find.isEnabled()
    press(qtbot, w.searching.find)
    assert backend.loaded == [("sam2.1_hiera_tiny", "auto")]


def test_errors_are_notifications_of_one_sentence(automatic, qtbot):
    w = automatic()
    w.viewer_model.dims.ndisplay = 3
    press(qtbot, w.searching.find)
    assert messages() == ["Switch the viewer to 2D display to search a plane."]
    with pytest.raises(ImageError):
        w.search()


def test_narrow(automatic):
    w = automatic()
    assert w.sizeHint().width() <= 320
    assert w.minimumSizeHint().width() <= 320


# -- with threads -------------------------------------------------------------------


def test_progress_and_cancel(automatic, backend, qtbot):
    w = automatic(start=run_in_thread)
    w.wait(20)
    backend.steps, backend.delay = 200, 0.02
    w.search()
    qtbot.waitUntil(
        lambda: w.state.done > 0 and w.state.seconds_left is not None, timeout=10000
    )
    qtbot.waitUntil(lambda: "left" in w.progress.bar.format(), timeout=2000)
    assert not w.searching.find.isEnabled()
    press(qtbot, w.progress.stop)
    w.wait(20)
    assert w.candidates == []
    assert w.status.text() == "Stopped."
    backend.steps, backend.delay = 2, 0.0
    w.search()
    w.wait(20)
    assert len(w.candidates) == len(SCENE)


def test_runtime_error_in_the_worker_reaches_the_user(automatic, backend):
    backend.error = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    w = automatic(start=run_in_thread)
    w.search()
    with pytest.raises(InferenceError, match="mat1"):
        w.wait(20)
    assert messages()[-1].startswith("The model could not run: mat1")
    assert w.state.busy == ""


def test_window_stays_alive_during_a_search(automatic, backend, qtbot):
    w = automatic(start=run_in_thread)
    w.wait(20)
    backend.steps, backend.delay = 20, 0.02
    ticks = []
    timer = QTimer()
    timer.timeout.connect(lambda: ticks.append(time.perf_counter()))
    timer.start(5)
    w.search()
    assert w.state.searched is False  # it returned at once
    w.wait(20)
    timer.stop()
    assert len(ticks) > 20
    assert w.state.shown == 3


def test_closed_dock_stops_working_and_is_forgotten(qtbot, backend):
    viewer = ViewerModel()
    viewer.add_image(FLAT)
    docks = [AutomaticWidget(viewer, backend=backend, start=run_in_thread)]
    docks[0].wait(20)
    backend.steps, backend.delay = 500, 0.02
    docks[0].search()
    qtbot.waitUntil(lambda: backend.answers > 0, timeout=10000)
    close_and_forget(docks, backend, qtbot)


def test_candidates_go_with_their_dock(qtbot, backend):
    viewer = ViewerModel()
    image = viewer.add_image(FLAT)
    w = AutomaticWidget(viewer, backend=backend)
    w.wait(20)
    w.search()
    w.wait(20)
    assert "SAM2 candidates" in viewer.layers
    controller = w.controller  # as long as Python keeps it
    w.deleteLater()
    del w
    qtbot.waitUntil(lambda: list(viewer.layers) == [image], timeout=5000)
    labels = viewer.add_labels(np.zeros(SHAPE, np.uint8))
    belong(labels, image)  # another dock goes on
    assert list(viewer.layers) == [image, labels]
    assert controller.state.labels is None


# -- in a window --------------------------------------------------------------------


@pytest.mark.display
def test_installed_plugin_in_a_real_window(
    make_napari_viewer_proxy, backend, monkeypatch
):
    for name in ("load_model", "devices", "missing", "candidates", "thresholds"):
        method = getattr(backend, name)
        monkeypatch.setattr(Sam2SearchBackend, name, lambda self, *a, _m=method: _m(*a))
    viewer = make_napari_viewer_proxy()
    viewer.add_image(np.zeros((3, *SHAPE)), scale=(1, 0.5, 0.5), name="stack")
    viewer.dims.set_current_step(0, 1)
    dock, automatic = viewer.window.add_plugin_dock_widget("napari-sam2", "Automatic")
    automatic.search("screen")
    automatic.wait(30)
    assert viewer.layers["SAM2 candidates"].data[1].any()
    automatic.filter(min_stability=0.4)
    ids = automatic.add_to_labels()
    assert len(ids) == 4
    labels = viewer.layers["SAM2 labels"]
    assert labels.data.any(axis=(1, 2)).tolist() == [False, True, False]
    automatic.choose_labels(labels)
    automatic.undo()
    assert not labels.data.any()
    viewer.window.remove_dock_widget(dock)


@pytest.mark.skipif(not is_available("sam2_nano"), reason="no bundled weights yet")
def test_bundled_model_finds_a_disc(qtbot):
    rows, columns = np.mgrid[:96, :96]
    disc = (rows - 40) ** 2 + (columns - 50) ** 2 < 20**2
    image = np.where(disc, 200, 40).astype(np.uint8)
    viewer = ViewerModel()
    viewer.add_image(image)
    w = AutomaticWidget(viewer, start=run_in_thread)
    qtbot.addWidget(w)
    w.state.points_per_side = 4
    w.search()
    w.wait(120)
    w.filter(min_iou=0.0, min_stability=0.0)
    ids = w.add_to_labels()
    hit = w.labels.data == w.labels.data[40, 50]
    assert w.labels.data[40, 50] in ids
    assert (hit & disc).sum() / (hit | disc).sum() > 0.5
