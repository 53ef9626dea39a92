"""Simulated users: one object prompted in an image, one followed through a stack."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from tqdm import tqdm

from sam2_core.training.clicks import (
    clicks_to_prompt,
    first_click,
    next_click,
    tight_box,
)
from sam2_core.training.labelled_files import choose_objects, draw, frames_with_object
from sam2_core.training.scores import CLICKS, SetResult, StackResult, mask_iou, mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sam2_core.training.baselines import Baseline
    from sam2_core.training.labelled_files import Array, LabelledFile


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


class Session(Protocol):
    """The part of :class:`sam2_core.VideoSession` that is used here."""

    def add_prompts(
        self,
        frame_index: int,
        object_id: int,
        point_coords: Any = None,
        point_labels: Any = None,
    ) -> Any:
        """Prompt an object on a frame."""

    def propagate(
        self, start: int | None = None, stop: int | None = None, direction: Any = "both"
    ) -> Iterator[Any]:
        """Yield results with ``frame_index`` and ``masks`` by object id."""

    def reset(self) -> None:
        """Forget all objects."""


def evaluate_set(
    files: Sequence[LabelledFile],
    predictor: Predictor | None,
    baselines: Sequence[Baseline] = (),
    max_objects: int | None = None,
    seed: int = 0,
    max_clicks: int = max(CLICKS),
) -> SetResult:
    """Prompt the objects of one 2D set, by the model, by classical methods, or both.

    Parameters
    ----------
    files : sequence of LabelledFile
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
    """
    result = SetResult(files[0].name)
    encode, click = _Clock(), _Clock()
    found: dict[str, dict[str, list[float]]] = {
        method.name: {"click": [], "box": []} for method in baselines
    }
    chosen = choose_objects(files, max_objects, seed)
    n_chosen = sum(map(len, chosen.values()))
    with tqdm(total=n_chosen, desc=result.name, mininterval=2, leave=False) as progress:
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
                record = {"image": file.image.name, "id": object_id, "area": area}
                if predictor is not None:
                    record |= _prompt(predictor, target, max_clicks, click)
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
        result.encode_ms, result.click_ms = encode.mean_ms, click.mean_ms
    if baselines and n_chosen:
        result.baselines = {
            name: {prompt: float(np.mean(ious)) for prompt, ious in scores.items()}
            for name, scores in found.items()
        }
        result.baseline_click = max(b["click"] for b in result.baselines.values())
        result.baseline_box = max(b["box"] for b in result.baselines.values())
    return result


def evaluate_stack(
    file: LabelledFile,
    open_session: Callable[[Array], Session],
    max_objects: int | None = None,
    seed: int = 0,
) -> StackResult:
    """Follow the objects of one stack from one click each.

    Objects with the same prompted frame share a run, over the range of frames in which
    any of them exists.

    Parameters
    ----------
    file : LabelledFile
        The stack.
    open_session : callable
        Given the (T, H, W[, 3]) frames, returns a `Session`.
    max_objects : int, optional
        So many objects, drawn at random, stand for all of them.
    seed : int, default 0
        Of that draw.
    """
    frames, labels = file.read()
    present = frames_with_object(labels, file.ids)
    keep = draw(sorted(present), max_objects, seed)
    groups: dict[int, list[int]] = {}
    for i in keep:
        middle = len(present[i]) // 2 if file.kind == "z" else 0
        groups.setdefault(present[i][middle], []).append(i)
    direction = "both" if file.kind == "z" else "forward"
    session = open_session(frames)
    clock, n_frames = _Clock(), 0
    objects = []
    for frame, members in tqdm(
        sorted(groups.items()), desc=file.name, mininterval=2, leave=False
    ):
        ious: dict[int, dict[int, float]] = {i: {} for i in members}
        with clock.running():
            session.reset()
            for i in members:
                coords, signs = clicks_to_prompt([first_click(labels[frame] == i)])
                session.add_prompts(frame, i, point_coords=coords, point_labels=signs)
            results = session.propagate(
                min(present[i][0] for i in members),
                max(present[i][-1] for i in members),
                direction,
            )
        while True:
            with clock.running():
                answer = next(results, None)
            if answer is None:
                break
            n_frames += 1
            t = int(answer.frame_index)
            for i in members:
                if i in answer.masks:
                    ious[i][t] = mask_iou(answer.masks[i], labels[t] == i)
        for i in members:
            # A frame that never came back counts as missed.
            scored = {t: ious[i].get(t, 0.0) for t in present[i] if t != frame}
            record = {"stack": file.name, "id": i, "prompted_frame": frame}
            objects.append(record | {"iou": mean(scored.values()), "ious": scored})
    speed = n_frames / clock.total if clock.total else 0.0
    iou = mean(record["iou"] for record in objects) or 0.0
    return StackResult(file.name, len(objects), iou, speed, objects)


def _prompt(
    predictor: Predictor, target: Array, max_clicks: int, clock: _Clock
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
        correction = next_click(target, answer.masks[best])
        if len(clicks) == max_clicks or correction is None:
            break
        clicks.append(correction)
    # A mask without error needs no further click.
    missing = max_clicks - len(ious)
    return {
        "ious": ious + ious[-1:] * missing,
        "scores": scores + scores[-1:] * missing,
        **boxed,
    }


class _Clock:
    """Adds up the time spent in calls."""

    def __init__(self) -> None:
        self.total = 0.0
        self.calls = 0

    @property
    def mean_ms(self) -> float:
        return 1000 * self.total / max(self.calls, 1)

    @contextmanager
    def running(self) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.total += time.perf_counter() - start
        self.calls += 1
