"""The model on the worker's side: loads it, feeds it prompts, yields masks.

Nothing here touches a layer; everything is called from one worker thread at a time.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from napari_sam2._facts import measure
from napari_sam2._following import Plan, follow
from napari_sam2._images import LayerFrames, split_position
from napari_sam2._labels import combine
from napari_sam2._messages import Choice, Found, PlaneMasks, Say

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from napari_sam2._jobs import Stop
    from napari_sam2._prompts import Key, ObjectPrompts

MAX_SESSIONS = 2


class Prediction(Protocol):
    """See :class:`sam2_core.Prediction`."""

    @property
    def masks(self) -> NDArray[np.bool_]: ...

    @property
    def scores(self) -> NDArray[np.float32]: ...


class Predictor(Protocol):
    """See :class:`sam2_core.ImagePredictor`."""

    def set_image(self, image: NDArray[np.uint8], /) -> None: ...

    def predict(
        self,
        point_coords: Any = None,
        point_labels: Any = None,
        box: Any = None,
        mask_input: Any = None,
        multimask_output: bool = True,
    ) -> Prediction: ...


class FrameMasks(Protocol):
    """See :class:`sam2_core.FrameResult`."""

    @property
    def frame_index(self) -> int: ...

    @property
    def masks(self) -> Mapping[int, NDArray[np.bool_]]: ...


class Session(Protocol):
    """See :class:`sam2_core.VideoSession`."""

    def add_prompts(
        self,
        frame_index: int,
        object_id: int,
        point_coords: Any = None,
        point_labels: Any = None,
        box: Any = None,
        mask: Any = None,
        clear_old: bool = True,
    ) -> FrameMasks: ...

    def clear_prompts(self, frame_index: int, object_id: int) -> Any: ...

    def remove_object(self, object_id: int) -> Any: ...

    def propagate(
        self,
        start: int | None = None,
        stop: int | None = None,
        direction: Any = "both",
    ) -> Iterator[FrameMasks]: ...


class Backend(Protocol):
    """Makes models, predictors and sessions; replaced by fakes in tests."""

    def load_model(self, name: str, device: str) -> Any: ...

    def predictor(self, model: Any) -> Predictor: ...

    def session(self, model: Any, frames: LayerFrames) -> Session: ...

    def devices(self) -> list[str]: ...

    def missing(self) -> dict[str, int]: ...

    def download(self, name: str, stop: Stop) -> Iterator[tuple[int, int]]: ...


@dataclass
class _OpenSession:
    """A session and the prompts it has been given, per (frame index, object id)."""

    session: Session
    applied: dict[tuple[int, int], ObjectPrompts] = field(default_factory=dict)


class Engine:
    """Keeps one model, one encoded image and the sessions used last.

    Parameters
    ----------
    backend : Backend
        Where models come from.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self._choice: Choice | None = None
        self._model: Any = None
        self._predictor: Predictor | None = None
        self._encoded: tuple[LayerFrames, int] | None = None
        self._sessions: OrderedDict[LayerFrames, _OpenSession] = OrderedDict()
        self.opened = 0  # sessions so far; says whether a job began with a fresh one

    def forget(self, frames: LayerFrames) -> None:
        """Begin afresh with these frames: nothing was prompted or followed yet."""
        self._sessions.pop(frames, None)

    def close(self) -> None:
        """Let go of the model and everything computed with it."""
        self._choice = self._model = self._predictor = self._encoded = None
        self._sessions.clear()

    def prepare(
        self, choice: Choice, frames: LayerFrames | None, stop: Stop
    ) -> Iterator[Say | Found]:
        """Load the model and, for single planes, encode the image ahead of a click."""
        missing = self.backend.missing()
        yield Found(self.backend.devices(), missing)
        if choice.model in missing or stop():
            return
        yield from self._load(choice)
        if frames is not None and frames.axis is None and not stop():
            yield from self._encode(frames)

    def download(self, name: str, stop: Stop) -> Iterator[tuple[int, int] | Found]:
        """Fetch a checkpoint; yields (bytes done, bytes in all), then what is there."""
        yield from self.backend.download(name, stop)
        yield Found(self.backend.devices(), self.backend.missing())

    def predict(
        self,
        choice: Choice,
        frames: LayerFrames,
        prompts: Mapping[Key, ObjectPrompts],
        changed: frozenset[Key],
        stop: Stop,
    ) -> Iterator[Say | PlaneMasks]:
        """Masks for the keys that changed.

        Parameters
        ----------
        frames : LayerFrames
            A single plane, or the line of planes that all keys lie on.
        prompts : mapping
            All prompts on these planes, also the unchanged ones.
        changed : frozenset of Key
            Keys of ``prompts`` to compute.
        """
        yield from self._load(choice)
        if frames.axis is None:
            yield from self._encode(frames)
            for key in sorted(changed, key=_order):
                if stop():
                    return
                mask, score = self._predict_one(prompts[key], frames.shape)
                scores = {} if score is None else {key.object_id: score}
                yield _plane(key, mask, prompts[key], scores, {})
            return
        opened = self._session(frames)
        yield from self._synchronise(opened, frames, prompts, changed, stop)

    def propagate(
        self,
        choice: Choice,
        frames: LayerFrames,
        prompts: Mapping[Key, ObjectPrompts],
        plan: Plan,
        stop: Stop,
    ) -> Iterator[Say | PlaneMasks]:
        """Carry every prompted object through the stack, frame by frame."""
        yield from self._load(choice)
        opened = self._session(frames)
        yield from self._synchronise(opened, frames, prompts, frozenset(), stop)
        if stop():
            return
        yield Say("Propagating …")
        yield from follow(opened.session, frames, set(opened.applied), plan, stop)

    def _load(self, choice: Choice) -> Iterator[Say]:
        if self._choice == choice:
            return
        self.close()
        yield Say(f"Loading {choice.model} …")
        self._model = self.backend.load_model(choice.model, choice.device)
        self._predictor = self.backend.predictor(self._model)
        self._choice = choice

    def _encode(self, frames: LayerFrames) -> Iterator[Say]:
        assert self._predictor is not None
        if self._encoded == (frames, frames.data_id):
            return
        yield Say("Encoding the image …")
        self._encoded = None
        self._predictor.set_image(frames.frame(0))
        self._encoded = (frames, frames.data_id)

    def _predict_one(
        self, prompts: ObjectPrompts, shape: tuple[int, int]
    ) -> tuple[NDArray[np.bool_], float | None]:
        assert self._predictor is not None
        if prompts.answer is not None:
            return prompts.answer.unpack(), None
        coordinates, labels = prompts.point_arrays()
        box, mask = prompts.box_array(), prompts.mask(shape)
        mask_input = None
        if mask is not None:
            mask_input = mask_logits(mask, self._model)
            box = mask_box(mask) if box is None else box
        single = box is None and mask is None and len(prompts.points_xy) == 1
        prediction = self._predictor.predict(
            point_coords=coordinates,
            point_labels=labels,
            box=box,
            mask_input=mask_input,
            multimask_output=single,
        )
        best = int(np.argmax(prediction.scores))
        return np.asarray(prediction.masks[best], bool), float(prediction.scores[best])

    def _session(self, frames: LayerFrames) -> _OpenSession:
        if frames not in self._sessions:
            session = self.backend.session(self._model, frames)
            self._sessions[frames] = _OpenSession(session)
            self.opened += 1
        self._sessions.move_to_end(frames)
        while len(self._sessions) > MAX_SESSIONS:
            self._sessions.popitem(last=False)
        return self._sessions[frames]

    def _synchronise(
        self,
        opened: _OpenSession,
        frames: LayerFrames,
        prompts: Mapping[Key, ObjectPrompts],
        changed: frozenset[Key],
        stop: Stop,
    ) -> Iterator[Say | PlaneMasks]:
        """Bring a session to the prompts of the layers; masks for what changed."""
        assert frames.axis is not None
        wanted: dict[tuple[int, int], Key] = {}
        for key in prompts:
            _, index = split_position(key.plane, key.position, frames.axis)
            wanted[index, key.object_id] = key
        self._forget(opened, set(wanted))
        # What shows an object goes before what only takes away from it.
        seeds_first = sorted(
            wanted, key=lambda at: (not prompts[wanted[at]].positive, at)
        )
        for index, object_id in seeds_first:
            key = wanted[index, object_id]
            ask = prompts[key]
            if key not in changed and opened.applied.get((index, object_id)) == ask:
                continue
            if stop():
                return
            yield Say(f"Segmenting frame {index} …")
            opened.applied.pop((index, object_id), None)
            result = _ask(opened.session, index, object_id, ask, frames.shape)
            opened.applied[index, object_id] = ask
            if key in changed:
                scores = getattr(result, "scores", {})
                present = getattr(result, "object_scores", {})
                yield _plane(key, result.masks[object_id], ask, scores, present)

    @staticmethod
    def _forget(opened: _OpenSession, wanted: set[tuple[int, int]]) -> None:
        left = {object_id for _, object_id in wanted}
        for index, object_id in sorted(set(opened.applied) - wanted):
            del opened.applied[index, object_id]
            if object_id in left:
                opened.session.clear_prompts(index, object_id)
            elif all(other != object_id for _, other in opened.applied):
                opened.session.remove_object(object_id)


