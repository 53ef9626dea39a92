from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from discs import discs_image
from runs import annotate, results_of, two_boxes

from sam2_core import auto_annotate
from sam2_core.annotate import Detections, store
from sam2_core.errors import (
    Cancelled,
    CheckpointError,
    ImageError,
    Sam2Error,
)

if TYPE_CHECKING:
    from pathlib import Path


def test_results_of_other_settings_are_not_mixed(images: Path, model) -> None:
    annotate(images, model)
    with pytest.raises(ImageError, match=r"another detector \(.*two_boxes"):
        annotate(images, model, lambda image, path: Detections.of([]))
    annotate(images, model, lambda image, path: Detections.of([]), overwrite=True)
    assert (results_of(images) / "a.txt").read_text() == ""


def nothing_works(image: np.ndarray, path: Path) -> Detections:
    raise ValueError("no labels here")


def test_a_run_that_failed_on_all_images_does_not_bind(images: Path, model) -> None:
    formats = ["yolo", "coco"]
    summary = annotate(images, model, nothing_works, outputs=formats)
    assert len(summary.failed) == 3
    summary = annotate(images, model, outputs=formats)  # with another detector
    assert len(summary.annotated) == 3
    with pytest.raises(ImageError, match=r"another detector \(.*two_boxes"):
        annotate(images, model, nothing_works, outputs=formats)


def test_files_of_others_are_not_replaced_after_a_run_that_failed(images, model):
    annotate(images, model, nothing_works)
    mine = results_of(images) / "b.txt"
    mine.write_text("drawn by hand")
    with pytest.raises(ImageError, match="was there before"):
        annotate(images, model)
    assert mine.read_text() == "drawn by hand"


def test_files_of_others_are_not_replaced(images: Path, model) -> None:
    results_of(images).mkdir()
    mine = results_of(images) / "b.txt"
    mine.write_text("drawn by hand")
    with pytest.raises(ImageError, match="was there before"):
        annotate(images, model)
    assert mine.read_text() == "drawn by hand"
    annotate(images, model, overwrite=True)
    assert mine.read_text().startswith("0 ")


def test_two_runs_at_once(images: Path, model) -> None:
    with (
        store.ResultFolder(results_of(images), ["yolo"], {}),
        pytest.raises(ImageError, match="Another run is writing"),
    ):
        annotate(images, model)


def test_images_with_the_same_name(images: Path, model) -> None:
    tifffile.imwrite(images / "a.tif", discs_image())
    summary = annotate(images, model)
    ((path, reason),) = summary.failed.items()
    assert path.name in ("a.png", "a.tif")
    assert "rename" in reason
    assert len(summary.annotated) == 3


def mistake(images: Path, **changes: object) -> str:
    call = {"data": images, "detector": two_boxes, "progress": False, **changes}
    with pytest.raises(Sam2Error) as caught:
        auto_annotate(**call)
    assert not isinstance(caught.value, Cancelled)
    return str(caught.value)


def test_mistakes_are_one_sentence_each(images: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("x")
    messages = {
        "There are no images in": {"data": tmp_path / "empty"},
        "is no image: use .tif": {"data": tmp_path / "notes.txt"},
        "There is no file or folder": {"data": tmp_path / "none"},
        "There is no model": {"model": "sam2_giant"},
        "There is no detector 'yolo': use everything": {"detector": "yolo"},
        "There is no file or folder x.csv": {"detector": "boxes:x.csv"},
        "diameter in pixels": {"detector": "blobs:big"},
        "There is no output format 'xml'": {"outputs": ["yolo", "xml"]},
        "There is nothing to write": {"outputs": []},
        "The list of images is empty": {"data": [], "output_dir": tmp_path},
        "value_range must be": {"value_range": (3, 1)},
        "is a file: the results need a folder": {"output_dir": tmp_path / "notes.txt"},
    }
    for number, (words, changes) in enumerate(messages.items()):
        changes.setdefault("output_dir", tmp_path / f"out{number}")
        message = mistake(images, **changes)
        assert words in message
        assert "\n" not in message
        assert len(message) < 400


def test_missing_weights_are_told_before_any_image(images: Path) -> None:
    with pytest.raises(CheckpointError, match="models download sam2_hiera_tiny"):
        annotate(images, "sam2_hiera_tiny")


def test_results_do_not_go_among_the_images(images: Path, model) -> None:
    before = sorted(images.iterdir())
    for data in (images, images / "a.png"):
        with pytest.raises(ImageError, match="holds the images themselves"):
            annotate(data, model, output_dir=images, overwrite=True)
    assert sorted(images.iterdir()) == before


@pytest.mark.parametrize("detector", ["bogus", "blobs:x", ""])
def test_a_detector_is_checked_before_the_folder(images, model, detector) -> None:
    annotate(images, model)
    with pytest.raises(ImageError, match=r"There is no detector|diameter in pixels"):
        annotate(images, model, detector)


@pytest.mark.parametrize(
    ("detector", "score"),
    [("blobs", 2), ("blobs", -0.1), ("blobs", np.nan), (two_boxes, np.inf)],
)
def test_scores_that_none_can_have(images, model, detector, score) -> None:
    with pytest.raises(ImageError, match="lowest score must be"):
        annotate(images, model, detector, min_score=score)
    assert not results_of(images).exists()


@pytest.mark.parametrize(
    ("detector", "use"),
    [("nosuch", None), ("none.csv", None), (two_boxes, "no such model")],
)
def test_a_mistake_in_the_call_leaves_no_trace(images, model, detector, use) -> None:
    """A mistyped detector must not count as the one that the folder belongs to."""
    with pytest.raises(Sam2Error):
        annotate(images, use or model, detector)
    assert not results_of(images).exists()
    empty = images.with_name("mine")
    empty.mkdir()
    with pytest.raises(Sam2Error):
        annotate(images, use or model, detector, output_dir=empty)
    assert list(empty.iterdir()) == []


def test_a_mistake_with_overwrite_destroys_nothing(images, model) -> None:
    annotate(images, model)
    files = {p: p.read_bytes() for p in results_of(images).rglob("*") if p.is_file()}
    with pytest.raises(ImageError, match="no detector"):
        annotate(images, model, "nosuch", overwrite=True)
    now = {p: p.read_bytes() for p in results_of(images).rglob("*") if p.is_file()}
    assert now == files
    assert len(annotate(images, model).skipped) == 3


@pytest.mark.parametrize("detector", [5, None])
def test_what_cannot_detect_is_refused(images: Path, model, detector) -> None:
    with pytest.raises(ImageError, match="A detector is a name or a function"):
        annotate(images, model, detector)
    assert not results_of(images).exists()
