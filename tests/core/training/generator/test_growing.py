from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sam2_core.training.generator.growing import Capsule, Colony
from sam2_core.training.generator.rendering import expose, random_look, render


def _capsule(**values: object) -> Capsule:
    usual = {
        "centre": np.array([32.0, 32.0]),
        "heading": 0.0,
        "length": 10.0,
        "radius": 3.0,
        "limit": 100.0,
        "number": 1,
        "moved": np.zeros(2),
    }
    return Capsule(**(usual | values))  # type: ignore[arg-type]


def _colony(
    kind: str = "rods", seed: int = 0, size: int = 64, **values: object
) -> Colony:
    colony = Colony(np.random.default_rng(seed), size, kind)
    for name, value in values.items():
        setattr(colony, name, value)
    return colony


def test_spine_runs_along_the_heading() -> None:
    spine = _capsule(heading=np.pi / 2).spine(1.0)
    np.testing.assert_allclose(spine[0], [27, 32])
    np.testing.assert_allclose(spine[-1], [37, 32])


def test_overlapping_cells_push_each_other_apart() -> None:
    first = _capsule(length=0.0)
    second = _capsule(length=0.0, centre=np.array([32.0, 34.0]), number=2)
    colony = _colony(cells=[first, second], turning=0.0)
    colony._push(rounds=40)
    assert np.hypot(*(first.centre - second.centre)) == pytest.approx(6, abs=0.3)
    # They go the same way in opposite directions, and remember it.
    np.testing.assert_allclose(first.centre + second.centre, [64, 66], atol=1e-6)
    np.testing.assert_allclose(first.moved, first.centre - [32, 32], atol=1e-6)


def test_cells_that_do_not_touch_stay() -> None:
    cells = [_capsule(), _capsule(centre=np.array([50.0, 32.0]), number=2)]
    colony = _colony(cells=cells, turning=0.0)
    colony._push()
    np.testing.assert_array_equal(cells[0].centre, [32, 32])
    np.testing.assert_array_equal(cells[1].centre, [50, 32])


def test_a_long_rod_becomes_two_with_new_numbers_in_the_same_place() -> None:
    colony = _colony(turning=0.0, next_number=7)
    parts = colony._divide(_capsule(length=20.0, limit=15.0))
    assert [part.number for part in parts] == [7, 8]
    # 20 + 2 caps of 3 = 26 pixels, now 2 x (7 + 2 caps of 3) = 26.
    assert [part.length for part in parts] == [7, 7]
    np.testing.assert_allclose(sorted(p.centre[1] for p in parts), [25.5, 38.5])


@pytest.mark.parametrize("kind", ["rods", "yeasts"])
def test_a_colony_grows_and_cells_keep_their_labels(kind: str) -> None:
    grown = []
    for seed in range(4):
        colony = _colony(kind, seed, 256, rate=0.1)
        before = colony.draw(np.zeros(2))
        for _ in range(6):
            colony.grow()
        after = colony.draw(np.zeros(2))
        grown.append((after > 0).sum() / (before > 0).sum())
        assert before.any()
        if kind == "yeasts":
            lasting = np.intersect1d(before[before > 0], after[after > 0])
            assert len(lasting) > 0.6 * len(np.unique(before[before > 0]))
    assert np.median(grown) > 1.15


def test_light_that_is_left_dims_fluorescence_and_not_phase_contrast() -> None:
    labels = np.zeros((64, 64), np.int32)
    labels[16:48, 16:48] = 1
    for style, share in (("fluorescence", 0.5), ("phase", 1.0)):
        look = random_look(np.random.default_rng(3), style, 64, 1)
        values = look.values.copy()
        values[19], values[21], values[23] = 1, 0.9, 1  # not saturated, not inverted
        look = expose(replace(look, values=values, exposure=None), labels)
        look = replace(look, exposure=(0.0, look.exposure[1] if look.exposure else 1))
        full = render(labels, look, np.random.default_rng(0)).mean()
        half = render(labels, replace(look, light=0.5), np.random.default_rng(0)).mean()
        assert half / full == pytest.approx(share, abs=0.05)
