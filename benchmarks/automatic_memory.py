"""How much memory everything mode needs beyond the model.

    python benchmarks/automatic_memory.py [--model sam2_nano] [--size 2048]
        [--points-per-side 32] [--every-mask]

A process of its own loads the model, then looks for everything in an image of many
discs; what its resident memory grows by at the peak is reported (Linux). `--every-mask`
is the worst case: random weights, whose masks are noise all over the image, and every
mask is kept, whatever its quality.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

LIMIT = 2 * 10**9


def picture(size: int) -> np.ndarray:
    """Bright discs of several sizes on a noisy ground, (size, size) uint8."""
    rng = np.random.default_rng(0)
    image = rng.integers(10, 60, (size, size), dtype=np.uint8)
    for _ in range(600):
        x, y = rng.integers(0, size, 2)
        radius = int(rng.integers(size // 150, size // 40))
        top, left = max(0, y - radius), max(0, x - radius)
        part = image[top : y + radius + 1, left : x + radius + 1]
        rows, columns = np.mgrid[: part.shape[0], : part.shape[1]]
        inside = (rows + top - y) ** 2 + (columns + left - x) ** 2 <= radius**2
        part[inside] = rng.integers(120, 250)
    return image


def resident(field: str) -> int:
    """Bytes of VmRSS (now) or VmHWM (peak) of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise SystemExit("This computer does not tell the memory of a process.")


def measure(options: argparse.Namespace) -> dict[str, float]:
    import torch

    from sam2_core import AutomaticMaskGenerator, build_model, load_model

    thresholds = {}
    if not options.every_mask:
        model = load_model(options.model, device="cpu", dtype="float32")
    else:
        torch.manual_seed(0)
        model = build_model(options.model).eval()
        thresholds = {
            "pred_iou_thresh": 0.0,
            "stability_score_thresh": 0.0,
            "box_nms_thresh": 1.0,
            "output_mode": "coco_rle",
        }
    generator = AutomaticMaskGenerator(
        model, points_per_side=options.points_per_side, **thresholds
    )
    image = picture(options.size)
    before = resident("VmRSS")
    start = time.perf_counter()
    masks = generator.generate(image)
    return {
        "seconds": time.perf_counter() - start,
        "bytes": resident("VmHWM") - before,
        "before": before,
        "masks": len(masks),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="sam2_nano")
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--points-per-side", type=int, default=32)
    parser.add_argument("--every-mask", action="store_true")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        print(json.dumps(measure(options)))
        return
    command = [sys.executable, __file__, *sys.argv[1:], "--inside"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    result = json.loads(done.stdout)
    print(
        f"{options.model}, {options.points_per_side**2} prompts on {options.size} x "
        f"{options.size}: {result['masks']} masks, {result['seconds']:.0f} s, peak "
        f"{result['bytes'] / 1e6:.0f} MB beyond the {result['before'] / 1e6:.0f} MB of "
        f"the process with its model and image (limit {LIMIT / 1e6:.0f} MB)"
    )
    sys.exit(result["bytes"] > LIMIT)


if __name__ == "__main__":
    main()
