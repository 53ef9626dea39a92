"""Masks as prompts: what is in the labels already is where correcting starts."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from napari_sam2 import _labels, _layers
from napari_sam2._masks import PackedMask
from napari_sam2._prompts import (
    Key,
    MaskPrompt,
    ObjectPrompts,
    collect,
    positive_keys,
)
from napari_sam2.history import _plan
from napari_sam2.history._ledger import count_labels
from sam2_core.errors import PromptError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from napari.layers import Labels

    from napari_sam2._images import LayerFrames
    from napari_sam2._layers import View
    from napari_sam2.history._history import History, Step
    from napari_sam2.stage._stage import Stage
    from napari_sam2.tasks._steps import Steps


def shown(
    labels: Labels | None,
    history: History,
    frames: LayerFrames,
    prompts: Mapping[Key, ObjectPrompts],
) -> dict[Key, PackedMask]:
    """What the labels showed of each object before its first prompt in a plane.

    A session that begins anew corrects the same masks, and one that remembers others
    does not bring them back. Masks to start from need no such thing, nor do planes that
    stand alone.
    """
    if labels is None or frames.axis is None:
        return {}
    nothing = PackedMask.of(np.zeros((0, 0), bool), shape=frames.shape)
    found: dict[Key, PackedMask] = {}
    for key, ask in prompts.items():
        if ask.start is not None:
            continue
        known = history.written.get(key)
        if known is not None and known.prompts:
            found[key] = known.before or nothing
        else:
            mask = _labels.read_mask(labels, *key.place, key.object_id)
            found[key] = PackedMask.of(mask) if mask.any() else nothing
    return found


class Starts:
    """Makes mask prompts.

    Parameters
    ----------
    stage : Stage
        Holds the prompts.
    steps : Steps
        Remembers what the labels show and why.
    """

    def __init__(self, stage: Stage, steps: Steps) -> None:
        self.stage = stage
        self.steps = steps

    def prompts(self, with_masks: bool = True) -> dict[Key, ObjectPrompts]:
        """All prompts as they stand, also those of locked objects."""
        image, points, shapes, _ = self.stage.ensure()
        shape = _layers.image_shape(image)
        masks = self.stage.masks if with_masks else None
        return collect(points, shapes, shape, masks)

    def adopt(self, labels: Labels, axis: int | None) -> None:
        """Pixels of an object that is prompted now are where correcting it starts.

        Propagated masks are corrected by the session that made them, which remembers
        more than their pixels, as long as another prompt says where the object is.

        Parameters
        ----------
        labels : napari.layers.Labels
            Holds the pixels.
        axis : int or None
            Objects are followed along it; None where planes stand alone.
        """
        self._let_go()
        written, prompts = self.steps.history.written, self.prompts()
        seeds = Counter(
            (_plan.line_of(key, axis), key.object_id)
            for key, ask in prompts.items()
            if ask.positive
        )
        for key, ask in prompts.items():
            others = seeds[_plan.line_of(key, axis), key.object_id] - ask.positive
            known = written.get(key)
            ours = known is not None and (bool(known.prompts) or others > 0)
            going = key.object_id in self.steps.history.record.going
            if ours or going or ask.start is not None:
                continue
            mask = _labels.read_mask(labels, key.plane, key.position, key.object_id)
            if mask.any():
                self.stage.masks[key] = MaskPrompt(PackedMask.of(mask))

    def adopt_plane(self, labels: Labels, view: View, step: Step) -> list[int]:
        """Make a mask prompt of every label in a plane that has no prompt there.

        Returns
        -------
        list of int
            All labels of the plane that are not locked.

        Raises
        ------
        PromptError
            If there are none, or one of them is too large for a mask.
        """
        self._let_go()
        plane_hw = np.asarray(
            labels.data[_layers.plane_index(view.plane, view.position)]
        )
        going = self.steps.history.record.going
        present = sorted(count_labels(plane_hw).keys() - going)
        if not present:
            raise PromptError(
                "There are no labels in this frame; go to one that has some, or make "
                "some first."
            )
        ids = [i for i in present if i not in self.steps.notes.locked]
        if not ids:
            raise PromptError("All labels of this frame are locked; unlock one first.")
        if ids[-1] > _labels.LARGEST_ID:
            raise PromptError(_labels.too_large(self.steps.notes.name(ids[-1])))
        prompted = self.prompts()
        masks = {}
        for object_id in ids:
            key = Key(view.plane, view.position, object_id)
            if key not in prompted:
                masks[key] = PackedMask.of(plane_hw == object_id)
        self.keep(masks, step)
        return ids

    def _let_go(self) -> None:
        """What was deleted is no start: have it gone, unless a job comes before."""
        self.steps.tasks.runner.finish()

    def stay(self) -> None:
        """Prompts went with their layer: what the rest led to stays as it is."""
        stage, history = self.stage, self.steps.history
        image, labels = stage.image, stage.labels
        if image is not None and labels is not None:
            points, shapes = stage.points, stage.shapes  # made anew when needed
            points = _layers.new_points(image) if points is None else points
            shapes = _layers.new_shapes(image) if shapes is None else shapes
            given = points, shapes, _layers.image_shape(image)
            left = collect(*given)
            for key, ask in left.items():
                mask = _labels.read_mask(labels, *key.place, key.object_id)
                if mask.any():
                    stage.masks[key] = MaskPrompt(PackedMask.of(mask), ask)
            for key, ask in collect(*given, stage.masks).items():
                if key in left and key in stage.masks:
                    history.note(key, ask, None)
                    history.record.journal.note(key, ask, None)
        self.steps.look()

    def replace(self, masks: Mapping[Key, PackedMask], step: Step | None) -> None:
        """Masks were drawn by hand: they count, instead of all prompts so far.

        Empty masks leave nothing of the prompts.
        """
        self.stage.remove_keys(set(masks))
        empty = [key for key, mask in masks.items() if mask.bounds() is None]
        self.drop(empty, step)
        self.keep({k: mask for k, mask in masks.items() if k not in empty}, step)

    def drop(self, keys: Iterable[Key], step: Step | None) -> None:
        """These masks are prompts no more, and the labels show nothing of them."""
        history = self.steps.history
        for key in keys:
            self.stage.masks.pop(key, None)
            history.forget(key, step)
            history.record.journal.note(key, ObjectPrompts(), step)

    def keep(self, masks: Mapping[Key, PackedMask], step: Step | None) -> None:
        """Take masks for what the prompts of these keys lead to.

        Marks that deny them are taken away.

        Parameters
        ----------
        masks : mapping
            Shown by the labels, or about to be.
        step : Step or None
            On whose behalf.
        """
        drawn = self.prompts(with_masks=False)
        for key, mask in masks.items():
            answers = drawn.get(key, ObjectPrompts())
            self.stage.masks[key] = MaskPrompt(mask, answers)
        self.steps.look()
        prompts = self.prompts()
        history = self.steps.history
        for key in masks:
            history.note(key, prompts[key], step)
            history.record.journal.note(key, prompts[key], step)
        objects = {key.object_id for key in masks}
        told = [key for key in positive_keys(prompts) if key.object_id in objects]
        history.record.contradict(told, self.steps.state.axis, step)
