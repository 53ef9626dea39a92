from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from sam2_core.errors import ImageError
from sam2_core.intensity import check_value_range, robust_range, to_rgb8


def expected_grey(value: float, low: float, high: float) -> int:
    """Exact arithmetic: nearest integer, halves to the even one."""
    clipped = min(max(Fraction(value), Fraction(low)), Fraction(high))
    return round(255 * (clipped - Fraction(low)) / (Fraction(high) - Fraction(low)))


@pytest.mark.parametrize(
    ("dtype", "value_range"),
    [
        (np.uint8, (10, 200)),
        (np.uint16, (0, 4095)),
        (np.uint16, (100, 65535)),
        (np.uint16, (60000, 60010)),
        (np.int16, (-32768, 32767)),
        (np.int32, (2_000_000_000, 2_000_000_300)),
        (np.uint32, (4_000_000_000, 4_294_967_295)),
        (np.uint64, (0, 2**40)),
        (np.int8, (-20, 20)),
    ],
)
def test_integers_are_mapped_exactly(dtype: Any, value_range: tuple[int, int]) -> None:
    info = np.iinfo(dtype)
    low, high = value_range
    values = np.unique(
        np.linspace(max(info.min, low - 5), min(info.max, high + 5), 500).astype(dtype)
    )
    grey = to_rgb8(values[None], value_range)[0, :, 0]
    assert grey.tolist() == [expected_grey(int(v), low, high) for v in values]
    assert grey[0] == 0
    assert grey[-1] == 255


def test_narrow_range_between_integers() -> None:
    """float32 would round these limits by several grey levels."""
    image = np.array([[60001, 60002]], np.uint16)
    for low in np.linspace(60000, 60001, 20):
        high = low + 1.7
        grey = to_rgb8(image, (low, high))[0, :, 0]
        assert grey.tolist() == [expected_grey(v, low, high) for v in (60001, 60002)]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4", ">f8"])
def test_floats_are_mapped_and_clipped(dtype: Any) -> None:
    image = np.array([[-1.0, 0.0, 0.25, 0.5], [0.75, 1.0, 7.0, 0.125]], dtype)
    grey = to_rgb8(image, (0.0, 1.0))[..., 0]
    # 63.75, 127.5, 191.25 and 31.875, rounded
    assert grey.tolist() == [[0, 0, 64, 128], [191, 255, 255, 32]]


@pytest.mark.parametrize("byte_order", ["<", ">"])
def test_byte_order_does_not_matter(byte_order: str) -> None:
    image = np.array([[0, 2048, 4095]], f"{byte_order}u2")
    assert to_rgb8(image, (0, 4095))[0, :, 0].tolist() == [0, 128, 255]


def test_uint8_rgb_is_taken_as_it_is() -> None:
    image = np.random.default_rng(0).integers(20, 90, (5, 6, 3), np.uint8)
    rgb = to_rgb8(image)
    np.testing.assert_array_equal(rgb, image)
    assert not np.shares_memory(rgb, image)


def test_alpha_is_dropped_and_does_not_count() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 1000, (50, 60, 4)).astype(np.uint16)
    image[..., 3] = 65535
    np.testing.assert_array_equal(to_rgb8(image), to_rgb8(image[..., :3]))
    dim = image.astype(np.uint8)
    np.testing.assert_array_equal(to_rgb8(dim), dim[..., :3])


def test_bool_becomes_black_and_white() -> None:
    assert to_rgb8(np.array([[True, False]]))[0].tolist() == [[255] * 3, [0] * 3]
    assert to_rgb8(np.array([[True, True]]))[0].tolist() == [[255] * 3] * 2


def test_dim_grey_uint8_is_stretched() -> None:
    image = np.tile(np.arange(10, 30, dtype=np.uint8), (20, 1))
    rgb = to_rgb8(image)
    assert (rgb.min(), rgb.max()) == (0, 255)
    assert np.all(np.diff(rgb[0, :, 0].astype(int)) > 0)


