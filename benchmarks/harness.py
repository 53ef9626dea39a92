"""What all speed benchmarks share: options, a clock, taking turns, and the page.

Each benchmark is one command, for example

    python benchmarks/propagate.py --model sam2_nano --objects 1 5 20

and writes NAME.json, NAME.svg and NAME.md into docs/performance (`--out`).
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

OUT = Path(__file__).parents[1] / "docs" / "performance"
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")


def options(description: str | None, **extra: dict[str, Any]) -> argparse.Namespace:
    """Command line of a benchmark; `extra` are further options by name."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="sam2_nano", help="name or file")
    parser.add_argument("--device", default="cpu", help="cuda: pages end in _gpu")
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--clock",
        choices=("wall", "cpu"),
        default="wall",
        help="cpu: processor time of this process, for machines that others use too",
    )
    parser.add_argument("--skip", nargs="*", default=[], help="opponents to leave out")
    parser.add_argument("--out", type=Path, default=OUT)
    for name, settings in extra.items():
        parser.add_argument(f"--{name.replace('_', '-')}", **settings)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    return chosen


def stack(length: int, side: int = 512, cells: int = 144) -> np.ndarray:
    """(length, side, side) uint8 of discs that drift over noise, on a grid."""
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 70, (length, side, side), dtype=np.uint8)
    y, x = np.mgrid[:side, :side]
    radius = side / cells**0.5 / 3
    for t, frame in enumerate(frames):
        for row, column in centres(side, cells):
            frame[(y - row) ** 2 + (x - column - t / 4) ** 2 < radius**2] = 210
    return frames


def centres(side: int = 512, cells: int = 144) -> list[tuple[float, float]]:
    """Row and column of each cell in the first frame."""
    n = round(cells**0.5)
    step = side / n
    return [((i + 0.5) * step, (j + 0.4) * step) for i in range(n) for j in range(n)]


@dataclass
class Clock:
    """Seconds of each contestant, measured in turns.

    `read` gives the time now; see the option --clock.
    """

    read: Callable[[], float]
    seconds: dict[str, list[float]] = field(default_factory=dict)

    @classmethod
    def of(cls, options: argparse.Namespace) -> Clock:
        if options.device != "cpu":
            return cls(_when_the_gpu_is_done)
        return cls(time.process_time if options.clock == "cpu" else time.perf_counter)

    def lap(self, name: str, job: Callable[[], object]) -> None:
        began = self.read()
        job()
        self.seconds.setdefault(name, []).append(self.read() - began)

    def take_turns(
        self, jobs: Mapping[str, Callable[[], object]], repeats: int
    ) -> dict[str, float]:
        """Medians after one round of warming up."""
        for job in jobs.values():
            job()
        for _ in range(repeats):
            for name, job in jobs.items():
                self.lap(name, job)
        return {name: statistics.median(self.seconds[name]) for name in jobs}


def _when_the_gpu_is_done() -> float:
    torch.cuda.synchronize()
    return time.perf_counter()


def machine(options: argparse.Namespace) -> dict[str, str]:
    """What the figures depend on."""
    from sam2_core.devices import describe_device

    def version(package: str) -> str:
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            return "-"

    # Benchmarks with options of their own are of the CPU.
    device = getattr(options, "device", "cpu")
    more = {} if device == "cpu" else {"device": describe_device(device)}
    return more | {
        "machine": describe_device("cpu"),
        "threads": str(options.threads),
        "clock": {
            "wall": "wall clock",
            "cpu": "processor time, since others used the machine too",
        }[options.clock],
        "model": options.model,
        "python": platform.python_version(),
        "torch": version("torch"),
        "sam2": version("sam2"),
        "transformers": version("transformers"),
        "date": time.strftime("%Y-%m-%d"),
    }


def save(
    name: str,
    title: str,
    options: argparse.Namespace,
    rows: Sequence[Mapping[str, Any]],
    curves: Mapping[str, Sequence[tuple[float, float]]],
    axes: tuple[str, str],
    notes: Sequence[str] = (),
) -> None:
    """Write the figures, the plot and the page, and print the table."""
    options.out.mkdir(parents=True, exist_ok=True)
    about = machine(options)
    if "device" in about:
        name += "_gpu"
    plot = options.out / f"{name}.svg"
    plot.write_text(svg(title, curves, axes))
    content = {"about": about, "rows": list(rows), "notes": list(notes)}
    (options.out / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")
    lines = [f"# {title}", "", table(rows), "", f"![{title}]({plot.name})", ""]
    lines += [f"- {note}" for note in notes]
    lines += [f"- {key}: {value}" for key, value in about.items()]
    (options.out / f"{name}.md").write_text("\n".join(lines) + "\n")
    print(table(rows), *notes, sep="\n")


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as a Markdown table; the columns are the keys of the first."""
    keys = list(rows[0])

    def cell(value: Any) -> str:
        return f"{value:.3g}" if isinstance(value, float) else str(value)

    lines = [keys, ["---"] * len(keys)]
    lines += [[cell(row.get(key, "")) for key in keys] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def svg(
    title: str,
    curves: Mapping[str, Sequence[tuple[float, float]]],
    axes: tuple[str, str],
) -> str:
    """A line plot from the origin; one point becomes a dot."""
    width, height, left, bottom = 640, 380, 70, 50
    points = [point for curve in curves.values() for point in curve]
    x_end = max(x for x, _ in points) or 1
    y_end = max(y for _, y in points) * 1.1 or 1

    def at(x: float, y: float) -> str:
        return (
            f"{left + x / x_end * (width - left - 170):.1f},"
            f"{height - bottom - y / y_end * (height - bottom - 40):.1f}"
        )

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{left}" y="20" font-size="14">{title}</text>',
        f'<polyline points="{at(0, y_end)} {at(0, 0)} {at(x_end, 0)}" '
        'fill="none" stroke="#888"/>',
        f'<text x="{left}" y="{height - 10}">{axes[0]}</text>',
        f'<text transform="translate(14,{height - bottom}) rotate(-90)">'
        f"{axes[1]}</text>",
    ]
    for i in range(5):
        x, y = x_end * i / 4, y_end * i / 4
        px, py = at(x, 0).split(",")
        parts.append(f'<text x="{px}" y="{float(py) + 16}">{x:.3g}</text>')
        px, py = at(0, y).split(",")
        parts.append(f'<text x="{left - 36}" y="{py}">{y:.3g}</text>')
    for number, (name, curve) in enumerate(curves.items()):
        color = COLORS[number % len(COLORS)]
        line = " ".join(at(x, y) for x, y in curve)
        parts.append(
            f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="2"/>'
        )
        for x, y in curve:
            px, py = at(x, y).split(",")
            parts.append(f'<circle cx="{px}" cy="{py}" r="3" fill="{color}"/>')
        y = 50 + 18 * number
        parts.append(f'<text x="{width - 160}" y="{y}" fill="{color}">{name}</text>')
    return "\n".join([*parts, "</svg>", ""])
