"""Seconds of the expensive parts of a model, plain and through torch.compile.

    python benchmarks/compiled.py [--model sam2_nano] [--parts close-ups]

The first call of a compiled part includes the compiler and the comparison with the
plain code; it is a column of its own, shorter where the disk still has compiled code
from an earlier run.
"""

from __future__ import annotations

import statistics
import time
import warnings
from typing import TYPE_CHECKING

import torch
from harness import Clock, options, save
from opponents import model

from sam2_core.compiling import compile_parts
from sam2_core.nn.closeup import MAPS, SIDE

if TYPE_CHECKING:
    from sam2_core.nn.sam2 import Sam2

PARTS = ("image encoder", "memory attention", "close-ups")


def given(network: Sam2, part: str) -> tuple[object, ...]:
    """Input of a part: one image, a frame and full memory, or one object's window."""
    config = network.config

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(1, *shape).to(network.device, network.dtype)

    if part == "image encoder":
        return (random(3, config.image_size, config.image_size),)
    if part == "close-ups":
        return (random(MAPS, SIDE, SIDE),)
    grid, dim, memory_dim = config.grid_size, config.hidden_dim, config.memory_dim
    pointers = config.max_object_pointers * (dim // memory_dim)
    length = config.num_maskmem * grid**2 + pointers
    frame, memory = (grid**2, dim), (length, memory_dim)
    tokens = random(*frame), random(*frame), random(*memory), random(*memory)
    return *tokens, (grid, grid), pointers


def main() -> None:
    chosen = options(
        __doc__, parts={"nargs": "+", "choices": PARTS, "default": list(PARTS)}
    )
    rows, curves, notes = [], {}, []
    for dtype in chosen.dtypes:
        network = model(chosen.model, dtype, chosen.device)
        for name, checked in compile_parts(network).items():
            if name not in chosen.parts:
                continue
            given_to, clock = given(network, name), Clock.of(chosen)
            with torch.inference_mode(), warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                began = time.perf_counter()
                checked(*given_to)
                first = time.perf_counter() - began
                jobs = {
                    "plain": lambda run=checked.plain, x=given_to: run(*x),
                    "compiled": lambda run=checked, x=given_to: run(*x),
                }
                clock.take_turns(jobs, chosen.repeats)
            gave_up = [str(w.message) for w in said if "not used" in str(w.message)]
            notes += [f"{dtype}: {message}" for message in gave_up]
            laps = {job: clock.seconds[job] for job in jobs}
            medians = {job: statistics.median(laps[job]) for job in jobs}
            rows.append(
                {
                    "part": name,
                    "dtype": dtype,
                    "first call on the wall, s": first,
                    "plain, s": medians["plain"],
                    "compiled, s": "gave up" if gave_up else medians["compiled"],
                    "times faster": medians["plain"] / medians["compiled"],
                }
            )
            for job in jobs:
                curves[f"{name}, {dtype}, {job}"] = list(enumerate(laps[job], 1))
            # After each part, since later ones may take long.
            save(
                f"compiled_{chosen.model}",
                f"torch.compile, {chosen.model}",
                chosen,
                rows,
                curves,
                ("run", "seconds"),
                notes,
            )


if __name__ == "__main__":
    main()
