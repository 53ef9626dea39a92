"""What an evaluation found, and the tables made of it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from sam2_core.training.measuring.measures import auroc, calibration_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

CLICKS = (1, 3, 5)


@dataclass
class SetResult:
    """IoU on one 2D set.

    Attributes
    ----------
    name : str
    n_objects : int
        Objects prompted.
    clicks : dict of int to float
        Mean IoU after so many clicks; empty where no model was tried.
    box : float or None
        Mean IoU from a box.
    baseline_click, baseline_box : float or None
        The same of the best classical method.
    baselines : dict of str to dict
        ``click`` and ``box`` of every classical method.
    encode_ms, click_ms : float or None
        Mean time to encode an image and to answer one prompt, milliseconds.
    objects : list of dict
        Per object ``image``, ``id``, ``area`` and, from a model, ``ious`` and
        ``scores`` after each click, ``n_clicks`` (how many were really made: a perfect
        mask is not clicked again), ``box_iou``, ``box_score`` and ``noc``.
    noc : float or None
        Mean number of clicks to an IoU of 0.85, at most 10.
    calibration_error : float or None
        Of the predicted IoU, see `measures.calibration_error`.
    """

    name: str
    n_objects: int = 0
    clicks: dict[int, float] = field(default_factory=dict)
    box: float | None = None
    baseline_click: float | None = None
    baseline_box: float | None = None
    baselines: dict[str, dict[str, float]] = field(default_factory=dict)
    encode_ms: float | None = None
    click_ms: float | None = None
    objects: list[dict[str, Any]] = field(default_factory=list)
    noc: float | None = None
    calibration_error: float | None = None


@dataclass
class StackResult:
    """Mean IoU over the frames that were not prompted, of one stack or group.

    Attributes
    ----------
    name : str
    n_objects : int
        Objects followed.
    iou : float
        Mean over objects of their mean over frames.
    frames_per_second : float
        Frames that came back per second, encoding included.
    objects : list of dict
        Per object ``stack``, ``id``, ``prompted_frame``, ``iou``, ``ious`` by frame and
        ``presence``: object scores on frames where it is ``present`` and ``absent``;
        after corrections ``corrected_iou``, ``corrected_ious``, ``corrected_frames``.
    """

    name: str
    n_objects: int
    iou: float
    frames_per_second: float
    objects: list[dict[str, Any]] = field(default_factory=list)

    @property
    def corrected(self) -> float | None:
        """Mean IoU over the same frames after corrective clicks, stacks alike."""
        stacks: dict[str, list[float | None]] = {}
        for record in self.objects:
            stacks.setdefault(record["stack"], []).append(record.get("corrected_iou"))
        return mean(map(mean, stacks.values()))

    @property
    def presence_auroc(self) -> float | None:
        """How well object scores tell frames with the object from frames without."""
        parts = [record.get("presence", {}) for record in self.objects]
        present, absent = (
            [score for part in parts for score in part.get(kind, ())]
            for kind in ("present", "absent")
        )
        return auroc(present, absent)

    @property
    def absent_frames(self) -> int:
        """Number of frames, over all objects, on which they are absent."""
        return sum(len(r.get("presence", {}).get("absent", ())) for r in self.objects)


def mask_iou(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Return the IoU of two masks of one shape; two empty masks agree fully."""
    first, second = np.asarray(first, bool), np.asarray(second, bool)
    union = np.count_nonzero(first | second)
    return np.count_nonzero(first & second) / union if union else 1.0


def mean(values: Iterable[float | None]) -> float | None:
    """Return the mean of the values that are there, None without any."""
    known = [value for value in values if value is not None and not np.isnan(value)]
    return float(np.mean(known)) if known else None


def grouped(results: Sequence[StackResult]) -> list[StackResult]:
    """Join stacks whose names differ in a final number only, each counting equally."""
    groups: dict[str, list[StackResult]] = {}
    for result in results:
        groups.setdefault(re.sub(r"_\d+$", "", result.name), []).append(result)
    return [
        parts[0]
        if len(parts) == 1
        else StackResult(
            f"{name} ({len(parts)} stacks)",
            sum(part.n_objects for part in parts),
            mean(part.iou for part in parts) or 0.0,
            mean(part.frames_per_second for part in parts) or 0.0,
            [record for part in parts for record in part.objects],
        )
        for name, parts in groups.items()
    ]


