from __future__ import annotations

import json
from itertools import groupby

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage

from sam2_core.annotate.outputs import coco_document, label_image, yolo_text
from sam2_core.annotate.records import AnnotatedObject, ImageRecord, run_lengths

HW = (23, 31)


def slow_runs(mask: np.ndarray) -> list[int]:
    """Run lengths as COCO defines them: column by column, background first."""
    runs = [(key, len(list(run))) for key, run in groupby(mask.T.ravel().tolist())]
    return [0] * bool(runs[0][0]) + [length for _, length in runs]


def found(mask: np.ndarray, name: str = "cell") -> AnnotatedObject:
    rows, columns = np.nonzero(mask)
    y0, y1, x0, x1 = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
    counts = tuple(slow_runs(mask))
    box = (int(x0), int(y0), int(x1), int(y1))
    return AnnotatedObject(name, 0.5, 0.9, (0, 0, 5, 5), box, int(mask.sum()), counts)


def record(*masks: np.ndarray) -> ImageRecord:
    return ImageRecord("a.png", 7, HW, tuple(found(mask) for mask in masks))


def blank() -> np.ndarray:
    return np.zeros(HW, bool)


def blob(seed: int) -> np.ndarray:
    """A ragged object in one piece, with holes, that may touch the borders."""
    noise = np.random.default_rng(seed).normal(size=HW)
    mask = ndimage.gaussian_filter(noise, 1) > 0
    labels, _ = ndimage.label(mask, np.ones((3, 3)))
    return labels == np.bincount(labels.ravel())[1:].argmax() + 1


def draw(line: str) -> np.ndarray:
    """Fill a polygon of YOLO as image programs do, border included."""
    numbers = [float(word) for word in line.split()[1:]]
    assert len(numbers) >= 6
    assert all(0 <= number <= 1 for number in numbers)
    points = np.array(numbers).reshape(-1, 2) * (HW[1], HW[0])
    picture = Image.new("1", HW[::-1])
    corners = [tuple(xy) for xy in np.floor(points + 1e-4).astype(int).tolist()]
    ImageDraw.Draw(picture).polygon(corners, fill=1, outline=1)
    return np.array(picture)


@pytest.mark.parametrize("seed", range(6))
def test_run_lengths_are_those_of_coco(seed: int) -> None:
    mask = blob(seed)
    if seed == 5:  # whole columns: runs go on in the next one
        mask = blank()
        mask[:, 3:6] = True
        mask[4:, 6] = True
    y, x = (int(v.min()) for v in np.nonzero(mask))
    assert list(run_lengths(mask[y:, x:], x, y, HW)) == slow_runs(mask)
    assert np.array_equal(run_lengths(mask, 0, 0, HW), slow_runs(mask))


def test_full_mask_has_one_run() -> None:
    assert run_lengths(np.ones(HW, bool), 0, 0, HW) == (0, HW[0] * HW[1])


@pytest.mark.parametrize("seed", range(4))
def test_record_survives_its_text(seed: int) -> None:
    mask = blob(seed)
    again = ImageRecord.from_json(record(mask).to_json())
    assert again == record(mask)
    (thing,) = again.objects
    x0, y0, x1, y1 = thing.box
    assert np.array_equal(thing.patch(HW), mask[y0:y1, x0:x1])


@pytest.mark.parametrize("seed", range(12))
def test_yolo_polygon_gives_the_mask_back(seed: int) -> None:
    mask = blob(seed)
    line = yolo_text(record(mask), lambda name: 4)
    assert line.split()[0] == "4"
    assert np.array_equal(draw(line), ndimage.binary_fill_holes(mask))


@pytest.mark.parametrize(
    "window",
    [np.s_[5, 6], np.s_[5, 6:8], np.s_[3:9, 30], np.s_[0, :], np.s_[4:6, 4:6]],
)
def test_yolo_polygon_of_thin_objects(window: object) -> None:
    mask = blank()
    mask[window] = True
    assert np.array_equal(draw(yolo_text(record(mask), lambda name: 0)), mask)


def test_yolo_keeps_the_largest_part() -> None:
    mask = blank()
    mask[2:5, 2:5] = True
    both = mask.copy()
    both[10, 10] = True
    assert np.array_equal(draw(yolo_text(record(both), lambda name: 0)), mask)


def test_coco_keeps_holes_and_parts() -> None:
    ring = blank()
    ring[4:14, 5:20] = True
    ring[7:10, 9:12] = False
    ring[20, 2] = True
    document = coco_document([record(blob(1), ring), record()], ["debris", "cell"])
    document = json.loads(json.dumps(document))
    assert [i["id"] for i in document["images"]] == [1, 2]
    assert document["images"][0]["height"] == HW[0]
    assert document["categories"][1] == {"id": 2, "name": "cell"}
    annotation = document["annotations"][1]
    assert annotation["id"] == 2
    assert annotation["category_id"] == 2
    assert annotation["image_id"] == 1
    assert annotation["bbox"] == [2, 4, 18, 17]
    assert annotation["area"] == 10 * 15 - 9 + 1
    assert annotation["segmentation"]["size"] == list(HW)
    values, mask = annotation["segmentation"]["counts"], []
    for number, length in enumerate(values):
        mask += [number % 2 == 1] * length
    assert np.array_equal(np.reshape(mask, HW[::-1]).T, ring)


def test_smaller_objects_are_on_top_in_label_images() -> None:
    large, small = blank(), blank()
    large[2:20, 2:20] = True
    small[5:8, 5:8] = True
    labels = label_image(record(small, large))
    assert (labels[small] == 1).all()
    assert (labels[large & ~small] == 2).all()
    assert labels[~large].max() == 0
