"""Seconds a frame of each preset, one object with full memory.

python benchmarks/presets.py [--model sam2.1_hiera_tiny] [--frames 10]

Precisions are those of the presets, whatever `--dtypes` says.
"""

from __future__ import annotations

import statistics

from harness import Clock, centres, options, save, stack
from opponents import model


def main() -> None:
    from sam2_core.devices import choose_dtype
    from sam2_core.presets import PRESETS
    from sam2_core.video import VideoSession

    chosen = options(
        __doc__,
        frames={"type": int, "default": 10},
        warm={"type": int, "default": 7, "help": "frames before counting"},
        side={"type": int, "default": 512},
    )
    frames = stack(chosen.frames, chosen.side)
    row, column = centres(chosen.side)[40]
    clock = Clock.of(chosen)
    rows = []
    for name, preset in PRESETS.items():
        dtype = str(choose_dtype(preset.dtype)).removeprefix("torch.")
        session = VideoSession(model(chosen.model, dtype), frames, preset=name)
        began = clock.read()
        session.add_prompts(0, 1, point_coords=[(column, row)])
        first = clock.read() - began
        laps, began = [], clock.read()
        for _ in session.propagate(direction="forward"):
            laps.append(clock.read() - began)
            began = clock.read()
        rows.append(
            {
                "preset": name,
                "image_size": session.model.config.image_size,
                "memories": session.model.config.memories_read + 1,
                "dtype": dtype,
                "first mask, s": first,
                "seconds a frame": statistics.median(laps[chosen.warm :]),
            }
        )
        print(rows[-1], flush=True)
    save(
        f"presets_{chosen.model}",
        f"Presets, {chosen.model}",
        chosen,
        rows,
        {row["preset"]: [(row["image_size"], row["seconds a frame"])] for row in rows},
        ("pixels a side of the input", "seconds a frame"),
    )


if __name__ == "__main__":
    main()
