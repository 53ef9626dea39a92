from __future__ import annotations

import numpy as np
import pytest
import torch

from sam2_core.training.examples.augment import (
    Warp,
    augment_intensity,
    orthogonal_matrix,
    random_bend,
    rotation_matrix,
    smooth_field,
    warp_images,
    warp_labels,
)


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("transpose", [False, True])
def test_quarter_turns_and_transposes_are_exact(turns: int, transpose: bool) -> None:
    image = np.random.default_rng(0).integers(0, 255, (1, 32, 32)).astype(np.uint8)
    warp = Warp((16, 16), orthogonal_matrix(turns, transpose), 32)
    pixels = (warp_images(image, warp)[0, 0].numpy() * 255).round().astype(int)
    labels = warp_labels(image.astype(np.int32), warp)[0]
    np.testing.assert_array_equal(pixels, labels)
    options = [np.rot90(base, k) for base in (image[0], image[0].T) for k in range(4)]
    assert sum(np.array_equal(labels, option) for option in options) == 1


def test_the_eight_orthogonal_matrices_differ() -> None:
    matrices = {
        tuple(orthogonal_matrix(turns, flip).round().ravel())
        for turns in range(4)
        for flip in (False, True)
    }
    assert len(matrices) == 8


@pytest.mark.parametrize("step", [0.25, 0.7, 1.0, 1.9, 3.6])
def test_labels_stay_on_their_object_under_any_warp(step: float) -> None:
    rows, columns = np.mgrid[:300, :300] + 0.5
    disc = np.hypot(rows - 140, columns - 170) < 40
    bend = random_bend(np.random.default_rng(1), 96, 2 * step)
    warp = Warp((140, 165), rotation_matrix(0.4) * step, 96, bend)
    shown = warp_images((disc * 255).astype(np.uint8)[None], warp)[0, 0].numpy()
    label = warp_labels(disc[None].astype(np.int16), warp)[0]
    assert label.any()
    differ = (shown > 0.5) != (label == 1)
    edge = (shown > 0.02) & (shown < 0.98)
    assert not (differ & ~edge).any()
    assert differ.mean() < 0.01


@pytest.mark.parametrize("angle", [0.0, 0.4, 2.0])
def test_a_place_of_the_source_is_shown_there(angle: float) -> None:
    labels = np.zeros((1, 200, 200), np.int16)
    labels[0, 90, 120] = 1
    warp = Warp((100, 110), rotation_matrix(angle) @ np.diag([0.3, 0.5]), 96)
    rows, columns = np.nonzero(warp_labels(labels, warp)[0])
    found = warp.place(np.array([90.5, 120.5]))
    np.testing.assert_allclose(found, (rows.mean(), columns.mean()), atol=0.5)


def test_reduction_averages() -> None:
    noise = np.random.default_rng(2).integers(0, 2, (1, 400, 400)) * 255
    warp = Warp((200, 200), np.eye(2) * 4, 64)
    shown = warp_images(noise.astype(np.uint8), warp)
    assert float(shown.std()) < 0.2
    assert float(shown.mean()) == pytest.approx(0.5, abs=0.02)


def test_outside_the_source_the_border_is_repeated() -> None:
    labels = np.zeros((1, 20, 20), np.int32)
    labels[:, :, 0] = 5
    moved = warp_labels(labels, Warp((10, -20), np.eye(2), 20))
    assert (moved == 5).all()


def test_smooth_field_of_equal_knots_is_constant() -> None:
    field = smooth_field(np.full((2, 6, 7), 3.0, np.float32), (40, 30))
    np.testing.assert_allclose(field, 3.0, rtol=1e-5)


def test_bend_is_still_at_the_border() -> None:
    bend = random_bend(np.random.default_rng(0), 64, 5.0)
    assert np.abs(bend[:, 0]).max() < 0.2
    assert np.abs(bend[:, 20:44, 20:44]).max() > 1


@pytest.mark.parametrize("channels", [1, 3])
def test_intensity_keeps_shape_and_objects_apart(channels: int) -> None:
    frames = torch.full((3, channels, 48, 48), 0.1)
    frames[:, :, 12:36, 12:36] = 0.8
    apart = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        result = augment_intensity(frames.clone(), rng).astype(float)
        assert result.shape == (3, 48, 48, 3)
        inner, outer = result[:, 16:32, 16:32], result[:, :8, :8]
        apart.append(np.abs(inner.mean((0, 1, 2)) - outer.mean((0, 1, 2))).max())
    assert np.mean(np.array(apart) > 30) > 0.9


def test_intensity_depends_on_the_generator_alone() -> None:
    frames = torch.rand((2, 3, 32, 32))
    results = [
        augment_intensity(frames.clone(), np.random.default_rng(seed))
        for seed in (4, 4, 5)
    ]
    np.testing.assert_array_equal(results[0], results[1])
    assert (results[0] != results[2]).any()
