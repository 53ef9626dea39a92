"""Record what the original `sam2` 1.1.0 answers to the calls of `replay_logs.py`.

    PYTHONPATH=. python tests/core/record_replays.py

in an environment of its own with `sam2`, and with this repository on the path only for
the deterministic weights. Nothing of this runs with the tests.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import golden
import numpy as np
import torch
from replay_logs import FOLDER, LOGS, OPTIONS, SIZE, Player
from sam2.build_sam import build_sam2, build_sam2_video_predictor
from sam2.modeling.memory_attention import MemoryAttention
from sam2.sam2_image_predictor import SAM2ImagePredictor

CONFIG = "configs/sam2.1/sam2.1_hiera_t.yaml"


def attend_in_float32() -> None:
    """Memories are bfloat16, which the original only survives under autocast."""
    attend = MemoryAttention.forward

    def forward(self, curr, memory, *args, **kwargs):
        return attend(self, curr, memory.float(), *args, **kwargs)

    MemoryAttention.forward = forward


def main() -> None:
    torch.set_num_threads(1)
    attend_in_float32()
    for name, log in LOGS.items():
        with tempfile.TemporaryDirectory() as folder:
            where = Path(folder)

            def weights(seed: int, where: Path = where) -> str:
                file = where / "weights.pt"
                state = golden.state_dict("sam2.1_hiera_tiny", seed)
                torch.save({"model": state}, file)
                return str(file)

            def image(seed: int, weights=weights) -> SAM2ImagePredictor:
                model = build_sam2(CONFIG, weights(seed), "cpu", "eval", [*OPTIONS])
                predictor = SAM2ImagePredictor(model)
                # Written down in the original for an input of 1024.
                predictor._bb_feat_sizes = [(SIZE // s, SIZE // s) for s in (4, 8, 16)]
                return predictor

            def video(seed: int, weights=weights):
                return build_sam2_video_predictor(
                    CONFIG, weights(seed), "cpu", "eval", [*OPTIONS]
                )

            play = Player(image, video, where / "frames")
            with torch.inference_mode():
                log(play)
        FOLDER.mkdir(exist_ok=True)
        np.savez_compressed(FOLDER / f"{name}.npz", **play.kept)


if __name__ == "__main__":
    main()
