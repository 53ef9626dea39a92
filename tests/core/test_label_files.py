from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from sam2_core.errors import ImageError
from sam2_core.label_files import LabelWriter, combine_masks, save_labels
from sam2_core.packed import PackedMask, PackedMasks


def stack(largest: int, shape: tuple[int, ...] = (5, 12, 17)) -> np.ndarray:
    return np.random.default_rng(3).integers(0, largest + 1, shape)


@pytest.mark.parametrize(
    ("largest", "dtype"), [(7, "uint16"), (65535, "uint16"), (65536, "uint32")]
)
def test_round_trip_is_exact_and_as_narrow_as_possible(
    tmp_path: Path, largest: int, dtype: str
) -> None:
    labels = stack(largest)
    labels[0, 0, 0] = largest
    save_labels(tmp_path / "labels.tif", labels)
    back = tifffile.imread(tmp_path / "labels.tif")
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, labels)


def test_single_image_stays_two_dimensional(tmp_path: Path) -> None:
    labels = stack(9, (12, 17))
    save_labels(tmp_path / "labels.tif", labels)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "labels.tif"), labels)


@pytest.mark.parametrize("shape", [(1, 6, 7), (3, 6, 7), (4, 6, 7)])
def test_few_frames_are_not_taken_for_colours(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    save_labels(tmp_path / "labels.tif", stack(9, shape))
    with tifffile.TiffFile(tmp_path / "labels.tif") as file:
        assert file.series[0].shape == shape
        assert len(file.pages) == shape[0]
        assert {page.compression.name for page in file.pages} == {"ADOBE_DEFLATE"}


def test_file_is_compressed(tmp_path: Path) -> None:
    labels = np.zeros((20, 256, 256), np.uint16)
    labels[:, 100:150, 60:90] = 3
    save_labels(tmp_path / "labels.tif", labels)
    assert (tmp_path / "labels.tif").stat().st_size < labels.nbytes / 50


def test_frames_in_any_order_last_one_counts_missing_ones_are_empty(
    tmp_path: Path,
) -> None:
    labels = stack(40)
    with LabelWriter(tmp_path / "labels.tif", labels.shape, 40) as file:
        for index in (3, 4, 1):
            file.write(np.full((12, 17), 1, np.uint32), index)
            file.write(labels[index].astype(np.uint32), index)
    expected = labels.copy()
    expected[[0, 2]] = 0
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "labels.tif"), expected)


def test_frames_wait_compressed_not_as_arrays(tmp_path: Path) -> None:
    # 60 frames of 1 Mpx would be 120 MB as arrays.
    frame = np.zeros((1024, 1024), np.uint32)
    frame[200:300, 400:600] = 5
    with LabelWriter(tmp_path / "labels.tif", (60, 1024, 1024), 5) as file:
        for index in range(60):
            file.write(frame, index)
        kept = file._spool.tell()
        assert kept < 1_000_000


def test_an_error_leaves_nothing_behind(tmp_path: Path) -> None:
    with (  # noqa: PT012
        pytest.raises(RuntimeError, match="boom"),
        LabelWriter(tmp_path / "labels.tif", (2, 4, 4)) as file,
    ):
        file.write(np.zeros((4, 4), np.uint32), 0)
        raise RuntimeError("boom")
    assert list(tmp_path.iterdir()) == []


def test_an_error_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "labels.tif"
    save_labels(path, stack(9))
    before = path.read_bytes()
    with (  # noqa: PT012
        pytest.raises(RuntimeError),
        LabelWriter(path, (2, 4, 4), overwrite=True) as file,
    ):
        file.write(np.zeros((4, 4), np.uint32), 0)
        raise RuntimeError("boom")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_existing_file_is_kept_unless_overwrite_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "labels.tif"
    path.write_bytes(b"precious")
    with pytest.raises(ImageError, match=r"exists already.*--overwrite"):
        save_labels(path, stack(9))
    assert path.read_bytes() == b"precious"
    save_labels(path, stack(9), overwrite=True)
    np.testing.assert_array_equal(tifffile.imread(path), stack(9))


def test_a_file_that_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "labels.tif"
    with (  # noqa: PT012
        pytest.raises(ImageError, match="exists already"),
        LabelWriter(path, (1, 4, 4)) as file,
    ):
        file.write(np.zeros((4, 4), np.uint32))
        path.write_bytes(b"precious")
    assert path.read_bytes() == b"precious"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("labels.png", "end .* with .tif"),
        ("missing/labels.tif", "There is no folder"),
        (".", "end .* with .tif"),
        ("folder.tif", "is a folder"),
    ],
)
def test_impossible_places_are_refused_before_the_work(
    tmp_path: Path, name: str, message: str
) -> None:
    (tmp_path / "folder.tif").mkdir()
    with pytest.raises(ImageError, match=message):
        LabelWriter(tmp_path / name, (4, 4), overwrite=True)


