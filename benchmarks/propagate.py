"""Seconds a frame of a stack takes with full memory, for 1, 5, 20 and 100 objects.

    python benchmarks/propagate.py [--model sam2.1_hiera_tiny] [--objects 1 5 20]
        [--frames 10 4 3]

Reading the frame, encoding it, following all objects and writing a label image are
included. The first frames, in which memory fills up, are not counted; where fewer are
asked for, the last one is. `--compiled` adds those named through torch.compile.
`--scope local` lets ours follow small objects in windows besides; windows are placed as
for the discs of the stack, whatever the weights draw.
"""

from __future__ import annotations

import statistics

from harness import Clock, centres, options, save, stack
from opponents import Local, Official, Ours, contestants


def main() -> None:
    chosen = options(
        __doc__,
        objects={"type": int, "nargs": "+", "default": [1, 5, 20, 100]},
        frames={"type": int, "nargs": "+", "default": [12], "help": "by objects"},
        warm={"type": int, "default": 7, "help": "frames before counting"},
        most={"type": int, "default": 100, "help": "objects asked of others"},
        side={"type": int, "default": 512},
        compiled={"nargs": "*", "choices": ("sam2_core", "sam2"), "default": []},
        scope={"choices": ("global", "local"), "default": "global"},
    )
    engines, notes = contestants(chosen)
    kinds = {"sam2_core": Ours, "sam2": Official}
    engines += [
        kinds[name](chosen.model, chosen.dtypes[-1], chosen.device, compiled=True)
        for name in chosen.compiled
    ]
    lean, page = "sam2_core", "propagate"
    if chosen.scope == "local":
        lean, page = "local", "scope"
        disc = 2 / 3 / 12  # of a frame, as `stack` draws its 12 x 12 cells
        engines += [
            Local(chosen.model, dtype, disc, chosen.device) for dtype in chosen.dtypes
        ]
    lengths = dict(zip(chosen.objects, chosen.frames, strict=False))
    frames = stack(max(chosen.frames), chosen.side)
    clicks = [(x, y) for y, x in centres(chosen.side)]
    clock = Clock.of(chosen)
    rows, curves = [], {engine.name: [] for engine in engines}
    for count in chosen.objects:
        length = lengths.get(count, chosen.frames[-1])
        first = min(chosen.warm, length - 1)
        row = {"objects": count, "frames": f"{first} to {length - 1}"}
        for engine in engines:
            if lean not in engine.name and count > chosen.most:
                continue
            seconds = []
            run = engine.propagate(frames[:length], clicks[:count])
            next(run)
            began = clock.read()
            for _ in run:
                now = clock.read()
                seconds.append(now - began)
                began = now
            row[engine.name] = statistics.median(seconds[first - 1 :])
            curves[engine.name].append((count, row[engine.name]))
            print(count, engine.name, [round(s, 3) for s in seconds], flush=True)
        rows.append(row)
        # After each number of objects, since larger ones may not fit into memory.
        save(
            f"{page}_{chosen.model}",
            f"Seconds a frame, {chosen.model}",
            chosen,
            rows,
            {name: curve for name, curve in curves.items() if curve},
            ("objects", "seconds a frame"),
            notes,
        )


if __name__ == "__main__":
    main()
