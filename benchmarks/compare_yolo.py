"""SAM 2 tiny, our bundled model and YOLOv8n-seg beside each other, in one run.

    python benchmarks/compare_yolo.py [--repeats 5] [--grid 16] [--device cpu]
        [--out docs/performance/compare_yolo.md]

Speed does not depend on what the weights are worth, so SAM 2 tiny and YOLO run with
random ones; YOLO's architecture comes from the package ultralytics (AGPL-3.0), and its
column is left out with a reason where that is not installed. The models take turns, so
that whatever else the machine does meets all of them; medians are reported.
"""

from __future__ import annotations

import argparse
import importlib.util
import platform
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from sam2_core import AutomaticMaskGenerator, ImagePredictor, build_model, load_model
from sam2_core.weights import CHECKPOINTS

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]
SIDE = 640  # YOLO's usual input; SAM 2 scales it to its own


@dataclass
class Contestant:
    """A model and its timed jobs: name of the job to something to call."""

    name: str
    megabytes: float
    parameters: int
    jobs: dict[str, Callable[[], object]]
    seconds: dict[str, list[float]] = field(default_factory=dict)


def picture() -> np.ndarray:
    """Bright discs on dark ground, (640, 640, 3) uint8."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    image = rng.integers(10, 50, (SIDE, SIDE)).astype(np.uint8)
    for y, x in rng.integers(20, SIDE - 20, (60, 2)):
        radius = rng.integers(8, 25)
        image[(rows - y) ** 2 + (columns - x) ** 2 <= radius**2] = 200
    return np.repeat(image[..., None], 3, axis=2)


def sam2(name: str, bundled: bool, device: str, grid: int) -> Contestant:
    """One of ours, with the jobs that a user waits for."""
    if bundled:
        model = load_model(name, device=device, dtype="float32")
        size = (ROOT / "sam2_core/bundled" / f"{name}.safetensors").stat().st_size
    else:
        torch.manual_seed(0)
        model = build_model(name).eval().to(device)
        size = CHECKPOINTS[name].bytes
    image = picture()
    predictor = ImagePredictor(model)
    predictor.set_image(image)
    point = [[SIDE / 2, SIDE / 2]]
    boxes = np.array([[x, x, x + 60, x + 60] for x in range(0, 576, 64)])
    everything = AutomaticMaskGenerator(model, points_per_side=grid)
    return Contestant(
        name,
        size / 1e6,
        sum(p.numel() for p in model.parameters()),
        {
            "encode": lambda: predictor.set_image(image),
            "click": lambda: predictor.predict(point_coords=point),
            "9 boxes": lambda: predictor.predict(box=boxes, multimask_output=False),
            "everything": lambda: everything.generate(image),
        },
    )


def yolo(device: str) -> Contestant:
    """YOLOv8n-seg with random weights: one pass over the image gives all objects."""
    from ultralytics.nn.tasks import SegmentationModel

    model = SegmentationModel("yolov8n-seg.yaml", ch=3, nc=80, verbose=False)
    model = model.eval().to(device)
    with tempfile.TemporaryDirectory() as folder:
        # Their files hold half precision.
        file = Path(folder) / "half.pt"
        half = {key: value.half() for key, value in model.state_dict().items()}
        torch.save(half, file)
        size = file.stat().st_size
    parameters = sum(p.numel() for p in model.parameters())
    model = model.fuse(verbose=False)
    pixels = torch.from_numpy(picture()).permute(2, 0, 1)[None]

    @torch.inference_mode()
    def detect() -> object:
        return model(pixels.to(device).float() / 255)

    return Contestant(
        "YOLOv8n-seg (without post-processing)",
        size / 1e6,
        parameters,
        {"everything": detect},
    )


def run(contestants: list[Contestant], repeats: int, device: str) -> None:
    """Every job of every contestant in turn, `repeats` times after one warm-up."""
    for turn in range(repeats + 1):
        for contestant in contestants:
            for name, job in contestant.jobs.items():
                start = time.perf_counter()
                job()
                if device.startswith("cuda"):
                    torch.cuda.synchronize()
                elapsed = time.perf_counter() - start
                if turn:
                    contestant.seconds.setdefault(name, []).append(elapsed)


def table(contestants: list[Contestant], grid: int) -> str:
    """The result as Markdown."""
    jobs = ("encode", "click", "9 boxes", "everything")
    titles = (*jobs[:3], f"everything ({grid} x {grid} points; YOLO: one pass)")
    lines = [
        "| model | file, MB | parameters, M | " + " | ".join(titles) + " |",
        "|---|" + "---|" * 6,
    ]
    for c in contestants:
        times = [
            f"{1000 * statistics.median(c.seconds[job]):,.0f} ms"
            if job in c.seconds
            else ""
            for job in jobs
        ]
        lines.append(
            f"| {c.name} | {c.megabytes:.1f} | {c.parameters / 1e6:.1f} | "
            + " | ".join(times)
            + " |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--grid", type=int, default=16, help="points a side")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, help="also write the table here (Markdown)")
    options = parser.parse_args()
    contestants = [
        sam2("sam2.1_hiera_tiny", False, options.device, options.grid),
        sam2("sam2_nano", True, options.device, options.grid),
    ]
    reason = ""
    if importlib.util.find_spec("ultralytics"):
        contestants.append(yolo(options.device))
    else:
        reason = "\n\nYOLOv8n-seg is missing: ultralytics is not installed."
    run(contestants, options.repeats, options.device)
    machine = (
        f"{platform.machine()}, {torch.get_num_threads()} threads, "
        f"{options.device}, torch {torch.__version__}, float32, "
        f"median of {options.repeats}"
    )
    text = f"{table(contestants, options.grid)}\n\n{machine}{reason}\n"
    print(text)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text)


if __name__ == "__main__":
    main()
