from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from cli_helpers import assert_one_line_error, run

if TYPE_CHECKING:
    from collections.abc import Callable

IMAGE = np.arange(96 * 96, dtype=np.uint16).reshape(96, 96)
LABELS = np.zeros((96, 96), np.uint16)
LABELS[10:30, 10:30] = 1
LABELS[60:80, 60:80] = 2


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for part, array in (("images", IMAGE), ("labels", LABELS)):
        (tmp_path / part).mkdir()
        for name in ("a", "b", "c"):
            tifffile.imwrite(tmp_path / part / f"{name}.tif", array)
    return tmp_path


def arguments(folder: Path, *more: object) -> list[object]:
    return [
        *("finetune", "--images", folder / "images", "--labels", folder / "labels"),
        *("--out", folder / "mine.safetensors", *more),
    ]


def _sizes(folder: Path) -> None:
    tifffile.imwrite(folder / "labels/b.tif", LABELS[:90])


def _no_labels(folder: Path) -> None:
    tifffile.imwrite(folder / "labels/b.tif", LABELS * 0)


def _one_object(folder: Path) -> None:
    for name in ("b", "c"):
        (folder / f"images/{name}.tif").unlink()
        (folder / f"labels/{name}.tif").unlink()
    tifffile.imwrite(folder / "labels/a.tif", (LABELS == 1).astype(np.uint8))


def _unreadable(folder: Path) -> None:
    (folder / "images/b.tif").write_bytes(b"II*\0 broken")


def _missing(folder: Path) -> None:
    (folder / "labels/b.tif").unlink()


def _taken(folder: Path) -> None:
    (folder / "mine.safetensors").write_bytes(b"kept")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_sizes, ("images/b.tif", "96 x 96", "90 x 96")),
        (_no_labels, ("labels/b.tif", "no object")),
        (_one_object, ("one object", "its own number")),
        (_unreadable, ("b.tif",)),
        (_missing, ("b.tif has no labels",)),
        (_taken, ("exists already",)),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(
    folder: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Path], None],
    words: tuple[str, ...],
) -> None:
    spoil(folder)
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*")}
    # A model is not even loaded.
    monkeypatch.setitem(sys.modules, "sam2_core.models", SimpleNamespace())
    assert_one_line_error(run(capfd, *arguments(folder)), *words)
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*")} == before


def test_unknown_model_is_one_sentence(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    done = run(capfd, *arguments(folder, "--model", "sam9"))
    assert_one_line_error(done, "sam9")
    assert not (folder / "mine.safetensors").exists()


def test_options_reach_the_engine_and_the_table_is_shown(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from sam2_core.training import finetune as engine
    from sam2_core.training.learning.tuning import TuningProgress

    asked = []

    def fake(*values: object) -> engine.FinetuneResult:
        asked.append(values)
        last = TuningProgress(7, 9, 0.5, 0.6, 0.6, 0.6, 90.0)
        better = TuningProgress(3, 9, 0.5, 0.7, 0.7, 0.6, 30.0)
        values[-1](TuningProgress(0, 9, float("nan"), 0.6, 0.6, 0.6, 1.0))  # type: ignore[operator]
        values[-1](better)  # type: ignore[operator]
        values[-1](last)  # type: ignore[operator]
        quality = engine.Quality({1: 0.5, 3: 0.6, 5: 0.7}, 0.75)
        return engine.FinetuneResult(
            Path("mine"), quality, quality, None, None, last, 5, 1
        )

    monkeypatch.setattr(engine, "finetune", fake)
    more = ("--steps", 9, "--adapters", 4, "--axis", "t", "--partial", "--lr", 0.01)
    done = run(capfd, *arguments(folder, *more))
    assert done.code == 0
    assert done.err.splitlines() == [
        "step 0 of 9: held-out IoU 0.600, 0.0 min",
        "step 3 of 9: loss 0.500, held-out IoU 0.700 (best), 0.5 min",
        "step 7 of 9: loss 0.500, held-out IoU 0.600, 1.5 min",
    ]
    assert "5 objects to learn from, 1 held out; 7 steps, 1.5 minutes" in done.out
    assert "Nothing better was found" in done.out
    (values,) = asked
    assert values[7:9] == ("t", True)
    plan = values[9]
    assert (plan.steps, plan.adapters, plan.lr) == (9, 4, 0.01)  # type: ignore[attr-defined]


def test_a_seed_is_not_negative(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert_one_line_error(run(capfd, *arguments(folder, "--seed", -1)), "--seed")