def _order(key: Key) -> tuple[tuple[int, ...], int]:
    return key.position, key.object_id


def _plane(
    key: Key,
    mask: NDArray[np.bool_],
    prompts: ObjectPrompts,
    scores: Mapping[int, float],
    object_scores: Mapping[int, float],
) -> PlaneMasks:
    masks = {key.object_id: prompts.cut(mask)}
    facts = measure(masks, scores, object_scores, prompted={key.object_id})
    answer = {key.object_id: prompts}
    return PlaneMasks(key.plane, key.position, combine(masks), answer, facts)


def _ask(
    session: Session,
    index: int,
    object_id: int,
    prompts: ObjectPrompts,
    shape: tuple[int, int],
) -> FrameMasks:
    """Give a session all prompts of an object in a frame.

    Points refine an outline; a box beside an outline says nothing more.
    """
    coordinates, labels = prompts.point_arrays()
    box, mask = prompts.box_array(), prompts.mask(shape)
    if prompts.answer is not None:
        coordinates = None
    if mask is None:
        return session.add_prompts(
            index, object_id, point_coords=coordinates, point_labels=labels, box=box
        )
    result = session.add_prompts(index, object_id, mask=mask)
    if coordinates is not None:
        result = session.add_prompts(
            index,
            object_id,
            point_coords=coordinates,
            point_labels=labels,
            clear_old=False,
        )
    return result


def mask_box(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Bounding box of a mask, (4,) x0, y0, x1, y1."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return np.array([columns[0], rows[0], columns[-1], rows[-1]], np.float32)


def mask_logits(mask: NDArray[np.bool_], model: Any) -> NDArray[np.float32]:
    """A mask as the low-resolution logits the image predictor takes, (1, h, w)."""
    from skimage.transform import resize

    size = model.config.low_res_size
    soft = resize(mask.astype(np.float32), (size, size), order=1, anti_aliasing=True)
    return np.asarray((soft - 0.5) * 20, np.float32)[None]
