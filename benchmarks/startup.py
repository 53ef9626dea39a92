"""Seconds from a stack on disk-like storage to the first mask, by its length.

    python benchmarks/startup.py [--model sam2.1_hiera_tiny] [--lengths 200 5000]

Ours opens a dask array of which a frame exists once it is asked for; Meta's package
reads a folder of JPEG files, and reads it whole, as transformers does with an array, so
that they are asked for short ones only (`--most`).
"""

from __future__ import annotations

import statistics

from harness import Clock, centres, options, save, stack
from opponents import contestants


def main() -> None:
    chosen = options(
        __doc__,
        lengths={"type": int, "nargs": "+", "default": [200, 5000]},
        most={"type": int, "default": 200, "help": "frames asked of opponents"},
        side={"type": int, "default": 512},
    )
    engines, notes = contestants(chosen)
    frame = stack(1, chosen.side)[0]
    row, column = centres(chosen.side)[40]
    jobs = {}
    for length in chosen.lengths:
        for engine in engines:
            if not engine.name.startswith("sam2_core") and length > chosen.most:
                continue
            stored = engine.stored(frame, length)
            jobs[engine.name, length] = lambda e=engine, s=stored: e.first_mask(
                s, (column, row)
            )
    clock = Clock.of(chosen)
    clock.take_turns(jobs, chosen.repeats)
    rows, curves = [], {engine.name: [] for engine in engines}
    for (name, length), laps in clock.seconds.items():
        rows.append(
            {"engine": name, "frames": length, "seconds": statistics.median(laps)}
        )
        curves[name].append((length, rows[-1]["seconds"]))
    save(
        f"startup_{chosen.model}",
        f"From a stack to the first mask, {chosen.model}",
        chosen,
        rows,
        curves,
        ("frames", "seconds"),
        notes,
    )


if __name__ == "__main__":
    main()
