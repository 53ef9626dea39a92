"""A model that anyone can predict: discs around positive points minus negative ones."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2.asking._facts import Facts
from sam2_core.errors import PromptError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RAMP = np.arange(5 * 40 * 60, dtype=np.uint16).reshape(5, 40, 60)
RADIUS = 6


def disc(shape: tuple[int, int], x: float, y: float, radius: float = RADIUS) -> Any:
    """(H, W) bool, pixels closer than ``radius`` to (x, y)."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return (rows - y) ** 2 + (columns - x) ** 2 < radius**2


def draw(shape: tuple[int, int], points: Any, labels: Any, box: Any, mask: Any) -> Any:
    """The fake's answer to prompts, (H, W) bool."""
    answer = np.zeros(shape, bool)
    if mask is not None:
        answer |= mask
    if box is not None:
        x0, y0, x1, y1 = np.round(box).astype(int)
        answer[y0 : y1 + 1, x0 : x1 + 1] = True
    for (x, y), label in sorted(
        zip(points, labels, strict=True) if points is not None else [],
        key=lambda pair: -pair[1],
    ):
        if label:
            answer |= disc(shape, x, y)
        else:
            answer &= ~disc(shape, x, y)
    return answer


def candidates(shape: tuple[int, int], points: Any, labels: Any) -> Any:
    """The fake's answer to an ambiguous click: three discs, the middle one is best."""
    ((x, y),) = np.asarray(points)
    masks = np.stack([disc(shape, x, y, RADIUS + more) for more in (5, 0, -3)])
    return SimpleNamespace(masks=masks, scores=np.array([0.5, 0.9, 0.3], np.float32))


class FakePredictor:
    def __init__(self, backend: FakeBackend) -> None:
        self.backend = backend
        self.shape: tuple[int, int] | None = None

    def set_image(self, image: Any) -> None:
        assert image.dtype == np.uint8
        assert image.ndim == 3
        self.backend.encoded.append(image)
        time.sleep(self.backend.delay)
        self.shape = image.shape[:2]

    def predict(
        self,
        point_coords: Any = None,
        point_labels: Any = None,
        box: Any = None,
        mask_input: Any = None,
        multimask_output: bool = True,
    ) -> Any:
        self.backend.answer()
        mask = None
        if mask_input is not None:
            height, width = self.shape
            rows = np.arange(height) * mask_input.shape[1] // height
            columns = np.arange(width) * mask_input.shape[2] // width
            mask = mask_input[0][rows][:, columns] > 0
            box = None
        if multimask_output:
            return candidates(self.shape, point_coords, point_labels)
        good = draw(self.shape, point_coords, point_labels, box, mask)
        return SimpleNamespace(masks=good[None], scores=np.array([0.9], np.float32))


class FakeSession:
    """Objects move one pixel to the right with every frame.

    Points on a frame that was followed correct the mask found there, unless another one
    is shown; a box says by itself where the object is.
    """

    def __init__(self, backend: FakeBackend, frames: Any) -> None:
        self.backend = backend
        self.frames = frames
        self.prompts: dict[tuple[int, int], tuple[Any, ...]] = {}
        self.found: dict[tuple[int, int], Any] = {}

    def _mask(self, index: int, object_id: int) -> Any:
        shape = self.frames.shape
        seeds = [i for i, other in self.prompts if other == object_id]
        seed = min(seeds, key=lambda i: (abs(i - index), i))
        at_seed = draw(shape, *self.prompts[seed, object_id])
        return np.roll(at_seed, index - seed, axis=1)

    def add_prompts(
        self,
        frame_index: int,
        object_id: int,
        point_coords: Any = None,
        point_labels: Any = None,
        box: Any = None,
        mask: Any = None,
        clear_old: bool = True,
        shown: Any = None,
    ) -> Any:
        assert self.frames.frame(frame_index).shape == (*self.frames.shape, 3)
        self.backend.answer()
        if point_coords is None and box is None and mask is None:
            raise PromptError("There is no prompt: give a point, a box or a mask.")
        if not clear_old:  # what was found so far is refined
            mask = self.prompts[frame_index, object_id][3]
        elif mask is None and box is None:
            mask = self.found.get((frame_index, object_id)) if shown is None else shown
        self.prompts[frame_index, object_id] = (point_coords, point_labels, box, mask)
        return SimpleNamespace(
            frame_index=frame_index,
            masks={object_id: self._mask(frame_index, object_id)},
        )

    def clear_prompts(self, frame_index: int, object_id: int) -> None:
        del self.prompts[frame_index, object_id]

    def remove_object(self, object_id: int) -> None:
        self.prompts = {k: v for k, v in self.prompts.items() if k[1] != object_id}
        self.found = {k: v for k, v in self.found.items() if k[1] != object_id}

    def propagate(
        self,
        start: int | None = None,
        stop: int | None = None,
        direction: str = "both",
        only_changed: bool = False,
        object_ids: Any = None,
        around: int | None = None,
        ended: Any = None,
        absent: Any = None,
        passed: bool = False,
    ) -> Iterator[Any]:
        self.backend.asked.append((direction, only_changed, around))
        objects = sorted({object_id for _, object_id in self.prompts})
        if object_ids is not None:
            objects = [object_id for object_id in objects if object_id in object_ids]
        first = min(index for index, one in self.prompts if one in objects)
        low = 0 if start is None else start
        high = len(self.frames) - 1 if stop is None else stop
        forward = list(range(first if passed else max(first, low), high + 1))
        backward = list(range(first if passed else min(first, high), low - 1, -1))
        order = {"forward": forward, "backward": backward}.get(
            direction, forward + backward[1:]
        )
        if around is not None:  # each direction in its order, the nearer one first
            ways, order = [forward, backward[1:]], []
            while any(ways):
                heads = [way for way in ways if way]
                order.append(min(heads, key=lambda w: abs(w[0] - around)).pop(0))
        over: set[bool] = set()
        gone: dict[bool, set[int]] = {False: set(), True: set()}
        for index in order:
            reverse = direction == "backward" or (direction == "both" and index < first)
            if reverse in over:
                continue
            self.backend.answer()
            if not low <= index <= high:
                yield SimpleNamespace(frame_index=index, masks={}, reverse=reverse)
                continue
            away = absent(index, reverse) if absent is not None else ()
            result = SimpleNamespace(
                frame_index=index,
                masks={
                    object_id: self._mask(index, object_id) & (object_id not in away)
                    for object_id in objects
                    if object_id not in gone[reverse]
                },
                reverse=reverse,
            )
            self.found |= {(index, i): mask for i, mask in result.masks.items()}
            yield result
            told = ended(result) if ended is not None else False
            if told is True:
                over.add(reverse)
            elif told:
                gone[reverse].update(told)
        self.backend.settled += 1


