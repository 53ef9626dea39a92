from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml
from discs import discs_image
from PIL import Image
from runs import BOXES, annotate, results_of, two_boxes, visible

from sam2_core import auto_annotate
from sam2_core.annotate import Detections, store
from sam2_core.errors import (
    Cancelled,
    ImageError,
    InferenceError,
)
from sam2_core.everything.candidates import MaskCandidate


def test_all_formats(images: Path, model) -> None:
    summary = annotate(images, model, outputs=("yolo", "coco", "labels"))
    folder = results_of(images)
    assert visible(folder) == [
        "a.txt",
        "annotations.json",
        "b.txt",
        "c.txt",
        "classes.yaml",
        "masks/a.tif",
        "masks/b.tif",
        "masks/c.tif",
    ]
    assert yaml.safe_load((folder / "classes.yaml").read_text()) == {
        "names": {0: "disc", 1: "large disc"}
    }
    for line, number, box in zip(
        (folder / "b.txt").read_text().splitlines(), "01", BOXES, strict=True
    ):
        first, *numbers = line.split()
        assert first == number
        points = np.array(numbers, float).reshape(-1, 2) * (60, 40) - 0.5
        assert np.abs(points.min(0) - box[:2]).max() < 1e-3
        assert np.abs(points.max(0) - box[2:]).max() < 1e-3
    labels = tifffile.imread(folder / "masks" / "c.tif")
    assert labels.dtype == np.uint16
    assert labels.shape == (40, 60)
    assert (labels == 1).sum() == 13 * 13
    assert labels[25, 40] == 2
    with tifffile.TiffFile(folder / "masks" / "c.tif") as file:
        assert file.pages[0].compression.name.endswith("DEFLATE")
    coco = json.loads((folder / "annotations.json").read_text())
    assert [i["file_name"] for i in coco["images"]] == ["a.png", "b.png", "c.png"]
    assert [a["category_id"] for a in coco["annotations"]] == [1, 2] * 3
    assert coco["annotations"][0]["bbox"] == [9, 6, 13, 13]
    assert summary.objects == 6
    assert len(summary.annotated) == 3
    assert f"3 images annotated with 6 objects in {folder}" in str(summary)


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ("yolo", ["a.txt", "b.txt", "c.txt", "classes.yaml"]),
        (("coco",), ["annotations.json", "classes.yaml"]),
        (["labels"], ["classes.yaml", "masks/a.tif", "masks/b.tif", "masks/c.tif"]),
    ],
)
def test_subset_of_formats(images: Path, model, outputs, expected) -> None:
    annotate(images, model, outputs=outputs)
    assert visible(results_of(images)) == expected


def test_finished_images_are_skipped(images: Path, model) -> None:
    annotate(images, model)
    before = {p: p.stat().st_mtime_ns for p in results_of(images).glob("*.txt")}
    Image.fromarray(discs_image()).save(images / "d.png")
    summary = annotate(images, model)
    assert model.predictor.encoded == 4
    assert [p.name for p in summary.annotated] == ["d.png"]
    assert [p.name for p in summary.skipped] == ["a.png", "b.png", "c.png"]
    assert "3 images finished before" in str(summary)
    assert {p: p.stat().st_mtime_ns for p in before} == before


def test_another_format_needs_no_second_run_of_the_model(images: Path, model) -> None:
    annotate(images, model)
    folder = results_of(images)
    (folder / "b.txt").unlink()
    annotate(images, model, outputs=["yolo", "labels", "coco"])
    assert model.predictor.encoded == 3
    assert (folder / "b.txt").read_text() == (folder / "a.txt").read_text()
    assert tifffile.imread(folder / "masks" / "a.tif").max() == 2
    assert len(json.loads((folder / "annotations.json").read_text())["images"]) == 3


def test_changed_image_is_done_again(images: Path, model) -> None:
    annotate(images, model)
    Image.fromarray(discs_image((50, 60))).save(images / "b.png")
    assert [p.name for p in annotate(images, model).annotated] == ["b.png"]
    ys = (results_of(images) / "b.txt").read_text().split()[2::2]
    assert max(map(float, ys[:4])) < (12 + 6 + 1) / 50


