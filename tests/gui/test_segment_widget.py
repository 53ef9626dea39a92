"""The dock without a window: controls, state and messages."""

from __future__ import annotations

import numpy as np
import pytest
from dock import FLAT, STACK, lit, messages, press
from qtpy.QtCore import Qt

from napari_sam2.sessions._autosaves import autosave_folder
from sam2_core import PromptError
from sam2_core.registry import cache_dir, choose_cache_dir


def test_without_an_image_it_says_what_to_do(segment):
    w = segment()
    assert "Open an image" in w.status.text()
    assert w.prompts.name.text() == "No image yet"
    assert not w.prompts.next.isEnabled()
    assert not w.stack.propagate.isEnabled()


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
    w.viewer_model.layers.selection.active = w.labels
    assert lit(w) == []
    press(qtbot, w.prompts.tools["lasso"])
    assert lit(w) == ["lasso"]
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
    with pytest.raises(Exception, match="Download under Image and model"):
        w.wait()
    assert w.status_line.model.text().endswith("not downloaded")
    press(qtbot, w.source.download)
    assert not backend.absent
    assert w.source.model.currentText() == "sam2.1_hiera_tiny"
    assert not w.source.download.isEnabled()
    assert w.status_line.model.text().endswith("ready")


def test_a_device_that_is_not_there_is_the_one_shown(segment):
    w = segment(FLAT)
    w.choose_model("sam2_nano", "cuda")  # as Preferences may have it
    combo = w.source.device
    assert combo.currentText() == "GPU (CUDA)"
    assert [combo.itemData(i) for i in range(combo.count())] == ["auto", "cpu", "cuda"]
    combo.activated.emit(combo.findData("auto"))
    assert w.state.device == "auto"
    assert combo.currentText() == "Automatic"
    assert combo.findData("cuda") == -1


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
    assert messages() == [
        "Click on an object in one of these frames first, or take all labels of one "
        "with Track all."
    ]
    with pytest.raises(PromptError):
        w.propagate()


def test_keys_are_bound_and_released(segment, qtbot):
    from napari_sam2.dock._keys import SHORTCUTS

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


def test_folders_of_the_preferences_are_used(segment, monkeypatch, tmp_path):
    from napari_sam2._settings import Settings
    from napari_sam2.widgets import _stack_methods
    from napari_sam2.widgets import segment as module

    models, work = tmp_path / "models", tmp_path / "work"
    settings = Settings(model_folder=str(models), session_folder=str(work))
    for place in (module, _stack_methods):
        monkeypatch.setattr(place, "load_settings", lambda: settings)
    monkeypatch.delenv("NAPARI_SAM2_HOME")
    widget = segment(STACK)
    assert cache_dir() == models
    widget.add_point((3, 10, 20))
    widget.keeper._autosave.flush()
    assert list(work.glob("*.sam2.json")) == [widget.keeper._autosave.path]
    (tmp_path / "file").touch()
    settings = Settings(session_folder=str(tmp_path / "file"))
    other = segment(STACK)
    assert "choose another folder for unsaved work" in messages()[-1]
    assert other.keeper.folder == autosave_folder()
    choose_cache_dir("")


def test_what_could_not_be_seen_is_answered_once_it_is(segment, qtbot):
    w = segment(FLAT)
    w.choose_option("sees", "shown")
    w.state.image.visible = False
    w.add_point((20, 30))
    assert not w.labels.data.any()
    w.state.image.visible = True
    qtbot.waitUntil(lambda: bool(w.labels.data.any()))
    w.next_object()
    w.state.image.visible = False
    w.add_point((5, 5))
    assert not (w.labels.data == 2).any()
    w.choose_option("sees", "layer")
    assert (w.labels.data == 2).any()
