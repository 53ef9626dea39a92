from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003
from typing import Any

import numpy as np
import pytest
import tifffile
import typer
from disc_answers import (
    CENTRES,
    RADIUS,
    Answered,
    DiscPredictor,
    StillSession,
    disc,
)
from typer.testing import CliRunner

from sam2_core.errors import ImageError
from sam2_core.training import evaluate
from sam2_core.training.evaluate import evaluate_folder
from sam2_core.training.labelled_files import choose_objects, find_sets
from sam2_core.training.measuring.baselines import classical_baselines
from sam2_core.training.measuring.scores import (
    summary,
)
from sam2_core.training.measuring.trials import evaluate_set


def test_sets_are_found_with_and_without_a_manifest(folder: Path) -> None:
    found = find_sets(folder)
    assert {name: len(files) for name, files in found.items()} == {
        "discs": 2,
        "more": 2,
        "cells": 1,
        "film": 1,
    }
    assert (found["film"][0].kind, found["film"][0].ids) == ("t", (2,))
    (folder / "manifest.json").unlink()
    assert (find_sets(folder)["film"][0].kind, find_sets(folder)["film"][0].ids) == (
        "z",
        (),
    )


def test_a_folder_without_labels_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no labelled images"):
        find_sets(tmp_path)


def test_image_and_labels_must_agree(folder: Path) -> None:
    tifffile.imwrite(folder / "2d/discs/0000_img.tif", np.zeros((20, 30), np.uint8))
    with pytest.raises(ImageError, match="must agree"):
        evaluate_set(find_sets(folder)["discs"], DiscPredictor())


def test_iou_after_each_click_and_from_the_box(folder: Path) -> None:
    predictor = DiscPredictor()
    result = evaluate_set(find_sets(folder)["discs"], predictor, noc=False)
    assert result.n_objects == 6
    assert len(predictor.images) == 2
    assert predictor.images[0].dtype == np.uint16
    true_area = disc(48, 48, RADIUS).sum()
    for n in range(1, 6):
        expected = disc(48, 48, 5 + n).sum() / true_area
        assert result.clicks[n] == pytest.approx(expected)
    assert result.box == pytest.approx(true_area / (2 * RADIUS + 1) ** 2)
    assert {record["id"] for record in result.objects} == set(CENTRES)
    assert result.objects[0]["box_score"] == pytest.approx(0.8)
    assert result.objects[0]["scores"][:2] == pytest.approx([0.9, 0.8])


def test_clicks_go_on_until_the_iou_is_085(folder: Path) -> None:
    area = disc(48, 48, RADIUS).sum()
    assert disc(48, 48, 10).sum() / area < 0.85 < disc(48, 48, 11).sum() / area
    predictor = DiscPredictor()
    result = evaluate_set(find_sets(folder)["discs"], predictor, max_objects=1)
    (record,) = result.objects
    assert record["noc"] == result.noc == 6  # radius 11
    assert len(record["ious"]) == record["n_clicks"] == 5
    clicks = [call for call in predictor.calls if call.get("point_coords") is not None]
    assert len(clicks) == 6
    short = evaluate_set(
        find_sets(folder)["discs"], DiscPredictor(), max_objects=1, noc=False
    )
    assert short.noc is None
    assert short.clicks == result.clicks


def test_scores_are_compared_with_what_the_answers_reached(folder: Path) -> None:
    result = evaluate_set(find_sets(folder)["discs"], DiscPredictor(), max_objects=1)
    area = disc(48, 48, RADIUS).sum()
    click = [disc(48, 48, 5 + n).sum() / area for n in range(1, 6)]
    box = area / (2 * RADIUS + 1) ** 2
    # Interval 0.9 to 1 holds the first click, 0.8 to 0.9 the other clicks and the box
    # (as float32, 0.8 is just above and 0.9 just below).
    scores = [float(np.float32(0.9))] + [float(np.float32(0.8))] * 5
    together = np.sum(np.array(scores) - [*click, box])
    assert result.calibration_error == pytest.approx(abs(together) / 6)
    assert summary([result], [])["iou_calibration_error"] == pytest.approx(
        abs(together) / 6
    )


def test_corrections_carry_all_clicks_and_the_last_logits(folder: Path) -> None:
    predictor = DiscPredictor()
    evaluate_set(find_sets(folder)["discs"], predictor, max_objects=1, noc=False)
    clicks = [call for call in predictor.calls if call.get("point_coords") is not None]
    assert [len(call["point_coords"]) for call in clicks] == [1, 2, 3, 4, 5]
    assert [call["multimask_output"] for call in clicks] == [True] + [False] * 4
    assert clicks[0]["mask_input"] is None
    assert clicks[1]["mask_input"].shape == (1, 8, 8)
    assert (clicks[1]["mask_input"] == 1).all()  # of the best-scored mask
    boxes = [call for call in predictor.calls if call.get("box") is not None]
    assert len(boxes) == 1
    assert not boxes[0]["multimask_output"]


