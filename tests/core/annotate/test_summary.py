"""What is told about boxes that could not be used as they are in their files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sam2_core import auto_annotate
from sam2_core.errors import PromptError

if TYPE_CHECKING:
    from pathlib import Path

    from sam2_core.annotate import Summary


def annotate(images: Path, model: object, boxes: Path, **options: object) -> Summary:
    return auto_annotate(images, str(boxes), model, progress=False, **options)


def write_boxes(images: Path, *lines: str) -> Path:
    path = images.with_name("boxes.csv")
    path.write_text("\n".join(["image,x0,y0,x1,y1,score", *lines]))
    return path


def test_boxes_without_an_image_are_told(images: Path, model) -> None:
    lost = [f"lost{i}.png,1,2,9,9,1" for i in range(7)]
    boxes = write_boxes(images, "a.png,9,6,21,18,1", *lost, "lost0.png,3,3,9,9,1")
    summary = annotate(images, model, boxes)
    assert summary.unmatched == [f"lost{i}.png" for i in range(7)]
    assert (
        "boxes for 7 names without an image: lost0.png, lost1.png, lost2.png, "
        "lost3.png, lost4.png, ...\n"
    ) in f"{summary}\n"
    assert [p.name for p in summary.empty] == ["b.png", "c.png"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_boxes_that_match_no_image_are_an_error(images, model, tmp_path, kind) -> None:
    boxes: Path = write_boxes(images, "a.jpg,9,6,21,18,1")
    if kind == "folder":
        boxes = tmp_path / "boxes"
        boxes.mkdir()
        (boxes / "a_1.txt").write_text("0 .5 .5 .2 .2")
        (boxes / "classes.txt").write_text("cell")
    with pytest.raises(PromptError, match=r"other images \(a.*given \(a.png, b.png"):
        annotate(images, model, boxes)
    assert not images.with_name("cells_auto_annotate_labels").exists()


def test_boxes_cut_at_the_border_are_counted(images: Path, model) -> None:
    boxes = write_boxes(
        images,
        "a.png,5,5,9999,99999,0.9",
        "a.png,-40,2,9,9,0.9",
        "a.png,0,0,61,41,0.9",  # the end of a pixel more is a way of counting
        "b.png,70,5,80,9,0.9",
        "c.png,5,5,9999,99999,0.1",  # too uncertain to be asked
    )
    summary = annotate(images, model, boxes, min_score=0.5)
    assert (summary.cut, summary.outside, summary.objects) == (2, 1, 3)
    assert "2 boxes reached beyond the image and were cut at its border" in str(summary)
    assert "1 box outside of the image was left out" in str(summary)


def test_scores_of_files_may_be_percentages(images: Path, model) -> None:
    boxes = write_boxes(images, "a.png,9,6,21,18,90", "a.png,31,16,49,34,30")
    assert annotate(images, model, boxes, min_score=50).objects == 1
