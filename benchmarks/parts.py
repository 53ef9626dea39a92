"""Where the time of a followed frame goes, and how near that is to the machine's limit.

    python benchmarks/parts.py [--model sam2.1_hiera_tiny]

One object with full memory. The limit is what a large product of matrices reaches in
the same precision, measured in turn with the parts. Operations are counted by torch, in
the plain way of computing; where we need fewer, the rate can exceed the limit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from harness import Clock, options, save
from opponents import model
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

if TYPE_CHECKING:
    from collections.abc import Callable

    from sam2_core.nn.sam2 import Sam2

SIDE, GPU_SIDE = 2048, 8192


def parts(network: Sam2) -> dict[str, Callable[[], object]]:
    """What is done on a frame, by name, and a product to compare with."""
    from sam2_core.memory import Recollection
    from sam2_core.stacks import tracking

    config = network.config
    side = SIDE if network.device.type == "cpu" else GPU_SIDE

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, device=network.device)

    pixels = random(1, 3, config.image_size, config.image_size)
    square = random(side, side).to(network.dtype)
    one = random(1, config.memory_dim, config.grid_size, config.grid_size)
    pointer = random(1, config.hidden_dim)
    longest = config.max_object_pointers
    known = Recollection(
        [(code, one.bfloat16()) for code in range(config.num_maskmem)],
        [(distance, pointer) for distance in range(1, longest + 1)],
        longest,
    )
    features = network.encode_image(pixels)
    seen = tracking.look(network, features, [known])
    found = tracking.segment(network, features, seen)
    return {
        "encoding": lambda: network.encode_image(pixels),
        "memory attention": lambda: tracking.look(network, features, [known]),
        "decoding": lambda: tracking.segment(network, features, seen),
        "remembering": lambda: tracking.remember(
            network, features, found, prompted=False
        ),
        f"product of {side} x {side}": lambda: torch.mm(square, square),
    }


def main() -> None:
    chosen = options(__doc__)
    rows, curves = [], {}
    for dtype in chosen.dtypes:
        network = model(chosen.model, dtype, chosen.device)
        with torch.inference_mode():
            jobs = parts(network)
            seconds = Clock.of(chosen).take_turns(jobs, chosen.repeats)
        for name, job in jobs.items():
            # Where gradients are enabled, nothing but the plain way is taken; and torch
            # counts attention only where it consists of products.
            with (
                FlopCounterMode(display=False) as counter,
                torch.enable_grad(),
                sdpa_kernel(SDPBackend.MATH),
            ):
                job()
            operations = counter.get_total_flops() / 1e9
            rows.append(
                {
                    "part": name,
                    "dtype": dtype,
                    "seconds": seconds[name],
                    "GFLOP": operations,
                    "GFLOP a second": operations / seconds[name],
                }
            )
            print(rows[-1], flush=True)
        curves[dtype] = list(enumerate(seconds.values(), 1))
    save(
        f"parts_{chosen.model}",
        f"Parts of a frame, {chosen.model}",
        chosen,
        rows,
        curves,
        ("part, in the order of the table", "seconds"),
    )


if __name__ == "__main__":
    main()
