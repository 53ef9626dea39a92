"""Keys and shapes of all official variants, digested from the official state dicts."""

from __future__ import annotations

import zlib

import pytest
import torch

from sam2_core.config import VARIANTS
from sam2_core.nn.sam2 import Sam2

# Keys, elements, and CRC-32 of the sorted lines "key (shape)".
OFFICIAL = {
    "sam2.1_hiera_base_plus": (615, 80_850_434, "1299239c"),
    "sam2.1_hiera_large": (903, 224_446_898, "39e587af"),
    "sam2.1_hiera_small": (519, 46_060_610, "c24afbf5"),
    "sam2.1_hiera_tiny": (471, 38_962_754, "fd07d8ba"),
    "sam2_hiera_base_plus": (612, 80_833_922, "fe896892"),
    "sam2_hiera_large": (900, 224_430_386, "158aaf87"),
    "sam2_hiera_small": (516, 46_044_098, "992b27b5"),
    "sam2_hiera_tiny": (468, 38_946_242, "eda5bd85"),
}


@pytest.mark.parametrize("variant", OFFICIAL)
def test_keys_and_shapes_are_the_official_ones(variant):
    with torch.device("meta"):
        state = Sam2(VARIANTS[variant]).state_dict()
    lines = "\n".join(f"{key} {tuple(state[key].shape)}" for key in sorted(state))
    assert OFFICIAL[variant] == (
        len(state),
        sum(tensor.numel() for tensor in state.values()),
        f"{zlib.crc32(lines.encode()):08x}",
    )


def test_all_tensors_are_float32():
    with torch.device("meta"):
        state = Sam2(VARIANTS["sam2_nano"]).state_dict()
    assert {tensor.dtype for tensor in state.values()} == {torch.float32}
