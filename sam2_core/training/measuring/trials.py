"""Simulated users of images: one object prompted at a time."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from tqdm import tqdm

from sam2_core.training.examples.clicks import (
    clicks_to_prompt,
    first_click,
    next_click,
    tight_box,
)
from sam2_core.training.labelled_files import choose_objects
from sam2_core.training.measuring.measures import (
    NOC_IOU,
    NOC_LIMIT,
    calibration_error,
    clicks_needed,
)
from sam2_core.training.measuring.scores import (
    CLICKS,
    SetResult,
    mask_iou,
    mean,
    predicted_and_reached,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sam2_core.training.labelled_files import Array, Labelled
    from sam2_core.training.measuring.baselines import Baseline


class Predictor(Protocol):
    """The part of :class:`sam2_core.ImagePredictor` that is used here."""

    def set_image(self, image: Any) -> None:
        """Encode an image."""

    def predict(
        self,
        point_coords: Any = None,
        point_labels: Any = None,
        box: Any = None,
        mask_input: Any = None,
        multimask_output: bool = True,
    ) -> Any:
        """Return ``masks`` (C, H, W), ``scores`` (C,) and ``logits`` (C, h, w)."""


def evaluate_set(
    files: Sequence[Labelled],
    predictor: Predictor | None,
    baselines: Sequence[Baseline] = (),
    max_objects: int | None = None,
    seed: int = 0,
    max_clicks: int = max(CLICKS),
    noc: bool = True,
    shown: bool = True,
) -> SetResult:
    """Prompt the objects of one 2D set, by the model, by classical methods, or both.

    Parameters
    ----------
    files : sequence of LabelledFile or LabelledArrays
        The images of the set.
    predictor : Predictor or None
        None leaves the model out.
    baselines : sequence of Baseline
        Classical methods; the best mean of them is reported.
    max_objects : int, optional
        So many objects, drawn at random from the whole set, stand for all of them.
    seed : int, default 0
        Of that draw.
    max_clicks : int, default 5
        Clicks per object.
    noc : bool, default True
        Go on clicking, up to 10 times, until an IoU of 0.85 is reached.
    shown : bool, default True
        A bar on stderr, of objects done.
    """
    result = SetResult(files[0].name)
    encode, click = Clock(), Clock()
    found: dict[str, dict[str, list[float]]] = {
        method.name: {"click": [], "box": []} for method in baselines
    }
    chosen = choose_objects(files, max_objects, seed)
    n_chosen = sum(map(len, chosen.values()))
    with tqdm(
        total=n_chosen,
        desc=f"objects of {result.name}",
        mininterval=2,
        leave=False,
        disable=not shown,
    ) as progress:
        for file, ids in chosen.items():
            image, labels = file.read()
            if predictor is not None:
                with encode.running():
                    predictor.set_image(image)
            for method in baselines:
                method.set_image(image)
            for object_id in ids:
                target = labels == object_id
                area = int(np.count_nonzero(target))
                record = {"image": file.title, "id": object_id, "area": area}
                if predictor is not None:
                    record |= _prompt(predictor, target, max_clicks, noc, click)
                for method in baselines:
                    scores = found[method.name]
                    by_click = method.from_click(first_click(target))
                    scores["click"].append(mask_iou(by_click, target))
                    by_box = method.from_box(tight_box(target))
                    scores["box"].append(mask_iou(by_box, target))
                result.objects.append(record)
                progress.update()
    result.n_objects = n_chosen
    if predictor is not None and n_chosen:
        curves = np.array([record["ious"] for record in result.objects])
        result.clicks = {n: float(v) for n, v in enumerate(curves.mean(axis=0), 1)}
        result.box = mean(record["box_iou"] for record in result.objects)
        if noc:
            result.noc = mean(record["noc"] for record in result.objects)
        predicted, reached = predicted_and_reached(result.objects)
        result.calibration_error = calibration_error(predicted, reached)
        result.encode_ms, result.click_ms = encode.mean_ms, click.mean_ms
    if baselines and n_chosen:
        result.baselines = {
            name: {prompt: float(np.mean(ious)) for prompt, ious in scores.items()}
            for name, scores in found.items()
        }
        result.baseline_click = max(b["click"] for b in result.baselines.values())
        result.baseline_box = max(b["box"] for b in result.baselines.values())
    return result


def _prompt(
    predictor: Predictor, target: Array, max_clicks: int, noc: bool, clock: Clock
) -> dict[str, Any]:
    """Click an object up to `max_clicks` times, then box it; return what was found."""
    box = tight_box(target)
    with clock.running():
        answer = predictor.predict(box=box, multimask_output=False)
    boxed = {
        "box_iou": mask_iou(answer.masks[0], target),
        "box_score": float(answer.scores[0]),
    }
    clicks = [first_click(target)]
    ious: list[float] = []
    scores: list[float] = []
    logits = None
    while True:
        coords, signs = clicks_to_prompt(clicks)
        with clock.running():
            answer = predictor.predict(
                point_coords=coords,
                point_labels=signs,
                mask_input=logits,
                multimask_output=len(clicks) == 1,
            )
        best = int(np.argmax(answer.scores))
        logits = answer.logits[best : best + 1]
        ious.append(mask_iou(answer.masks[best], target))
        scores.append(float(answer.scores[best]))
        unreached = noc and max(ious) < NOC_IOU
        if len(clicks) >= (NOC_LIMIT if unreached else max_clicks):
            break
        correction = next_click(target, answer.masks[best])
        if correction is None:
            break
        clicks.append(correction)
    made = min(len(ious), max_clicks)
    # A mask without error needs no further click.
    missing = max_clicks - made
    record = {
        "ious": ious[:made] + ious[-1:] * missing,
        "scores": scores[:made] + scores[-1:] * missing,
        "n_clicks": made,
        **boxed,
    }
    return record | {"noc": clicks_needed(ious)} if noc else record


class Clock:
    """Adds up the time spent in calls."""

    def __init__(self) -> None:
        self.total = 0.0
        self.calls = 0

    @property
    def mean_ms(self) -> float:
        """Milliseconds per call."""
        return 1000 * self.total / max(self.calls, 1)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Time a block."""
        start = time.perf_counter()
        yield
        self.total += time.perf_counter() - start
        self.calls += 1
