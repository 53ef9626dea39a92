from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
import torch
import typer
from typer.testing import CliRunner

from sam2_core.config import NANO
from sam2_core.models import load_model
from sam2_core.nn.closeup import MAPS, SIDE
from sam2_core.nn.sam2 import Sam2
from sam2_core.training import calibrate as module
from sam2_core.training.calibrate import (
    Answers,
    Line,
    calibrate,
    fit_line,
    fold_iou_line,
    fold_presence_line,
    main,
)
from sam2_core.weights import save_weights

if TYPE_CHECKING:
    from pathlib import Path


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def answers(predicted: np.ndarray, reached: np.ndarray) -> Answers:
    return Answers(predicted, reached, np.ones(len(predicted)))


def test_a_known_distortion_is_undone() -> None:
    true = np.random.default_rng(0).normal(0.5, 1.2, 4000)
    # The scores are twice as sure and one too high: slope 1/2, shift -1/2.
    line = fit_line(answers(sigmoid(2 * true + 1), sigmoid(true)))
    assert line.slope == pytest.approx(0.5, abs=0.01)
    assert line.shift == pytest.approx(-0.5, abs=0.01)


def test_outcomes_that_are_yes_or_no_are_fitted_too() -> None:
    rng = np.random.default_rng(1)
    true = rng.normal(0, 2, 20000)
    happened = (rng.random(20000) < sigmoid(true)).astype(float)
    scores = answers(sigmoid(true - 1.5), happened)
    line = fit_line(scores)
    assert line.slope == pytest.approx(1, abs=0.05)
    assert line.shift == pytest.approx(1.5, abs=0.1)
    assert scores.error(line) < 0.02 < scores.error()


def test_sets_weigh_alike_however_many_answers_they_have() -> None:
    joined = Answers.joined(
        [([0.5] * 90, [1.0] * 90), ([0.5] * 10, [0.0] * 10), ([], [])]
    )
    assert joined.weights.sum() == pytest.approx(2)
    corrected = fit_line(joined).apply(np.array([0.5]))
    assert corrected[0] == pytest.approx(0.5, abs=1e-3)


def nano(**options: object) -> Sam2:
    torch.manual_seed(0)
    return Sam2(replace(NANO, **options)).eval().requires_grad_(False)  # type: ignore[arg-type]


def prompt(model: Sam2) -> tuple[np.ndarray, np.ndarray]:
    torch.manual_seed(0)
    features = model.encode_image(torch.randn(1, 3, 512, 512))
    found = model.decode_masks(
        model.without_memory(features),
        features.high_res,
        torch.tensor([[[100.0, 200.0]]]),
        torch.ones(1, 1, dtype=torch.int32),
        guide=features.guide,
    )
    return found.iou.numpy().astype(float), found.object_score.numpy().astype(float)


def test_folded_lines_act_on_the_scores_and_on_nothing_else() -> None:
    model = nano(closeups=False)
    torch.nn.init.normal_(model.prompt_hints.judge.layers[-1].weight)
    torch.nn.init.constant_(model.prompt_hints.judge.layers[-1].bias, 0.3)
    iou, presence = prompt(model)
    fold_iou_line(model, Line(0.7, -0.4))
    fold_presence_line(model, Line(1.3, 0.2))
    new_iou, new_presence = prompt(model)
    np.testing.assert_allclose(new_iou, Line(0.7, -0.4).apply(iou), atol=1e-5)
    np.testing.assert_allclose(new_presence, 1.3 * presence + 0.2, atol=1e-4)
    assert (np.argsort(iou) == np.argsort(new_iou)).all()


def test_close_ups_are_what_is_corrected_where_there_are_any() -> None:
    model = nano()
    maps = torch.randn(2, MAPS, SIDE, SIDE)
    before = copy.deepcopy(model.closeup)
    fold_iou_line(model, Line(0.5, 1.0))
    fold_presence_line(model, Line(2.0, -3.0))
    old, new = before(maps), model.closeup(maps)
    torch.testing.assert_close(new.iou, 0.5 * old.iou + 1)
    torch.testing.assert_close(new.present, 2 * old.present - 3)
    torch.testing.assert_close(new.logits, old.logits)


