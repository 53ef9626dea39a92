from __future__ import annotations

import numpy as np

from sam2_core.training.generator.motion import advance, population


def test_division_gives_two_new_labels_beside_the_mother() -> None:
    rng = np.random.default_rng(0)
    bodies, free = population(rng, 128)
    mothers = list(bodies)
    daughters, after = advance(rng, bodies, free, 0.2, division=1.0)
    assert len(daughters) == 2 * len(mothers)
    assert after == free + 2 * len(mothers)
    numbers = [body.number for body in daughters]
    assert numbers == list(range(free, after))
    for index, mother in enumerate(mothers):
        pair = daughters[2 * index : 2 * index + 2]
        middle = (pair[0].centre + pair[1].centre) / 2
        np.testing.assert_allclose(middle, mother.centre)
        assert np.linalg.norm(pair[0].centre - pair[1].centre) > 1


def test_without_division_bodies_keep_labels_and_move_by_their_velocity() -> None:
    rng = np.random.default_rng(1)
    bodies, free = population(rng, 128)
    before = {body.number: body.centre.copy() for body in bodies}
    bodies, after = advance(rng, bodies, free, 0.0, division=0.0)
    assert after == free
    for body in bodies:
        moved = body.centre - before[body.number]
        np.testing.assert_allclose(moved, body.velocity)
        np.testing.assert_allclose(body.moved, moved)
