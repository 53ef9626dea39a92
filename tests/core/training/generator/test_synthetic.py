from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import ndimage

from sam2_core.errors import ImageError
from sam2_core.training.generator.layouts import LAYOUT_WEIGHTS, LAYOUTS
from sam2_core.training.generator.rendering import STYLES_OF_LAYOUT
from sam2_core.training.generator.shapes import boundary_distance
from sam2_core.training.generator.styles import STYLES
from sam2_core.training.generator.synthetic import generate_image, generate_pool
from sam2_core.training.generator.synthetic_stacks import (
    KINDS,
    generate_stack,
    generate_stack_pool,
)

if TYPE_CHECKING:
    from pathlib import Path

CASES = [(layout, style) for layout, s in STYLES_OF_LAYOUT.items() for style in set(s)]


def test_every_layout_has_known_styles() -> None:
    assert set(STYLES_OF_LAYOUT) == set(LAYOUTS) == set(LAYOUT_WEIGHTS)
    assert {style for _, style in CASES} == set(STYLES)


@pytest.mark.parametrize(("layout", "style"), sorted(CASES))
def test_image_and_labels_fit_together(layout: str, style: str) -> None:
    image, labels = generate_image(np.random.default_rng(1), 96, layout, style)
    assert image.dtype == np.uint8
    assert labels.dtype == np.int32
    assert image.shape[:2] == labels.shape == (96, 96)
    assert image.ndim == (3 if style in ("stain", "two_channel") else 2)
    assert image.std() > 1
    numbers = np.unique(labels[labels > 0])
    assert len(numbers)
    for number in numbers[:10]:
        mask = labels == number
        assert mask.sum() >= 16
        assert ndimage.label(mask)[1] == 1


def test_nuclei_are_brighter_or_darker_than_what_is_around_them() -> None:
    apart = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        image, labels = generate_image(rng, 128, "nuclei", "fluorescence")
        inside = labels > 0
        spread = image[~inside].std() + 1
        apart.append(abs(image[inside].mean() - image[~inside].mean()) / spread)
    assert np.median(apart) > 1.5


def test_same_state_same_image() -> None:
    pairs = [generate_image(np.random.default_rng(7), 96) for _ in range(2)]
    np.testing.assert_array_equal(pairs[0][0], pairs[1][0])
    np.testing.assert_array_equal(pairs[0][1], pairs[1][1])
    other, _ = generate_image(np.random.default_rng(8), 96)
    assert other.shape != pairs[0][0].shape or (other != pairs[0][0]).any()


def test_boundary_distance_counts_from_both_sides() -> None:
    labels = np.zeros((5, 10), np.int32)
    labels[:, 5:] = 1
    expected = [4, 3, 2, 1, 0, 0, 1, 2, 3, 4]
    np.testing.assert_array_equal(boundary_distance(labels)[2], expected)


def test_pool_is_read_back_from_the_cache(tmp_path: Path) -> None:
    first = generate_pool(3, size=64, seed=1, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    made = file.stat().st_mtime_ns
    again = generate_pool(3, size=64, seed=1, cache=tmp_path)
    assert file.stat().st_mtime_ns == made
    for a, b in zip(first, again, strict=True):
        assert a.set_name == "synthetic"
        np.testing.assert_array_equal(a.image, b.image)
        np.testing.assert_array_equal(a.labels, b.labels)


def test_an_image_does_not_depend_on_the_size_of_its_pool() -> None:
    few, more = generate_pool(2, size=64, seed=1), generate_pool(3, size=64, seed=1)
    np.testing.assert_array_equal(few[1].image, more[1].image)


def test_broken_cache(tmp_path: Path) -> None:
    generate_pool(1, size=64, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(b"PK broken")
    with pytest.raises(ImageError, match="delete it"):
        generate_pool(1, size=64, cache=tmp_path)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_stack_frames_continue_each_other(kind: str) -> None:
    images, labels, axis = generate_stack(np.random.default_rng(3), 96, 6, kind)
    assert axis == ("z" if kind in ("bodies", "packed") else "t")
    assert images.shape[:3] == labels.shape == (6, 96, 96)
    both = (labels[1:] > 0) & (labels[:-1] > 0)
    assert (labels[1:] == labels[:-1])[both].mean() > 0.6
    assert (labels[1:] != labels[:-1]).any()


def test_stack_pool_is_read_back_from_the_cache(tmp_path: Path) -> None:
    first = generate_stack_pool(2, size=64, length=3, cache=tmp_path)
    again = generate_stack_pool(2, size=64, length=3, cache=tmp_path)
    assert [stack.axis for stack in first] == ["t", "z"]
    for a, b in zip(first, again, strict=True):
        assert (a.name, a.set_name, a.axis) == (b.name, b.set_name, b.axis)
        np.testing.assert_array_equal(a.images, b.images)
        np.testing.assert_array_equal(a.labels, b.labels)
