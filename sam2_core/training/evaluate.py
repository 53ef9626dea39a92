"""How good a model is on a folder of labelled images and stacks.

``python -m sam2_core.training.evaluate DIR`` prompts every labelled object by itself,
with simulated clicks or its tight box, and reports the intersection over union (IoU)
with the label, beside what classical methods make of the same prompts.

2D: after one click the best-scored of the three masks counts; every further click goes
to the deepest error, with all earlier clicks and the last logits as mask prompt, and
gives a single mask, as does the box. Images are given to the model as they are.
NoC85 is the number of clicks to an IoU of 0.85; objects that do not get there in ten
count ten. "score error" is the expected calibration error of the predicted IoU over the
first five clicks and the box: ten intervals of equal width, each weighted by its part
of the answers. For the mean over sets all answers are pooled, every set weighing alike.

Stacks: one click on the middle (z) or first (t) frame in which the object exists; the
session follows it both ways (z) or forward (t). The prompted frame does not count.
"corrected": then, three times, each object gets a click in the largest error on its
worst frame and is followed anew; the mean is over the same frames as before, the
corrected ones included. "presence AUROC": how often the object score after the one
click is higher on a frame with the object than on one without; the run goes on four
frames beyond each object for that.

Nothing runs side by side: the same seed gives the same figures, times apart.

A folder holds ``2d/SET/NAME_img.tif`` and ``stack/NAME_img.tif`` with ``NAME_lab.tif``
beside them. ``manifest.json``, where there is one, says which stacks are time-lapses
and which of their objects are stable enough to be followed (``eval_ids``).
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path  # noqa: TC003 (typer reads the annotations)
from typing import TYPE_CHECKING, Annotated

import typer

from sam2_core.errors import ImageError, Sam2Error
from sam2_core.training.labelled_files import find_sets
from sam2_core.training.measuring.baselines import Baseline, classical_baselines
from sam2_core.training.measuring.scores import (
    SetResult,
    StackResult,
    baseline_report,
    grouped,
    report,
    summary,
)
from sam2_core.training.measuring.speed import measure_speed
from sam2_core.training.measuring.stack_trials import (
    ABSENT_FRAMES,
    CORRECTIONS,
    Session,
    evaluate_stack,
)
from sam2_core.training.measuring.trials import Predictor, evaluate_set

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sam2_core.training.labelled_files import Array


@dataclass(frozen=True)
class Effort:
    """Which figures to find that cost time.

    Attributes
    ----------
    noc : bool
        Clicks to an IoU of 0.85: up to twice the time of the 2D sets.
    corrections : bool
        Corrected stacks: four times the time of the stacks.
    presence : bool
        Frames beyond the objects, for the AUROC of presence.
    """

    noc: bool = True
    corrections: bool = True
    presence: bool = True


def evaluate_folder(
    root: Path,
    predictor: Predictor | None = None,
    open_session: Callable[[Array], Session] | None = None,
    baselines: Sequence[Baseline] = (),
    max_objects: int | None = None,
    seed: int = 0,
    only: Sequence[str] = (),
    effort: Effort | None = None,
) -> tuple[list[SetResult], list[StackResult]]:
    """Evaluate every 2D set and stack of a folder.

    Parameters
    ----------
    root : Path
        The folder.
    predictor : Predictor, optional
        Answers the 2D prompts.
    open_session : callable, optional
        Opens a `Session` on (T, H, W[, 3]) frames; without it stacks are left out.
    baselines : sequence of Baseline
        Classical methods, for 2D.
    max_objects : int, optional
        Cap per set and per stack.
    seed : int, default 0
        Of the draw of objects.
    only : sequence of str
        Names of sets and stacks (or their beginnings); empty means all.
    effort : Effort, optional
        Which of the costly figures to find; all by default.

    Raises
    ------
    ImageError
        Nothing labelled there, a name in `only` fits nothing, or a file is unusable.
    """
    effort = effort or Effort()
    every = find_sets(root)
    if missing := [p for p in only if not any(name.startswith(p) for name in every)]:
        raise ImageError(
            f"No set is named {missing[0]!r}; there are {', '.join(every)}."
        )
    sets, stacks = [], []
    for name, files in every.items():
        if only and not name.startswith(tuple(only)):
            continue
        if files[0].kind == "2d":
            if predictor is not None or baselines:
                sets.append(
                    evaluate_set(
                        files, predictor, baselines, max_objects, seed, noc=effort.noc
                    )
                )
        elif open_session is not None:
            stacks.append(
                evaluate_stack(
                    files[0],
                    open_session,
                    max_objects,
                    seed,
                    CORRECTIONS if effort.corrections else 0,
                    ABSENT_FRAMES if effort.presence else 0,
                )
            )
    return sets, grouped(stacks)


def main(
    folder: Annotated[Path, typer.Argument(help="Folder of labelled images.")],
    model: Annotated[
        str, typer.Option(help="Name of a model or path of a weight file.")
    ] = "sam2_nano",
    max_objects: Annotated[
        int, typer.Option(min=1, help="Objects per set, drawn at random.")
    ] = 150,
    seed: Annotated[int, typer.Option(help="Seed of that draw.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps.")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16.")] = "auto",
    sets: Annotated[
        str, typer.Option(help="Names of sets or stacks, separated by commas.")
    ] = "",
    baselines: Annotated[
        bool, typer.Option(help="Compare with classical methods.")
    ] = True,
    only_baselines: Annotated[
        bool, typer.Option("--only-baselines", help="Leave the model out.")
    ] = False,
    noc: Annotated[
        bool, typer.Option(help="Count clicks to an IoU of 0.85, ten at most.")
    ] = True,
    corrections: Annotated[
        bool, typer.Option(help="Correct stacks with three clicks per object.")
    ] = True,
    presence: Annotated[
        bool, typer.Option(help="Follow objects beyond their last frame.")
    ] = True,
    speed: Annotated[
        bool, typer.Option(help="Time the model on a 512 x 512 image.")
    ] = True,
    json_path: Annotated[
        Path | None, typer.Option("--json", help="Write all results to this file.")
    ] = None,
) -> None:
    """Measure a model on labelled images and stacks."""
    only = [name.strip() for name in sets.split(",") if name.strip()]
    methods = classical_baselines() if baselines or only_baselines else []
    predictor: Predictor | None = None
    open_session: Callable[[Array], Session] | None = None
    start = time.perf_counter()
    try:
        if not only_baselines:
            predictor, open_session = _engine(model, device, dtype)
        found = evaluate_folder(
            folder,
            predictor,
            open_session,
            methods,
            max_objects,
            seed,
            only,
            Effort(noc, corrections, presence),
        )
        timed = None
        if speed and predictor is not None and open_session is not None:
            timed = measure_speed(predictor, open_session)
    except Sam2Error as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    if only_baselines:
        typer.echo(baseline_report(found[0]) + "\n")
    typer.echo(report(*found))
    means = summary(*found)
    if means["click_ms"] is not None:
        typer.echo(
            f"\nencode {means['encode_ms']:.0f} ms, click {means['click_ms']:.1f} ms "
            "(mean over the images of the sets)"
        )
    if timed is not None:
        typer.echo(
            f"{timed.size} x {timed.size}: encode {timed.encode_ms:.0f} ms, click "
            f"{timed.click_ms:.1f} ms, stack {timed.frames_per_second:.1f} frames/s"
        )
    if json_path is not None:
        record = {
            "folder": str(folder),
            "model": None if only_baselines else model,
            "max_objects": max_objects,
            "seed": seed,
            "seconds": time.perf_counter() - start,
            "summary": means,
            "speed": asdict(timed) if timed is not None else None,
            "sets": [asdict(result) for result in found[0]],
            "stacks": [
                asdict(result)
                | {
                    "corrected": result.corrected,
                    "presence_auroc": result.presence_auroc,
                    "absent_frames": result.absent_frames,
                }
                for result in found[1]
            ],
        }
        json_path.write_text(json.dumps(record, indent=1))


def _engine(
    model: str, device: str, dtype: str
) -> tuple[Predictor, Callable[[Array], Session]]:
    """Load a model; return its image predictor and what opens a session."""
    from sam2_core.image import ImagePredictor
    from sam2_core.models import load_model
    from sam2_core.video import VideoSession

    net = load_model(model, device=device, dtype=dtype)
    return ImagePredictor(net), lambda frames: VideoSession(net, frames)


if __name__ == "__main__":
    typer.run(main)
