"""Peak memory of opening a stack, clicking and following one object a few frames.

    python benchmarks/peak.py [--model sam2.1_hiera_tiny] [--frames 200] [--follow 8]

Each engine runs in a process of its own; counted is what its resident memory grows by
at the peak, beyond the process with its model (Linux). After that `follow` frames our
memory stays as it is, while opponents go on growing with every frame.
"""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import TYPE_CHECKING

from automatic_memory import resident
from harness import centres, options, save, stack

if TYPE_CHECKING:
    import argparse


def measure(chosen: argparse.Namespace, number: int, queue) -> None:
    import torch
    from opponents import entries

    torch.set_num_threads(chosen.threads)
    engine = entries(chosen)[0][number]()
    stored = engine.stored(stack(1, chosen.side)[0], chosen.frames)
    row, column = centres(chosen.side)[40]
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    engine.first_mask(stored, (column, row), chosen.follow)
    queue.put((engine.name, (resident("VmHWM") - before) / 1e6))


def main() -> None:
    chosen = options(
        __doc__,
        frames={"type": int, "default": 200},
        follow={"type": int, "default": 8},
        side={"type": int, "default": 512},
    )
    from opponents import entries

    context = multiprocessing.get_context("spawn")
    engines, notes = entries(chosen)
    rows = []
    for number in range(len(engines)):
        queue = context.Queue()
        process = context.Process(target=measure, args=(chosen, number, queue))
        process.start()
        name, size = queue.get()
        process.join()
        rows.append({"engine": name, "MB at the peak": size})
        print(rows[-1], flush=True)
    save(
        f"peak_{chosen.model}",
        f"Peak memory, {chosen.frames} frames, {chosen.model}",
        chosen,
        rows,
        {row["engine"]: [(chosen.frames, row["MB at the peak"])] for row in rows},
        ("frames", "MB"),
        [f"One object, followed over {chosen.follow} frames.", *notes],
    )


if __name__ == "__main__":
    main()
