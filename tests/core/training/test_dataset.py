from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

from sam2_core.errors import ImageError
from sam2_core.training.dataset import (
    LabelledStack,
    label_agreement,
    load_split,
    object_table,
    split_pieces,
    to_uint8,
)

if TYPE_CHECKING:
    from pathlib import Path


def write_pair(folder: Path, name: str, image: np.ndarray, labels: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    kind = "rgb" if image.shape[-1] == 3 else "minisblack"
    tifffile.imwrite(folder / f"{name}_img.tif", image, photometric=kind)
    tifffile.imwrite(folder / f"{name}_lab.tif", labels, photometric="minisblack")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    labels = np.zeros((40, 50), np.uint16)
    labels[5:15, 10:30] = 3
    grey = rng.integers(100, 4000, labels.shape).astype(np.uint16)
    rgb = rng.integers(0, 255, (*labels.shape, 3)).astype(np.uint8)
    write_pair(tmp_path / "2d" / "dots", "0000", grey, labels)
    write_pair(tmp_path / "2d" / "colour", "0000", rgb, labels)
    stack = np.repeat(labels[None], 4, 0)
    write_pair(tmp_path / "stack", "movie", np.repeat(grey[None], 4, 0), stack)
    return tmp_path


def test_reads_images_and_stacks_by_their_names(folder: Path) -> None:
    split = load_split(folder)
    assert [image.name for image in split.images] == ["colour/0000", "dots/0000"]
    colour, dots = split.images
    assert colour.image.shape == (40, 50, 3)
    assert dots.image.shape == (40, 50)
    assert dots.image.dtype == np.uint8
    assert not dots.partial
    assert dots.objects.boxes_yxyx.tolist() == [[5, 10, 15, 30]]
    assert dots.objects.areas.tolist() == [200]
    (movie,) = split.stacks
    assert movie.images.shape == movie.labels.shape == (4, 40, 50)
    assert movie.objects(2).ids.tolist() == [3]


def test_manifest_tells_axis_partial_and_eval_ids(folder: Path) -> None:
    entries = [
        {"name": "dots", "partial": True},
        {"name": "movie", "set": "movies", "kind": "t", "axes": "TYX", "eval_ids": [3]},
    ]
    (folder / "manifest.json").write_text(json.dumps({"entries": entries}))
    split = load_split(folder)
    assert [image.partial for image in split.images] == [False, True]
    assert split.stacks[0].axis == "t"
    assert split.stacks[0].set_name == "movies"
    assert split.stacks[0].eval_ids == (3,)


def test_colour_stays_and_grey_is_stretched_once_for_a_stack() -> None:
    colour = np.full((1, 8, 8, 3), 90, np.uint8)
    assert (to_uint8(colour) == 90).all()
    stack = np.zeros((2, 30, 30), np.uint16)
    stack[0], stack[1] = 1000, 2000
    shown = to_uint8(stack)
    assert (shown[0] == 0).all()
    assert (shown[1] == 255).all()


def test_unlabelled_image_is_left_out(folder: Path) -> None:
    (folder / "2d" / "dots" / "0000_lab.tif").unlink()
    assert [image.name for image in load_split(folder).images] == ["colour/0000"]


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no folder"):
        load_split(tmp_path / "nowhere")


def test_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no labelled images"):
        load_split(tmp_path)


def test_sizes_differ(folder: Path) -> None:
    wrong = np.zeros((7, 50), np.uint16)
    tifffile.imwrite(folder / "2d" / "dots" / "0000_lab.tif", wrong)
    with pytest.raises(ImageError, match=r"\(40, 50\).*\(7, 50\)"):
        load_split(folder)


def test_broken_tiff(folder: Path) -> None:
    (folder / "2d" / "dots" / "0000_img.tif").write_bytes(b"not a picture")
    with pytest.raises(ImageError, match="cannot be read as TIFF"):
        load_split(folder)


def test_float_labels(folder: Path) -> None:
    wrong = np.zeros((40, 50), np.float32)
    tifffile.imwrite(folder / "2d" / "dots" / "0000_lab.tif", wrong)
    with pytest.raises(ImageError, match="integers"):
        load_split(folder)


@pytest.mark.parametrize("text", ["{", "[]", '{"entries": [{}]}'])
def test_broken_manifest(folder: Path, text: str) -> None:
    (folder / "manifest.json").write_text(text)
    with pytest.raises(ImageError, match=r"manifest\.json"):
        load_split(folder)


def test_object_table_of_nothing() -> None:
    assert len(object_table(np.zeros((5, 5), np.int16))) == 0


def test_split_pieces_numbers_pieces_and_drops_small_ones() -> None:
    labels = np.zeros((20, 20), np.int32)
    labels[:5, :5] = labels[10:15, :5] = 4
    labels[:5, 5:10] = 9
    labels[19, 19] = 4
    pieces = split_pieces(labels, min_area=3)
    assert sorted(np.unique(pieces)) == [0, 1, 2, 3]
    assert pieces[19, 19] == 0
    assert len({pieces[0, 0], pieces[12, 0], pieces[0, 7]}) == 3


def test_label_agreement_sees_labels_that_jump() -> None:
    labels = np.ones((4, 6, 6), np.int16)
    steady = LabelledStack("a", "a", labels.astype(np.uint8), labels)
    assert label_agreement(steady) == 1
    jumping = labels.copy()
    jumping[1::2] = 2
    assert label_agreement(LabelledStack("b", "b", labels, jumping)) == 0
