"""What goes wrong in practice, in a real window: one sentence, nothing lost."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import replace

import dask.array as da
import numpy as np
import pytest
from dock import messages, open_dock
from fakes import disc
from mouse import click
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt

from napari_sam2._autosaves import autosave_folder
from napari_sam2._backend import Sam2Backend
from sam2_core import Sam2Error, registry
from sam2_core.errors import OutOfMemoryError
from sam2_core.registry import is_available

pytestmark = pytest.mark.display

SHAPE = (40, 60)
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
STACK = np.random.default_rng(5).integers(0, 99, (8, *SHAPE), dtype=np.uint8)
OFFICIAL = "sam2.1_hiera_tiny"
REAL_DOWNLOAD = Sam2Backend.download


def open_stack(viewer, frame=3):
    """A window with the stack, the dock, and one object prompted by the mouse."""
    viewer.add_image(STACK, name="cells")
    viewer.dims.set_current_step(0, frame)
    segment = open_dock(viewer)
    segment.wait(30)
    click(segment.controller.stage.points, (frame, 10, 20), viewer)
    segment.wait(30)
    return segment


def filled(labels):
    return np.flatnonzero(labels.data.any((1, 2))).tolist()


def said():
    """The only thing that was said, which is one sentence or two."""
    heard = set(messages())
    assert len(heard) == 1, heard
    (text,) = heard
    assert "\n" not in text
    assert "Traceback" not in text
    assert len(text) < 200
    return text


def silent():
    return not notification_manager.records


@pytest.fixture
def halfway(fake, qtbot):
    """Propagate, and come back while the third frame is being worked on."""
    gates = []

    def begin(segment):
        gates.append(threading.Event())
        before = fake.answers

        def hold():
            if fake.answers > before + 2:
                gates[-1].wait(20)

        fake.on_answer = hold
        segment.propagate("forward")
        qtbot.waitUntil(lambda: segment.state.done >= 2, timeout=10000)
        return gates[-1]

    yield begin
    for gate in gates:
        gate.set()


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


@pytest.mark.parametrize("lost", ["image", "labels", "points", "shapes"])
def test_deleting_a_layer_while_it_propagates(make_napari_viewer, halfway, lost):
    viewer = make_napari_viewer()
    segment = open_stack(viewer)
    stage = segment.controller.stage
    labels, image = segment.labels, stage.image
    gate = halfway(segment)
    viewer.layers.remove(getattr(stage, lost))
    gate.set()
    segment.wait(30)
    assert filled(labels) == [3, 4]  # it stopped
    if lost == "image":
        assert stage.image is None
        assert "Open an image" in segment.status.text()
        viewer.layers.append(image)
        segment.choose_image(image)
    else:
        assert stage.image is image
    segment.next_object()
    segment.add_point((3, 30, 40))
    segment.wait(30)
    assert segment.labels.data[3, 30, 40] > 0
    if lost == "labels":
        assert segment.labels is not labels
        viewer.layers.append(labels)  # as one who deleted it by mistake would
        segment.choose_labels(labels)
    assert segment.labels is labels
    assert labels.data[3, 10, 20] == 1
    assert filled(labels)[0] == 3
    assert silent()


def test_deleting_all_layers_at_once_and_beginning_again(make_napari_viewer, fake):
    viewer = make_napari_viewer()
    segment = open_stack(viewer)
    viewer.layers.clear()
    segment.wait(30)
    assert "Open an image" in segment.status.text()
    viewer.add_image(STACK[0])
    segment.wait(30)
    segment.add_point((10, 20))
    segment.wait(30)
    assert segment.labels.data[10, 20] == 1
    assert silent()


def test_renaming_layers_changes_names_alone(make_napari_viewer, fake, tmp_path):
    viewer = make_napari_viewer()
    segment = open_stack(viewer)
    for number, layer in enumerate(viewer.layers):
        layer.name = f"renamed {number}"
    assert segment.source.image.currentText() == segment.controller.stage.image.name
    assert segment.source.labels.currentText() == segment.labels.name
    click(segment.controller.stage.points, (3, 14, 20), viewer)
    segment.propagate("both")
    segment.wait(30)
    assert filled(segment.labels) == list(range(8))
    path = segment.save_session(tmp_path / "a")
    segment.load_session(path)
    segment.wait(30)
    assert filled(segment.labels) == list(range(8))
    assert silent()


def test_switching_the_image_with_the_mouse_and_back(make_napari_viewer, halfway):
    viewer = make_napari_viewer()
    segment = open_stack(viewer)
    first, labels = segment.controller.stage.image, segment.labels
    viewer.add_image(np.zeros((5, 30, 30), np.uint8), name="other")
    gate = halfway(segment)
    combo = segment.source.image
    for name in ("other", "cells"):
        combo.setCurrentIndex(combo.findText(name))
        combo.activated.emit(combo.currentIndex())
        gate.set()
        segment.wait(30)
        if name == "other":
            click(segment.controller.stage.points, (3, 10, 10), viewer)
            segment.wait(30)
            assert segment.labels.data[3, 10, 10] == 1
    assert segment.controller.stage.image is first
    assert segment.labels is labels
    assert len(segment.controller.stage.points.data) == 1
    assert filled(labels) == [3, 4]
    segment.propagate("both")
    segment.wait(30)
    assert filled(labels) == list(range(8))
    assert silent()


def test_a_gpu_that_is_not_there(make_napari_viewer, fake, monkeypatch):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    from sam2_core.devices import choose_device

    load = fake.load_model
    monkeypatch.setattr(
        Sam2Backend,
        "load_model",
        lambda self, name, device, **kwargs: (
            choose_device(device) and load(name, device, **kwargs)
        ),
    )
    viewer = make_napari_viewer()
    segment = open_stack(viewer)
    segment.choose_model("sam2_nano", "cuda")  # as Preferences may have it
    with pytest.raises(Sam2Error, match="'cuda' cannot be used"):
        segment.wait(30)
    assert "use auto, cpu" in said()
    click(segment.controller.stage.points, (3, 14, 20), viewer)
    with pytest.raises(Sam2Error, match="'cuda' cannot be used"):
        segment.wait(30)
    assert said() == segment.status.text()
    assert len(segment.controller.stage.points.data) == 2
    assert segment.labels.data[3, 10, 20] == 1
    index = segment.source.device.findData("cpu")
    segment.source.device.setCurrentIndex(index)
    segment.source.device.activated.emit(index)
    segment.wait(30)
    segment.add_point((3, 18, 20))
    segment.wait(30)
    expected = disc(SHAPE, 20, 10) | disc(SHAPE, 20, 14) | disc(SHAPE, 20, 18)
    np.testing.assert_array_equal(segment.labels.data[3] == 1, expected)


def test_out_of_memory_on_the_gpu_and_the_way_out(make_napari_viewer, fake, qtbot):
    torch = pytest.importorskip("torch")
    viewer = make_napari_viewer(show=True)
    segment = open_stack(viewer)
    segment.choose_model("sam2.1_hiera_large", "cuda")
    segment.wait(30)

    def fail():
        if fake.answers == before + 4:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate")

    before, fake.on_answer = fake.answers, fail
    segment.propagate("forward")
    with pytest.raises(OutOfMemoryError):
        segment.wait(30)
    fake.on_answer = lambda: None
    assert "memory" in said()
    done = filled(segment.labels)
    assert 4 in done
    assert 7 not in done
    assert segment.remedy.isVisible()
    assert "sam2.1_hiera_large on cuda, preset fast" in segment.remedy.text.text()
    shown = [button.text() for button in segment.remedy.buttons]
    assert shown == ["Fast preset", "Smaller model", "Use the CPU"]
    qtbot.mouseClick(segment.remedy.buttons[0], Qt.LeftButton)
    segment.wait(30)
    assert not segment.remedy.isVisible()
    assert segment.state.model == "sam2.1_hiera_large"
    assert segment.options.preset.currentData() == "fast"
    assert fake.presets[-1] == "fast"
    segment.propagate("forward")
    segment.wait(30)
    assert filled(segment.labels) == list(range(3, 8))


@pytest.mark.skipif(not is_available("sam2_nano"), reason="no bundled weights")
def test_the_bundled_model_and_a_long_stack_with_an_unreadable_frame(
    make_napari_viewer,
):
    rows, columns = np.mgrid[:64, :64]
    spot = np.where((rows - 30) ** 2 + (columns - 34) ** 2 < 100, 200, 20)

    def load(block_id=None):
        if block_id[0] == 5000:
            raise OSError("disk failure at sector 7\ndetails")
        return spot[None].astype(np.uint8)

    stack = da.map_blocks(
        load,
        dtype=np.uint8,
        chunks=((1,) * 10_000, (64,), (64,)),
        meta=np.empty((0, 0, 0), np.uint8),
    )
    viewer = make_napari_viewer()
    viewer.add_image(stack, contrast_limits=(0, 255))
    viewer.dims.set_current_step(0, 4996)
    segment = open_dock(viewer)
    segment.wait(60)
    click(segment.controller.stage.points, (4996, 30, 34), viewer)
    segment.wait(60)
    segment.propagate("forward", 4996, 5010)
    with pytest.raises(Sam2Error):
        segment.wait(120)
    assert said().startswith("Frame 5000 of the image cannot be read (disk failure")
    assert "what is done stays" in said()
    found = [segment.labels.data[t, 30, 34] == 1 for t in range(4990, 5012)]
    assert np.flatnonzero(found).tolist() == list(range(6, 10))
    segment.propagate("backward", 4992, 5010)
    segment.wait(120)
    found = [segment.labels.data[t, 30, 34] == 1 for t in range(4990, 5012)]
    assert np.flatnonzero(found).tolist() == list(range(2, 10))


def test_a_download_that_fails(make_napari_viewer, fake, monkeypatch, tmp_path):
    monkeypatch.setenv("NAPARI_SAM2_HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    nowhere = replace(registry.CHECKPOINTS[OFFICIAL], url="http://127.0.0.1:9/none")
    monkeypatch.setitem(registry.CHECKPOINTS, OFFICIAL, nowhere)
    monkeypatch.setattr(Sam2Backend, "download", REAL_DOWNLOAD)
    fake.absent = {OFFICIAL: nowhere.bytes}
    viewer = make_napari_viewer()
    segment = open_stack(viewer)
    segment.choose_model(OFFICIAL)
    segment.wait(30)
    segment.source.download.click()
    with pytest.raises(Sam2Error, match="no connection"):
        segment.wait(60)
    assert "http://127.0.0.1:9/none" in said()
    assert segment.labels.data[3, 10, 20] == 1
    assert segment.source.download.isEnabled()  # to try again
    segment.choose_model("sam2_nano")
    segment.add_point((3, 14, 20))
    segment.wait(30)
    assert segment.labels.data[3, 14, 20] == 1


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
