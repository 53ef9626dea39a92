"""Detectors of other packages, with packages that exist only here."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from sam2_core.annotate import (
    CellposeBoxes,
    StarDistBoxes,
    TextBoxes,
    UltralyticsBoxes,
)
from sam2_core.errors import InferenceError

ANY = Path("a.png")


def colour_image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)


def grey_image() -> np.ndarray:
    return np.repeat(colour_image()[..., :1], 3, axis=2)


def two_labels() -> np.ndarray:
    labels = np.zeros((20, 30), np.uint16)
    labels[2:6, 3:9] = 1
    labels[10:15, 20:28] = 2
    return labels


TWO_BOXES = [[3, 2, 8, 5], [20, 10, 27, 14]]


class Tensor(np.ndarray):
    """Must be brought to the CPU first, as on a GPU."""

    def cpu(self) -> np.ndarray:
        return np.asarray(self)


def tensor(*values: object) -> Tensor:
    return np.array(values, np.float32).view(Tensor)


def test_ultralytics(fake_package) -> None:
    calls = []

    class YOLO:
        names = {0: "person", 2: "cell"}  # noqa: RUF012 - as in the original

        def __init__(self, weights: str) -> None:
            calls.append(weights)

        def predict(self, image: np.ndarray, **options: object) -> list[object]:
            calls.append((image, options))
            boxes = SimpleNamespace(
                xyxy=tensor([1, 2, 11, 12], [3, 4, 9, 8]),
                conf=tensor(0.9, 0.4),
                cls=tensor(2, 0),
            )
            return [SimpleNamespace(boxes=boxes)]

    fake_package("ultralytics", YOLO=YOLO)
    detector = UltralyticsBoxes("yolov8x.pt", conf=0.3, classes=[0, 2], device="cpu")
    assert detector.class_names == ("person", "1", "cell")
    image = colour_image()
    found = detector(image, ANY)
    assert found.boxes_xyxy.tolist() == [[1, 2, 11, 12], [3, 4, 9, 8]]
    assert found.scores.tolist() == pytest.approx([0.9, 0.4])
    assert found.names == ("cell", "person")
    weights, (given, options) = calls
    assert weights == "yolov8x.pt"
    assert np.array_equal(given, image[..., [2, 1, 0]])  # blue first
    assert options == {
        "device": "cpu",
        "verbose": False,
        "conf": 0.3,
        "iou": 0.45,
        "imgsz": 640,
        "max_det": 300,
        "classes": [0, 2],
    }


def test_ultralytics_without_the_weights(fake_package) -> None:
    def missing(weights: str) -> None:
        raise FileNotFoundError(f"[Errno 2]\nNo such file: {weights!r}")

    fake_package("ultralytics", YOLO=missing)
    with pytest.raises(InferenceError, match=r"cannot load 'yolov99\.pt': .*No such"):
        UltralyticsBoxes("yolov99.pt")


@pytest.mark.parametrize("version", [3, 4])
def test_cellpose(fake_package, version: int) -> None:
    made, seen = [], []

    class Old:
        def __init__(self, gpu=False, pretrained_model=False, model_type=None) -> None:
            made.append((gpu, pretrained_model, model_type))

        def eval(self, image: np.ndarray, diameter: float | None = None) -> object:
            seen.append((image, diameter))
            return two_labels(), None, None

    class New(Old):
        def __init__(self, gpu=False, pretrained_model="cpsam", model_type=None):
            super().__init__(gpu, pretrained_model, model_type)

    fake_package("cellpose.models", CellposeModel=Old if version == 3 else New)
    detector = CellposeBoxes("mine", diameter=12, device="cpu")
    found = detector(grey_image(), ANY)
    assert found.boxes_xyxy.tolist() == TWO_BOXES
    assert found.names == ("cell", "cell")
    expected = (False, False, "mine") if version == 3 else (False, "mine", None)
    assert made == [expected]
    image, diameter = seen[0]
    assert np.array_equal(image, grey_image()[..., 0])
    assert diameter == 12
    detector(colour_image(), ANY)
    assert seen[1][0].shape == (20, 30, 3)


def fake_stardist(channels: int, seen: list[np.ndarray]) -> object:
    class Model:
        config = SimpleNamespace(n_channel_in=channels)

        def predict_instances(self, image: np.ndarray) -> object:
            seen.append(image)
            return two_labels(), {"prob": [0.6, 0.8]}

    known = {"2D_versatile_fluo": Model(), "2D_versatile_he": Model()}
    return SimpleNamespace(from_pretrained=known.get)


@pytest.mark.parametrize(
    ("name", "channels"), [("2D_versatile_fluo", 1), ("2D_versatile_he", 3)]
)
def test_stardist(fake_package, name: str, channels: int) -> None:
    seen: list[np.ndarray] = []
    fake_package("stardist.models", StarDist2D=fake_stardist(channels, seen))
    found = StarDistBoxes(name)(colour_image(), ANY)
    assert found.boxes_xyxy.tolist() == TWO_BOXES
    assert found.scores.tolist() == pytest.approx([0.6, 0.8])
    assert found.names == ("nucleus", "nucleus")
    assert seen[0].shape == ((20, 30, 3) if channels == 3 else (20, 30))
    assert -0.1 < seen[0].min() < 0.05
    assert 0.95 < seen[0].max() < 1.1
    with pytest.raises(InferenceError, match="StarDist has no model 'other'"):
        StarDistBoxes("other")


def test_text(fake_package) -> None:
    calls = []

    def entry(label: str, score: float, *box: int) -> dict[str, object]:
        keys = ("xmin", "ymin", "xmax", "ymax")
        return {
            "label": label,
            "score": score,
            "box": dict(zip(keys, box, strict=True)),
        }

    def pipeline(task: str, model: str, device: str) -> object:
        calls.append((task, model, device))

        def run(image: object, candidate_labels: list[str], threshold: float) -> object:
            calls.append((image.size, candidate_labels, threshold))
            return [
                entry("nucleus", 0.5, 1, 1, 11, 11),
                entry("nucleus", 0.9, 1, 1, 11, 12),  # the same one, surer
                entry("Mitotic cell.", 0.7, 1, 1, 11, 11),  # another class
                entry("nucleus", 0.4, 20, 1, 29, 11),
            ]

        return run

    fake_package("transformers", pipeline=pipeline)
    detector = TextBoxes("nucleus, mitotic cell", conf=0.3, device="cpu")
    found = detector(colour_image(), ANY)
    assert found.names == ("nucleus", "mitotic cell", "nucleus")
    assert found.scores.tolist() == pytest.approx([0.9, 0.7, 0.4])
    assert found.boxes_xyxy[0].tolist() == [1, 1, 11, 12]
    (task, _, device), call = calls
    assert (task, device) == ("zero-shot-object-detection", "cpu")
    assert call == ((30, 20), ["nucleus", "mitotic cell"], 0.3)


def test_grounding_dino_is_asked_in_sentences(fake_package) -> None:
    def run(image: object, candidate_labels: list[str], threshold: float) -> object:
        assert candidate_labels == ["nucleus.", "t cell."]
        box = {"xmin": 1, "ymin": 2, "xmax": 9, "ymax": 9}
        return [{"label": "t cell.", "score": 0.5, "box": box}]

    fake_package("transformers", pipeline=lambda *a, **k: run)
    detector = TextBoxes(
        ["nucleus", "T cell"], "IDEA-Research/grounding-dino-tiny", device="cpu"
    )
    assert detector(colour_image(), ANY).names == ("T cell",)


def test_text_that_finds_nothing_and_no_text(fake_package) -> None:
    fake_package("transformers", pipeline=lambda *a, **k: lambda *a, **k: [])
    assert len(TextBoxes("nucleus", device="cpu")(colour_image(), ANY)) == 0
    with pytest.raises(InferenceError, match="Say what to look for"):
        TextBoxes(" , ")


@pytest.mark.parametrize(
    ("module", "make", "words"),
    [
        (
            "ultralytics",
            lambda: UltralyticsBoxes("yolov8x.pt"),
            ["pip install ultralytics", "AGPL-3.0"],
        ),
        (
            "cellpose",
            CellposeBoxes,
            ["pip install cellpose", "BSD-3-Clause", "not for commercial use"],
        ),
        ("stardist", StarDistBoxes, ["pip install stardist", "BSD-3-Clause"]),
        (
            "transformers",
            lambda: TextBoxes("nucleus"),
            ["pip install transformers", "Apache-2.0"],
        ),
    ],
)
def test_missing_package_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, module: str, make, words: list[str]
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InferenceError) as caught:
        make()
    message = str(caught.value)
    assert f"The package {module} is not installed" in message
    assert all(word in message for word in words)


def test_failure_of_a_package_is_one_line(fake_package) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise ZeroDivisionError("first line\n  second line")

    model = SimpleNamespace(names={0: "cell"}, predict=fail)
    fake_package("ultralytics", YOLO=lambda weights: model)
    with pytest.raises(InferenceError, match="failed: first line second line"):
        UltralyticsBoxes("yolov8x.pt")(colour_image(), ANY)
