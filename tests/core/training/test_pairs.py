from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from PIL import Image

from sam2_core.errors import ImageError
from sam2_core.training.holding_out import count_objects, hold_out
from sam2_core.training.labelled_files import LabelledArrays
from sam2_core.training.pairs import Pair, find_pairs, read_pair

if TYPE_CHECKING:
    from pathlib import Path


def write(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, array, photometric="minisblack")
    return path


def labels_of(*boxes: tuple[int, int, int, int], side: int = 64) -> np.ndarray:
    labels = np.zeros((side, side), np.uint16)
    for number, (y0, x0, y1, x1) in enumerate(boxes, 1):
        labels[y0:y1, x0:x1] = number
    return labels


IMAGE = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
TWO = labels_of((5, 5, 20, 20), (40, 40, 60, 60))


def test_names_are_matched_in_two_folders_and_in_one(tmp_path: Path) -> None:
    for name in ("a", "b10", "b9"):
        write(tmp_path / f"i/{name}.tif", IMAGE)
        write(tmp_path / f"l/{name}_mask.tif", TWO)
        write(tmp_path / f"both/{name}_img.tif", IMAGE)
        write(tmp_path / f"both/{name}_lab.tif", TWO)
    found = find_pairs(tmp_path / "i", tmp_path / "l")
    assert [pair.image.name for pair in found] == ["a.tif", "b9.tif", "b10.tif"]
    assert [pair.labels.name for pair in found][1] == "b9_mask.tif"
    both = find_pairs(tmp_path / "both", tmp_path / "both")
    assert (both[0].image.stem, both[0].labels.stem) == ("a_img", "a_lab")
    assert len(both) == 3


def test_missing_partners_are_named(tmp_path: Path) -> None:
    write(tmp_path / "i/a.tif", IMAGE)
    write(tmp_path / "i/b.tif", IMAGE)
    write(tmp_path / "l/a.tif", TWO)
    with pytest.raises(ImageError, match=r"b\.tif has no labels"):
        find_pairs(tmp_path / "i", tmp_path / "l")
    write(tmp_path / "l/b.tif", TWO)
    write(tmp_path / "l/c.tif", TWO)
    with pytest.raises(ImageError, match=r"c\.tif has no image"):
        find_pairs(tmp_path / "i", tmp_path / "l")
    write(tmp_path / "l/b_mask.tif", TWO)
    with pytest.raises(ImageError, match="both labels of b"):
        find_pairs(tmp_path / "i", tmp_path / "l")


def test_folders_must_be_there_and_hold_images(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match="no folder"):
        find_pairs(tmp_path / "none", tmp_path / "empty")
    with pytest.raises(ImageError, match="no images"):
        find_pairs(tmp_path / "empty", tmp_path / "empty")


def test_a_pair_is_shown_as_the_model_sees_it(tmp_path: Path) -> None:
    pair = Pair(write(tmp_path / "a.tif", IMAGE), write(tmp_path / "b.tif", TWO))
    found = read_pair(pair)
    assert (found.kind, found.image.shape, found.image.dtype) == (
        "2d",
        (64, 64, 3),
        np.uint8,
    )
    np.testing.assert_array_equal(found.labels, TWO)
    stack = Pair(
        write(tmp_path / "s.tif", np.stack([IMAGE] * 3)),
        write(tmp_path / "t.tif", np.stack([TWO] * 3)),
    )
    found = read_pair(stack, "t")
    assert (found.kind, found.image.shape) == ("t", (3, 64, 64, 3))


def test_large_numbers_are_renumbered_and_pictures_are_read(tmp_path: Path) -> None:
    image = write(tmp_path / "a.tif", IMAGE)
    many = TWO.astype(np.uint32) * 4_000_000
    found = read_pair(Pair(image, write(tmp_path / "b.tif", many)))
    np.testing.assert_array_equal(found.labels, TWO)
    Image.fromarray(TWO.astype(np.uint8)).save(tmp_path / "c.png")
    np.testing.assert_array_equal(
        read_pair(Pair(image, tmp_path / "c.png")).labels, TWO
    )


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (TWO[:50], "must agree"),
        (np.stack([TWO] * 2), "must agree"),
        (np.zeros_like(TWO), "no object"),
        (TWO * np.float32(0.5), "integers"),
        (-TWO.astype(np.int16), "negative"),
        (np.stack([TWO] * 3, -1).astype(np.uint8), "not colours"),
    ],
)
def test_bad_labels_are_one_sentence(
    tmp_path: Path, labels: np.ndarray, message: str
) -> None:
    pair = Pair(write(tmp_path / "a.tif", IMAGE), write(tmp_path / "b.tif", labels))
    with pytest.raises(ImageError, match=message):
        read_pair(pair)


@pytest.mark.parametrize("broken", ["a", "b"])
def test_unreadable_files_are_named(tmp_path: Path, broken: str) -> None:
    pair = Pair(write(tmp_path / "a.tif", IMAGE), write(tmp_path / "b.tif", TWO))
    (tmp_path / f"{broken}.tif").write_bytes(b"not a TIFF")
    with pytest.raises(ImageError, match=f"{broken}.tif"):
        read_pair(pair)


def item(labels: np.ndarray, title: str = "a", kind: str = "2d") -> LabelledArrays:
    return LabelledArrays("set", title, kind, labels.astype(np.uint8), labels)


def test_of_many_images_a_fifth_is_held_out() -> None:
    data = [item(TWO, str(k)) for k in range(11)]
    learn, check = hold_out(data, seed=3)
    assert (len(learn), len(check)) == (9, 2)
    assert {i.title for i in learn} | {i.title for i in check} == {
        str(k) for k in range(11)
    }
    assert len(hold_out(data[:3])[1]) == 1


def test_one_image_is_cut_where_objects_are_on_both_sides() -> None:
    # At 70 % of either side nothing is below or right of the cut, at 50 % there is.
    low = labels_of((2, 2, 12, 12), (2, 34, 12, 44))
    (learn,), (check,) = hold_out([item(low)])
    assert count_objects(learn.labels) == count_objects(check.labels) == 1
    assert learn.labels.shape[1] + check.labels.shape[1] == 64
    assert check.image.shape == check.labels.shape


def test_one_stack_is_cut_along_its_frames() -> None:
    (learn,), (check,) = hold_out([item(np.stack([TWO] * 10), kind="z")])
    assert (len(learn.labels), len(check.labels)) == (7, 3)


def test_one_object_cannot_be_divided() -> None:
    with pytest.raises(ImageError, match="one object"):
        hold_out([item(labels_of((5, 5, 50, 50)))])


def test_objects_on_top_of_each_other_cannot_be_divided() -> None:
    close = labels_of((30, 30, 33, 34), (33, 30, 36, 34))
    close[close == 2] = 2
    with pytest.raises(ImageError, match="divided"):
        hold_out([item(np.pad(close[28:40, 28:40], 40))])
