from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from discs import DISCS, discs_image

from sam2_core.annotate import (
    Blobs,
    Detections,
    Everything,
    LabelBoxes,
    make_detector,
)
from sam2_core.annotate.detections import boxes_of_labels
from sam2_core.config import VARIANTS
from sam2_core.errors import ImageError, PromptError
from sam2_core.everything.candidates import MaskCandidate

ANY = Path("a.png")
TRUE_BOXES = [[x - r, y - r, x + r, y + r] for x, y, r in DISCS]


def rgb(image: np.ndarray) -> np.ndarray:
    return np.repeat(image[..., None], 3, axis=2)


def sorted_boxes(found: Detections) -> np.ndarray:
    return found.boxes_xyxy[found.boxes_xyxy[:, 0].argsort()]


@pytest.mark.parametrize("dark", [False, True])
def test_blobs_finds_discs_whether_bright_or_dark(dark: bool) -> None:
    image = rgb(discs_image())
    found = Blobs(diameter=14, name="nucleus")(255 - image if dark else image, ANY)
    assert found.names == ("nucleus", "nucleus")
    assert np.abs(sorted_boxes(found) - TRUE_BOXES).max() <= 1


def test_blobs_separates_touching_discs() -> None:
    y, x = np.mgrid[:40, :60]
    image = np.zeros((40, 60), np.uint8)
    for cx in (20, 36):
        image[(x - cx) ** 2 + (y - 20) ** 2 <= 81] = 200
    found = sorted_boxes(Blobs(diameter=18)(rgb(image), ANY))
    assert np.abs(found - [[11, 11, 28, 29], [28, 11, 45, 29]]).max() <= 1.5


def test_blobs_finds_nothing_in_a_constant_image() -> None:
    assert len(Blobs()(np.full((30, 30, 3), 90, np.uint8), ANY)) == 0


def test_blobs_leaves_out_specks() -> None:
    image = discs_image()
    image[2:7, 50:55] = 200
    assert len(Blobs(diameter=14)(rgb(image), ANY)) == 2
    assert len(Blobs(diameter=14, min_area=1)(rgb(image), ANY)) == 3


def test_boxes_of_labels_go_through_outer_pixels() -> None:
    labels = np.zeros((10, 12), np.uint32)
    labels[2:5, 3:9] = 4_000_000_000
    labels[9, 11] = 7
    boxes, values = boxes_of_labels(labels)
    assert boxes.tolist() == [[11, 9, 12, 10], [3, 2, 8, 4]]
    assert values.tolist() == [7, 4_000_000_000]


@pytest.mark.parametrize("name", ["a.tif", "a_labels.tif", "a_cp_masks.tif"])
def test_label_boxes_finds_the_file_of_an_image(tmp_path: Path, name: str) -> None:
    labels = np.zeros((20, 30), np.uint16)
    labels[3:7, 4:10] = 5
    (tmp_path / "labels").mkdir()
    tifffile.imwrite(tmp_path / "labels" / name, labels)
    detector = LabelBoxes(tmp_path / "labels", name="cell")
    found = detector(np.zeros((20, 30, 3), np.uint8), tmp_path / "a.png")
    assert found.boxes_xyxy.tolist() == [[4, 3, 9, 6]]
    assert found.names == ("cell",)
    with pytest.raises(ImageError, match=r"no label image for b\.png"):
        detector(np.zeros((20, 30, 3), np.uint8), tmp_path / "b.png")
    with pytest.raises(ImageError, match="size"):
        detector(np.zeros((30, 20, 3), np.uint8), tmp_path / "a.png")


def candidate(box: tuple[int, int, int, int], iou: float, stability: float = 0.99):
    mask = np.zeros((20, 30), bool)
    x0, y0, x1, y1 = box
    mask[y0:y1, x0:x1] = True
    return MaskCandidate.of(mask, iou, stability)


def everything(monkeypatch, candidates, variant="sam2.1_hiera_tiny", **thresholds):
    """The detector, with a model of that variant that finds these candidates."""
    monkeypatch.setattr(
        "sam2_core.automatic.AutomaticMaskGenerator.candidates",
        lambda self, image: candidates,
    )
    model = SimpleNamespace(config=VARIANTS[variant], closeup=None)
    return Everything(model, **thresholds)(np.zeros((20, 30, 3), np.uint8), ANY)


def test_everything_hands_over_the_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    small, poor = candidate((4, 3, 10, 7), 0.9), candidate((12, 12, 20, 18), 0.5)
    background = candidate((1, 0, 30, 20), 0.95)
    found = everything(monkeypatch, [small, poor, background])
    assert found.scores.tolist() == pytest.approx([0.9])
    assert found.boxes_xyxy.tolist() == [[4, 3, 10, 7]]
    assert np.array_equal(found.masks[0].mask((20, 30)), small.mask((20, 30)))


@pytest.mark.parametrize(
    ("variant", "thresholds", "kept"),
    [
        ("sam2.1_hiera_tiny", {}, [0.9]),
        ("sam2_nano", {}, [0.9, 0.7, 0.6]),  # draws softer outlines
        ("sam2_nano", {"min_iou": 0.65}, [0.9, 0.7]),
        ("sam2_nano", {"min_stability": 0.9}, [0.9, 0.6]),
        ("sam2.1_hiera_tiny", {"min_iou": 0.2, "min_stability": 0.1}, [0.9, 0.7, 0.6]),
    ],
)
def test_everything_keeps_what_suits_the_model_or_the_caller(
    monkeypatch: pytest.MonkeyPatch, variant, thresholds, kept
) -> None:
    candidates = [
        candidate((4, 3, 10, 7), 0.9, 0.99),
        candidate((12, 3, 18, 7), 0.7, 0.7),
        candidate((20, 3, 26, 7), 0.6, 0.95),
    ]
    found = everything(monkeypatch, candidates, variant, **thresholds)
    assert found.scores.tolist() == pytest.approx(kept)


@pytest.mark.parametrize(("min_score", "limit"), [(None, "0.55"), (0.3, "0.3")])
def test_everything_by_name_has_the_score_of_the_caller_or_the_models(
    min_score: float | None, limit: str
) -> None:
    model = SimpleNamespace(config=VARIANTS["sam2_nano"], closeup=None)
    detector = make_detector("everything", lambda: model, min_score=min_score)
    assert f"min_iou={limit} min_stability=0.6" in detector.description


def test_detections_are_cut_and_sorted_out() -> None:
    found = Detections.of(
        [[-5, 2, 8, 9], [25, 15, 40, 30], [31, 3, 35, 6], [1, 1, 4, 4]],
        ["a", "b", "c", "d"],
        [0.9, 0.8, 0.9, 0.1],
    ).usable((20, 30), 0.5)
    assert found.boxes_xyxy.tolist() == [[0, 2, 8, 9], [25, 15, 30, 20]]
    assert found.names == ("a", "b")


@pytest.mark.parametrize(
    ("boxes", "names", "scores"),
    [
        ([[1, 2, 3]], "a", None),
        ([[1, 2, 3, np.nan]], "a", None),
        ([[1, 2, 3, 4]], ["a", "b"], None),
        ([[1, 2, 3, 4]], "a", [0.1, 0.2]),
        ([[1, 2, 3, "x"]], "a", None),
    ],
)
def test_wrong_detections_are_refused(boxes, names, scores) -> None:
    with pytest.raises(PromptError, match="A detector must give"):
        Detections.of(boxes, names, scores)
