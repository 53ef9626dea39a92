"""Seconds a frame of compressed stacks, with and without a thread that reads ahead.

    python benchmarks/read_ahead.py [--sides 512 2048] [--objects 1 20]

The thread lives here alone: it reads the next frame in the direction of travel while
the model works on the present one. It can save no more than the shorter of the two, and
only where a processor is idle.
"""

from __future__ import annotations

import statistics
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
import zarr
from harness import Clock, centres, options, save, stack
from opponents import model

from sam2_core.frames import open_frames
from sam2_core.video import VideoSession

if TYPE_CHECKING:
    from concurrent.futures import Future

    from sam2_core.frames import FrameSource


class ReadAhead:
    """A FrameSource whose next frame is read while the last one is worked on."""

    def __init__(self, frames: FrameSource) -> None:
        self.frames, self.shape = frames, frames.shape
        self.last: int | None = None
        self.ahead: dict[int, Future[Any]] = {}
        self.thread = ThreadPoolExecutor(1)

    def __len__(self) -> int:
        return len(self.frames)

    def frame(self, index: int) -> Any:
        read = self.ahead.pop(index, None)
        pixels = self.frames.frame(index) if read is None else read.result()
        following = index + (1 if self.last is None else index - self.last)
        if abs(following - index) == 1 and 0 <= following < len(self):
            read = self.thread.submit(self.frames.frame, following)
            self.ahead = {following: read}
        self.last = index
        return pixels


def stored(folder: Path, kind: str, frames: np.ndarray) -> Any:
    """The frames on disk, compressed, and opened again."""
    if kind == "TIFF":
        path = folder / f"{frames.shape[1]}.tif"
        tifffile.imwrite(path, frames, compression="zlib")
        return path
    path = folder / f"{frames.shape[1]}.zarr"
    chunks = (1, *(min(side, 512) for side in frames.shape[1:]))
    array = zarr.open_array(
        str(path), mode="w", shape=frames.shape, chunks=chunks, dtype=frames.dtype
    )
    array[:] = frames
    return zarr.open_array(str(path), mode="r")


def follow(network: Any, frames: FrameSource, count: int) -> None:
    session = VideoSession(network, frames)
    for i, (y, x) in enumerate(centres(frames.shape[0])[:count], start=1):
        session.add_prompts(0, i, point_coords=[[x, y]])
    for _ in session.propagate(direction="forward"):
        pass


def main() -> None:
    chosen = options(
        __doc__,
        sides={"type": int, "nargs": "+", "default": [512, 2048]},
        objects={"type": int, "nargs": "+", "default": [1, 20]},
        kinds={"nargs": "+", "default": ["TIFF", "zarr"]},
        frames={"type": int, "default": 8},
    )
    network = model(chosen.model, chosen.dtypes[-1])
    rows, ratios = [], {}
    with tempfile.TemporaryDirectory() as name:
        for side in chosen.sides:
            frames = stack(chosen.frames, side).astype(np.uint16) * 100
            for kind in chosen.kinds:
                source = open_frames(stored(Path(name), kind, frames))
                for count in chosen.objects:
                    clock = Clock.of(chosen)

                    def read(source: FrameSource = source) -> None:
                        for index in range(len(source)):
                            source.frame(index)

                    def plain(source: Any = source, n: int = count) -> None:
                        follow(network, source, n)

                    def ahead(source: Any = source, n: int = count) -> None:
                        reader = ReadAhead(source)
                        follow(network, reader, n)
                        reader.thread.shutdown()

                    jobs = {"reading": read, "plain": plain, "ahead": ahead}
                    clock.take_turns(jobs, chosen.repeats)
                    laps = {n: s[1:] for n, s in clock.seconds.items()}
                    row: dict[str, Any] = {
                        "stack": f"{kind} {side}²",
                        "objects": count,
                    }
                    for job in jobs:
                        row[f"{job}, s"] = statistics.median(laps[job]) / chosen.frames
                    pairs = zip(laps["plain"], laps["ahead"], strict=True)
                    ratio = sorted(one / other for one, other in pairs)
                    row["times faster"] = statistics.median(ratio)
                    row["range"] = f"{ratio[0]:.2f} to {ratio[-1]:.2f}"
                    ratios[f"{kind} {side}, {count}"] = list(enumerate(ratio, 1))
                    rows.append(row)
                    # After each row, since later ones may take long.
                    save(
                        f"read_ahead_{chosen.model}",
                        f"Reading ahead, seconds a frame, {chosen.model}",
                        chosen,
                        rows,
                        ratios,
                        ("run, sorted", "times faster"),
                    )
                source.close()


if __name__ == "__main__":
    main()
