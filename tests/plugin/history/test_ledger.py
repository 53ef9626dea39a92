"""Areas of labels, kept by differences, against counting them."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Labels

from napari_sam2 import _labels
from napari_sam2.history import _ledger
from napari_sam2.history._ledger import Ledger, count_labels, count_plane


def truth(data):
    """{place: {label: pixels}} by looking at every pixel."""
    found = {}
    for place in np.ndindex(*data.shape[:-2]):
        ids, counts = np.unique(data[place], return_counts=True)
        found[place] = {int(i): int(n) for i, n in zip(ids, counts, strict=True) if i}
    return found


def counted(data):
    ledger = Ledger()
    for place in np.ndindex(*data.shape[:-2]):
        ledger.count(place, count_labels(data[place]))
    return ledger


def check(ledger, data):
    expected = truth(data)
    assert {place: ledger.on(place) for place in expected} == expected
    ids = {i for counts in expected.values() for i in counts}
    assert ledger.ids == sorted(ids)
    for i in ids:
        assert ledger.places(i) == [p for p, counts in expected.items() if i in counts]
        assert ledger.extent(i) == len(ledger.places(i))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64])
def test_counting(dtype):
    data = np.random.default_rng(0).integers(0, 5, (3, 8, 9)).astype(dtype)
    check(counted(data), data)


def test_huge_labels_are_counted_too():
    plane = np.array([[0, 4_000_000_000], [7, 7]], np.uint32)
    assert count_labels(plane) == {4_000_000_000: 1, 7: 2}


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.int64])
def test_pixels_below_0_are_nobodys_and_hide_nobody(dtype):
    data = np.array([[[0, -1, 3, 3], [-1, -1, -7, 0], [2, -1, 0, 3]]], dtype)
    assert count_labels(data[0]) == {2: 1, 3: 3}
    layer, ledger = Labels(data.copy()), counted(data)
    ids = np.zeros((3, 4), np.uint32)
    ids[0] = 5
    patch = _labels.write_plane(layer, (1, 2), (0,), ids, [5])
    np.testing.assert_array_equal(layer.data[0, 0], [5, 5, 3, 3])  # background goes
    ledger.take(patch)
    assert ledger.on((0,)) == {2: 1, 3: 3, 5: 2}
    ledger.take(_labels.replay(layer, patch, back=True))
    assert ledger.on((0,)) == {2: 1, 3: 3}
    np.testing.assert_array_equal(layer.data, data)


def test_numbers_of_64_bits_without_a_sign_are_counted():
    assert count_labels(np.array([[0, 4], [4, 9]], np.uint64)) == {4: 2, 9: 1}


def test_only_reading_may_fail_silently(monkeypatch):
    def broken(plane):
        raise TypeError

    monkeypatch.setattr(_ledger, "count_labels", broken)
    assert count_plane(None, (0,)) == {}
    with pytest.raises(TypeError):
        count_plane(np.zeros((1, 2, 2), int), (0,))


@pytest.mark.parametrize(("plane", "position"), [((1, 2), (1,)), ((0, 2), (3,))])
def test_patches_in_any_plane(plane, position):
    rng = np.random.default_rng(1)
    layer = Labels(rng.integers(0, 4, (3, 8, 9)).astype(np.uint16))
    ledger = counted(layer.data)
    shape = tuple(layer.data.shape[i] for i in plane)
    ids = np.where(rng.random(shape) < 0.5, 2, 0).astype(np.uint32)
    patch = _labels.write_plane(layer, plane, position, ids, [2], keep_others=False)
    ledger.take(patch)
    check(ledger, layer.data)
    ledger.take(_labels.replay(layer, patch, back=True))
    check(ledger, layer.data)


def test_four_dimensions():
    layer = Labels(np.zeros((2, 3, 6, 7), np.uint8))
    ledger = counted(layer.data)
    ids = np.zeros((6, 7), np.uint32)
    ids[1:3, 2:5] = 9
    ledger.take(_labels.write_plane(layer, (2, 3), (1, 2), ids, [9]))
    assert ledger.places(9) == [(1, 2)]
    assert ledger.area(9, (1, 2)) == 6
    check(ledger, layer.data)
