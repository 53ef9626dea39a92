"""What goes wrong in practice, in a real window: one sentence, nothing lost."""

from __future__ import annotations

from dataclasses import replace

import dask.array as da
import numpy as np
import pytest
from dock import messages, open_dock, silent
from fakes import disc
from mouse import click
from qtpy.QtCore import Qt
from windows import SHAPE, STACK, filled, open_stack

from napari_sam2.engine._backend import Sam2Backend
from sam2_core import Sam2Error, registry
from sam2_core.errors import OutOfMemoryError
from sam2_core.registry import is_available

OFFICIAL = "sam2.1_hiera_tiny"
REAL_DOWNLOAD = Sam2Backend.download


def said():
    """The only thing that was said, which is one sentence or two."""
    heard = set(messages())
    assert len(heard) == 1, heard
    (text,) = heard
    assert "\n" not in text
    assert "Traceback" not in text
    assert len(text) < 200
    return text


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
