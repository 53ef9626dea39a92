"""Propagation as the user wants it: near frames first, marks respected, lost is lost.

Runs in the worker.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2._labels import combine
from napari_sam2._prompts import ObjectPrompts
from napari_sam2.asking._facts import measure
from napari_sam2.asking._messages import Early, Passed, PlaneMasks
from napari_sam2.following._births import Births, within
from napari_sam2.following._presence import Presence

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from napari_sam2._images import LayerFrames
    from napari_sam2._jobs import Stop
    from napari_sam2.following._marks import Bounds

LOST_SCORE = 0.5  # an object below this probability is not in the frame


@dataclass(frozen=True)
class Plan:
    """What a propagation is to do.

    Attributes
    ----------
    start, stop : int or None
        First and last frame to fill, both included; None is the end of the stack.
    direction : str
        "both", "forward" or "backward".
    patience : int or None
        An object that is lost on this many frames in a row has ended; None: never.
    here : int or None
        Frame on screen: "both" does the frames near it first.
    bounds : dict of int to Bounds
        What marks say of each object.
    shown : dict of int to frozenset of int
        Frames on which each object is now; where following ends, the rest is erased.
    only : frozenset of int or None
        Objects to follow; None for all.
    changes : bool
        Whether to do only what prompts have changed since the last time.
    """

    start: int | None = None
    stop: int | None = None
    direction: str = "both"
    patience: int | None = None
    here: int | None = None
    bounds: Mapping[int, Bounds] = field(default_factory=dict)
    shown: Mapping[int, frozenset[int]] = field(default_factory=dict)
    only: frozenset[int] | None = None
    changes: bool = False


def follow(
    session: Any,
    frames: LayerFrames,
    seeds: Mapping[tuple[int, int], ObjectPrompts],
    plan: Plan,
    stop: Stop,
) -> Iterator[PlaneMasks | Passed]:
    """Masks of every object, frame by frame.

    Parameters
    ----------
    session : Session
        Knows all prompts.
    seeds : dict of (int, int) to ObjectPrompts
        All prompts, by frame and object.
    """
    start, last = _limits(plan, len(frames))
    if start > last:
        return
    options: dict[str, Any] = {"passed": True}
    if plan.only is not None:
        seeds = {at: ask for at, ask in seeds.items() if at[1] in plan.only}
        options["object_ids"] = sorted(plan.only)
    if plan.changes:
        options["only_changed"] = True
    both = plan.direction == "both"
    if both and plan.here is not None:
        options["around"] = plan.here
    firsts = {i: at for at, i in sorted(seeds, reverse=True)}
    births, early = Births(firsts, plan.shown), _early(plan, seeds)
    presence = Presence(seeds, plan.bounds, plan.patience, births)
    over: set[bool] = set()  # directions in which everything is lost

    def backward(result: Any) -> bool:
        return bool(result.reverse) if both else plan.direction == "backward"

    options["absent"] = presence.absent
    options["ended"] = lambda result: (
        backward(result) in over or presence.gone[backward(result)]
    )
    done: set[tuple[int, int]] = set()
    for result in session.propagate(start, last, plan.direction, **options):
        index = result.frame_index
        if not start <= index <= last:
            yield Passed()
            if stop():
                return
            continue
        reverse = backward(result)
        found = dict(result.masks.items())
        absent = presence.absent(index, reverse)
        there = {i: mask for i, mask in found.items() if i not in absent}
        born = births.find(index, there, getattr(result.masks, "lost", {}))
        found |= there
        # A frame comes again with those that were found on it before; where only
        # changes are carried, with new masks of them.
        masks = {
            i: mask
            for i, mask in found.items()
            if plan.changes or (index, i) not in done or i in born
        }
        if masks:
            item = _plane(result, masks, frames, seeds, presence, reverse)
            facts = item.facts | {i: within(*into) for i, into in born.items()}
            objects = births.early(index, masks)
            told = replace(early, objects=objects) if objects else None
            yield replace(item, facts=facts, early=told)
        stale: dict[int, set[int]] = {}  # of what was born here, on frames before
        for i in born:
            known = {t for t, one in done if one == i} | plan.shown.get(i, frozenset())
            for t in known.intersection(range(start, index)):
                stale.setdefault(t, set()).add(i)
        yield from _erase(stale, frames, reverse=True)
        done.update((index, i) for i in masks)
        presence.gone[True] |= born.keys()
        left = presence.leave(index, reverse, masks)
        yield from _erase_rest(left, index, frames, plan, reverse, marked=True)
        if stop():
            return
        if plan.patience and presence.all_lost(index, reverse):
            over.add(reverse)
            yield from _erase_rest(result.masks, index, frames, plan, reverse)
            if not both:
                return


def _early(plan: Plan, seeds: Mapping[tuple[int, int], ObjectPrompts]) -> Early:
    """What is to be said of objects before their first prompts."""
    # Which objects have changed only the session knows.
    followed = frozenset() if plan.changes else frozenset(i for _, i in seeds)
    return Early(frozenset(), followed, set())


def _limits(plan: Plan, length: int) -> tuple[int, int]:
    """First and last frame that have to be filled."""
    start = 0 if plan.start is None else plan.start
    last = length - 1 if plan.stop is None else plan.stop
    if plan.bounds:
        last = min(last, max(bounds.high for bounds in plan.bounds.values()))
        start = max(start, min(bounds.low for bounds in plan.bounds.values()))
    return start, last


def _plane(
    result: Any,
    masks: dict[int, Any],
    frames: LayerFrames,
    seeds: Mapping[tuple[int, int], ObjectPrompts],
    presence: Presence,
    reverse: bool,
) -> PlaneMasks:
    index = result.frame_index
    ious = dict(getattr(result, "scores", {}))
    scores = dict(getattr(result, "object_scores", {}))
    shown = {}
    drawn = {  # they are kept to the pixel, whoever comes near
        i: mask
        for (at, i), ask in seeds.items()
        if at == index and (mask := ask.exact(frames.shape)) is not None
    }
    for object_id, mask in masks.items():
        denied = presence.denied(index, object_id)
        gone = denied or presence.ended(index, reverse, object_id)
        if gone:
            mask = np.zeros_like(mask)
        elif (index, object_id) in seeds:  # the session knows nothing of cuts
            mask = seeds[index, object_id].cut(mask)
        if object_id in drawn and not gone:
            mask = drawn[object_id]
        else:
            for other in drawn.values():
                mask = mask & ~other
        if denied:  # the user has said so, or is asked about it
            ious[object_id] = scores[object_id] = 1.0
        present = mask.any() and scores.get(object_id, 1.0) >= LOST_SCORE
        presence.note(index, reverse, object_id, bool(present))
        shown[object_id] = mask
    said = {i for i in shown if (index, i) in seeds or presence.marked(index, i)}
    return PlaneMasks(
        frames.plane,
        frames.position(index),
        combine(shown),
        {object_id: ObjectPrompts() for object_id in shown},
        measure(shown, ious, scores, said),
    )


def _erase_rest(
    objects: Collection[int],
    index: int,
    frames: LayerFrames,
    plan: Plan,
    reverse: bool,
    marked: bool = False,
) -> Iterator[PlaneMasks]:
    """Take objects off the frames beyond the one on which they were given up."""
    sign = -1 if reverse else 1
    first = 0 if plan.start is None else plan.start
    last = len(frames) - 1 if plan.stop is None else plan.stop
    stale: dict[int, set[int]] = {}
    for object_id in objects:
        for t in plan.shown.get(object_id, ()):
            if (t - index) * sign > 0 and first <= t <= last:
                stale.setdefault(t, set()).add(object_id)
    yield from _erase(stale, frames, reverse, marked)


def _erase(
    stale: Mapping[int, set[int]],
    frames: LayerFrames,
    reverse: bool,
    marked: bool = False,
) -> Iterator[PlaneMasks]:
    """Take objects off frames, as the user has ``marked`` them or not."""
    nothing = np.zeros(frames.shape, bool)
    for index in sorted(stale, reverse=reverse):
        masks = dict.fromkeys(sorted(stale[index]), nothing)
        scores = dict.fromkeys(masks, 1.0 if marked else 0.0)
        yield PlaneMasks(
            frames.plane,
            frames.position(index),
            combine(masks),
            {object_id: ObjectPrompts() for object_id in masks},
            measure(masks, {}, scores, masks if marked else ()),
        )
