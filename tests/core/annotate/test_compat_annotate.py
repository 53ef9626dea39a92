from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sam2_core import annotate
from sam2_core.compat import auto_annotate
from sam2_core.errors import CheckpointError, InferenceError

if TYPE_CHECKING:
    from pathlib import Path


def test_signature_is_that_of_ultralytics() -> None:
    parameters = inspect.signature(auto_annotate).parameters
    assert [(name, p.default) for name, p in parameters.items()] == [
        ("data", inspect.Parameter.empty),
        ("det_model", "yolo11x.pt"),
        ("sam_model", "sam2_b.pt"),
        ("device", ""),
        ("conf", 0.25),
        ("iou", 0.45),
        ("imgsz", 640),
        ("max_det", 300),
        ("classes", None),
        ("output_dir", None),
    ]


def test_the_call_of_the_article(images: Path, fake_package, model, monkeypatch):
    """YOLO finds a person (class 0) and a cell (class 2) in each image."""
    options: list[dict[str, object]] = []

    def predict(image: np.ndarray, **given: object) -> list[object]:
        options.append(given)
        boxes = SimpleNamespace(
            xyxy=np.array([[9, 6, 21, 18], [31, 16, 49, 34]], np.float32),
            conf=np.array([0.9, 0.8], np.float32),
            cls=np.array([2, 0], np.float32),
        )
        return [SimpleNamespace(boxes=boxes)]

    names = {0: "person", 1: "bicycle", 2: "cell"}
    yolo = SimpleNamespace(names=names, predict=predict)
    fake_package("ultralytics", YOLO=lambda weights: yolo)
    loaded = []
    monkeypatch.setattr(
        "sam2_core.models.load_model", lambda *given: loaded.append(given) or model
    )
    auto_annotate(
        data=str(images), det_model="yolov8x.pt", sam_model="sam2_nano", device="cpu"
    )
    assert loaded == [("sam2_nano", "cpu", "auto")]
    folder = images.with_name("cells_auto_annotate_labels")
    assert sorted(p.name for p in folder.glob("*.txt")) == ["a.txt", "b.txt", "c.txt"]
    first, second = (folder / "a.txt").read_text().splitlines()
    assert first.split()[0] == "2"
    assert second.split()[0] == "0"
    numbers = np.array(first.split()[1:], float).reshape(-1, 2)
    assert numbers.min(0) == pytest.approx([9.5 / 60, 6.5 / 40], abs=1e-5)
    assert options[0]["conf"] == 0.25
    assert options[0]["device"] == "cpu"


@pytest.mark.parametrize(
    ("device", "ours"),
    [("", "auto"), ("cpu", "cpu"), (0, "cuda:0"), ("1", "cuda:1"), ("2,3", "cuda:2")],
)
def test_names_of_devices(images: Path, monkeypatch, device, ours: str) -> None:
    calls = []

    def record(*given: object, **options: object) -> object:
        calls.append(given)
        return SimpleNamespace(failed={})

    monkeypatch.setattr(annotate, "auto_annotate", record)
    auto_annotate(images, "blobs", "sam2_nano", device)
    assert calls[0][3] == ours


def test_failures_are_logged(
    images: Path, model, monkeypatch, caplog: pytest.LogCaptureFixture
) -> None:
    (images / "b.png").write_bytes(b"nonsense")
    monkeypatch.setattr("sam2_core.models.load_model", lambda *given: model)
    summary = auto_annotate(images, "blobs:14", "sam2_nano", conf=0.5)
    assert len(summary.annotated) == 2
    assert "b.png: " in caplog.text


def test_unknown_and_missing_models(images: Path, monkeypatch) -> None:
    with pytest.raises(CheckpointError, match="There is no model 'sam_b"):
        auto_annotate(images, "blobs", "sam_b.pt")
    with pytest.raises(CheckpointError, match="sam2_hiera_base_plus"):
        auto_annotate(images, "blobs")
    monkeypatch.setitem(__import__("sys").modules, "ultralytics", None)
    with pytest.raises(InferenceError, match="pip install ultralytics"):
        auto_annotate(images, sam_model="sam2_nano")
