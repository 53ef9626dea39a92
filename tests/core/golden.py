"""Recorded outputs of the original SAM 2 code, and what is needed to reproduce them.

The weights are no trained ones: every tensor is a pure function of its name and shape,
so that no checkpoint is needed. `sam2_core.compat` replays the recorded calls.

A few quick cases run with the suite. All that are in tests/data, and all in any other
folder of recordings:

    pytest tests/core -k parity -m ""
    SAM2_GOLDENS=/path/to/goldens pytest tests/core -k parity -m "" --timeout 3600

SAM2_GOLDENS_DEVICE=cuda runs them on a GPU, in plain float32.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from sam2_core.config import VARIANTS
from sam2_core.nn.sam2 import Sam2

FOLDER = Path(__file__).parents[1] / "data" / "goldens"
ALL = Path(os.environ.get("SAM2_GOLDENS", FOLDER))
DEVICE = os.environ.get("SAM2_GOLDENS_DEVICE", "cpu")
torch.backends.cudnn.allow_tf32 = False  # the recordings are in float32
VARIANT_OF = {
    f"{prefix}_hiera_{short}": f"{prefix}_hiera_{size}"
    for prefix in ("sam2", "sam2.1")
    for short, size in (
        ("t", "tiny"),
        ("s", "small"),
        ("b+", "base_plus"),
        ("l", "large"),
    )
}

# Absolute; between 1 and 2 threads the original differs by a quarter of this.
TOLERANCE = {
    "low": 5e-3,
    "iou": 1e-4,
    "obj_score": 1e-3,
    "obj_ptr": 5e-3,
    "maskmem": 6e-2,
    "tensor": 1e-3,
    "flipped": 2e-4,  # fraction of pixels
}


def array(value, dtype=None) -> np.ndarray:
    """A tensor of any device, or what is an array already."""
    value = value.cpu() if isinstance(value, torch.Tensor) else value
    return np.asarray(value, dtype)


def unit(key: str, n: int, seed: int = 0) -> np.ndarray:
    """`n` float64 values of mean 0 and deviation 1 that depend on `key` only."""
    golden, mask = 0x9E3779B97F4A7C15, (1 << 64) - 1
    start = (zlib.crc32(key.encode()) + (seed << 32)) * golden & mask
    z = np.arange(1, n + 1, dtype=np.uint64) * np.uint64(golden)
    z += np.uint64(start)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        z ^= z >> np.uint64(shift)
        z *= np.uint64(factor)
    z ^= z >> np.uint64(31)
    lanes = sum(
        (z >> np.uint64(shift)) & np.uint64(0xFFFF) for shift in (0, 16, 32, 48)
    )
    return (lanes.astype(np.float64) - 131070.0) / 37837.0


# First match wins: pattern, mean, deviation; a negative deviation is divided by the
# root of the fan-in.
RULES = [
    (r"^closeup\.first\.", 0, 0),  # first answers like all others
    (r"positional_encoding_gaussian_matrix$", 0, 1),
    (r"(pos_embed|pos_embed_window)$", 0, 0.5),
    (r"(no_obj_ptr|no_obj_embed_spatial)$", 0, 3),
    (r"(maskmem_tpos_enc|no_mem_pos_enc|no_mem_embed)$", 0, 1),
    (r"(point_embeddings\.\d|not_a_point_embed|no_mask_embed|iou_token|mask_tokens|"
     r"obj_score_token)\.?(\w+)?$", 0, 1),
    (r"pred_obj_score_head\.layers\.2\.bias$", 6, 0),
    (r"pred_obj_score_head\.layers\.2\.weight$", 0, -1.5),
    (r"iou_prediction_head\.layers\.2\.bias$", 0.5, 0.5),
    (r"iou_prediction_head\.layers\.2\.weight$", 0, -2),
    (r"output_hypernetworks_mlps\.\d\.layers\.2\.weight$", 0, -4),
    (r"sam_mask_decoder\.transformer\..*cross.*\.(q_proj|k_proj)\.weight$", 0, -1.5),
    (r"sam_mask_decoder\.transformer\..*cross.*\.out_proj\.weight$", 0, -3),
    (r"sam_mask_decoder\.transformer\..*self_attn\.out_proj\.weight$", 0, -2),
    (r"sam_prompt_encoder\.mask_downscaling\.6\.weight$", 0, -3),
    (r"memory_encoder\.pix_feat_proj\.weight$", 0, -0.25),
    (r"memory_encoder\.mask_downsampler\.encoder\.12\.weight$", 0, -3),
    (r"cross_attn_image\.(q_proj|k_proj)\.weight$", 0, -1),
    (r"cross_attn_image\.out_proj\.weight$", 0, -3),
    (r"obj_ptr_proj\.layers\.2\.weight$", 0, -12),
    (r"(norm\d?|norm_final_attn)\.weight$", 1, 0.1),
    (r"(norm\d?|norm_final_attn)\.bias$", 0, 0.1),
    (r"(output_upscaling\.1|mask_downscaling\.(1|4)|"
     r"mask_downsampler\.encoder\.(1|4|7|10))\.weight$", 1, 0.1),
    (r"fuser\.layers\.\d\.gamma$", 0.5, 0.1),
    (r"\.bias$", 0, 0.1),
    (r"\.weight$", 0, -1),
]  # fmt: skip


def weight(key: str, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    mean, std = next((m, s) for pattern, m, s in RULES if re.search(pattern, key))
    if std < 0:
        transposed = (
            re.search(r"output_upscaling\.\d+\.weight$", key) and len(shape) == 4
        )
        fan_in = shape[0] if transposed else int(np.prod(shape[1:]))
        std = -std / fan_in**0.5
    values = mean + std * unit(key, int(np.prod(shape)), seed)
    return values.astype(np.float32).reshape(shape)


@lru_cache(maxsize=1)
def _filled(variant: str, seed: int) -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        shapes = {
            k: tuple(v.shape) for k, v in Sam2(VARIANTS[variant]).state_dict().items()
        }
    return {k: torch.from_numpy(weight(k, s, seed)) for k, s in shapes.items()}


def state_dict(
    variant: str, seed: int = 0, overrides: dict[str, float] | None = None
) -> dict[str, torch.Tensor]:
    """Weights of a variant; `overrides` are added to the tensors they name."""
    filled = dict(_filled(variant, seed))
    for key, value in (overrides or {}).items():
        filled[key] = filled[key] + np.float32(value)
    return filled


def checksum(weights: dict[str, torch.Tensor]) -> str:
    crc = 0
    for key in sorted(weights):
        crc = zlib.crc32(key.encode(), crc)
        crc = zlib.crc32(np.ascontiguousarray(weights[key].numpy()).tobytes(), crc)
    return f"{crc:08x}"


@lru_cache(maxsize=1)
def inputs() -> dict[str, np.ndarray]:
    with np.load(ALL / "inputs.npz") as arrays:
        return {name: arrays[name] for name in arrays}


def cases(kind: str, folder: Path = ALL) -> list[str]:
    """Names like "sam2.1_hiera_t/video_point1" of the recorded cases of a kind."""
    found = sorted(folder.glob(f"*/{kind}*.json"))
    return [f"{path.parent.name}/{path.stem}" for path in found]


@dataclass
class Golden:
    """One recorded case: the log of its calls and the arrays that came out."""

    log: dict
    arrays: dict[str, np.ndarray]

    @classmethod
    def load(cls, name: str, folder: Path = ALL) -> Golden:
        with np.load(folder / f"{name}.npz") as arrays:
            kept = {key: arrays[key] for key in arrays}
        return cls(json.loads((folder / f"{name}.json").read_text()), kept)

    @property
    def variant(self) -> str:
        return VARIANT_OF[self.log["config"]]

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        return state_dict(
            self.variant, self.log["weights_seed"], self.log.get("weight_overrides")
        )

    def check_close(self, key: str, value, expected: str, kind: str) -> None:
        want = self.arrays[f"{key}.{expected}"]
        got = array(value, np.float64).reshape(want.shape)
        worst = np.abs(got - want).max()
        assert worst <= TOLERANCE[kind], f"{key}.{expected} is off by {worst:.3g}"

    def check_memory(self, key: str, value) -> None:
        """Spatial memories, where a pixel on the threshold may fall to either side.

        On a CPU with AVX512, like the one of the recordings, none is off; on one
        without, a few are.
        """
        want = self.arrays[f"{key}.maskmem_sub"]
        off = np.abs(array(value)[:, ::4, ::8, ::8] - want) > TOLERANCE["maskmem"]
        assert off.mean() <= 0.01, f"{key}: {off.mean():.2%} of the memory is off"

    def check_tensor(self, key: str, value) -> None:
        """A tensor, of which a strided part and a projection of all were recorded."""
        value = array(value)
        steps = self.log["info"][f"{key}.strides"]
        part = value[tuple(slice(None, None, step) for step in steps)]
        self.check_close(key, part, "sub", "tensor")
        weights = unit(f"proj:{key.split('.')[-1]}", value.size)
        projection = (value.ravel() * weights).sum()
        want = self.arrays[f"{key}.stats"][4]
        assert abs(projection / value.size**0.5 - want) <= 2e-2, key

    def check_low(self, key: str, logits) -> None:
        logits = array(logits)
        self.check_close(key, logits[..., ::4, ::4], "low_sub4", "low")
        self.check_bits(key, logits > 0, "low_bits")

    def check_bits(self, key: str, mask, expected: str) -> None:
        mask = array(mask, bool)
        bits = np.unpackbits(self.arrays[f"{key}.{expected}"])[: mask.size]
        flipped = (bits.astype(bool) != mask.ravel()).mean()
        assert flipped <= TOLERANCE["flipped"], (
            f"{key}.{expected}: {flipped:.2%} flipped"
        )
