"""How far a reduced precision drifts from float32, as IoU of the masks.

    python benchmarks/bf16_drift.py [--dtype bfloat16] [--device cpu] [--weights FILE]

By default the recorded prompts of the test suite are answered with its deterministic
weights, whose masks hang by a thread (their logits cross zero often), so that this is a
hard case; `--weights` takes a trained checkpoint or the name of a model instead.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "core"))
from golden import Golden, inputs

from sam2_core.image import ImagePredictor
from sam2_core.models import load_model

CASE = "sam2.1_hiera_t/image"


def prompts(golden: Golden) -> list[dict]:
    """Prompts of the recorded calls on the first image that stand alone."""
    found = []
    for call in golden.log["calls"][1:]:
        if call["call"] != "predict":
            break
        args = dict(call["args"])
        plain = not {"mask_input", "normalize_coords", "return_logits"} & args.keys()
        if plain and np.ndim(args.get("point_coords", ())) < 3 and len(args) > 1:
            found.append(args)
    return [p for p in found if np.max(p.get("point_coords", 0)) < 449]


def answers(weights: str, device: str, dtype: str, golden: Golden) -> list:
    predictor = ImagePredictor(load_model(weights, device=device, dtype=dtype))
    predictor.set_image(inputs()["photo"])
    return [predictor.predict(**args) for args in prompts(golden)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--weights", help="file or model name")
    options = parser.parse_args()
    golden = Golden.load(CASE)
    with tempfile.TemporaryDirectory() as folder:
        weights = options.weights
        if weights is None:
            weights = str(Path(folder) / "recorded.pt")
            torch.save({"model": golden.weights}, weights)
        exact = answers(weights, options.device, "float32", golden)
        reduced = answers(weights, options.device, options.dtype, golden)
    ious = []
    print(
        "prompt                          mask IoU (each mask)   max |logit difference|"
    )
    for args, one, other in zip(prompts(golden), exact, reduced, strict=True):
        both = (one.masks & other.masks).sum((-2, -1))
        either = (one.masks | other.masks).sum((-2, -1))
        iou = np.where(either, both / np.maximum(either, 1), 1.0).ravel()
        ious += iou.tolist()
        kind = " + ".join(k for k in ("box", "point_coords") if args.get(k) is not None)
        numbers = " ".join(f"{value:.4f}" for value in iou)
        worst = np.abs(one.logits - other.logits).max()
        print(f"{kind:<22} {iou.size} mask(s)  {numbers:<24} {worst:.2f}")
    print(f"mean IoU {np.mean(ious):.4f}, lowest {np.min(ious):.4f}")


if __name__ == "__main__":
    main()
