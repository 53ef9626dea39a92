from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from sam2_core.training.examples.clicks import first_click, tight_box
from sam2_core.training.measuring.baselines import (
    Baseline,
    RandomWalker,
    ThresholdWatershed,
    classical_baselines,
)
from sam2_core.training.measuring.scores import mask_iou


def _two_discs(shift: int = 18) -> tuple[np.ndarray, np.ndarray]:
    """Bright blurred noisy discs of radius 12 on dark ground, and their labels."""
    y, x = np.mgrid[:96, :110]
    labels = np.zeros((96, 110), np.uint16)
    labels[(x - 40) ** 2 + (y - 45) ** 2 <= 144] = 1
    labels[((x - 40 - shift) ** 2 + (y - 50) ** 2 <= 144) & (labels == 0)] = 2
    clean = ndimage.gaussian_filter(np.where(labels > 0, 180.0, 30.0), 1)
    noise = np.random.default_rng(0).normal(0, 8, clean.shape)
    return np.clip(clean + noise, 0, 255).astype(np.uint8), labels


@pytest.mark.parametrize("inverted", [False, True], ids=["bright", "dark"])
@pytest.mark.parametrize(
    "method", classical_baselines(), ids=lambda method: method.name
)
def test_isolated_discs_are_found(method: Baseline, inverted: bool) -> None:
    image, labels = _two_discs(shift=35)
    if method.name == "threshold_fine":
        # Meant for objects smaller than its reach.
        image, labels = np.pad(image, 200, mode="symmetric"), np.pad(labels, 200)
    method.set_image(255 - image if inverted else image)
    for object_id in (1, 2):
        target = labels == object_id
        assert mask_iou(method.from_click(first_click(target)), target) > 0.8
        assert mask_iou(method.from_box(tight_box(target)), target) > 0.8


@pytest.mark.parametrize("method", ["otsu", "wide"])
def test_watershed_splits_touching_discs(method: str) -> None:
    image, labels = _two_discs()
    baseline = ThresholdWatershed(method)
    baseline.set_image(image)
    for object_id in (1, 2):
        target = labels == object_id
        assert mask_iou(baseline.from_click(first_click(target)), target) > 0.75


def test_local_threshold_survives_a_gradient_that_otsu_does_not() -> None:
    image, labels = _two_discs(shift=35)
    shaded = image / 4 + np.linspace(0, 400, image.shape[1])
    target = labels == 1
    found = {}
    for method in ("otsu", "wide"):
        baseline = ThresholdWatershed(method)
        baseline.set_image(shaded)
        found[method] = mask_iou(baseline.from_click(first_click(target)), target)
    assert found["otsu"] < 0.4
    assert found["wide"] > 0.55


def test_holes_of_the_clicked_component_are_filled() -> None:
    image, labels = _two_discs(shift=35)
    image[44:47, 39:42] = 30
    baseline = ThresholdWatershed("otsu")
    baseline.set_image(image)
    ring_click = first_click((labels == 1) & (image > 100))
    assert baseline.from_click(ring_click)[45, 40]


@pytest.mark.parametrize(
    "method", classical_baselines(), ids=lambda method: method.name
)
def test_colour_16_bit_and_constant_images_are_taken(method: Baseline) -> None:
    image, labels = _two_discs(shift=35)
    target = labels == 1
    click, box = first_click(target), tight_box(target)
    for data in (
        np.stack([image] * 3, axis=-1),
        image.astype(np.uint16) * 200,
        np.full_like(image, 7),
    ):
        method.set_image(data)
        for mask in (method.from_click(click), method.from_box(box)):
            assert mask.shape == image.shape
            assert mask.dtype == bool
            assert mask.any()


def test_random_walk_stays_in_the_box_and_in_one_piece() -> None:
    image, labels = _two_discs()
    target = labels == 2
    walker = RandomWalker()
    walker.set_image(image)
    x0, y0, x1, y1 = (int(side) for side in tight_box(target))
    mask = walker.from_box(tight_box(target))
    assert ndimage.label(mask)[1] == 1
    mask[y0 : y1 + 1, x0 : x1 + 1] = False
    assert not mask.any()


def test_random_walk_thins_large_windows() -> None:
    y, x = np.mgrid[:400, :400]
    target = (x - 200) ** 2 + (y - 190) ** 2 <= 120**2
    walker = RandomWalker()
    walker.set_image(np.where(target, 200, 20).astype(np.uint8))
    assert mask_iou(walker.from_box(tight_box(target)), target) > 0.93


def test_a_whole_image_as_box_is_taken() -> None:
    image, _ = _two_discs()
    height, width = image.shape
    for method in classical_baselines():
        method.set_image(image)
        assert method.from_box(np.array([0, 0, width - 1, height - 1])).any()


def test_an_unknown_threshold_is_refused() -> None:
    with pytest.raises(ValueError, match="middle"):
        ThresholdWatershed("middle")
