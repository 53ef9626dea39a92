"""A SAM 2 so small that a test takes milliseconds; it means nothing by its masks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from golden import weight

from sam2_core.config import ModelConfig, TrunkConfig
from sam2_core.nn.sam2 import Sam2

MICRO = ModelConfig(
    name="micro",
    version="2.1",
    trunk=TrunkConfig(8, 1, (1, 1, 2, 1), (3,), (8, 4, 4, 4), (4, 4)),
    image_size=128,
    hidden_dim=32,
    memory_dim=8,
    memory_attention_layers=1,
    memory_attention_ffn=32,
    decoder_heads=4,
    decoder_ffn=32,
    fill_hole_area=0,
)


def micro_model(seed: int = 0, **options) -> Sam2:
    """Deterministic weights; `options` are fields of ModelConfig."""
    model = Sam2(replace(MICRO, **options))
    model.load_state_dict(
        {
            key: torch.from_numpy(weight(key, tuple(tensor.shape), seed))
            for key, tensor in model.state_dict().items()
        }
    )
    return model.eval().requires_grad_(False)


def moving_disc(num_frames: int = 6, hw: tuple[int, int] = (40, 56)) -> np.ndarray:
    """(T, H, W, 3) uint8 of a bright disc that walks to the right over noise."""
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 90, (num_frames, *hw, 3), dtype=np.uint8)
    y, x = np.mgrid[: hw[0], : hw[1]]
    for t, frame in enumerate(frames):
        frame[(y - hw[0] // 2) ** 2 + (x - 12 - 4 * t) ** 2 < 64] = 220
    return frames
