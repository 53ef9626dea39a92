from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from cli_helpers import FakeEngine, assert_one_line_error, run, write_noise

from sam2_core.everything.candidates import MaskCandidate

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (60, 80)


def square(x: int, y: int, size: int, iou: float = 0.9, stability: float = 1.0) -> Any:
    mask = np.zeros(SHAPE, bool)
    mask[y : y + size, x : x + size] = True
    return MaskCandidate.of(mask, iou, stability)


# Two cells, one of them with a nucleus, a speck, two poor masks, and the background.
FOUND = [
    square(5, 5, 20),
    square(10, 10, 6),
    square(50, 30, 12, iou=0.85),
    square(70, 50, 2),
    square(40, 5, 10, iou=0.5),
    square(60, 5, 10, stability=0.6),
    square(0, 0, 60),
]


def or_else(value: Any, default: float) -> Any:
    """The default of a model that suits the masks above."""
    return default if value is None else value


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Stands in for the generator; what it was asked."""
    FakeEngine().install(monkeypatch)
    calls: list[dict[str, Any]] = []

    def generator(model: Any, **options: Any) -> Any:
        def candidates(
            image: Any,
            value_range: Any = None,
            region: Any = None,
            progress: Any = None,
        ) -> Any:
            calls.append(
                {**options, "image": image, "range": value_range, "region": region}
            )
            progress(0, 4)
            progress(4, 4)
            return FOUND

        return SimpleNamespace(
            candidates=candidates,
            pred_iou_thresh=or_else(options["pred_iou_thresh"], 0.8),
            stability_score_thresh=or_else(options["stability_score_thresh"], 0.95),
        )

    fake = SimpleNamespace(AutomaticMaskGenerator=generator)
    monkeypatch.setitem(sys.modules, "sam2_core.automatic", fake)
    return calls


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return write_noise(tmp_path / "image.tif", SHAPE)


def areas(path: Path) -> list[int]:
    """Pixels of each label, background first."""
    return np.bincount(tifffile.imread(path).ravel()).tolist()


def test_all_objects(asked, image, tmp_path, capfd) -> None:
    out = tmp_path / "labels.tif"
    done = run(capfd, "everything", image, "--out", out, "--quiet")
    assert (done.code, done.err) == (0, "")
    labels = tifffile.imread(out)
    assert labels.dtype == np.uint16
    # By size: speck, nucleus, small cell, the large cell around the nucleus.
    assert areas(out) == [4800 - 4 - 144 - 400, 4, 36, 144, 400 - 36]
    assert labels[12, 12] == 2
    assert done.out.startswith(f"4 objects in {out} (uint16; of 7 candidates)")
    (call,) = asked
    assert call["points_per_side"] == 32
    assert call["crop_n_layers"] == 0
    assert call["image"].shape == (*SHAPE, 3)
    assert call["range"] == (0, 255)
    assert call["region"] == (0, 0, 80, 60)


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        (("--min-iou", 0.88), [4, 36, 400 - 36]),
        (("--min-iou", 0.4), [4, 36, 100, 144, 400 - 36]),
        (("--min-stability", 0.5), [4, 36, 100, 144, 400 - 36]),
        (("--min-area", 10), [36, 144, 400 - 36]),
        (("--max-area", 100), [4, 36]),
        (("--min-roundness", 0.99), []),
    ],
)
def test_limits(asked, image, tmp_path, capfd, options, kept) -> None:
    out = tmp_path / "labels.tif"
    done = run(capfd, "everything", image, "--out", out, "--quiet", *options)
    assert done.code == 0
    assert areas(out)[1:] == kept
    assert done.out.startswith(f"{len(kept)} objects")


def test_background_is_no_object_unless_asked_for(
    asked, image, tmp_path, capfd
) -> None:
    out = tmp_path / "labels.tif"
    run(capfd, "everything", image, "--out", out, "--quiet", "--max-area", 4000)
    labels = tifffile.imread(out)
    assert len(areas(out)) == 6
    assert labels[59, 0] == labels[0, 59] == 5
    assert (labels[:, 62:] != 5).all()


def test_what_the_generator_is_told(asked, image, tmp_path, capfd) -> None:
    out = tmp_path / "labels.tif"
    options = ("--points-per-side", 150, "--crop-layers", 1)
    done = run(
        capfd, "everything", image, "--out", out, *options, "--region", "8,5,40,45.5"
    )
    assert done.code == 0
    assert "4/4" in done.err
    (call,) = asked
    assert call["points_per_side"] == 150
    assert call["crop_n_layers"] == 1
    assert call["region"] == (8, 5, 40, 45.5)
    # 3 masks for 150 x 150 points may need more than 16 bits.
    assert tifffile.imread(out).dtype == np.uint32


@pytest.mark.parametrize(
    "region", ["1,2,3", "a,b,c,d", "9,9,9,20", "-1,0,20,20", "0,0,81,60", "0,0,nan,9"]
)
def test_bad_regions(asked, image, tmp_path, capfd, region) -> None:
    out = tmp_path / "labels.tif"
    done = run(capfd, "everything", image, "--out", out, f"--region={region}")
    assert_one_line_error(done, "--region", region, "80 pixels wide and 60 high")
    assert not out.exists()
    assert asked == []


@pytest.mark.parametrize("region", ["0,0,1,1", "10,10,70,17.5"])
def test_regions_too_small_for_an_object(asked, image, tmp_path, capfd, region) -> None:
    out = tmp_path / "labels.tif"
    done = run(capfd, "everything", image, "--out", out, "--region", region)
    assert_one_line_error(done, "too small", "8 pixels")
    assert asked == []


@pytest.mark.parametrize(
    "areas",
    [
        ("--min-area", 50, "--max-area", 5),
        ("--min-area", 2401),  # half of 60 x 80 pixels
    ],
)
def test_areas_that_no_object_can_have(asked, image, tmp_path, capfd, areas) -> None:
    out = tmp_path / "labels.tif"
    done = run(capfd, "everything", image, "--out", out, *areas)
    assert_one_line_error(done, "--min-area", "no object can pass")
    assert asked == []
    assert not out.exists()


def test_other_mistakes(asked, image, tmp_path, capfd) -> None:
    out = tmp_path / "labels.tif"
    missing = tmp_path / "no.tif"
    assert_one_line_error(run(capfd, "everything", missing, "--out", out), str(missing))
    done = run(capfd, "everything", image, "--out", tmp_path / "labels.png")
    assert_one_line_error(done, ".tif")
    done = run(capfd, "everything", image, "--out", image)
    assert_one_line_error(done, "exists already")
    done = run(capfd, "everything", image, "--out", image, "--overwrite")
    assert_one_line_error(done, "is the image itself")
    done = run(capfd, "everything", image, "--out", out, "--min-iou", 2)
    assert_one_line_error(done, "--min-iou")
    stack = tmp_path / "stack.tif"
    tifffile.imwrite(stack, np.zeros((3, *SHAPE), np.uint8), photometric="minisblack")
    done = run(capfd, "everything", stack, "--out", out)
    assert_one_line_error(done, "3 frames", "--select")
    assert asked == []
    assert not out.exists()