def test_grey_has_three_equal_channels_in_one_block() -> None:
    image = np.arange(12.0).reshape(3, 4)[:, ::-1]
    for shape in ((3, 4), (3, 4, 1)):
        rgb = to_rgb8(image.reshape(shape), (0, 11))
        assert rgb.shape == (3, 4, 3)
        assert rgb.dtype == np.uint8
        assert rgb.flags.c_contiguous
        assert rgb.flags.writeable
        np.testing.assert_array_equal(rgb[..., 0], rgb[..., 1])
        np.testing.assert_array_equal(rgb[..., 0], rgb[..., 2])
        assert rgb[0, :, 0].tolist() == [70, 46, 23, 0]


def test_twelve_bits_in_uint16_keep_their_grey_levels() -> None:
    ramp = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    grey = to_rgb8(ramp)[..., 0]
    assert len(np.unique(grey)) == 256
    saturated = np.mean((grey == 0) | (grey == 255))
    assert saturated < 0.01


def test_input_is_not_changed() -> None:
    image = np.array([[np.nan, 1.0], [2.0, np.inf]])
    before = image.copy()
    to_rgb8(image, (0, 2))
    np.testing.assert_array_equal(image, before)


def test_nan_and_infinity_do_not_spoil_the_range() -> None:
    image = np.linspace(0, 1, 10_000).reshape(100, 100)
    clean = to_rgb8(image)
    image[0, 0] = np.nan
    image[0, 1] = -np.inf
    image[-1, -1] = np.inf
    rgb = to_rgb8(image)
    assert rgb[0, 0, 0] == rgb[0, 1, 0] == 0
    assert rgb[-1, -1, 0] == 255
    assert np.abs(rgb.astype(int) - clean)[1:-1].max() <= 1


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 5)),
        np.full((4, 5), -7.5),
        np.full((4, 5), 40_000, np.uint16),
        np.full((4, 5), 200, np.uint8),
        np.full((4, 5), 1e30, np.float32),
        np.full((4, 5), np.nan),
        np.full((4, 5, 3), np.inf),
        np.array([[3.0]]),
    ],
)
def test_constant_images_are_black(image: np.ndarray) -> None:
    rgb = to_rgb8(image)
    assert rgb.shape == (*image.shape[:2], 3)
    expected = 255 if np.isposinf(image).all() else 0
    assert np.all(rgb == expected)


def test_constant_image_with_a_given_range() -> None:
    assert np.all(to_rgb8(np.full((2, 2), 5), (0, 10)) == 128)


@pytest.mark.parametrize("scale", [1e-300, 1e-40, 1e36, 1e300])
def test_extreme_floats(scale: float) -> None:
    image = np.array([[0.0, 0.2, 1.0]]) * scale
    assert to_rgb8(image, (0, scale))[0, :, 0].tolist() == [0, 51, 255]


