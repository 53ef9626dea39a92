from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sam2_core.annotate import FileBoxes
from sam2_core.errors import ImageError, PromptError

IMAGE = np.zeros((100, 200, 3), np.uint8)


def write(path: Path, content: object) -> Path:
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_text(text, encoding="utf-8")
    return path


def found(path: Path, image: str = "a.png") -> list[tuple[list[float], str, float]]:
    result = FileBoxes(path)(IMAGE, Path("elsewhere") / image)
    boxes = np.round(result.boxes_xyxy.astype(float), 3).tolist()
    scores = np.round(result.scores.astype(float), 3).tolist()
    return list(zip(boxes, result.names, scores, strict=True))


@pytest.mark.parametrize(
    "text",
    [
        "image,x0,y0,x1,y1,class,score\na.png,1,2,11,22,cell,0.5\nb.png,0,0,9,9,x,1\n",
        "Filename;xmin;ymin;xmax;ymax;Class;Confidence\nin/a.png;1;2;11;22;cell;.5\n",
        "path\tx1\ty1\tx2\ty2\tlabel\tconf\nC:\\in\\a.png\t1\t2\t11\t22\tcell\t0.5\n",
        "file,x,y,w,h,name,score\na,1,2,10,20,cell,0.5\n\n",
        # The size of the image in columns that could be taken for that of the box.
        "filename,width,height,class,xmin,ymin,xmax,ymax,score\n"
        "a.png,200,100,cell,1,2,11,22,0.5\n",
    ],
)
def test_csv(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "boxes.csv", "\ufeff" + text)
    assert found(path) == [([1, 2, 11, 22], "cell", 0.5)]
    assert found(path, "other.png") == []


def test_csv_with_boxes_only(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "left,top,right,bottom\n1,2,11,22\n3,4,5,6\n")
    assert found(tmp_path) == [
        ([1, 2, 11, 22], "object", 1),
        ([3, 4, 5, 6], "object", 1),
    ]
    assert found(tmp_path, "b.png") == []


@pytest.mark.parametrize(
    "content",
    [
        [{"image": "a.png", "box": [1, 2, 11, 22], "class": "cell", "score": 0.5}],
        {"a.png": [{"box": [1, 2, 11, 22], "label": "cell", "score": 0.5}], "b": []},
        {
            "images": [{"id": 4, "file_name": "in/a.png"}, {"id": 5, "file_name": "b"}],
            "annotations": [
                {
                    "image_id": 4,
                    "category_id": 9,
                    "bbox": [1, 2, 10, 20],
                    "score": 0.5,
                }
            ],
            "categories": [{"id": 9, "name": "cell"}],
        },
    ],
)
def test_json_and_coco(tmp_path: Path, content: object) -> None:
    path = write(tmp_path / "boxes.json", content)
    assert found(path) == [([1, 2, 11, 22], "cell", 0.5)]
    assert found(path, "b.png") == []


def test_a_class_that_is_a_number_is_its_name(tmp_path: Path) -> None:
    box = [1, 2, 11, 22]
    entries = [{"image": "a.png", "box": box, "class": number} for number in (0, 1)]
    entries.append({"image": "a.png", "box": box, "class": None})
    path = write(tmp_path / "boxes.json", entries)
    assert found(path) == [(box, "0", 1), (box, "1", 1), (box, "object", 1)]
    assert FileBoxes(path).class_names == ("0", "1", "object")
    coco = {
        "images": [{"id": 0, "file_name": "a.png"}],
        "annotations": [{"image_id": 0, "category_id": 0, "bbox": [1, 2, 10, 20]}],
        "categories": [{"id": 0, "name": "0"}],
    }
    assert found(write(tmp_path / "coco.json", coco)) == [(box, "0", 1)]


def test_yolo_text_of_boxes_and_polygons(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", "1 0.5 0.5 0.1 0.2\n0 0.5 0.5 0.1 0.2 0.7\n")
    write(tmp_path / "b.txt", "1 0.1 0.2 0.3 0.2 0.2 0.6\n")
    boxes = [90, 40, 110, 60]
    assert found(tmp_path) == [(boxes, "1", 1), (boxes, "0", 0.7)]
    assert FileBoxes(tmp_path).class_names == ("0", "1")
    write(tmp_path / "classes.txt", "debris\ncell\n")
    assert found(tmp_path, "b.png") == [([20, 20, 60, 60], "cell", 1)]
    assert FileBoxes(tmp_path).class_names == ("debris", "cell")


@pytest.mark.parametrize("names", ["{0: debris, 1: cell}", "[debris, cell]"])
def test_names_of_a_yolo_data_set(tmp_path: Path, names: str) -> None:
    (tmp_path / "labels").mkdir()
    write(tmp_path / "labels" / "a.txt", "1 0.5 0.5 0.1 0.2\n")
    write(tmp_path / "data.yaml", f"path: .\nnames: {names}\n")
    assert FileBoxes(tmp_path / "labels").class_names == ("debris", "cell")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("b.csv", "image,a,b\n", ["first line", "x0,y0,x1,y1"]),
        ("b.csv", "image,x0,y0,x1,y1\na,1,2,3,4\na,1,2,3\n", ["line 3"]),
        ("b.csv", "image,x0,y0,x1,y1\na,5,2,3,4\n", ["line 2", "not empty"]),
        ("b.csv", "image,x0,y0,x1,y1\na,nan,2,3,4\n", ["line 2"]),
        ("b.csv", "x0,y0,x1,y1\n1,2,3,4\n", ["column or key image"]),
        ("b.json", "{", ["is not JSON"]),
        ("b.json", "3", ["list of boxes"]),
        ("b.json", '[{"image": "a", "box": [1, 2, 3]}]', ["entry 1"]),
        ("b.json", '{"images": [], "annotations": [{"image_id": 1}]}', ["COCO"]),
        ("b.xml", "<a/>", ["holds no boxes", ".csv"]),
    ],
)
def test_bad_files_are_one_sentence(
    tmp_path: Path, name: str, text: str, words: list[str]
) -> None:
    path = write(tmp_path / name, text)
    with pytest.raises(PromptError) as caught:
        FileBoxes(path)
    message = str(caught.value)
    assert str(path) in message
    assert all(word in message for word in words)


def test_bad_line_of_one_image_concerns_only_that(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", "0 0.5 0.5 0.1 0.1\n")
    write(tmp_path / "b.txt", "0 0.5 0.5 0.1\n")
    detector = FileBoxes(tmp_path)
    assert len(detector(IMAGE, Path("a.png"))) == 1
    with pytest.raises(PromptError, match="line 1"):
        detector(IMAGE, Path("b.png"))


def test_missing_and_empty_places(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="There is no file or folder"):
        FileBoxes(tmp_path / "none.csv")
    with pytest.raises(PromptError, match="There are no boxes in"):
        FileBoxes(tmp_path)
