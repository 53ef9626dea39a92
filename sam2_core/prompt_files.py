"""Prompts as plain data: merged per object and frame, checked, read from JSON."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sam2_core.errors import PromptError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

_KEYS = ("object", "frame", "points", "labels", "box")
MAX_OBJECT_ID = 2**32 - 1


@dataclass(frozen=True)
class FramePrompt:
    """What one object is told in one frame.

    Attributes
    ----------
    object_id : int
        1 or more; the value of the object in a label image.
    frame_index : int
        From 0; 0 for a single image.
    points_xy : tuple of (float, float)
        In pixels; integers are pixel centres.
    labels : tuple of int
        One per point: 1 belongs to the object, 0 does not.
    box_xyxy : (float, float, float, float) or None
        Left, top, right, bottom in pixels.
    """

    object_id: int
    frame_index: int = 0
    points_xy: tuple[tuple[float, float], ...] = ()
    labels: tuple[int, ...] = ()
    box_xyxy: tuple[float, float, float, float] | None = None

    @property
    def point_coords(self) -> NDArray[np.float32] | None:
        """Points as the predictors take them, (N, 2) float32 xy; None without any."""
        return np.array(self.points_xy, np.float32) if self.points_xy else None

    @property
    def point_labels(self) -> NDArray[np.int32] | None:
        """Labels as the predictors take them, (N,) int32; None without any."""
        return np.array(self.labels, np.int32) if self.points_xy else None

    @property
    def box(self) -> NDArray[np.float32] | None:
        """Box as the predictors take it, (4,) float32 xyxy; None without one."""
        return None if self.box_xyxy is None else np.array(self.box_xyxy, np.float32)

    @property
    def positive(self) -> bool:
        """Whether it says where the object is."""
        return self.box_xyxy is not None or 1 in self.labels

    def check(
        self, shape: tuple[int, int], frames: int = 1, corrects: bool = False
    ) -> None:
        """PromptError unless everything lies inside the image and makes sense.

        Parameters
        ----------
        shape : (int, int)
            Height and width in pixels.
        frames : int
            Number of frames.
        corrects : bool
            Whether another frame says where the object is, so that negative points
            are enough.
        """
        height, width = shape
        size = f"the image is {width} x {height} pixels (x 0 to {width - 1}, y 0 to "
        size += f"{height - 1})"
        who = f"object {self.object_id}"
        if not 0 <= self.frame_index < frames:
            raise PromptError(
                f"There is no frame {self.frame_index} for {who}: the frames are 0 to "
                f"{frames - 1}."
            )
        for x, y in self.points_xy:
            if min(x, y) < -0.5 or x > width - 0.5 or y > height - 0.5:
                raise PromptError(f"Point {x:g},{y:g} of {who} lies outside: {size}.")
        if not (self.positive or corrects):
            raise PromptError(
                f"{who.capitalize()} has no positive point and no box in frame "
                f"{self.frame_index}: add one of them."
            )
        if self.box_xyxy is None:
            return
        x0, y0, x1, y1 = self.box_xyxy
        text = f"Box {x0:g},{y0:g},{x1:g},{y1:g} of {who}"
        if not (x0 < x1 and y0 < y1):
            raise PromptError(f"{text} is empty: give left, top, right, bottom.")
        if min(x0, y0) < -0.5 or x1 > width or y1 > height:
            raise PromptError(f"{text} lies outside: {size}.")


def merge_prompts(prompts: Iterable[FramePrompt]) -> list[FramePrompt]:
    """Join what belongs to the same object and frame.

    Returns
    -------
    list of FramePrompt
        One per frame and object, in this order; points in the order given.

    Raises
    ------
    PromptError
        Nothing is given, or an object has two boxes in one frame.
    """
    merged: dict[tuple[int, int], FramePrompt] = {}
    for new in prompts:
        key = new.frame_index, new.object_id
        old = merged.get(key, FramePrompt(new.object_id, new.frame_index))
        if old.box_xyxy and new.box_xyxy:
            raise PromptError(
                f"Object {new.object_id} has two boxes in frame {new.frame_index}: "
                "give one box per object."
            )
        merged[key] = FramePrompt(
            new.object_id,
            new.frame_index,
            old.points_xy + new.points_xy,
            old.labels + new.labels,
            old.box_xyxy or new.box_xyxy,
        )
    if not merged:
        raise PromptError("There is no prompt: give a point or a box.")
    return [merged[key] for key in sorted(merged)]


def read_prompts(
    path: str | os.PathLike[str], frame_index: int = 0
) -> list[FramePrompt]:
    """Read prompts from a JSON file.

    The file holds a list of entries such as ::

        {
            "object": 1,
            "frame": 0,
            "points": [[120, 80], [90, 60]],
            "labels": [1, 0],
            "box": [100, 60, 150, 110],
        }

    ``object`` is 1 unless given, ``frame`` is `frame_index`, ``labels`` are all 1. An
    entry needs points or a box.

    Parameters
    ----------
    path : path-like
        The file.
    frame_index : int
        Frame of the entries that name none.

    Returns
    -------
    list of FramePrompt
        One per entry.

    Raises
    ------
    PromptError
        The file is missing, no JSON, or an entry is malformed; the message says which.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise PromptError(f"There is no file {path}.") from None
    except OSError as error:
        raise PromptError(f"{path} cannot be read ({error.strerror}).") from error
    except (ValueError, RecursionError) as error:
        raise PromptError(f"{path} is not JSON: {error}.") from error
    if not isinstance(content, list) or not content:
        raise PromptError(
            f"{path} must hold a list of prompts with at least one entry."
        )
    prompts = []
    for number, entry in enumerate(content, start=1):
        try:
            prompts.append(_prompt(entry, frame_index))
        except PromptError as error:
            raise PromptError(f"{path}, entry {number}: {error}") from None
    return prompts


