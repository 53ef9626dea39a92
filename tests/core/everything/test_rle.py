from __future__ import annotations

import numpy as np
import pytest

from sam2_core.everything.rle import counts_to_string, mask_to_counts


def decoded(text: str) -> list[int]:
    """COCO's text read back, character by character."""
    counts: list[int] = []
    value = shift = 0
    for character in text:
        code = ord(character) - 48
        value |= (code & 31) << shift
        shift += 5
        if code & 32:
            continue
        if code & 16:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    return counts


def test_columns_first_and_background_first() -> None:
    mask = np.array([[0, 1, 1], [0, 0, 1]], bool)
    assert mask_to_counts(mask) == [2, 1, 1, 2]
    assert mask_to_counts(~mask) == [0, 2, 1, 1, 2]
    assert mask_to_counts(np.zeros((2, 3), bool)) == [6]
    assert mask_to_counts(np.ones((2, 3), bool)) == [0, 6]


def test_a_known_text() -> None:
    assert counts_to_string([6, 1, 40, 4, 5, 4, 5, 4, 21]) == "61X13mN000`0"


@pytest.mark.parametrize("density", [0.001, 0.1, 0.9])
def test_text_can_be_read_back(density: float) -> None:
    mask = np.random.default_rng(1).random((211, 307)) < density
    counts = mask_to_counts(mask)
    assert sum(counts) == mask.size
    assert decoded(counts_to_string(counts)) == counts
    values = np.repeat(np.arange(len(counts)) % 2, counts).astype(bool)
    np.testing.assert_array_equal(values.reshape(307, 211).T, mask)
