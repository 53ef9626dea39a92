"""A predictor and a session that answer discs, and the labels they are asked about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator


SIDE = 96


CENTRES = {1: (25, 30), 2: (70, 28), 5: (48, 70)}  # id: (x, y)


RADIUS = 12


def disc(x: float, y: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    return (columns - x) ** 2 + (rows - y) ** 2 <= radius**2


def disc_labels() -> np.ndarray:
    labels = np.zeros((SIDE, SIDE), np.uint16)
    for object_id, (x, y) in CENTRES.items():
        labels[disc(x, y, RADIUS)] = object_id
    return labels


@dataclass
class Answered:
    masks: np.ndarray
    scores: np.ndarray
    logits: np.ndarray


class DiscPredictor:
    """Answers a disc around the first click; every correction brings it closer.

    Of three masks the second has the best score. A box gives the box.
    """

    def __init__(self) -> None:
        self.images: list[np.ndarray] = []
        self.calls: list[dict[str, Any]] = []

    def set_image(self, image: Any) -> None:
        self.images.append(image)

    def predict(self, **prompt: Any) -> Answered:
        self.calls.append(prompt)
        if prompt.get("box") is not None:
            x0, y0, x1, y1 = prompt["box"].astype(int)
            mask = np.zeros((SIDE, SIDE), bool)
            mask[y0 : y1 + 1, x0 : x1 + 1] = True
            masks = mask[None]
        else:
            x, y = prompt["point_coords"][0]
            radius = 5 + len(prompt["point_coords"])
            mask = disc(x, y, radius)
            masks = mask[None]
            if prompt["multimask_output"]:
                masks = np.stack([np.zeros_like(mask), mask, np.ones_like(mask)])
        scores = np.array([0.1, 0.9, 0.5] if len(masks) == 3 else [0.8], np.float32)
        marks = np.arange(len(masks), dtype=np.float32)[:, None, None]
        return Answered(masks, scores, np.broadcast_to(marks, (len(masks), 8, 8)))


@dataclass
class Found:
    frame_index: int
    masks: dict[int, np.ndarray]
    object_scores: dict[int, float]


class StillSession:
    """Answers a disc of radius 8 at the click on every frame; object 5 is lost."""

    opened: list[StillSession]

    def __init__(self, frames: np.ndarray) -> None:
        self.frames = frames
        self.resets = 0
        self.runs: list[tuple[int, int, str, tuple[int, ...]]] = []
        self.prompts: dict[int, np.ndarray] = {}
        self.clicks: list[tuple[int, int, int]] = []

    def reset(self) -> None:
        self.prompts = {}
        self.resets += 1

    def add_prompts(
        self,
        frame_index: int,
        object_id: int,
        point_coords: Any,
        point_labels: Any,
        clear_old: bool = True,
    ) -> None:
        self.clicks.append((frame_index, object_id, int(point_labels[0])))
        if object_id not in self.prompts:
            assert point_labels.tolist() == [1]
            self.frame = frame_index
            self.prompts[object_id] = point_coords[0]

    def propagate(self, start: int, stop: int, direction: str) -> Iterator[Found]:
        self.runs.append((start, stop, direction, tuple(self.prompts)))
        order = list(range(self.frame, stop + 1))
        if direction == "both":
            order += list(range(self.frame, start - 1, -1))
        for t in order:
            yield Found(
                t,
                {i: disc(x, y, 8) & (i != 5) for i, (x, y) in self.prompts.items()},
                dict.fromkeys(self.prompts, 0.5 - 0.1 * t),
            )
