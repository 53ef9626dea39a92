"""Following one small object through a stack of large frames, read whole or in parts.

    python benchmarks/large_frames.py [--sides 1024 2048 4096 8192]

The stacks are compressed zarr arrays on disk, in chunks of 512 pixels. Of frames beyond
1024 x 1024 pixels only the tiles that are looked at are read; for comparison the same
frames are also given as a source that can only be read whole. A click is the first one
on a frame, with its reading; a frame is one that the object is followed to.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from harness import Clock, options, save
from opponents import model

from sam2_core.frames import open_frames
from sam2_core.video import VideoSession

if TYPE_CHECKING:
    import argparse

    from sam2_core.frames import FrameSource, FrameStack

RADIUS = 8
RANGE = (0.0, 4000.0)


class Whole:
    """A source that can only be read whole."""

    def __init__(self, frames: FrameStack) -> None:
        self.frame, self.shape = frames.frame, frames.shape
        self.length = len(frames)

    def __len__(self) -> int:
        return self.length


def stored(folder: Path, side: int, length: int) -> Any:
    """(length, side, side) uint16 on disk: discs that drift, over noise."""
    path = str(folder / f"{side}.zarr")
    array = zarr.open_array(
        path, mode="w", shape=(length, side, side), chunks=(1, 512, 512), dtype="u2"
    )
    rng = np.random.default_rng(0)
    for t in range(length):
        frame = rng.integers(0, 500, (side, side), dtype=np.uint16)
        y, x = np.mgrid[-RADIUS : RADIUS + 1, -RADIUS : RADIUS + 1]
        disc = y**2 + x**2 <= RADIUS**2
        for row in range(100, side - 100, 128):
            for column in range(100, side - 100, 128):
                place = slice(row - RADIUS, row + RADIUS + 1)
                across = slice(column + t - RADIUS, column + t + RADIUS + 1)
                frame[place, across][disc] = 3000
        array[t] = frame
    return zarr.open_array(path, mode="r")


def times(
    network: Any, source: FrameSource, chosen: argparse.Namespace
) -> tuple[float, float, Any]:
    """Median milliseconds of a click and of a frame, and the last mask."""
    click, follow = Clock.of(chosen), Clock.of(chosen)
    for _ in range(chosen.repeats + 1):
        session = VideoSession(network, source)
        click.lap("click", lambda s=session: s.add_prompts(0, 1, [[228, 228]]))
        results = session.propagate(direction="forward")
        next(results)  # the frame with the prompt is there already
        for _ in range(chosen.frames - 1):
            found: list[Any] = []
            follow.lap("frame", lambda r=results, f=found: f.append(next(r)))
    laps = click.seconds["click"][1:], follow.seconds["frame"][chosen.frames - 1 :]
    return *(1000 * statistics.median(lap) for lap in laps), found[0].masks[1]


def main() -> None:
    chosen = options(
        __doc__,
        sides={"type": int, "nargs": "+", "default": [1024, 2048, 4096, 8192]},
        frames={"type": int, "default": 6},
    )
    network = model(chosen.model, chosen.dtypes[-1])
    rows, curves = [], {"whole": [], "in parts": []}
    with tempfile.TemporaryDirectory() as name:
        for side in chosen.sides:
            frames = open_frames(stored(Path(name), side, chosen.frames), RANGE)
            row: dict[str, Any] = {"frames": f"{side}²"}
            masks = []
            for way, source in (("whole", Whole(frames)), ("in parts", frames)):
                click, frame, mask = times(network, source, chosen)
                row |= {f"{way}: click, ms": click, f"{way}: frame, ms": frame}
                curves[way].append((side, frame))
                masks.append(mask)
            row["masks"] = "the same" if (masks[0] == masks[1]).all() else "differ"
            rows.append(row)
            print(row, flush=True)
    save(
        f"large_frames_{chosen.model}",
        f"Following one object through large frames, {chosen.model}",
        chosen,
        rows,
        curves,
        ("side of the frames", "ms a frame"),
    )


if __name__ == "__main__":
    main()
