"""The model on the worker's side: loads it, feeds it prompts, yields masks.

Nothing here touches a layer; everything is called from one worker thread at a time.
"""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2._images import LayerFrames, split_position
from napari_sam2.asking._asking import (
    answer,
    changed_about,
    grown,
    mask_box,
    mask_logits,
    placed,
    plane_masks,
    point_arrays,
)
from napari_sam2.asking._glimpses import (
    Choices,
    Glimpse,
    choices,
    is_ambiguous,
    time_click,
)
from napari_sam2.asking._hints import XY, Answer, Scores, without_leak
from napari_sam2.asking._messages import Choice, Found, Loaded, PlaneMasks, Say, Took
from napari_sam2.engine._sessions import OpenSession, Sessions
from napari_sam2.following._following import Plan, follow
from napari_sam2.picture._region import MOST_GROWTH, Looked, cuts, doubled, excerpt
from sam2_core.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_sam2._jobs import Stop
    from napari_sam2._masks import PackedMask
    from napari_sam2._prompts import Key, ObjectPrompts
    from napari_sam2.asking._models import Backend, Prediction, Predictor, Session


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
        self._preset: dict[str, str] = {}
        self._model: Any = None
        self._loaded: Loaded | None = None
        self._predictor: Predictor | None = None
        self._encoded: tuple[LayerFrames, int] | None = None
        self._sessions = Sessions()
        self._glimpsed: tuple[Any, Prediction, float] | None = None

    @property
    def opened(self) -> int:
        """Sessions that were given prompts so far; so a job knows a fresh one."""
        return self._sessions.opened

    def forget(self, frames: LayerFrames) -> None:
        """Begin afresh with these frames: nothing was prompted or followed yet."""
        self._sessions.forget(frames)

    def close(self) -> None:
        """Let go of the model and everything computed with it."""
        self._choice = self._model = self._predictor = self._encoded = None
        self._glimpsed = None
        self._sessions.clear()

    def prepare(
        self, choice: Choice, frames: LayerFrames | None, stop: Stop
    ) -> Iterator[Any]:
        """Load the model and, for single planes, encode the image ahead of a click.

        Close-ups are timed, since their preview can be there before the first click.
        """
        missing = self.backend.missing()
        yield Found(self.backend.devices(), missing)
        if choice.model in missing or stop():
            return
        yield from self._load(choice)
        if frames is not None and frames.axis is None and not stop():
            yield from self._encode(frames)
        if (loaded := self._loaded) and loaded.closeups and loaded.glimpse_ms is None:
            took = time_click(self.backend.predictor(self._model), stop)
            self._loaded = replace(loaded, glimpse_ms=took)
            yield self._loaded

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
        others: Mapping[Any, NDArray[Any]] | None = None,
        shown: Mapping[Key, PackedMask] | None = None,
    ) -> Iterator[Any]:
        """Masks for the keys that changed.

        Parameters
        ----------
        frames : LayerFrames
            A single plane, or the line of planes that all keys lie on. A part of a
            plane is made larger for an object that it cuts.
        prompts : mapping
            All prompts on these planes, also the unchanged ones.
        changed : frozenset of Key
            Keys of ``prompts`` to compute.
        others : mapping, optional
            Labels that no mask may enter, (H, W), by (plane, position).
        shown : mapping, optional
            What the labels showed of the object of each key before its first prompt
            there, which its prompts correct.
        """
        yield from self._load(choice)
        if frames.axis is None:
            part = frames
            for key in sorted(changed, key=_order):
                part = frames
                for growth in range(MOST_GROWTH + 1):
                    yield from self._encode(part)
                    if stop():
                        return
                    began = time.perf_counter()
                    found = self._predict_one(key, prompts[key], part, others or {})
                    took = 1000 * (time.perf_counter() - began)
                    region, hw = part.region, part.plane_shape
                    if region is None or not cuts(region, found.ids > 0, hw):
                        break
                    if growth < MOST_GROWTH:
                        part = replace(part, region=doubled(region, hw))
                yield found
                yield Took(took, region and Looked(*key.place, region))
            frames = part
        else:
            opened = self._sessions.tell(frames, self._session)
            began = time.perf_counter()
            yield from self._synchronise(
                opened, frames, prompts, changed, stop, others or {}, shown or {}
            )
            yield Took(1000 * (time.perf_counter() - began))
        for key in changed if len(changed) == 1 and not stop() else ():
            yield from self._choices(frames, key, prompts[key])

    def hover(
        self,
        choice: Choice,
        frames: LayerFrames,
        position: tuple[int, ...],
        xy: XY,
        stop: Stop,
    ) -> Iterator[Glimpse]:
        """The mask that a click at (x, y) would give, if the model is at hand."""
        if choice != self._choice or stop():
            return
        _, index = split_position(frames.plane, position, frames.axis)
        found, _ = self._glimpse(frames, index, xy)
        mask = np.asarray(found.masks[int(np.argmax(found.scores))], bool)
        yield Glimpse(frames.plane, position, mask, frames.corner)

    def ahead(
        self, choice: Choice, frames: LayerFrames, key: Key, prompts: ObjectPrompts
    ) -> None:
        """Find out what prompts will mean that are about to be given.

        It is worth while only for models that remember what they were asked.
        """
        if choice != self._choice:
            return
        if frames.axis is None:
            list(self._encode(frames))
            self._predict_one(key, prompts, frames, {})
        else:
            _, index = split_position(key.plane, key.position, frames.axis)
            self._glimpse(frames, index, prompts.points_xy[0])

    def _choices(
        self, frames: LayerFrames, key: Key, prompts: ObjectPrompts
    ) -> Iterator[Choices]:
        """What else a single click may mean."""
        if not is_ambiguous(prompts):
            return
        _, index = split_position(key.plane, key.position, frames.axis)
        opened = self._sessions.find(frames)
        if opened is not None and key.object_id in opened.followed:
            return  # tracking has said what is meant
        found, took = self._glimpse(frames, index, prompts.points_xy[0])
        result = choices(found, key, prompts, frames, index, took)
        if result is not None:
            yield result

    def _glimpse(
        self, frames: LayerFrames, index: int, xy: XY
    ) -> tuple[Prediction, float]:
        """Candidates of a click, on an encoded frame if there is one, and the time.

        The last answer is kept: what was seen before a click is what it means.
        """
        asked = frames, frames.data_id, index, xy
        if self._glimpsed is not None and self._glimpsed[0] == asked:
            return self._glimpsed[1:]
        top, left = frames.corner
        point = np.array([(xy[0] - left, xy[1] - top)], np.float32)
        label = np.array([1], np.int32)
        if frames.axis is None:
            list(self._encode(frames))
            assert self._predictor is not None
            began = time.perf_counter()
            found = self._predictor.predict(point, label, multimask_output=True)
        else:
            session = self._sessions.look(frames, self._session).session
            self.backend.warm(session, index)
            began = time.perf_counter()
            found = self.backend.glance(session, index, point, label)
        took = 1000 * (time.perf_counter() - began)
        self._glimpsed = asked, found, took
        return found, took

    def propagate(
        self,
        choice: Choice,
        frames: LayerFrames,
        prompts: Mapping[Key, ObjectPrompts],
        plan: Plan,
        stop: Stop,
        shown: Mapping[Key, PackedMask] | None = None,
    ) -> Iterator[Any]:
        """Carry prompted objects through the stack, frame by frame.

        ``prompts`` and ``shown`` are as in :meth:`predict`, also of objects that stay.
        """
        yield from self._load(choice)
        opened = self._sessions.tell(frames, self._session)
        yield from self._synchronise(
            opened, frames, prompts, frozenset(), stop, {}, shown or {}
        )
        if stop():
            return
        yield Say("Propagating …")
        followed = {object_id for _, object_id in opened.applied}
        opened.followed |= followed if plan.only is None else followed & plan.only
        yield from follow(opened.session, frames, opened.applied, plan, stop)

    def _load(self, choice: Choice) -> Iterator[Say | Loaded]:
        if self._choice == choice:
            return
        self.close()
        yield Say(f"Loading {choice.model} …")
        self._preset = {"preset": choice.preset} if choice.preset else {}
        self._model = self.backend.load_model(
            choice.model, choice.device, **self._preset
        )
        self._predictor = self.backend.predictor(self._model)
        self._choice = choice
        device = getattr(self._model, "device", choice.device)
        closeups = getattr(getattr(self._model, "config", None), "closeups", False)
        self._loaded = Loaded(choice.model, str(device), bool(closeups))
        yield self._loaded

    def _encode(self, frames: LayerFrames) -> Iterator[Say]:
        assert self._predictor is not None
        if self._encoded == (frames, frames.data_id):
            return
        yield Say("Encoding the image …")
        self._encoded = None
        self._predictor.set_image(frames.frame(0))
        self._encoded = (frames, frames.data_id)

    def _predict_one(
        self,
        key: Key,
        prompts: ObjectPrompts,
        frames: LayerFrames,
        others: Mapping[Any, NDArray[Any]],
    ) -> PlaneMasks:
        if prompts.by_sight and (blank := self.backend.blank(frames, 0)):
            raise ImageError(blank)
        told, near = prompts, others.get(key.place)
        if frames.region is not None:
            x0, y0, x1, y1 = frames.region
            prompts = excerpt(told, frames.region)
            near = None if near is None else near[y0:y1, x0:x1]
        if prompts.polygons_xy and prompts.answer is None:
            rest = told.without_outlines()
            unseen = rest.by_sight and self.backend.blank(frames, 0)
            if rest.positive and not unseen:
                before = self._predict_one(key, rest, frames, others)
                prompts = grown(prompts, before.ids == key.object_id)
        if (exact := prompts.exact(frames.shape)) is not None:
            answer = plane_masks(key, exact, prompts, Scores())
            return placed(answer, told, frames.corner)
        mask, mask_input = prompts.mask(frames.shape), None
        if mask is not None:
            mask_input = mask_logits(mask, self._model)
        box = prompts.box_array()
        if mask is not None and prompts.start is None and box is None:
            box = mask_box(mask)
        single = box is None and mask is None and len(prompts.points_xy) == 1

        def ask(negative: Sequence[XY]) -> Answer:
            assert self._predictor is not None
            coordinates, labels = point_arrays(prompts, negative)
            if single and not negative and prompts.positive:
                prediction, _ = self._glimpse(frames, 0, told.points_xy[0])
            else:
                prediction = self._predictor.predict(
                    point_coords=coordinates,
                    point_labels=labels,
                    box=box,
                    mask_input=mask_input,
                    multimask_output=single and not negative,
                )
            best = int(np.argmax(prediction.scores))
            mask, score = prediction.masks[best], float(prediction.scores[best])
            return changed_about(mask.astype(bool), prompts), Scores(score)

        found, scores = without_leak(ask, prompts, near, key.object_id)
        return placed(plane_masks(key, found, prompts, scores), told, frames.corner)

    def _session(self, frames: LayerFrames) -> Session:
        return self.backend.session(self._model, frames, **self._preset)

    def _synchronise(
        self,
        opened: OpenSession,
        frames: LayerFrames,
        prompts: Mapping[Key, ObjectPrompts],
        changed: frozenset[Key],
        stop: Stop,
        others: Mapping[Any, NDArray[Any]],
        shown: Mapping[Key, PackedMask],
    ) -> Iterator[Any]:
        """Bring a session to the prompts of the layers; masks for what changed."""
        assert frames.axis is not None
        wanted: dict[tuple[int, int], Key] = {}
        blank = ""
        for key in prompts:
            _, index = split_position(key.plane, key.position, frames.axis)
            wanted[index, key.object_id] = key
        opened.forget_all_but(set(wanted))
        # What shows an object goes before what only takes away from it.
        seeds_first = sorted(
            wanted, key=lambda at: (not prompts[wanted[at]].positive, at)
        )
        for index, object_id in seeds_first:
            ask = prompts[key := wanted[index, object_id]]
            if key not in changed and opened.applied.get((index, object_id)) == ask:
                continue
            if stop():
                return
            yield Say(f"Segmenting frame {index} …")
            opened.applied.pop((index, object_id), None)
            before = shown.get(key)
            by_sight = ask.by_sight and (before is None or before.bounds() is None)
            if by_sight and (why := self.backend.blank(frames, index)):
                blank = why  # said when the others are answered
                continue
            near = others.get((key.plane, key.position))
            told = index, object_id, ask, frames.shape
            question = partial(answer, opened.session, *told, shown=before)
            mask, scores = without_leak(question, ask, near, object_id)
            opened.applied[index, object_id] = ask
            if key in changed:
                yield plane_masks(key, mask, ask, scores)
        if blank:
            raise ImageError(blank)


def _order(key: Key) -> tuple[tuple[int, ...], int]:
    return key.position, key.object_id
