"""SAM 2 tiny, our bundled model and YOLOv8n-seg beside each other, in one run.

    python benchmarks/compare_yolo.py [--repeats 5] [--grid 16] [--device cpu]
        [--threads 1] [--budget 20] [--out docs/comparison-table.md]

Speed does not depend on what the weights are worth, so SAM 2 tiny and YOLO run with
random ones; YOLO's architecture comes from the package ultralytics (AGPL-3.0), and its
row is left out with a reason where that cannot be imported.

On one thread of a CPU, processor time is reported, which other programs on the machine
hardly change; with more threads, or on a GPU, the time of the clock. Everything mode
asks the decoder about hundreds of points, which takes long: a job is not repeated once
it has used its budget of seconds.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torchvision_stub import make_importable

from sam2_core import AutomaticMaskGenerator, ImagePredictor, build_model, load_model
from sam2_core.registry import CHECKPOINTS

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]
SIDE = 640  # YOLO's usual input; SAM 2 scales it to its own
JOBS = ("encode", "click", "9 boxes", "everything")


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


def sam2(name: str, device: str, grid: int) -> Contestant:
    """One of ours, with the jobs that a user waits for."""
    if CHECKPOINTS[name].is_bundled:
        model = load_model(name, device=device, dtype="float32")
        size = (ROOT / "sam2_core/bundled" / f"{name}.safetensors").stat().st_size
    else:
        torch.manual_seed(0)
        model = build_model(name).eval().to(device)
        size = CHECKPOINTS[name].bytes
    image = picture()
    predictor = ImagePredictor(model)
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
    """YOLOv8n-seg with random weights: one pass over the image gives all objects.

    Raises
    ------
    ImportError
        If ultralytics, or something that it imports, is not installed.
    """
    make_importable()
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
        "YOLOv8n-seg (network alone, no post-processing)",
        size / 1e6,
        parameters,
        {"everything": detect},
    )


def run(
    contestants: list[Contestant],
    repeats: int,
    budget: float,
    clock: Callable[[], float],
    device: str = "cpu",
) -> None:
    """Every job of every contestant in turn, so that a busy moment meets all of them.

    The first turn warms up and does not count, except for a job that used up its budget
    of seconds with it.
    """
    used: dict[tuple[str, str], float] = {}
    for turn in range(repeats + 1):
        for contestant in contestants:
            for name, job in contestant.jobs.items():
                key = contestant.name, name
                if used.get(key, 0) > budget:
                    continue
                start = clock()
                job()
                if device.startswith("cuda"):
                    torch.cuda.synchronize()
                elapsed = clock() - start
                used[key] = used.get(key, 0) + elapsed
                if turn or elapsed > budget:
                    contestant.seconds.setdefault(name, []).append(elapsed)
                shown = f"{contestant.name}, {name}: {elapsed:.2f} s"
                print(shown, file=sys.stderr, flush=True)


def table(contestants: list[Contestant], grid: int) -> str:
    """The result as Markdown."""
    titles = (*JOBS[:3], f"everything ({grid} x {grid} points; YOLO: one pass)")
    lines = [
        "| model | file, MB | parameters, M | " + " | ".join(titles) + " |",
        "|---|" + "---|" * 6,
    ]
    for c in contestants:
        times = [
            f"{1000 * statistics.median(c.seconds[job]):,.0f} ms"
            if job in c.seconds
            else ""
            for job in JOBS
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
    parser.add_argument("--threads", type=int, default=1, help="of the CPU")
    parser.add_argument(
        "--budget", type=float, default=20, help="seconds after which a job is not run"
    )
    parser.add_argument("--out", type=Path, help="also write the table here (Markdown)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = options.device
    contestants = [
        sam2(name, device, options.grid) for name in ("sam2.1_hiera_tiny", "sam2_nano")
    ]
    reason = ""
    try:
        contestants.append(yolo(device))
    except ImportError as error:
        reason = f"\n\nYOLOv8n-seg is missing, ultralytics cannot be imported: {error}."
    processor = device == "cpu" and options.threads == 1
    clock = time.process_time if processor else time.perf_counter
    run(contestants, options.repeats, options.budget, clock, device)
    threads = f"{options.threads} thread{'s' if options.threads > 1 else ''}"
    machine = (
        f"{platform.machine()}, {threads}, {device}, torch {torch.__version__}, "
        f"float32, median of up to {options.repeats}, "
        + ("processor time" if processor else "time of the clock")
    )
    text = f"{table(contestants, options.grid)}\n\n{machine}{reason}\n"
    print(text)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text)


if __name__ == "__main__":
    main()
