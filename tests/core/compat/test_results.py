"""Results of `SAM`: attributes, outlines, drawings and text, as in ultralytics."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from sam2_core.compat.detections import Boxes
from sam2_core.compat.outlines import outline
from sam2_core.compat.sam_result import boxes_around, result_of
from sam2_core.errors import ImageError

if TYPE_CHECKING:
    from sam2_core.compat.results import Results

HW = (20, 40)


def square(y: int, x: int, side: int = 6) -> np.ndarray:
    mask = np.zeros(HW, bool)
    mask[y : y + side, x : x + side] = True
    return mask


MASKS = np.stack([square(2, 4), square(10, 30)])


@pytest.fixture
def result() -> Results:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 100, (*HW, 3), dtype=np.uint8)
    scores = torch.tensor([0.9, 0.5])
    names = {0: "0", 1: "1", 2: "2"}
    masks = torch.from_numpy(MASKS)
    return result_of(image, "cells/a.png", masks, scores, [0, 2], names)


def filled(polygon: np.ndarray) -> np.ndarray:
    """Drawn with its border, as programs for YOLO do."""
    picture = Image.new("1", HW[::-1])
    points = np.rint(polygon).astype(int).ravel().tolist()
    ImageDraw.Draw(picture).polygon(points, fill=1, outline=1)
    return np.asarray(picture)


def area(polygon: np.ndarray) -> float:
    x, y = polygon.T.astype(float)
    return abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2


# ------------------------------------------------------------------ outlines


def test_an_outline_filled_again_is_the_mask():
    y, x = np.mgrid[: HW[0], : HW[1]]
    disc = (y - 9) ** 2 + (x - 15) ** 2 < 50
    for mask in (disc, square(0, 0), square(14, 34), square(5, 5, 1), ~square(0, 0)):
        np.testing.assert_array_equal(filled(outline(mask)), mask)


def test_outlines_have_no_needless_points_and_no_holes():
    ring = square(4, 8, 10)
    ring[7:10, 11:14] = False
    polygon = outline(ring)
    assert polygon.dtype == np.float32
    assert len(polygon) == 4
    np.testing.assert_array_equal(filled(polygon), square(4, 8, 10))


def test_parts_are_joined_without_area():
    parts = [square(2, 2), square(3, 20, 4), square(14, 33, 3)]
    whole = outline(np.logical_or.reduce(parts))
    assert area(whole) == pytest.approx(sum(area(outline(part)) for part in parts))


def test_an_empty_mask_has_no_outline():
    assert outline(np.zeros(HW, bool)).shape == (0, 2)


# ------------------------------------------------------------------ values


def test_boxes_lie_tightly_around_masks():
    masks = torch.from_numpy(np.stack([*MASKS, np.zeros(HW, bool)]))
    expected = [[4, 2, 9, 7], [30, 10, 35, 15], [0, 0, 0, 0]]
    assert boxes_around(masks).tolist() == expected


def test_attributes_of_boxes(result):
    boxes = result.boxes
    assert boxes.data.shape == boxes.shape == (2, 6)
    assert boxes.xyxy.tolist() == [[4, 2, 9, 7], [30, 10, 35, 15]]
    assert boxes.xywh.tolist() == [[6.5, 4.5, 5, 5], [32.5, 12.5, 5, 5]]
    np.testing.assert_allclose(boxes.xyxyn[0], [4 / 40, 2 / 20, 9 / 40, 7 / 20])
    np.testing.assert_allclose(boxes.xywhn[0], [6.5 / 40, 4.5 / 20, 5 / 40, 5 / 20])
    np.testing.assert_allclose(boxes.conf, [0.9, 0.5])
    assert boxes.cls.tolist() == [0, 2]
    assert boxes.id is None
    assert not boxes.is_track
    tracked = Boxes(torch.tensor([0.0, 1, 2, 3, 7, 0.5, 1]), HW)
    assert tracked.id.tolist() == [7]
    assert tracked.conf.tolist() == [0.5]
    with pytest.raises(ValueError, match="5"):
        Boxes(torch.zeros(1, 5), HW)


def test_attributes_of_masks(result):
    masks = result.masks
    assert masks.data.dtype == torch.bool
    assert masks.shape == (2, *HW)
    for polygon, scaled, mask in zip(masks.xy, masks.xyn, MASKS, strict=True):
        np.testing.assert_array_equal(filled(polygon), mask)
        np.testing.assert_allclose(scaled * [40, 20], polygon, rtol=1e-6)
        assert scaled.dtype == np.float32


def test_attributes_of_results(result):
    assert result.orig_shape == HW
    assert result.path == "cells/a.png"
    assert result.names[2] == "2"
    assert set(result.speed) == {"preprocess", "inference", "postprocess"}
    assert result.probs is result.keypoints is result.obb is None
    assert len(result) == 2


def test_images_are_blue_green_red():
    red = np.zeros((*HW, 3), np.uint8)
    red[..., 0] = 255
    found = result_of(red, "a", torch.zeros(0, *HW) > 0, torch.zeros(0), [], {})
    assert found.orig_img[0, 0].tolist() == [0, 0, 255]
    assert found.masks is None
    assert found.boxes.shape == (0, 6)
    assert len(found) == 0
    assert found.verbose() == "(no detections), "


def test_choosing_objects(result):
    assert [len(one) for one in result] == [1, 1]
    second = result[1]
    assert second.boxes.cls.tolist() == [2]
    np.testing.assert_array_equal(second.masks.data[0], MASKS[1])
    assert len(result[result.boxes.conf > 0.7]) == 1
    assert [mask.shape for mask in result.masks] == [(1, *HW)] * 2
    assert len(result.new()) == 0


def test_arrays_and_tensors(result):
    arrays = result.numpy()
    assert isinstance(arrays.masks.data, np.ndarray)
    assert isinstance(arrays.boxes.xywhn, np.ndarray)
    np.testing.assert_allclose(arrays.boxes.xywhn, result.boxes.xywhn)
    assert isinstance(arrays.cpu().masks.data, torch.Tensor)
    assert result.to(torch.float64).boxes.data.dtype == torch.float64


# ------------------------------------------------------------------ pictures


def test_plot_paints_the_objects_and_nothing_else(result):
    plotted = result.plot(boxes=False)
    changed = (plotted != result.orig_img).any(-1)
    np.testing.assert_array_equal(changed, MASKS.any(0))
    assert plotted.dtype == np.uint8
    boxed = result.plot(masks=False, labels=False, line_width=1)
    changed = (boxed != result.orig_img).any(-1)
    frame = square(2, 4) & ~square(3, 5, 4)
    np.testing.assert_array_equal(changed[:9, :20], frame[:9, :20])
    np.testing.assert_array_equal(
        result.plot(boxes=False, masks=False), result.orig_img
    )


def test_plot_options(result):
    picture = result.plot(pil=True)
    assert isinstance(picture, Image.Image)
    np.testing.assert_array_equal(np.asarray(picture)[..., ::-1], result.plot())
    assert (result.plot() != result.plot(conf=False)).any()
    other = np.full((*HW, 3), 7, np.uint8)
    assert (result.plot(img=other, boxes=False)[~MASKS.any(0)] == 7).all()


def test_save(result, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert result.save() == "results_a.png"
    np.testing.assert_array_equal(
        np.asarray(Image.open("results_a.png"))[..., ::-1], result.plot()
    )
    file = tmp_path / "new" / "b.png"
    assert result.save(file, boxes=False) == str(file)
    np.testing.assert_array_equal(
        np.asarray(Image.open(file))[..., ::-1], result.plot(boxes=False)
    )
    with pytest.raises(ImageError, match=r"b\.nothing cannot be written"):
        result.save(tmp_path / "b.nothing")


def test_show_opens_the_drawing(result, monkeypatch):
    shown = []
    monkeypatch.setattr(Image.Image, "show", lambda self: shown.append(self))
    result.show(labels=False)
    assert len(shown) == 1
    np.testing.assert_array_equal(
        np.asarray(shown[0])[..., ::-1], result.plot(labels=False)
    )


def test_save_crop(result, tmp_path):
    result.save_crop(tmp_path, "a.jpg")
    result.save_crop(tmp_path, "a.jpg")
    found = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.jpg"))
    assert found == ["0/a.jpg", "0/a2.jpg", "2/a.jpg", "2/a2.jpg"]
    with Image.open(tmp_path / "2" / "a.jpg") as picture:
        assert picture.size == (6, 6)


# ------------------------------------------------------------------ text


def test_save_txt(result, tmp_path):
    file = tmp_path / "labels" / "a.txt"
    assert result.save_txt(file) == str(file)
    result.save_txt(str(file), save_conf=True)
    lines = [line.split() for line in file.read_text().splitlines()]
    assert [line[0] for line in lines] == ["0", "2", "0", "2"]
    polygon = np.array(lines[1][1:], float).reshape(-1, 2)
    np.testing.assert_array_equal(filled(polygon * [40, 20]), MASKS[1])
    assert float(lines[2][-1]) == pytest.approx(0.9)
    assert len(lines[2]) == len(lines[0]) + 1


def test_save_txt_without_masks_or_objects(result, tmp_path):
    result.masks = None
    result.save_txt(tmp_path / "boxes.txt")
    first = (tmp_path / "boxes.txt").read_text().splitlines()[0]
    np.testing.assert_allclose([float(x) for x in first.split()[1:]], [
        6.5 / 40, 4.5 / 20, 5 / 40, 5 / 20,
    ])  # fmt: skip
    result[:0].save_txt(tmp_path / "none.txt")
    assert not (tmp_path / "none.txt").exists()
    with pytest.raises(ImageError, match="cannot be written"):
        result.save_txt(tmp_path / "boxes.txt" / "below.txt")


def test_summary_and_json(result):
    rows = result.summary()
    assert rows == json.loads(result.to_json())
    assert rows[1]["name"] == "2"
    assert rows[1]["class"] == 2
    assert rows[1]["confidence"] == 0.5
    assert rows[1]["box"] == {"x1": 30, "y1": 10, "x2": 35, "y2": 15}
    polygon = np.stack([rows[1]["segments"][axis] for axis in "xy"], axis=1)
    np.testing.assert_array_equal(filled(polygon), MASKS[1])
    assert result.summary(normalize=True)[1]["box"]["x1"] == 0.75
    assert result.verbose() == "1 0, 1 2, "


def test_table_and_csv(result):
    table = result.to_df()
    assert table["class"].tolist() == [0, 2]
    assert table["box"][1]["x2"] == 35
    head, first, *_ = result.to_csv().splitlines()
    assert head == "name,class,confidence,box,segments"
    assert first.startswith("0,0,")