def test_a_perfect_mask_is_not_clicked_again(folder: Path) -> None:
    class Perfect(DiscPredictor):
        def predict(self, **prompt: Any) -> Answered:
            answer = super().predict(**prompt)
            if prompt.get("point_coords") is not None:
                x, y = prompt["point_coords"][0]
                answer.masks = np.stack([disc(x, y, RADIUS)] * len(answer.masks))
            return answer

    predictor = Perfect()
    result = evaluate_set(find_sets(folder)["discs"], predictor, max_objects=2)
    assert result.clicks == dict.fromkeys(range(1, 6), 1.0)
    assert len(predictor.calls) == 4


def test_objects_are_drawn_by_the_seed(folder: Path) -> None:
    files = find_sets(folder)["discs"]
    labels = tifffile.imread(files[0].labels)
    labels[0, :4] = 9  # a speck
    tifffile.imwrite(files[0].labels, labels)
    every = choose_objects(files, None, 0)
    assert list(every.values()) == [[1, 2, 5], [1, 2, 5]]
    drawn = [choose_objects(files, 3, seed) for seed in range(6)]
    assert all(sum(map(len, ids.values())) == 3 for ids in drawn)
    assert drawn[0] == choose_objects(files, 3, 0)
    assert any(other != drawn[0] for other in drawn)


def test_a_folder_is_evaluated_in_parts(folder: Path) -> None:
    sets, stacks = evaluate_folder(folder, DiscPredictor(), StillSession, only=["dis"])
    assert [result.name for result in sets] == ["discs"]
    assert stacks == []
    _, stacks = evaluate_folder(folder, open_session=StillSession)
    assert [result.name for result in stacks] == ["cells", "film"]
    with pytest.raises(ImageError, match="'nothing'"):
        evaluate_folder(folder, only=["nothing"])


def test_the_best_baseline_per_prompt_is_reported(folder: Path) -> None:
    result = evaluate_set(
        find_sets(folder)["discs"], None, classical_baselines(), max_objects=2
    )
    assert set(result.baselines) == {
        "threshold_otsu",
        "threshold_fine",
        "threshold_wide",
        "random_walker",
    }
    best = max(method["click"] for method in result.baselines.values())
    assert result.baseline_click == best > 0.9
    assert result.clicks == {}
    assert result.box is None


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    app.command()(evaluate.main)
    return app


def test_command_prints_tables_and_writes_json(
    folder: Path, app: typer.Typer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def engine(*args: str) -> tuple[DiscPredictor, type[StillSession]]:
        assert args == ("tiny", "cpu", "auto")
        return DiscPredictor(), StillSession

    monkeypatch.setattr(evaluate, "_engine", engine)
    out = folder / "out.json"
    options = ["--model", "tiny", "--device", "cpu", "--max-objects", "2"]
    result = CliRunner().invoke(
        app,
        [str(folder), *options, "--no-baselines", "--no-speed", "--json", str(out)],
    )
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["mean", "of", "2", "4"] in [line[:4] for line in lines]
    assert "cells" in [line[0] for line in lines if line]
    record = json.loads(out.read_text())
    assert record["model"] == "tiny"
    assert record["summary"]["encode_ms"] > 0
    assert [len(found["objects"]) for found in record["sets"]] == [2, 2]
    assert len(record["sets"][0]["objects"][0]["ious"]) == 5
    assert record["summary"]["noc85"] == 6
    assert 0 < record["summary"]["iou_calibration_error"] < 1
    assert record["speed"] is None
    assert 0 < record["stacks"][0]["presence_auroc"] < 1
    assert record["stacks"][0]["corrected"] is not None
    quick = ["--no-noc", "--no-corrections", "--no-presence"]
    result = CliRunner().invoke(
        app,
        [str(folder), *options, *quick, "--no-baselines", "--json", str(out)],
    )
    assert result.exit_code == 0, result.output
    record = json.loads(out.read_text())
    assert record["summary"]["noc85"] is None
    assert record["summary"]["stack_iou_corrected"] is None
    assert "frames/s" in result.stdout.splitlines()[-1]
    assert record["speed"]["encode_ms"] > 0


def test_command_reports_a_bad_folder_in_one_line(
    tmp_path: Path, app: typer.Typer
) -> None:
    result = CliRunner().invoke(app, [str(tmp_path), "--only-baselines"])
    assert result.exit_code == 2
    assert len(result.stderr.strip().splitlines()) == 1
    assert "no labelled images" in result.stderr
