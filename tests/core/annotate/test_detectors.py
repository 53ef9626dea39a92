from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from discs import DISCS, discs_image

from sam2_core.annotate import Blobs, Detections, Everything, LabelBoxes
from sam2_core.annotate.detections import boxes_of_labels
from sam2_core.candidates import MaskCandidate
from sam2_core.errors import ImageError, PromptError

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


def test_everything_hands_over_the_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    small, poor, background = (np.zeros((20, 30), bool) for _ in range(3))
    small[3:7, 4:10] = True
    poor[12:18, 12:20] = True
    background[:, 1:] = True
    masks = [
        MaskCandidate.of(mask, iou, 0.99)
        for mask, iou in ((small, 0.9), (poor, 0.5), (background, 0.95))
    ]
    monkeypatch.setattr(
        "sam2_core.automatic.AutomaticMaskGenerator",
        lambda model, side: type("G", (), {"candidates": lambda self, image: masks})(),
    )
    found = Everything(None)(np.zeros((20, 30, 3), np.uint8), ANY)
    assert found.scores.tolist() == pytest.approx([0.9])
    assert found.boxes_xyxy.tolist() == [[4, 3, 10, 7]]
    assert np.array_equal(found.masks[0].mask((20, 30)), small)


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
