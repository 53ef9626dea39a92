"""Resident memory while a long stack is followed, by frame and number of objects.

    python benchmarks/memory.py [--objects 1 20] [--frames 1000] [--cache-mb 128]

Frames are made when they are asked for. What is kept of encoded frames has a budget,
`cache_bytes` of VideoSession; it is set low here, so that it is full early and what
remains is what grows with the length.
"""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import numpy as np
from harness import centres, options, save, stack


class Endless:
    """A stack whose frames repeat."""

    def __init__(self, length: int, side: int) -> None:
        self.length = length
        self.kept = stack(8, side)
        self.shape = (side, side)

    def __len__(self) -> int:
        return self.length

    def frame(self, index: int) -> np.ndarray:
        there_and_back = [*range(8), *range(6, 0, -1)]
        grey = self.kept[there_and_back[index % 14]]
        return np.repeat(grey[..., None], 3, 2)


def resident() -> float:
    """MB of this process now (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def follow(chosen, dtype: str, count: int, queue) -> None:
    import torch
    from opponents import model

    from sam2_core.video import VideoSession

    torch.set_num_threads(chosen.threads)
    frames = Endless(chosen.frames, chosen.side)
    session = VideoSession(
        model(chosen.model, dtype), frames, cache_bytes=chosen.cache_mb * 10**6
    )
    where = centres(chosen.side)[:count]
    for i, (y, x) in enumerate(where, start=1):
        session.add_prompts(0, i, point_coords=[(x, y)])
    found = []
    for result in session.propagate(direction="forward"):
        t = result.frame_index
        if t % 10 == 0 or t == chosen.frames - 1:
            found.append((t, resident()))
    queue.put(found)


def main() -> None:
    chosen = options(
        __doc__,
        objects={"type": int, "nargs": "+", "default": [1, 20]},
        frames={"type": int, "default": 1000},
        settled={"type": int, "default": 50, "help": "frame to count from"},
        cache_mb={"type": int, "default": 128},
        side={"type": int, "default": 512},
    )
    context = multiprocessing.get_context("spawn")
    rows, curves = [], {}
    for dtype in chosen.dtypes:
        for count in chosen.objects:
            queue = context.Queue()
            process = context.Process(target=follow, args=(chosen, dtype, count, queue))
            process.start()
            curve = queue.get()
            process.join()
            name = f"{dtype}, {count} object{'s' * (count > 1)}"
            curves[name] = curve
            settled = next(size for t, size in curve if t >= chosen.settled)
            rows.append(
                {
                    "run": name,
                    f"MB at frame {chosen.settled}": settled,
                    f"MB at frame {curve[-1][0]}": curve[-1][1],
                    "growth, MB": curve[-1][1] - settled,
                }
            )
            print(rows[-1], flush=True)
    save(
        f"memory_{chosen.model}",
        f"Resident memory, {chosen.model}",
        chosen,
        rows,
        curves,
        ("frame", "MB"),
        [f"Budget of encoded frames: {chosen.cache_mb} MB."],
    )


if __name__ == "__main__":
    main()
