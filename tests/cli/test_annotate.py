from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from cli_helpers import Done, assert_one_line_error, run
from PIL import Image

from sam2_core import annotate
from sam2_core.annotate import Summary

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "cells"
    folder.mkdir()
    for name in "ab":
        image = np.zeros((30, 40), np.uint8)
        image[8:20, 10:25] = 200
        Image.fromarray(image).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def ask(capfd: pytest.CaptureFixture[str], folder: Path):
    def ask(*arguments: object) -> Done:
        return run(capfd, "annotate", folder, *arguments)

    return ask


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """What the command asks the engine for."""
    calls: list[dict[str, object]] = []
    names = ("data", "detector", "model", "device", "output_dir")

    def record(*given: object, **options: object) -> Summary:
        calls.append({**dict(zip(names, given, strict=True)), **options})
        return Summary(given[0])

    monkeypatch.setattr(annotate, "auto_annotate", record)
    return calls


def test_with_the_bundled_model(ask, folder: Path) -> None:
    done = ask("--detector", "blobs:14", "--class-name", "cell", "--device", "cpu")
    assert done.code == 0
    assert done.out.startswith("2 images annotated with 2 objects in ")
    results = folder.with_name("cells_auto_annotate_labels")
    for name in "ab":
        first, *numbers = (results / f"{name}.txt").read_text().split()
        assert first == "0"
        assert len(numbers) >= 6
    assert '0: "cell"' in (results / "classes.yaml").read_text()
    again = ask("--detector", "blobs:14", "--class-name", "cell", "--device", "cpu")
    assert "2 images finished before" in again.out


def test_options_reach_the_engine(ask, calls, folder: Path, tmp_path: Path) -> None:
    assert ask().code == 0
    assert calls[0] == {
        "data": folder,
        "detector": "everything",
        "model": "sam2_nano",
        "device": "auto",
        "output_dir": None,
        "outputs": ["yolo"],
        "dtype": "auto",
        "value_range": None,
        "min_score": None,
        "class_name": None,
        "overwrite": False,
        "progress": True,
    }
    more = ("--format", "coco", "--format", "labels", "--out", tmp_path / "out")
    more += ("--min-score", "0.3", "--value-range", "1,9", "--overwrite", "--quiet")
    assert ask("--text", "nucleus", *more).code == 0
    assert calls[1]["detector"] == "text:nucleus"
    assert calls[1]["outputs"] == ["coco", "labels"]
    assert calls[1]["output_dir"] == tmp_path / "out"
    assert calls[1]["min_score"] == 0.3
    assert calls[1]["value_range"] == (1, 9)
    assert calls[1]["overwrite"] is True
    assert calls[1]["progress"] is False


def test_images_that_failed_give_exit_code_1(ask, folder: Path, monkeypatch) -> None:
    monkeypatch.setattr("sam2_core.models.load_model", lambda *given: None)
    for name in "ab":
        (folder / f"{name}.png").write_bytes(b"nonsense")
    done = ask("--detector", "blobs")
    assert done.code == 1
    assert "2 images failed:" in done.out
    assert "a.png: " in done.out


def test_interruption_says_how_to_go_on(ask, monkeypatch) -> None:
    def stop(*given: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(annotate, "auto_annotate", stop)
    done = ask()
    assert done.code == 130
    assert "The same command goes on from here." in done.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--detector", "yolo"], ["There is no detector 'yolo'", "everything"]),
        (["--detector", "no.csv"], ["There is no file or folder no.csv"]),
        (
            ["--model", "giant", "--detector", "blobs"],
            ["no model called 'giant'"],
        ),
        (["--format", "xml"], ["'xml'", "yolo"]),
        (["--text", "cell", "--detector", "blobs"], ["either --text or --detector"]),
        (["--value-range", "3"], ["--value-range"]),
    ],
)
def test_mistakes_are_one_line(ask, arguments: list[str], words: list[str]) -> None:
    assert_one_line_error(ask(*arguments), *words)


def test_missing_and_empty_folders(capfd, tmp_path: Path) -> None:
    done = run(capfd, "annotate", tmp_path / "none")
    assert_one_line_error(done, "There is no file or folder")
    (tmp_path / "empty").mkdir()
    assert_one_line_error(
        run(capfd, "annotate", tmp_path / "empty"), "There are no images in"
    )


def test_missing_package_is_named_with_its_licence(ask, monkeypatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "ultralytics", None)
    done = ask("--detector", "yolov8x.pt")
    assert_one_line_error(done, "pip install ultralytics", "AGPL-3.0")


def test_help_lists_every_detector(capfd) -> None:
    done = run(capfd, "annotate", "--help")
    for name in ("everything", "blobs", "labels:", "boxes.csv", "yolov8x.pt"):
        assert name in done.out
    for name in ("cellpose", "stardist", "text:WORDS"):
        assert name in done.out
