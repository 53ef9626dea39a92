"""Seconds to encode a frame, to put it on the disk, and to read it back.

    python benchmarks/spill.py [--model sam2.1_hiera_tiny] [--folder DIR]

Read back twice: while the system still has it in memory, and after it was told to
forget the file (where the system can be told), so that the disk has to be asked.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from harness import Clock, options, save
from opponents import model

from sam2_core.stacks.spill import FeatureStore

if TYPE_CHECKING:
    from sam2_core.nn.sam2 import Sam2


def forget(folder: Path) -> None:
    """Write what is waiting, and drop the files from the system's memory."""
    for path in folder.rglob("*"):
        if path.is_file() and hasattr(os, "posix_fadvise"):
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure(network: Sam2, folder: Path, clock: Clock, repeats: int) -> int:
    """Give the clock `repeats` rounds after one of warming up; bytes of a frame."""
    side = network.config.image_size
    pixels = torch.randn(1, 3, side, side)
    features = network.encode_image(pixels)
    store = FeatureStore(folder)
    for frame in range(repeats + 1):
        clock.lap("encode", lambda: network.encode_image(pixels))
        clock.lap("write", lambda t=frame: store.put(t, features))
        clock.lap("read, from memory", lambda t=frame: store.get(t))
        forget(folder)
        clock.lap("read, from the disk", lambda t=frame: store.get(t))
    store.close()
    return features.nbytes


def main() -> None:
    chosen = options(__doc__, folder={"type": Path, "default": None})
    rows, curves = [], {}
    for dtype in chosen.dtypes:
        clock = Clock.of(chosen)
        with (
            torch.inference_mode(),
            tempfile.TemporaryDirectory(dir=chosen.folder) as name,
        ):
            network = model(chosen.model, dtype)
            nbytes = measure(network, Path(name), clock, chosen.repeats)
        row = {"dtype": dtype, "MB a frame": nbytes / 1e6}
        for job, laps in clock.seconds.items():
            row[f"{job}, s"] = statistics.median(laps[1:])
            curves[f"{job}, {dtype}"] = list(enumerate(laps[1:], 1))
        rows.append(row)
    save(
        f"spill_{chosen.model}",
        f"Encoded frames on disk, {chosen.model}",
        chosen,
        rows,
        curves,
        ("run", "seconds"),
    )


if __name__ == "__main__":
    main()