@pytest.mark.parametrize("number", range(1, 8))
def test_interrupted_run_leaves_no_half_file_and_goes_on(
    images: Path, model, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Whichever file is being written when the power goes."""
    folder, count = results_of(images), 0
    replace = Path.replace

    def break_down(self: Path, target: Path) -> Path:
        nonlocal count
        count += 1
        if count == number:
            raise KeyboardInterrupt
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", break_down)
        with pytest.raises(KeyboardInterrupt):
            annotate(images, model, outputs=["yolo", "labels"])
    for file in folder.glob("*.txt"):
        assert len(file.read_text().splitlines()) == 2
    for file in folder.glob("masks/*.tif"):
        assert tifffile.imread(file).max() == 2
    annotate(images, model, outputs=["yolo", "labels"])
    assert len(visible(folder)) == 7
    left = [p for p in folder.rglob(".*") if p.name != ".annotate"]
    assert left == []
    assert len({p.read_text() for p in folder.glob("*.txt")}) == 1


def test_one_bad_image_does_not_stop_the_run(images: Path, model) -> None:
    (images / "b.png").write_bytes(b"\x89PNG nonsense")
    summary = annotate(images, model, outputs=["yolo", "coco"])
    assert [p.name for p in summary.annotated] == ["a.png", "c.png"]
    ((path, reason),) = summary.failed.items()
    assert path.name == "b.png"
    assert "\n" not in reason
    assert "1 image failed:\n  b.png: " in str(summary)
    document = json.loads((results_of(images) / "annotations.json").read_text())
    assert [i["file_name"] for i in document["images"]] == ["a.png", "c.png"]
    Image.fromarray(discs_image()).save(images / "b.png")
    assert [p.name for p in annotate(images, model).annotated] == ["b.png"]


@pytest.mark.parametrize("answer", [ValueError("no\nidea"), None, [1, 2]])
def test_detector_that_fails_on_an_image(images: Path, model, answer) -> None:
    def detector(image: np.ndarray, path: Path) -> object:
        if path.name != "a.png":
            return two_boxes(image, path)
        if isinstance(answer, Exception):
            raise answer
        return answer

    summary = annotate(images, model, detector)
    ((path, reason),) = summary.failed.items()
    assert path.name == "a.png"
    wanted = "no idea" if isinstance(answer, Exception) else "instead of Detections"
    assert wanted in reason
    assert len(summary.annotated) == 2


def test_image_without_detection_is_told_and_finished(images: Path, model) -> None:
    def detector(image: np.ndarray, path: Path) -> Detections:
        return Detections.of([] if path.stem == "b" else BOXES)

    summary = annotate(images, model, detector)
    assert [p.name for p in summary.empty] == ["b.png"]
    assert "1 image without a detection: b.png" in str(summary)
    assert (results_of(images) / "b.txt").read_text() == ""
    assert model.predictor.encoded == 2
    assert len(annotate(images, model, detector).skipped) == 3


def test_low_scores_and_boxes_outside_are_dropped(images: Path, model) -> None:
    def detector(image: np.ndarray, path: Path) -> Detections:
        boxes = [[2, 2, 9, 9], [5, 5, 9, 9], [70, 5, 80, 9], [50, 30, 90, 90]]
        return Detections.of(boxes, scores=[0.9, 0.3, 0.9, 0.9])

    assert annotate(images, model, detector, min_score=0.5).objects == 6
    assert model.predictor.asked[0].tolist() == [[2, 2, 9, 9], [50, 30, 60, 40]]


def test_many_boxes_are_asked_in_portions(images: Path, model) -> None:
    boxes = [[x, y, x + 3, y + 3] for x in range(0, 56, 4) for y in range(0, 36, 4)]
    summary = annotate(images / "a.png", model, lambda i, p: Detections.of(boxes))
    assert summary.objects == len(boxes)
    assert max(len(asked) for asked in model.predictor.asked) <= 32
    assert np.array_equal(np.concatenate(model.predictor.asked), boxes)


def test_masks_of_the_detector_are_kept(images: Path, model) -> None:
    mask = np.zeros((40, 60), bool)
    mask[5:9, 50:60] = True
    mask[6, 55] = False

    def detector(image: np.ndarray, path: Path) -> Detections:
        candidate = MaskCandidate.of(mask, 0.87)
        return Detections.of([candidate.box], masks=[candidate])

    annotate(images, model, detector, outputs="labels")
    assert model.predictor.encoded == 0
    labels = tifffile.imread(results_of(images) / "masks" / "a.tif")
    assert np.array_equal(labels == 1, mask)


def test_detector_sees_what_the_model_sees(tmp_path: Path, model) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.array([[0, 1000], [2000, 4000]], np.uint16))
    seen = []

    def detector(image: np.ndarray, path: Path) -> Detections:
        seen.append(image)
        return Detections.of([])

    annotate(tmp_path / "a.tif", model, detector, value_range=(0, 2000))
    assert seen[0].dtype == np.uint8
    assert seen[0].shape == (2, 2, 3)
    assert seen[0][..., 1].ravel().tolist() == pytest.approx([0, 128, 255, 255], abs=1)


def test_known_classes_keep_their_numbers(images: Path, model) -> None:
    class Detector:
        class_names = ("person", "disc", "large disc")

        def __call__(self, image: np.ndarray, path: Path) -> Detections:
            return two_boxes(image, path)

    annotate(images, model, Detector())
    lines = (results_of(images) / "a.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["1", "2"]


def test_cancel_and_progress(images: Path, model) -> None:
    seen: list[tuple[int, int]] = []
    with pytest.raises(Cancelled):
        auto_annotate(
            images,
            two_boxes,
            model,
            progress=lambda done, total: seen.append((done, total)),
            cancel=lambda: len(seen) == 2,
        )
    assert seen == [(1, 3), (2, 3)]
    assert len(annotate(images, model).skipped) == 2


def test_one_image_and_a_list(images: Path, model, tmp_path: Path) -> None:
    annotate(images / "a.png", model)
    assert visible(images / "a_auto_annotate_labels") == ["a.txt", "classes.yaml"]
    paths = [images / "a.png", images / "b.png"]
    annotate(paths, model, output_dir=tmp_path / "deep" / "out")
    assert "b.txt" in visible(tmp_path / "deep" / "out")
    with pytest.raises(ImageError, match="output_dir"):
        annotate(paths, model)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere"
)
def test_folder_that_cannot_be_written(images: Path, model) -> None:
    images.parent.chmod(0o500)
    with pytest.raises(ImageError, match="cannot be written"):
        annotate(images, model)


def test_full_disk_stops_the_run(
    images: Path, model, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    def detector(image: np.ndarray, path: Path) -> Detections:
        asked.append(path)
        return Detections.of(BOXES)

    annotate(images / "c.png", model, detector, output_dir=results_of(images))
    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(ImageError, match="No space left on device"):
        annotate(images, model, detector)
    assert len(asked) == 2


def test_model_that_fails_is_a_failure_of_the_image(
    images: Path, model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: object, image: np.ndarray) -> None:
        raise InferenceError("The memory is too small.")

    monkeypatch.setattr(model.predictor, "set_image", fail)
    summary = annotate(images, model)
    assert set(summary.failed.values()) == {"The memory is too small."}


def test_a_blank_image_with_boxes_has_failed(images: Path, model) -> None:
    tifffile.imwrite(images / "d.tif", np.full((40, 60), np.nan, np.float32))
    Image.new("L", (60, 40), 9).save(images / "e.png")
    summary = annotate(images, model)
    assert {p.name for p in summary.failed} == {"d.tif", "e.png"}
    assert all("nothing to segment" in reason for reason in summary.failed.values())
    assert annotate(images, model, "blobs", output_dir=images / "x").failed == {}


def test_other_files_in_the_folder_stay(images: Path, model, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    (out / "notes.md").write_text("by hand")
    assert len(annotate(images, model, output_dir=out).annotated) == 3
    assert (out / "notes.md").read_text() == "by hand"


@pytest.mark.parametrize("outputs", ["yolo", "labels"])
def test_a_disk_full_at_the_start_leaves_no_folder(
    images: Path, model, monkeypatch: pytest.MonkeyPatch, outputs: str
) -> None:
    def full(*given: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "FileLock", full)
    with pytest.raises(ImageError, match="No space left on device"):
        annotate(images, model, outputs=outputs)
    assert not results_of(images).exists()


def test_with_a_real_network(images: Path) -> None:
    micro = pytest.importorskip("micro")
    summary = annotate(
        images, micro.micro_model(), "blobs:14", outputs=["yolo", "labels"]
    )
    assert not summary.failed
    labels = tifffile.imread(results_of(images) / "masks" / "a.tif")
    assert labels.shape == (40, 60)
    lines = (results_of(images) / "a.txt").read_text().splitlines()
    assert len(lines) == len(np.unique(labels[labels > 0])) == summary.objects // 3
