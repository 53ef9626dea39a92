"""Stacks followed and corrected by a simulated user; the session knows only discs."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003
from typing import TYPE_CHECKING, Any

import pytest
import tifffile
from disc_answers import (
    CENTRES,
    RADIUS,
    DiscPredictor,
    Found,
    StillSession,
    disc,
)

from sam2_core.training.evaluate import evaluate_folder
from sam2_core.training.labelled_files import find_sets
from sam2_core.training.measuring.stack_trials import evaluate_stack

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np


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
    expected = disc(48, 48, 8).sum() / disc(48, 48, RADIUS).sum()
    assert result.iou == pytest.approx(expected)
    by_id = {record["id"]: record for record in result.objects}
    assert by_id[1]["prompted_frame"] == 4
    assert sorted(by_id[1]["ious"]) == [1, 2, 3, 5, 6]
    assert result.frames_per_second > 0


def test_a_time_lapse_is_followed_in_one_run(folder: Path) -> None:
    labels = tifffile.imread(folder / "stack/film_lab.tif")
    labels[3][disc(*CENTRES[5], RADIUS)] = 5
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
    expected = disc(48, 48, 8).sum() / disc(48, 48, RADIUS).sum()
    # Object 5 exists again on frame 3 and is lost there.
    assert [record["iou"] for record in result.objects] == pytest.approx([expected, 0])
    assert result.iou == pytest.approx(expected / 2)


def test_corrections_go_to_the_worst_frames(folder: Path) -> None:
    sessions = []

    class Learning(StillSession):
        """Right where it was corrected, poor elsewhere and worst on frame 3."""

        def propagate(self, *args: Any) -> Iterator[Found]:
            corrected = {t for t, _, _ in self.clicks[1:]}
            for t in range(5):
                radius = RADIUS if t in corrected else 4 if t == 3 else 8
                (x, y) = self.prompts[2]
                yield Found(t, {2: disc(x, y, radius)}, {2: 0.5})

    def open_session(frames: np.ndarray) -> Learning:
        sessions.append(Learning(frames))
        return sessions[-1]

    result = evaluate_stack(find_sets(folder)["film"][0], open_session)
    areas = [disc(48, 48, r).sum() / disc(48, 48, RADIUS).sum() for r in (4, 8)]
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
        def propagate(self, *args: Any) -> Iterator[Found]:
            return iter(())

    assert evaluate_stack(find_sets(folder)["film"][0], Lazy).iou == 0
