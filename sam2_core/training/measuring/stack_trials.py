"""Simulated users of stacks: objects followed from one click each, then corrected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from tqdm import tqdm

from sam2_core.training.examples.clicks import clicks_to_prompt, first_click, next_click
from sam2_core.training.labelled_files import draw, frames_with_object
from sam2_core.training.measuring.scores import StackResult, mask_iou, mean
from sam2_core.training.measuring.trials import Clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sam2_core.training.labelled_files import Array, Labelled

# So many frames beyond those in which an object exists are asked for it as well.
ABSENT_FRAMES = 4
CORRECTIONS = 3


class Session(Protocol):
    """The part of :class:`sam2_core.VideoSession` that is used here."""

    def add_prompts(
        self,
        frame_index: int,
        object_id: int,
        point_coords: Any = None,
        point_labels: Any = None,
        *,
        clear_old: bool = True,
    ) -> Any:
        """Prompt an object on a frame."""

    def propagate(
        self, start: int | None = None, stop: int | None = None, direction: Any = "both"
    ) -> Iterator[Any]:
        """Yield results: ``frame_index``, ``masks`` and ``object_scores`` by object."""

    def reset(self) -> None:
        """Forget all objects."""


def evaluate_stack(
    file: Labelled,
    open_session: Callable[[Array], Session],
    max_objects: int | None = None,
    seed: int = 0,
    corrections: int = CORRECTIONS,
    absent_frames: int = ABSENT_FRAMES,
    shown: bool = True,
) -> StackResult:
    """Follow the objects of one stack from one click each.

    Objects with the same prompted frame share a run, over the range of frames in which
    any of them exists and a little beyond.

    Parameters
    ----------
    file : LabelledFile or LabelledArrays
        The stack.
    open_session : callable
        Given the (T, H, W[, 3]) frames, returns a `Session`.
    max_objects : int, optional
        So many objects, drawn at random, stand for all of them.
    seed : int, default 0
        Of that draw.
    corrections : int, default 3
        Rounds in which each object gets one corrective click on its worst frame, the
        whole range being followed anew after each; 0 leaves that out.
    absent_frames : int, default 4
        How far beyond an object's last (z: also first) frame to go on, for frames in
        which it is absent.
    shown : bool, default True
        A bar on stderr, of prompted frames done.
    """
    frames, labels = file.read()
    present = frames_with_object(labels, file.ids)
    keep = draw(sorted(present), max_objects, seed)
    groups: dict[int, list[int]] = {}
    for i in keep:
        middle = len(present[i]) // 2 if file.kind == "z" else 0
        groups.setdefault(present[i][middle], []).append(i)
    session = open_session(frames)
    clock, n_frames = Clock(), 0
    objects = []
    for frame, members in tqdm(
        sorted(groups.items()),
        desc=f"prompted frames of {file.name}",
        mininterval=2,
        leave=False,
        disable=not shown,
    ):
        run = _Run(file, session, labels, {i: present[i] for i in members})
        run.extend(absent_frames)
        session.reset()
        with clock.running():
            for i in members:
                run.click(frame, i, first_click(labels[frame] == i))
        n_frames += run.follow(clock)
        records = {i: run.record(i, frame) for i in members}
        for _ in range(corrections):
            run.correct()
            run.follow(Clock())
        for i in members:
            if corrections:
                again = run.record(i, frame)
                records[i] |= {
                    "corrected_iou": again["iou"],
                    "corrected_ious": again["ious"],
                    "corrected_frames": run.corrected[i],
                }
            objects.append(records[i])
    speed = n_frames / clock.total if clock.total else 0.0
    iou = mean(record["iou"] for record in objects) or 0.0
    return StackResult(file.name, len(objects), iou, speed, objects)


class _Run:
    """Some objects with the same first prompted frame, followed together."""

    def __init__(
        self,
        file: Labelled,
        session: Session,
        labels: Array,
        present: dict[int, list[int]],
    ) -> None:
        self.file = file
        self.session = session
        self.labels = labels
        self.present = present
        self.start = min(where[0] for where in present.values())
        self.stop = max(where[-1] for where in present.values())
        self.corrected: dict[int, list[int]] = {i: [] for i in present}
        self.masks: dict[tuple[int, int], Array] = {}
        self.scores: dict[tuple[int, int], float] = {}

    def extend(self, count: int) -> None:
        """Go on beyond the frames with objects."""
        self.stop = min(self.stop + count, len(self.labels) - 1)
        if self.file.kind == "z":
            self.start = max(self.start - count, 0)

    def click(self, frame: int, object_id: int, click: Any) -> None:
        """Add a click to those the object has on a frame."""
        coords, signs = clicks_to_prompt([click])
        self.session.add_prompts(
            frame, object_id, point_coords=coords, point_labels=signs, clear_old=False
        )

    def follow(self, clock: Clock) -> int:
        """Propagate and keep what comes back; return the number of frames."""
        self.masks, self.scores = {}, {}
        count = 0
        with clock.running():
            results = self.session.propagate(self.start, self.stop, "both")
        while True:
            with clock.running():
                answer = next(results, None)
            if answer is None:
                return count
            count += 1
            t = int(answer.frame_index)
            for i in self.present:
                if i in answer.masks:
                    self.masks[i, t] = answer.masks[i]
                    self.scores[i, t] = float(answer.object_scores[i])

    def correct(self) -> None:
        """Click each object once, in the largest error on its worst frame."""
        for i, where in self.present.items():
            known = [t for t in where if (i, t) in self.masks]
            if not known:
                continue
            worst = min(known, key=lambda t: self._iou(i, t))
            click = next_click(self.labels[worst] == i, self.masks[i, worst])
            if click is not None:
                self.click(worst, i, click)
                self.corrected[i].append(worst)

    def record(self, object_id: int, prompted: int) -> dict[str, Any]:
        """IoU on the frames other than the first prompted one; presence by frame."""
        # A frame that never came back counts as missed.
        ious = {
            t: self._iou(object_id, t) if (object_id, t) in self.masks else 0.0
            for t in self.present[object_id]
            if t != prompted
        }
        scores: dict[str, list[float]] = {"present": [], "absent": []}
        for (i, t), score in sorted(self.scores.items()):
            if i != object_id or t == prompted:
                continue
            if t in ious:
                scores["present"].append(score)
            elif not (self.labels[t] == i).any():
                scores["absent"].append(score)
        return {
            "stack": self.file.name,
            "id": object_id,
            "prompted_frame": prompted,
            "iou": mean(ious.values()),
            "ious": ious,
            "presence": scores,
        }

    def _iou(self, object_id: int, frame: int) -> float:
        target = self.labels[frame] == object_id
        return mask_iou(self.masks[object_id, frame], target)
