from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
import typer
from typer.testing import CliRunner

from sam2_core.errors import ImageError
from sam2_core.training import evaluate
from sam2_core.training.baselines import classical_baselines
from sam2_core.training.evaluate import evaluate_folder
from sam2_core.training.labelled_files import choose_objects, find_sets
from sam2_core.training.scores import (
    SetResult,
    StackResult,
    grouped,
    mask_iou,
    report,
    summary,
)
from sam2_core.training.stack_trials import evaluate_stack
from sam2_core.training.trials import evaluate_set

if TYPE_CHECKING:
    from collections.abc import Iterator

SIDE = 96
CENTRES = {1: (25, 30), 2: (70, 28), 5: (48, 70)}  # id: (x, y)
RADIUS = 12


def _disc(x: float, y: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    return (columns - x) ** 2 + (rows - y) ** 2 <= radius**2


def _labels() -> np.ndarray:
    labels = np.zeros((SIDE, SIDE), np.uint16)
    for object_id, (x, y) in CENTRES.items():
        labels[_disc(x, y, RADIUS)] = object_id
    return labels


@dataclass
class _Answer:
    masks: np.ndarray
    scores: np.ndarray
    logits: np.ndarray


class DiscPredictor:
    """Answers a disc around the first click; every correction brings it closer.

    Of three masks the second has the best score. A box gives the box.
    """

    def __init__(self) -> None:
        self.images: list[np.ndarray] = []
        self.calls: list[dict[str, Any]] = []

    def set_image(self, image: Any) -> None:
        self.images.append(image)

    def predict(self, **prompt: Any) -> _Answer:
        self.calls.append(prompt)
        if prompt.get("box") is not None:
            x0, y0, x1, y1 = prompt["box"].astype(int)
            mask = np.zeros((SIDE, SIDE), bool)
            mask[y0 : y1 + 1, x0 : x1 + 1] = True
            masks = mask[None]
        else:
            x, y = prompt["point_coords"][0]
            radius = 5 + len(prompt["point_coords"])
            mask = _disc(x, y, radius)
            masks = mask[None]
            if prompt["multimask_output"]:
                masks = np.stack([np.zeros_like(mask), mask, np.ones_like(mask)])
        scores = np.array([0.1, 0.9, 0.5] if len(masks) == 3 else [0.8], np.float32)
        marks = np.arange(len(masks), dtype=np.float32)[:, None, None]
        return _Answer(masks, scores, np.broadcast_to(marks, (len(masks), 8, 8)))


@dataclass
class _Found:
    frame_index: int
    masks: dict[int, np.ndarray]
    object_scores: dict[int, float]


class StillSession:
    """Answers a disc of radius 8 at the click on every frame; object 5 is lost."""

    opened: list[StillSession]

    def __init__(self, frames: np.ndarray) -> None:
        self.frames = frames
        self.resets = 0
        self.runs: list[tuple[int, int, str, tuple[int, ...]]] = []
        self.prompts: dict[int, np.ndarray] = {}
        self.clicks: list[tuple[int, int, int]] = []

    def reset(self) -> None:
        self.prompts = {}
        self.resets += 1

    def add_prompts(
        self,
        frame_index: int,
        object_id: int,
        point_coords: Any,
        point_labels: Any,
        clear_old: bool = True,
    ) -> None:
        self.clicks.append((frame_index, object_id, int(point_labels[0])))
        if object_id not in self.prompts:
            assert point_labels.tolist() == [1]
            self.frame = frame_index
            self.prompts[object_id] = point_coords[0]

    def propagate(self, start: int, stop: int, direction: str) -> Iterator[_Found]:
        self.runs.append((start, stop, direction, tuple(self.prompts)))
        order = list(range(self.frame, stop + 1))
        if direction == "both":
            order += list(range(self.frame, start - 1, -1))
        for t in order:
            yield _Found(
                t,
                {i: _disc(x, y, 8) & (i != 5) for i, (x, y) in self.prompts.items()},
                dict.fromkeys(self.prompts, 0.5 - 0.1 * t),
            )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two sets of 2D images, a z-stack and a time-lapse; one file has no labels."""
    labels = _labels()
    image = (labels > 0).astype(np.uint16) * 3000 + 100
    for name in ("discs", "more"):
        (tmp_path / "2d" / name).mkdir(parents=True)
        for k in range(2):
            tifffile.imwrite(tmp_path / f"2d/{name}/000{k}_img.tif", image)
            tifffile.imwrite(tmp_path / f"2d/{name}/000{k}_lab.tif", labels)
    tifffile.imwrite(tmp_path / "2d/more/0009_img.tif", image)
    (tmp_path / "stack").mkdir()
    stack = np.stack([labels] * 7)
    stack[5:][stack[5:] == 2] = 0  # frames 0 to 4
    stack[:1][stack[:1] == 1] = 0  # frames 1 to 6
    stack[1:][stack[1:] == 5] = 0  # frame 0 only: nothing to follow
    for name in ("cells", "film"):
        tifffile.imwrite(tmp_path / f"stack/{name}_img.tif", (stack > 0) * np.uint8(9))
        tifffile.imwrite(tmp_path / f"stack/{name}_lab.tif", stack)
    entries = [
        {
            "name": "cells",
            "set": "c",
            "kind": "z",
            "axes": "ZYX",
            "eval_ids": [1, 2, 5],
        },
        {"name": "film", "set": "f", "kind": "t", "axes": "TYX", "eval_ids": [2]},
    ]
    (tmp_path / "manifest.json").write_text(json.dumps({"entries": entries}))
    return tmp_path


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
    true_area = _disc(48, 48, RADIUS).sum()
    for n in range(1, 6):
        expected = _disc(48, 48, 5 + n).sum() / true_area
        assert result.clicks[n] == pytest.approx(expected)
    assert result.box == pytest.approx(true_area / (2 * RADIUS + 1) ** 2)
    assert {record["id"] for record in result.objects} == set(CENTRES)
    assert result.objects[0]["box_score"] == pytest.approx(0.8)
    assert result.objects[0]["scores"][:2] == pytest.approx([0.9, 0.8])


def test_clicks_go_on_until_the_iou_is_085(folder: Path) -> None:
    area = _disc(48, 48, RADIUS).sum()
    assert _disc(48, 48, 10).sum() / area < 0.85 < _disc(48, 48, 11).sum() / area
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
    area = _disc(48, 48, RADIUS).sum()
    click = [_disc(48, 48, 5 + n).sum() / area for n in range(1, 6)]
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
        def predict(self, **prompt: Any) -> _Answer:
            answer = super().predict(**prompt)
            if prompt.get("point_coords") is not None:
                x, y = prompt["point_coords"][0]
                answer.masks = np.stack([_disc(x, y, RADIUS)] * len(answer.masks))
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


def test_a_stack_is_followed_both_ways_from_the_middle(folder: Path) -> None:
    opened = []

    def open_session(frames: np.ndarray) -> StillSession:
        opened.append(StillSession(frames))
        return opened[-1]

    result = evaluate_stack(
        find_sets(folder)["cells"][0], open_session, corrections=0, absent_frames=0
    )
    (session,) = opened
    # Object 1 lives on frames 1 to 6, object 2 on 0 to 4; 5 has one frame only.
    assert session.runs == [(0, 4, "both", (2,)), (1, 6, "both", (1,))]
    assert session.resets == 2
    assert result.n_objects == 2
    expected = _disc(48, 48, 8).sum() / _disc(48, 48, RADIUS).sum()
    assert result.iou == pytest.approx(expected)
    by_id = {record["id"]: record for record in result.objects}
    assert by_id[1]["prompted_frame"] == 4
    assert sorted(by_id[1]["ious"]) == [1, 2, 3, 5, 6]
    assert result.frames_per_second > 0


def test_a_time_lapse_is_followed_in_one_run(folder: Path) -> None:
    labels = tifffile.imread(folder / "stack/film_lab.tif")
    labels[3][_disc(*CENTRES[5], RADIUS)] = 5
    tifffile.imwrite(folder / "stack/film_lab.tif", labels)
    (folder / "manifest.json").write_text(
        json.dumps({"entries": [{"name": "film", "kind": "t", "eval_ids": [2, 5]}]})
    )
    sessions: list[StillSession] = []

    def open_session(frames: np.ndarray) -> StillSession:
        sessions.append(StillSession(frames))
        return sessions[-1]

    result = evaluate_stack(
        find_sets(folder)["film"][0], open_session, corrections=0, absent_frames=0
    )
    assert sessions[0].runs == [(0, 4, "both", (2, 5))]
    expected = _disc(48, 48, 8).sum() / _disc(48, 48, RADIUS).sum()
    # Object 5 exists again on frame 3 and is lost there.
    assert [record["iou"] for record in result.objects] == pytest.approx([expected, 0])
    assert result.iou == pytest.approx(expected / 2)


def test_corrections_go_to_the_worst_frames(folder: Path) -> None:
    sessions = []

    class Learning(StillSession):
        """Right where it was corrected, poor elsewhere and worst on frame 3."""

        def propagate(self, *args: Any) -> Iterator[_Found]:
            corrected = {t for t, _, _ in self.clicks[1:]}
            for t in range(5):
                radius = RADIUS if t in corrected else 4 if t == 3 else 8
                (x, y) = self.prompts[2]
                yield _Found(t, {2: _disc(x, y, radius)}, {2: 0.5})

    def open_session(frames: np.ndarray) -> Learning:
        sessions.append(Learning(frames))
        return sessions[-1]

    result = evaluate_stack(find_sets(folder)["film"][0], open_session)
    areas = [_disc(48, 48, r).sum() / _disc(48, 48, RADIUS).sum() for r in (4, 8)]
    assert result.iou == pytest.approx((3 * areas[1] + areas[0]) / 4)
    # Then frame 0, the first of the equally poor ones, and frame 1.
    assert sessions[0].clicks == [(0, 2, 1), (3, 2, 1), (0, 2, 1), (1, 2, 1)]
    assert result.objects[0]["corrected_frames"] == [3, 0, 1]
    assert result.corrected == pytest.approx((2 + 2 * areas[1]) / 4)


def test_presence_is_judged_on_frames_without_the_object(folder: Path) -> None:
    result = evaluate_stack(
        find_sets(folder)["cells"][0], StillSession, corrections=0, absent_frames=9
    )
    by_id = {record["id"]: record["presence"] for record in result.objects}
    # Object 2 is on frames 0 to 4 and clicked on 2, object 1 on 1 to 6 and on 4.
    assert by_id[2]["present"] == pytest.approx([0.5, 0.4, 0.2, 0.1])
    assert by_id[2]["absent"] == pytest.approx([0, -0.1])
    assert by_id[1]["present"] == pytest.approx([0.4, 0.3, 0.2, 0, -0.1])
    assert by_id[1]["absent"] == pytest.approx([0.5])
    # Pairs won: 7.5 of 9 against 0, 8.5 against -0.1, half of one against 0.5.
    assert result.presence_auroc == pytest.approx(16.5 / 27, abs=0.02)
    assert result.absent_frames == 3
    assert result.corrected is None


def test_the_same_seed_gives_the_same_figures(folder: Path) -> None:
    def once() -> str:
        found = evaluate_folder(folder, DiscPredictor(), StillSession, max_objects=3)
        return json.dumps(
            [[r.objects for r in part] for part in found]
            + [[r.noc for r in found[0]], [r.presence_auroc for r in found[1]]]
        )

    assert once() == once()


def test_frames_that_do_not_come_back_count_as_missed(folder: Path) -> None:
    class Lazy(StillSession):
        def propagate(self, *args: Any) -> Iterator[_Found]:
            return iter(())

    assert evaluate_stack(find_sets(folder)["film"][0], Lazy).iou == 0


def test_numbered_stacks_form_one_group() -> None:
    parts = [
        StackResult("brain_001", 2, 0.5, 4.0),
        StackResult("cells", 9, 0.9, 1.0),
        StackResult("brain_017", 6, 0.7, 2.0),
    ]
    brain, cells = grouped(parts)
    assert (brain.name, brain.n_objects) == ("brain (2 stacks)", 8)
    assert (brain.iou, brain.frames_per_second) == pytest.approx((0.6, 3.0))
    assert cells is parts[1]


def test_table_is_aligned_and_weights_sets_equally() -> None:
    sets = [
        SetResult("a", 10, {1: 0.5, 3: 0.75, 5: 1.0}, 0.8, 0.25, 0.5),
        SetResult("longer_name", 1000, {1: 0.7, 3: 0.75, 5: 1.0}, 0.9, None, 0.25),
    ]
    sets[1].noc, sets[1].calibration_error = 4.5, 0.05
    table = report(sets, [StackResult("s", 3, 0.625, 12.34)])
    first, second = table.split("\n\n")
    head, rule, row_a, row_b, _, means = first.splitlines()
    assert len({len(line) for line in (head, rule, row_a, row_b, means)}) == 1
    assert row_b.split() == [
        *(
            "longer_name",
            "1000",
            "0.700",
            "0.750",
            "1.000",
            "0.900",
            "4.5",
            "0.050",
            "-",
            "0.250",
        )
    ]
    assert means.split()[3:] == [
        *("1010", "0.600", "0.750", "1.000", "0.850", "4.5", "0.050", "0.250", "0.375")
    ]
    assert second.splitlines()[2].split() == [*("s", "3", "0.625", "-", "-", "12.3")]
    assert summary(sets, [])["iou_1_click"] == pytest.approx(0.6)
    assert summary(sets, [])["stack_iou"] is None


def test_mask_iou() -> None:
    first = np.array([[1, 1, 0, 0]], bool)
    assert mask_iou(first, np.array([[0, 1, 1, 0]], bool)) == pytest.approx(1 / 3)
    assert mask_iou(first, ~first) == 0
    assert mask_iou(first & ~first, first & ~first) == 1


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
