from __future__ import annotations

import numpy as np
import pytest

from sam2_core.training.measuring.measures import (
    auroc,
    calibration_error,
    clicks_needed,
)


@pytest.mark.parametrize(
    ("ious", "expected"),
    [
        ([0.9], 1),
        ([0.2, 0.85, 0.3], 2),
        ([0.2, 0.84, 0.849], 10),
        ([0.1] * 10 + [0.9], 10),
        ([0.1] * 9 + [0.9], 10),
        ([], 10),
    ],
)
def test_clicks_needed(ious: list[float], expected: int) -> None:
    assert clicks_needed(ious) == expected


def test_calibration_error_by_hand() -> None:
    predicted = [0.05, 0.15, 0.95, 1.0]
    reached = [0.25, 0.15, 0.75, 1.0]
    # Interval 0: 0.2 off with a quarter of the answers; 1: right; 9: means 0.975 and
    # 0.875, half of the answers.
    assert calibration_error(predicted, reached) == pytest.approx(0.2 / 4 + 0.1 / 2)


def test_errors_of_opposite_sign_cancel_within_an_interval_only() -> None:
    assert calibration_error([0.52, 0.58], [0.42, 0.68]) == pytest.approx(0)
    assert calibration_error([0.52, 0.62], [0.42, 0.72]) == pytest.approx(0.1)


def test_weights_count_like_repetitions() -> None:
    weighted = calibration_error([0.1, 0.9], [0.4, 0.9], [3, 1])
    repeated = calibration_error([0.1] * 3 + [0.9], [0.4] * 3 + [0.9])
    assert weighted == pytest.approx(repeated) == pytest.approx(0.225)


def test_nothing_to_calibrate() -> None:
    assert calibration_error([], []) is None


def test_auroc_by_hand() -> None:
    # 4 of 6 pairs are in order and one is tied.
    assert auroc([0.9, 0.8, 0.4], [0.7, 0.4]) == pytest.approx(4.5 / 6)
    assert auroc([1, 2], [0, -1]) == 1
    assert auroc([0], [1]) == 0
    assert auroc([], [1]) is None
    assert auroc([1], []) is None


def test_auroc_equals_the_fraction_of_ordered_pairs() -> None:
    rng = np.random.default_rng(0)
    high, low = rng.integers(0, 9, 40) + 2, rng.integers(0, 9, 30)
    pairs = [float(h > lo) + 0.5 * float(h == lo) for h in high for lo in low]
    assert auroc(high, low) == pytest.approx(np.mean(pairs))