@dataclass
class FakeBackend:
    """Counts what it is asked for; can be slow, or fail."""

    delay: float = 0.0
    error: Exception | None = None
    absent: dict[str, int] = field(default_factory=dict)
    loaded: list[tuple[str, str]] = field(default_factory=list)
    encoded: list[Any] = field(default_factory=list)
    sessions: list[FakeSession] = field(default_factory=list)
    presets: list[str] = field(default_factory=list)
    asked: list[Any] = field(default_factory=list)
    answers: int = 0
    settled: int = 0  # propagations that came to their end
    on_answer: Callable[[], None] = lambda: None

    def answer(self) -> None:
        self.answers += 1
        self.on_answer()
        time.sleep(self.delay)
        if self.error is not None:
            raise self.error

    def load_model(self, name: str, device: str, preset: str = "") -> Any:
        self.loaded.append((name, device))
        self.presets.append(preset)
        return SimpleNamespace(config=SimpleNamespace(low_res_size=64))

    def predictor(self, model: Any) -> FakePredictor:
        return FakePredictor(self)

    def session(self, model: Any, frames: Any, preset: str = "") -> FakeSession:
        assert preset == self.presets[-1]
        self.sessions.append(FakeSession(self, frames))
        return self.sessions[-1]

    def blank(self, frames: Any, index: int) -> str:
        return ""

    def warm(self, session: Any, index: int) -> None:
        self.encoded.append(index)

    def glance(self, session: Any, index: int, xy: Any, labels: Any) -> Any:
        return candidates(session.frames.shape, xy, labels)

    def devices(self) -> list[str]:
        return ["auto", "cpu"]

    def missing(self) -> dict[str, int]:
        return dict(self.absent)

    def download(
        self, name: str, stop: Callable[[], bool]
    ) -> Iterator[tuple[int, int]]:
        total = self.absent[name]
        for done in range(0, total + 1, total // 4):
            yield done, total
        del self.absent[name]


class Stepper:
    """Threads that advance only when told to."""

    def __init__(self):
        self.threads = deque()

    def start(self, iterator, on_item, on_exhausted, awaited):
        self.threads.append((iterator, on_item, on_exhausted))

    def step(self):
        iterator, on_item, on_exhausted = self.threads[0]
        try:
            on_item(next(iterator))
        except StopIteration:
            self.threads.popleft()
            on_exhausted()

    def run(self):
        while self.threads:
            self.step()


FLAT = np.zeros((40, 60), np.float32)


STACK = np.zeros((7, 40, 60), np.float32)


def plane(tool, *index):
    return np.asarray(tool.stage.labels.data[index])


def click(tool, *position):
    """Add a point to the layer as napari does it."""
    tool.stage.points.add(np.array([position], float))


def filled(tool):
    """Frames of a stack on which there are any labels."""
    return np.flatnonzero(tool.stage.labels.data.any((1, 2))).tolist()


def facts(area=100, centre=(10.0, 10.0), parts=1, iou=0.9, **more):
    """What is known of a mask."""
    return Facts(iou, 1.0, area, centre if area else None, parts, **more)