def test_first_answers_are_corrected_by_a_line_of_their_own() -> None:
    model = nano()
    goal = nano().closeup
    torch.manual_seed(3)
    for value in goal.judge.parameters():
        torch.nn.init.normal_(value, std=0.1)
    model.closeup.first.approach(model.closeup, goal)
    maps = torch.randn(2, MAPS, SIDE, SIDE)
    first, later = model.closeup.for_first_answers()(maps), model.closeup(maps)
    assert not torch.allclose(first.iou, later.iou)
    fold_iou_line(model, Line(0.5, 1.0), Line(1.5, -0.5))
    new = model.closeup.for_first_answers()(maps)
    torch.testing.assert_close(new.iou, 1.5 * first.iou - 0.5, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(new.present, first.present, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(model.closeup(maps).iou, 0.5 * later.iou + 1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "2d/discs").mkdir(parents=True)
    y, x = np.mgrid[:96, :96]
    labels = ((x - 40) ** 2 + (y - 50) ** 2 < 150).astype(np.uint16)
    tifffile.imwrite(tmp_path / "2d/discs/0_img.tif", (labels * 200).astype(np.uint8))
    tifffile.imwrite(tmp_path / "2d/discs/0_lab.tif", labels)
    return tmp_path


def test_command_writes_weights_that_load(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_synthetic_images", lambda seed: iter(()))
    monkeypatch.setattr(module, "_synthetic_stacks", lambda seed: iter(()))
    app = typer.Typer()
    app.command()(main)
    out = folder / "calibrated.safetensors"
    start = save_weights(folder / "start.safetensors", nano())
    options = ["--model", str(start), "--data", str(folder), "--out", str(out)]
    result = CliRunner().invoke(app, options)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("IoU scores of first answers: ")
    assert "\nIoU scores of later ones: " in result.stdout
    assert "object scores: left alone, only 0 frames" in result.output
    before, after = (load_model(path, dtype="float32") for path in (start, out))
    changed = {
        key
        for key, tensor in after.state_dict().items()
        if not torch.equal(tensor, before.state_dict()[key])
    }
    assert changed == {
        f"closeup.{part}{kind}"
        for part in ("judge.layers.2.", "first.whole.judge-layers-2-")
        for kind in ("weight", "bias")
    }


def test_later_answers_can_be_left_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_synthetic_images", lambda seed: iter(()))
    model = nano()
    maps = torch.randn(2, MAPS, SIDE, SIDE)
    networks = model.closeup.for_first_answers, lambda: model.closeup
    first, later = (network()(maps).iou for network in networks)
    lines = calibrate(model, folder, objects=2, presence=False, later=False)
    assert [line.split(":")[0] for line in lines] == ["IoU scores of first answers"]
    new_first, new_later = (network()(maps).iou for network in networks)
    assert torch.equal(new_later, later)
    assert not torch.allclose(new_first, first)


def test_object_scores_can_be_told_how_sure_to_be(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_synthetic_images", lambda seed: iter(()))
    app = typer.Typer()
    app.command()(main)
    start = save_weights(folder / "start.safetensors", nano())
    out = folder / "calibrated.safetensors"
    options = ["--model", str(start), "--data", str(folder), "--out", str(out)]
    options += ["--presence-line", "0.5", "1.5"]
    result = CliRunner().invoke(app, options)
    assert result.exit_code == 0, result.output
    assert "object scores: 0.500 x logit +1.500, as told" in result.stdout
    maps = torch.randn(2, MAPS, SIDE, SIDE)
    before, after = (
        load_model(path, dtype="float32").closeup(maps).present for path in (start, out)
    )
    torch.testing.assert_close(after, 0.5 * before + 1.5, rtol=5e-3, atol=1e-2)


def test_bad_calls_are_one_line(folder: Path) -> None:
    app = typer.Typer()
    app.command()(main)
    for options in (
        ["--data", str(folder), "--out", str(folder / "a.pt")],
        ["--data", str(folder), "--out", str(folder / "a.safetensors")],
        [
            *("--data", str(folder), "--out", str(folder / "a.safetensors")),
            *("--model", "sam2_nano", "--presence-line", "0", "1"),
        ],
    ):
        result = CliRunner().invoke(app, ["--model", "sam9", *options])
        assert result.exit_code == 2
        assert len(result.stderr.strip().splitlines()) == 1
    assert not list(folder.glob("a.*"))


@pytest.mark.slow
def test_presence_of_drawn_stacks_is_corrected(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KINDS", {"bodies": None})
    monkeypatch.setattr(module, "LAYOUTS", {"nuclei": None})
    monkeypatch.setattr(module, "MIN_ABSENT", 1)
    lines = calibrate(nano(), folder, objects=2)
    assert [line.split(":")[0] for line in lines] == [
        "IoU scores of first answers",
        "IoU scores of later ones",
        "object scores",
    ]
