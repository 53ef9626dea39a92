"""Tables and means of the evaluation."""

from __future__ import annotations

import numpy as np
import pytest

from sam2_core.training.measuring.scores import (
    SetResult,
    StackResult,
    grouped,
    mask_iou,
    report,
    summary,
)


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
    sets[0].noc = 1.25
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
        *("1010", "0.600", "0.750", "1.000", "0.850", "2.9", "0.050", "0.250", "0.375")
    ]
    assert row_a.split()[6] == "1.2"
    assert second.splitlines()[2].split() == [*("s", "3", "0.625", "-", "-", "12.3")]
    assert summary(sets, [])["iou_1_click"] == pytest.approx(0.6)
    assert summary(sets, [])["stack_iou"] is None


def test_mask_iou() -> None:
    first = np.array([[1, 1, 0, 0]], bool)
    assert mask_iou(first, np.array([[0, 1, 1, 0]], bool)) == pytest.approx(1 / 3)
    assert mask_iou(first, ~first) == 0
    assert mask_iou(first & ~first, first & ~first) == 1
