"""Mean IoU of stacks followed with memories: scopes, presets and fewer memories.

    python benchmarks/quality.py --data DATA [--objects 6]

DATA is a folder as docs/training.md describes. The bundled model follows with its
memories here, its close-ups taken away, because official weights are not at hand. It
reads three tracked frames besides the prompted one; official models read six, which the
presets "balanced" and "fast" halve.
Objects start from their true mask on the middle (z) or first (t) frame and are followed
over the others. Stacks with the same name but for a number count as one set.
"""

from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from harness import options, save

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sam2_core.training.labelled_files import Array, Labelled
    from sam2_core.video import Scope, VideoSession

# Precision, side of the input, tracked frames read, scope.
ROWS: dict[str, tuple[str, int, int, Scope]] = {
    "whole frame, float32 (as best)": ("float32", 512, 3, "global"),
    "whole frame, bfloat16": ("bfloat16", 512, 3, "global"),
    "two tracked frames, bfloat16": ("bfloat16", 512, 2, "global"),
    "one tracked frame, bfloat16": ("bfloat16", 512, 1, "global"),
    "half the side, bfloat16": ("bfloat16", 256, 3, "global"),
    "local scope, bfloat16": ("bfloat16", 512, 3, "local"),
}


class FromMasks:
    """A session that takes the true mask where it is given a click."""

    def __init__(self, session: VideoSession, labels: Array) -> None:
        self.session, self.labels = session, labels

    def add_prompts(self, frame_index: int, object_id: int, **_: Any) -> None:
        mask = self.labels[frame_index] == object_id
        self.session.add_prompts(frame_index, object_id, mask=mask)

    def propagate(self, *args: Any) -> Iterator[Any]:
        return self.session.propagate(*args)

    def reset(self) -> None:
        self.session.reset()


def measure(
    files: list[Labelled], open_session: Callable[[Any], VideoSession], objects: int
) -> tuple[dict[str, float], float]:
    """Mean IoU of each set of stacks, and processor seconds of all."""
    from sam2_core.training.measuring.stack_trials import evaluate_stack

    began, found = time.process_time(), {}
    for file in files:
        labels = file.read()[1]

        def start(frames: Any, labels: Array = labels) -> FromMasks:
            return FromMasks(open_session(frames), labels)

        result = evaluate_stack(file, start, objects, corrections=0)
        found.setdefault(re.sub(r"_\d+$", "", file.name), []).append(result.iou)
        print(f"  {file.name} {result.iou:.3f}", flush=True)
    means = {name: float(np.mean(values)) for name, values in found.items()}
    return means, time.process_time() - began


def main() -> None:
    from sam2_core.models import load_model
    from sam2_core.training.labelled_files import find_sets
    from sam2_core.video import VideoSession

    chosen = options(
        __doc__,
        objects={"type": int, "default": 6, "help": "of each stack"},
        data={"type": Path, "required": True},
    )
    files = [
        file
        for members in find_sets(chosen.data).values()
        for file in members
        if file.kind != "2d"
    ]
    rows = []
    for name, (dtype, side, tracked, scope) in ROWS.items():
        print(name, flush=True)
        model = load_model("sam2_nano", device="cpu", dtype=dtype, image_size=side)
        model.closeup = None
        model.config = replace(model.config, tracked_memories=tracked)

        def session(
            frames: Any, model: Any = model, scope: Scope = scope
        ) -> VideoSession:
            return VideoSession(model, frames, scope=scope)

        means, seconds = measure(files, session, chosen.objects)
        mean = float(np.mean(list(means.values())))
        rows.append({"run": name, "mean IoU": mean, "processor s": seconds, **means})
    save(
        "quality_sam2_nano",
        "Quality of scopes and presets, sam2_nano without close-ups",
        chosen,
        rows,
        {row["run"]: [(row["processor s"], row["mean IoU"])] for row in rows},
        ("processor seconds for all stacks", "mean IoU"),
        [f"{len(files)} stacks, at most {chosen.objects} objects of each, from masks."],
    )


if __name__ == "__main__":
    main()
