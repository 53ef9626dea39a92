from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from sam2_core.errors import ImageError
from sam2_core.everything.candidates import (
    MaskCandidate,
    paint_labels,
    select_candidates,
    without_duplicates,
)


def disc(hw: tuple[int, int], x: float, y: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[: hw[0], : hw[1]]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def rectangle(x0: int, y0: int, x1: int, y1: int, **scores: float) -> MaskCandidate:
    mask = np.zeros((y1, x1), bool)
    mask[y0:, x0:] = True
    candidate = MaskCandidate.of(mask, **scores)
    assert candidate is not None
    return candidate


class TestMaskCandidate:
    def test_keeps_the_mask(self) -> None:
        mask = np.random.default_rng(0).random((37, 53)) < 0.1
        mask[:, :5] = mask[:4] = mask[-3:] = False
        candidate = MaskCandidate.of(mask, 0.9, 0.8, (3.5, 7.0))
        assert candidate is not None
        np.testing.assert_array_equal(candidate.mask((37, 53)), mask)
        rows, columns = np.nonzero(mask)
        assert candidate.box == (
            columns.min(),
            rows.min(),
            columns.max() + 1,
            rows.max() + 1,
        )
        assert candidate.area == len(rows)
        assert (candidate.predicted_iou, candidate.stability_score) == (0.9, 0.8)
        assert candidate.point_xy == (3.5, 7.0)
        assert candidate.patch().shape == (
            rows.max() - rows.min() + 1,
            columns.max() - columns.min() + 1,
        )

    def test_a_window_of_the_image(self) -> None:
        window = np.zeros((4, 6), bool)
        window[1, 2:5] = True
        candidate = MaskCandidate.of(window, origin_xy=(10, 20))
        assert candidate is not None
        full = np.zeros((30, 40), bool)
        full[21, 12:15] = True
        np.testing.assert_array_equal(candidate.mask((30, 40)), full)
        assert candidate.point_xy == (13, 21)

    def test_nothing_is_no_candidate(self) -> None:
        assert MaskCandidate.of(np.zeros((5, 5), bool)) is None

    def test_a_smooth_mask_is_small(self) -> None:
        candidate = MaskCandidate.of(disc((1000, 1000), 500, 500, 400))
        assert candidate is not None
        assert len(candidate.bits) < 1000 * 1000 / 8 / 10

    def test_too_small_an_image(self) -> None:
        with pytest.raises(ImageError, match="does not fit into an image"):
            rectangle(2, 2, 9, 9).mask((8, 20))

    @pytest.mark.parametrize(
        ("mask", "expected"),
        [
            (disc((80, 80), 40, 40, 30), 1.0),
            (np.ones((30, 30), bool), 3 / math.pi),
            (np.ones((1, 1), bool), 3 / math.pi),
            # Moments of an a x b rectangle: a b (a^2 + b^2) / 12.
            (np.ones((2, 40), bool), 6 * 80 / (math.pi * (4 + 1600))),
        ],
    )
    def test_roundness(self, mask: np.ndarray, expected: float) -> None:
        candidate = MaskCandidate.of(mask)
        assert candidate is not None
        assert candidate.roundness == pytest.approx(expected, rel=2e-3)

    def test_rings_and_ellipses_are_less_round(self) -> None:
        rows, columns = np.mgrid[:90, :90] - 45
        ellipse = MaskCandidate.of((rows / 15) ** 2 + (columns / 30) ** 2 <= 1)
        ring = MaskCandidate.of(
            disc((90, 90), 45, 45, 40) & ~disc((90, 90), 45, 45, 35)
        )
        assert ellipse is not None
        assert ring is not None
        assert ellipse.roundness == pytest.approx(0.8, abs=0.01)
        assert ring.roundness < 0.2


class TestSelect:
    def test_each_limit(self) -> None:
        good = rectangle(0, 0, 10, 10, predicted_iou=0.9, stability_score=0.9)
        poor = rectangle(20, 0, 30, 10, predicted_iou=0.5, stability_score=0.9)
        shaky = rectangle(40, 0, 50, 10, predicted_iou=0.9, stability_score=0.5)
        small = rectangle(60, 0, 62, 2, predicted_iou=0.9, stability_score=0.9)
        large = rectangle(0, 20, 60, 80, predicted_iou=0.9, stability_score=0.9)
        thin = rectangle(70, 0, 72, 50, predicted_iou=0.9, stability_score=0.9)
        everything = [poor, shaky, small, large, thin, good]
        chosen = select_candidates(everything, 0.8, 0.8, 50, 1000, 0.5)
        assert chosen == [good]
        loose = select_candidates(everything, 0, 0, 0, None, 0)
        assert len(loose) == len(everything)

    def test_limits_are_inclusive(self) -> None:
        one = rectangle(0, 0, 10, 10, predicted_iou=0.5, stability_score=0.25)
        assert select_candidates([one], 0.5, 0.25, 100, 100, one.roundness) == [one]

    def test_the_better_copy_stays(self) -> None:
        worse = rectangle(0, 0, 20, 20, predicted_iou=0.8)
        better = rectangle(0, 0, 20, 19, predicted_iou=0.9)
        apart = rectangle(30, 0, 50, 20, predicted_iou=0.7)
        assert select_candidates([worse, apart, better], 0, 0) == [better, apart]
        assert select_candidates([worse, apart, better], 0, 0, nms_thresh=1) == [
            better,
            worse,
            apart,
        ]

    def test_threshold_of_nms(self) -> None:
        # Boxes of 10 x 10 between first and last pixels, 5 apart: IoU 50 / 150.
        one = rectangle(0, 0, 11, 11, predicted_iou=0.9)
        other = rectangle(5, 0, 16, 11, predicted_iou=0.8)
        assert len(select_candidates([one, other], 0, 0, nms_thresh=0.34)) == 2
        assert len(select_candidates([one, other], 0, 0, nms_thresh=0.33)) == 1

    def test_nothing(self) -> None:
        assert select_candidates([]) == []


class TestDuplicates:
    def test_only_copies_worse_in_everything_go(self) -> None:
        best = rectangle(0, 0, 40, 40, predicted_iou=0.9, stability_score=0.7)
        steady = rectangle(0, 0, 40, 40, predicted_iou=0.8, stability_score=0.9)
        worse = rectangle(0, 0, 40, 40, predicted_iou=0.7, stability_score=0.8)
        apart = rectangle(0, 0, 40, 30, predicted_iou=0.1, stability_score=0.1)
        kept = without_duplicates([worse, apart, steady, best])
        assert kept == [best, steady, apart]

    def test_of_equals_one_stays(self) -> None:
        same = rectangle(3, 3, 9, 9)
        assert without_duplicates([same, replace(same), replace(same)]) == [same]

    def test_nothing(self) -> None:
        assert without_duplicates([]) == []

    def test_choosing_afterwards_loses_nothing(self) -> None:
        rng = np.random.default_rng(3)
        masks = []
        for _ in range(150):
            x, y = rng.integers(0, 3, 2) * 30 + rng.integers(0, 2, 2)
            iou, stability = rng.random(2)
            masks.append(
                rectangle(
                    x, y, x + 25, y + 25, predicted_iou=iou, stability_score=stability
                )
            )
        kept = without_duplicates(masks)
        assert len(kept) < len(masks) / 2
        for limits in ((0, 0), (0.5, 0), (0, 0.6), (0.4, 0.5), (0.6, 0.8)):
            before = select_candidates(masks, *limits, nms_thresh=0.5)
            after = select_candidates(kept, *limits, nms_thresh=0.5)
            assert [c.predicted_iou for c in before] == [c.predicted_iou for c in after]


class TestPaint:
    def test_small_on_top_and_nothing_overlaps(self) -> None:
        large, small = rectangle(0, 0, 10, 10), rectangle(4, 4, 6, 6)
        for order in ((large, small), (small, large)):
            labels = np.zeros((12, 12), np.uint16)
            ids = paint_labels(order, labels)
            assert ids == [1, 2]
            assert (labels[4:6, 4:6] == 1).all()
            assert np.bincount(labels.ravel()).tolist() == [44, 4, 96]

    def test_what_was_there_stays(self) -> None:
        labels = np.zeros((8, 8), np.int32)
        labels[:3] = 7
        before = labels.copy()
        assert paint_labels([rectangle(0, 0, 8, 6)], labels) == [8]
        np.testing.assert_array_equal(labels[:3], before[:3])
        assert (labels[3:6] == 8).all()
        assert (labels[6:] == 0).all()

    def test_a_hidden_mask_gets_no_label(self) -> None:
        labels = np.zeros((8, 8), np.uint8)
        labels[:4] = 9
        ids = paint_labels([rectangle(0, 0, 8, 3), rectangle(0, 0, 8, 7)], labels)
        assert ids == [10]
        assert set(np.unique(labels)) == {0, 9, 10}

    def test_rims_get_no_label(self) -> None:
        nearly, whole = rectangle(1, 1, 10, 10), rectangle(0, 0, 10, 10)
        labels = np.zeros((10, 10), np.uint8)
        assert paint_labels([whole, nearly], labels) == [1]
        assert (labels == 1).sum() == 81
        labels[:] = 0
        assert paint_labels([whole, nearly], labels, min_visible=0.19) == [1, 2]
        assert (labels == 2).sum() == 19

    def test_first_id(self) -> None:
        labels = np.zeros((8, 8), np.uint8)
        assert paint_labels([rectangle(0, 0, 2, 2)], labels, first_id=40) == [40]
        assert labels.max() == 40

    def test_nothing_to_paint(self) -> None:
        labels = np.zeros((4, 4), np.uint8)
        assert paint_labels([], labels) == []

    @pytest.mark.parametrize(
        ("labels", "first_id", "words"),
        [
            (np.zeros((9, 9), np.uint8), 255, "do not fit into uint8"),
            (np.zeros((9, 9), np.uint8), 0, "first label must be 1"),
            (np.zeros((9, 9), np.float32), None, "must be integers"),
            (np.zeros((2, 9, 9), np.uint8), None, r"shape \(H, W\)"),
            (np.zeros((3, 3), np.uint8), None, "does not fit into an image"),
        ],
    )
    def test_what_cannot_be_painted(self, labels, first_id, words) -> None:
        masks = [rectangle(0, 0, 2, 2), rectangle(4, 4, 8, 8)]
        with pytest.raises(ImageError, match=words):
            paint_labels(masks, labels, first_id)
        assert not labels.any()


def test_choosing_needs_no_torch() -> None:
    module = "sam2_core.everything.candidates"
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