def test_large_offset_in_float32() -> None:
    image = np.array([[1e6, 1e6 + 5, 1e6 + 10]], np.float32)
    assert to_rgb8(image, (1e6, 1e6 + 10))[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((0, 5)), "empty"),
        (np.zeros((5, 0, 3)), "empty"),
        (np.zeros(5), "shape"),
        (np.float64(3.0), "shape"),
        (np.zeros((5, 5, 2)), r"\(5, 5, 2\)"),
        (np.zeros((2, 5, 5, 3)), "shape"),
        (np.zeros((5, 5), complex), "complex128"),
        (np.zeros((5, 5), object), "object"),
        (np.full((5, 5), "a"), "numbers"),
        (np.zeros((5, 5), "datetime64[s]"), "numbers"),
        ([[1, 2], [3]], "rows"),
        (None, "numbers"),
    ],
)
def test_what_is_no_image_is_refused(image: Any, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        to_rgb8(image)


@pytest.mark.parametrize(
    "value_range",
    [(1, 1), (2, 1), (0, np.nan), (np.nan, 1), (0, np.inf), (-1e308, 1e308)],
)
def test_wrong_range_is_refused(value_range: tuple[float, float]) -> None:
    with pytest.raises(ImageError, match="low < high"):
        to_rgb8(np.zeros((2, 2)), value_range)


@pytest.mark.parametrize("value_range", [5, (1, 2, 3), ("a", "b"), (1,), (None, 1)])
def test_range_must_be_two_numbers(value_range: Any) -> None:
    with pytest.raises(ImageError, match="two numbers"):
        check_value_range(value_range)


def test_range_of_numpy_numbers_becomes_floats() -> None:
    low, high = check_value_range(np.array([1, 3], np.uint16))  # type: ignore[arg-type]
    assert (type(low), type(high), low, high) == (float, float, 1.0, 3.0)


def test_robust_range_are_the_percentiles_of_everything() -> None:
    stack = np.random.default_rng(1).normal(100, 20, (4, 30, 40))
    expected = np.quantile(stack, [0.001, 0.999])
    assert robust_range(stack) == pytest.approx(tuple(expected))


def test_robust_range_ignores_hot_pixels() -> None:
    stack = np.random.default_rng(1).integers(100, 200, (3, 100, 100)).astype(np.uint16)
    stack[:, 3, 3] = 65535
    assert robust_range(stack) == (100, 199)


def test_robust_range_shows_sparse_objects() -> None:
    """Objects on 0.5 % of the area: their brightness, not the background, is white."""
    rng = np.random.default_rng(2)
    image = rng.normal(100, 2, (200, 200))
    image[50:60, 50:70] = 1000
    low, high = robust_range([image])
    assert 90 < low < 100
    assert high == pytest.approx(1000)


def test_robust_range_sees_a_single_bright_pixel_on_nothing() -> None:
    image = np.zeros((100, 100), np.uint16)
    image[40, 50] = 300
    assert robust_range([image]) == (0, 300)


def test_robust_range_without_any_information() -> None:
    assert robust_range(np.full((2, 3, 3), 7)) == (7, 14)
    assert robust_range(np.zeros((2, 3, 3))) == (0, 1)
    assert robust_range(np.full((2, 3, 3), np.nan)) == (0, 1)


def test_robust_range_of_what_is_shown_as_it_is() -> None:
    assert robust_range(np.full((2, 3, 3, 3), 9, np.uint8)) == (0, 255)
    assert robust_range(np.zeros((2, 3, 3), bool)) == (0, 1)


class CountingImages:
    """Remembers which of its images were read."""

    def __init__(self, length: int, side: int = 8) -> None:
        self.length, self.side = length, side
        self.read: list[int] = []

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> np.ndarray:
        self.read.append(index)
        return np.full((self.side, self.side), index, np.uint16)


def test_robust_range_reads_a_few_evenly_spaced_images() -> None:
    images = CountingImages(1001)
    low, high = robust_range(images)
    assert len(images.read) == 16
    assert images.read == sorted(set(images.read))
    assert (images.read[0], images.read[-1]) == (0, 1000)
    gaps = np.diff(images.read)
    assert gaps.max() - gaps.min() <= 1
    assert low < 1
    assert high > 999


@pytest.mark.parametrize("length", [1, 2, 5, 16])
def test_robust_range_reads_each_image_of_a_short_stack_once(length: int) -> None:
    images = CountingImages(length)
    robust_range(images)
    assert images.read == list(range(length))


def test_robust_range_thins_large_images() -> None:
    """The sampled columns are the even ones, where the ramp ends at 998, not 999."""
    image = np.tile(np.arange(1000.0), (1000, 1))
    whole = robust_range([image], percentiles=(0, 100))
    thinned = robust_range([image], percentiles=(0, 100), max_pixels=250_000)
    assert whole == (0, 999)
    assert thinned == (0, 998)


def test_robust_range_needs_images() -> None:
    with pytest.raises(ImageError, match="no frames"):
        robust_range([])
    with pytest.raises(ImageError, match="complex"):
        robust_range(np.zeros((2, 3, 3), complex))