def summary(
    sets: Sequence[SetResult], stacks: Sequence[StackResult]
) -> dict[str, float | None]:
    """Return the means over sets and over stack groups, each weighted equally."""
    clicks = {
        f"iou_{n}_click{'s' * (n > 1)}": mean(result.clicks.get(n) for result in sets)
        for n in CLICKS
    }
    return clicks | {
        "iou_box": mean(result.box for result in sets),
        "noc85": mean(result.noc for result in sets),
        "iou_calibration_error": pooled_calibration_error(sets),
        "iou_calibration_error_within_sets": mean(
            result.calibration_error for result in sets
        ),
        "baseline_click": mean(result.baseline_click for result in sets),
        "baseline_box": mean(result.baseline_box for result in sets),
        "encode_ms": mean(result.encode_ms for result in sets),
        "click_ms": mean(result.click_ms for result in sets),
        "stack_iou": mean(stack.iou for stack in stacks),
        "stack_iou_corrected": mean(stack.corrected for stack in stacks),
        "presence_auroc": mean(stack.presence_auroc for stack in stacks),
        "stack_frames_per_second": mean(stack.frames_per_second for stack in stacks),
    }


def predicted_and_reached(
    records: Sequence[dict[str, Any]], first: bool | None = None
) -> tuple[list[float], list[float]]:
    """Predicted and true IoU of answers to clicks (five at most) and boxes.

    Parameters
    ----------
    records : sequence of dict
        Of objects.
    first : bool, optional
        Only what was first answered, a click or a box; or only what came after
        corrections.
    """
    predicted, reached = [], []
    for record in records:
        if made := record.get("n_clicks"):
            predicted_here = [*record["scores"][:made], record["box_score"]]
            reached_here = [*record["ious"][:made], record["box_iou"]]
            for i, answer in enumerate(zip(predicted_here, reached_here, strict=True)):
                if first is None or first == (i in (0, made)):
                    predicted.append(answer[0])
                    reached.append(answer[1])
    return predicted, reached


def pooled_calibration_error(sets: Sequence[SetResult]) -> float | None:
    """Calibration error over the answers of all sets, each set weighted equally."""
    predicted: list[float] = []
    reached: list[float] = []
    weights: list[float] = []
    for result in sets:
        expected, found = predicted_and_reached(result.objects)
        predicted += expected
        reached += found
        weights += [1 / max(len(expected), 1)] * len(expected)
    return calibration_error(predicted, reached, weights)


def report(sets: Sequence[SetResult], stacks: Sequence[StackResult]) -> str:
    """Return the results as aligned plain text, with the means as last rows."""
    blocks = []
    if sets:
        columns: dict[str, Callable[[SetResult], float | None]] = {
            "1 click": lambda result: result.clicks.get(1),
            "3 clicks": lambda result: result.clicks.get(3),
            "5 clicks": lambda result: result.clicks.get(5),
            "box": lambda result: result.box,
            "NoC85": lambda result: result.noc,
            "score error": lambda result: result.calibration_error,
            "baseline 1 click": lambda result: result.baseline_click,
            "baseline box": lambda result: result.baseline_box,
        }
        blocks.append(_table("2D set (mean IoU)", sets, columns))
    if stacks:
        followed: dict[str, Callable[[StackResult], float | None]] = {
            "IoU other frames": lambda stack: stack.iou,
            "corrected": lambda stack: stack.corrected,
            "presence AUROC": lambda stack: stack.presence_auroc,
            "frames/s": lambda stack: stack.frames_per_second,
        }
        blocks.append(_table("stack (1 click)", stacks, followed))
    return "\n\n".join(blocks)


def baseline_report(sets: Sequence[SetResult]) -> str:
    """Return the classical methods one by one, 1 click / box, as aligned text."""
    names = sorted({name for result in sets for name in result.baselines})
    columns: dict[str, Callable[[SetResult], float | None]] = {}
    for prompt in ("click", "box"):
        for name in names:
            columns[f"{name} {prompt}"] = lambda result, name=name, prompt=prompt: (  # type: ignore[misc]
                result.baselines.get(name, {}).get(prompt)
            )
    return _table("2D set (mean IoU)", sets, columns)


def _table(title: str, results: Sequence[Any], columns: dict[str, Any]) -> str:
    rows = [
        [result.name, str(result.n_objects)]
        + [_cell(value(result)) for value in columns.values()]
        for result in results
    ]
    total = sum(result.n_objects for result in results)
    means = [mean(map(value, results)) for value in columns.values()]
    rows = [
        [title, "objects", *columns],
        *rows,
        [f"mean of {len(results)}", str(total), *map(_cell, means)],
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    rule = "-" * (sum(widths) + 2 * len(widths) - 2)
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def _cell(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if value > 1 else f"{value:.3f}"
