"""Windows in a file are the ones that were put there, and all kinds are drawn."""

from __future__ import annotations

import numpy as np
import pytest

from sam2_core.errors import ImageError
from sam2_core.nn.closeup import SIDE
from sam2_core.training.examples.window_batch import BOX, CLICK, FOLLOW
from sam2_core.training.practice.asked import Asked
from sam2_core.training.practice.asked_windows import (
    AskedWindows,
    read_asked,
    save_asked,
)


def windows(kind, count, side=SIDE, seed=0):
    rng = np.random.default_rng(seed)
    return [
        Asked(
            rng.integers(-127, 127, (3 + k % 2, side, side)).astype(np.int8),
            np.array([0, 4, 9, 11][: 3 + k % 2], np.uint8),
            rng.random((side, side)) < 0.3,
            rng.random((side, side)) < 0.9,
            float(rng.random()),
            kind,
            bool(k % 3 == 0),
        )
        for k in range(count)
    ]


def test_a_file_holds_them_as_they_were(tmp_path):
    kept = windows(CLICK, 3) + windows(BOX, 2, seed=1) + windows(FOLLOW, 3, 2 * SIDE)
    save_asked(tmp_path / "pool" / "a.npz", kept)
    found = read_asked(tmp_path / "pool" / "a.npz")
    assert len(found) == len(kept)
    for one, other in zip(found, kept, strict=True):
        for name in ("maps", "channels", "target", "known"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert (one.area, one.kind, one.stranger) == pytest.approx(
            (other.area, other.kind, other.stranger)
        )


def test_a_broken_file_is_one_sentence(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"no archive")
    with pytest.raises(ImageError, match="broken"):
        read_asked(tmp_path / "a.npz")


def test_kinds_come_alike_and_large_windows_as_half_as_many():
    kinds = [windows(CLICK, 40), windows(FOLLOW, 30) + windows(FOLLOW, 10, 2 * SIDE)]
    batches = iter(AskedWindows(kinds, 8, seed=0))
    counts = {}
    for _ in range(400):
        batch = next(batches)
        kind, *others = set(batch.kinds.tolist())
        assert not others
        side = batch.maps.shape[-1]
        assert len(batch.kinds) == (8 if side == SIDE else 2)
        counts[kind, side] = counts.get((kind, side), 0) + 1
    assert counts[CLICK, SIDE] == pytest.approx(200, abs=40)
    # 30 windows, and half of 10 that cost four times as much.
    assert counts[FOLLOW, 2 * SIDE] / counts[FOLLOW, SIDE] == pytest.approx(
        20 / 30, abs=0.25
    )