def test_read_only_folder_is_found_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # also true for root
    with (
        pytest.raises(ImageError, match=r"cannot be written \(Permission denied\)"),
        LabelWriter(tmp_path / "labels.tif", (4, 4)),
    ):
        pytest.fail("the block must not be entered")


def test_full_disk_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tifffile, "imwrite", full)
    with pytest.raises(ImageError, match="No space left"):
        save_labels(tmp_path / "labels.tif", stack(9))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "labels",
    [
        np.zeros((4, 4), np.float32),
        np.zeros((2, 2, 4, 4), np.uint16),
        np.zeros((0, 4), np.uint16),
        np.array([[-1, 0]]),
        np.array([[2**32, 0]]),
        [[1, 2], [3]],
        [["a", "b"]],
        None,
    ],
)
def test_what_is_no_label_image_is_refused(tmp_path: Path, labels: object) -> None:
    with pytest.raises(ImageError):
        save_labels(tmp_path / "labels.tif", labels)
    assert list(tmp_path.iterdir()) == []


def test_a_frame_of_another_size_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(ImageError, match="do not fit"),
        LabelWriter(tmp_path / "labels.tif", (2, 4, 4)) as file,
    ):
        file.write(np.zeros((4, 5), np.uint32))


def test_lower_id_wins_where_masks_overlap() -> None:
    masks = {7: np.array([[1, 1, 0, 0]], bool), 2: np.array([[0, 1, 1, 0]], bool)}
    np.testing.assert_array_equal(combine_masks(masks, (1, 4)), [[7, 2, 2, 0]])
    assert not combine_masks({}, (3, 4)).any()


def test_lists_of_numbers_are_labels(tmp_path: Path) -> None:
    save_labels(tmp_path / "labels.tif", [[1, 2], [0, 70000]])
    assert tifffile.imread(tmp_path / "labels.tif").tolist() == [[1, 2], [0, 70000]]


@pytest.mark.parametrize(
    ("labels", "index", "message"),
    [
        ([[0, 65536]], 0, "Label 65536 does not fit .* uint16"),
        ([[0, -1]], 0, "must not be negative"),
        ([[0, 1.7]], 0, "must be integers, not float64"),
        ([[0, 1], [2]], 0, "equally long rows"),
        ([[0, 1]], 3, "no frame 3: .* frames 0 to 2"),
        ([[0, 1]], -1, "no frame -1"),
        ([[0, 1]], 0.5, "no frame 0.5"),
    ],
)
def test_what_a_file_cannot_hold_is_refused_and_the_rest_is_written(
    tmp_path: Path, labels: list, index: int, message: str
) -> None:
    path = tmp_path / "labels.tif"
    with LabelWriter(path, (3, 1, 2)) as file:
        file.write([[65535, 1]], 2)
        with pytest.raises(ImageError, match=message):
            file.write(labels, index)
    assert tifffile.imread(path).tolist() == [[[0, 0]], [[0, 0]], [[65535, 1]]]


def test_frames_are_written_inside_the_block_only(tmp_path: Path) -> None:
    file = LabelWriter(tmp_path / "labels.tif", (1, 2))
    with pytest.raises(ImageError, match="with block"):
        file.write([[1, 2]])
    with file:
        file.write([[1, 2]])
    with pytest.raises(ImageError, match="with block"):
        file.write([[1, 2]])
    assert tifffile.imread(tmp_path / "labels.tif").tolist() == [[1, 2]]


@pytest.mark.parametrize("shape", [(), (5,), (0, 4, 4)])
def test_shapes_without_pixels_are_refused(tmp_path: Path, shape: tuple) -> None:
    with pytest.raises(ImageError, match="shape"):
        LabelWriter(tmp_path / "labels.tif", shape)


def test_names_that_are_too_long_are_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="cannot be written"):
        save_labels(tmp_path / ("x" * 300 + ".tif"), [[1]])


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ({1: np.ones((3, 5), bool)}, r"object 1 must be bool of shape \(3, 4\)"),
        ({1: np.ones((1, 3, 4), bool)}, r"not bool of shape \(1, 3, 4\)"),
        ({2: np.ones((3, 4), np.uint8)}, "not uint8"),
        ({-1: np.ones((3, 4), bool)}, "Label -1"),
        ({2**32: np.ones((3, 4), bool)}, "Label 4294967296"),
        (PackedMasks((9, 4), {3: PackedMask.of(np.ones((2, 2), bool))}), r"\(9, 4\)"),
    ],
)
def test_masks_that_make_no_labels_are_refused(masks, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        combine_masks(masks, (3, 4))
