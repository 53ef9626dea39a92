"""Milliseconds from a click to its masks, for 64 boxes, for everything mode.

python benchmarks/click.py [--model sam2.1_hiera_tiny] [--clock cpu]
"""

from __future__ import annotations

import numpy as np
from harness import Clock, centres, options, save, stack
from opponents import contestants

BOXES = 64


def main() -> None:
    chosen = options(
        __doc__,
        side={"type": int, "default": 512},
        grid={"type": int, "default": 8, "help": "points a side of everything mode"},
    )
    engines, notes = contestants(chosen)
    image = np.repeat(stack(1, chosen.side)[0][..., None], 3, 2)
    where = centres(chosen.side)
    xy = (where[40][1], where[40][0])
    half = chosen.side / 40
    boxes = np.array([(x - half, y - half, x + half, y + half) for y, x in where])
    for engine in engines:
        engine.encode(image)
    jobs = {}
    for engine in engines:
        jobs[engine.name, "click"] = lambda engine=engine: engine.click(xy)
        jobs[engine.name, "boxes"] = lambda engine=engine: engine.boxes(boxes[:BOXES])
    asked = [engine for engine in engines if hasattr(engine, "everything")]
    for engine in asked:
        jobs[engine.name, "grid"] = lambda e=engine: e.everything(image, chosen.grid)
    clock = Clock.of(chosen)
    seconds = clock.take_turns(jobs, chosen.repeats)
    rows = [
        {
            "engine": engine.name,
            "click, ms": seconds[engine.name, "click"] * 1e3,
            f"{BOXES} boxes, ms": seconds[engine.name, "boxes"] * 1e3,
            f"everything, {chosen.grid} x {chosen.grid} points, ms": (
                seconds[engine.name, "grid"] * 1e3 if engine in asked else "-"
            ),
        }
        for engine in engines
    ]
    save(
        f"click_{chosen.model}",
        f"From prompts to masks, {chosen.model}",
        chosen,
        rows,
        {
            engine.name: [(1, row["click, ms"]), (BOXES, row[f"{BOXES} boxes, ms"])]
            for engine, row in zip(engines, rows, strict=True)
        },
        ("prompts", "milliseconds"),
        notes,
    )


if __name__ == "__main__":
    main()
