"""Seconds from a stack on disk-like storage to the first mask, by its length.

    python benchmarks/startup.py [--lengths 200 5000]

The stack is a dask array of which a frame exists once it is asked for.
"""

from __future__ import annotations

import statistics

import dask.array as da
import numpy as np
from harness import Clock, centres, options, save, stack
from opponents import Ours


def main() -> None:
    chosen = options(
        __doc__,
        lengths={"type": int, "nargs": "+", "default": [200, 5000]},
        side={"type": int, "default": 512},
    )
    from sam2_core.video import VideoSession

    engines = [Ours(chosen.model, dtype) for dtype in chosen.dtypes]
    frame = stack(1, chosen.side)
    row, column = centres(chosen.side)[40]
    clock = Clock.of(chosen)

    def first_mask(engine: Ours, length: int) -> None:
        blocks = ((1,) * length, (chosen.side,), (chosen.side,))
        frames = da.map_blocks(lambda: frame, chunks=blocks, dtype=np.uint8)
        session = VideoSession(engine.model, frames)
        session.add_prompts(length // 2, 1, point_coords=[(column, row)])

    jobs = {
        (engine.name, length): lambda e=engine, n=length: first_mask(e, n)
        for engine in engines
        for length in chosen.lengths
    }
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
    )


if __name__ == "__main__":
    main()