def _prompt(entry: Any, frame_index: int) -> FramePrompt:
    if not isinstance(entry, dict):
        raise PromptError('An entry must look like {"object": 1, "points": [[x, y]]}.')
    unknown = sorted(set(entry) - set(_KEYS))
    if unknown:
        raise PromptError(f"There is no key {unknown[0]!r}: use {', '.join(_KEYS)}.")
    points = entry.get("points") or []
    if not isinstance(points, list):
        raise PromptError("points must be a list such as [[x, y], [x, y]].")
    points_xy = tuple(_numbers(point, 2, "A point") for point in points)
    labels = entry.get("labels")
    labels = [1] * len(points) if labels is None else labels
    if not isinstance(labels, list) or len(labels) != len(points):
        raise PromptError("labels must be a list with one number per point.")
    if any(type(label) is not int or label not in (0, 1) for label in labels):
        raise PromptError("labels must be 1 (belongs to the object) or 0 (does not).")
    box = entry.get("box")
    if not points and box is None:
        raise PromptError("Points or a box are needed.")
    return FramePrompt(
        _integer(entry.get("object", 1), "object", 1, MAX_OBJECT_ID),
        _integer(entry.get("frame", frame_index), "frame", 0, 2**63),
        tuple((x, y) for x, y in points_xy),
        tuple(labels),
        None if box is None else _box(box),
    )


def _box(value: Any) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = _numbers(value, 4, "A box")
    return x0, y0, x1, y1


def _numbers(value: Any, count: int, what: str) -> Sequence[float]:
    shown = "[x, y]" if count == 2 else "[x0, y0, x1, y1]"
    if not isinstance(value, list) or len(value) != count:
        raise PromptError(f"{what} must be {shown}.")
    try:
        numbers = [float(n) for n in value if type(n) in (int, float)]
    except OverflowError:
        numbers = []
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise PromptError(f"{what} must be {shown} in finite numbers.")
    return numbers


def _integer(value: Any, name: str, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        raise PromptError(
            f"{name} must be a whole number from {low} on, not {value!r}."
        )
    return int(value)
