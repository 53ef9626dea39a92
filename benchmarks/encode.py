"""Seconds to encode one image.

python benchmarks/encode.py [--model sam2.1_hiera_tiny] [--clock cpu]
"""

from __future__ import annotations

import numpy as np
from harness import Clock, options, save, stack
from opponents import contestants


def main() -> None:
    chosen = options(__doc__, side={"type": int, "default": 512})
    engines, notes = contestants(chosen)
    image = np.repeat(stack(1, chosen.side)[0][..., None], 3, 2)
    clock = Clock.of(chosen)
    seconds = clock.take_turns(
        {engine.name: lambda engine=engine: engine.encode(image) for engine in engines},
        chosen.repeats,
    )
    rows = [
        {"engine": name, "seconds": value, "times the first": value / first}
        for first in [next(iter(seconds.values()))]
        for name, value in seconds.items()
    ]
    save(
        f"encode_{chosen.model}",
        f"Encoding an image, {chosen.model}",
        chosen,
        rows,
        {name: list(enumerate(laps, 1)) for name, laps in clock.seconds.items()},
        ("run", "seconds"),
        notes,
    )


if __name__ == "__main__":
    main()
