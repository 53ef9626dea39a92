"""What the prompts ask for and the labels do not show yet."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2 import _layers
from napari_sam2._prompts import Key
from napari_sam2.following._marks import index_on
from napari_sam2.history import _plan

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from napari.layers import Image, Labels
    from numpy.typing import NDArray

    from napari_sam2._images import LayerFrames
    from napari_sam2._prompts import ObjectPrompts
    from napari_sam2.picture._sight import Sight
    from napari_sam2.tasks._starts import Starts
    from napari_sam2.tasks._tasks import Tasks


class Sync:
    """Brings the labels to the prompts.

    Parameters
    ----------
    tasks : Tasks
        Computes and writes.
    starts : Starts
        Knows the prompts.
    sight : Sight
        Says what the model is shown.
    """

    def __init__(self, tasks: Tasks, starts: Starts, sight: Sight) -> None:
        self.tasks = tasks
        self.starts = starts
        self.sight = sight

    def told(self) -> dict[Key, ObjectPrompts]:
        """All prompts that the model is told: it keeps in mind what is locked, too."""
        return _plan.usable(self.starts.prompts(), self.tasks.state.axis)

    def prompts(self) -> dict[Key, ObjectPrompts]:
        """All prompts that are to be answered."""
        return _plan.unlocked(self.told(), self.tasks.notes.locked)

    def waiting(self) -> bool:
        """Whether a prompt of the image has no answer: the work on it was stopped."""
        image = self.starts.stage.image
        return image is not None and bool(self.tasks.history.stale(self.prompts()))

    def touched_up(
        self, frames: LayerFrames, among: Collection[int] | None = None
    ) -> set[int]:
        """Labels from elsewhere that were painted on or erased, and never followed.

        Their strokes are all that was given of them on a line of frames, and other
        frames of it have pixels that neither the plugin nor the user has made since.

        Parameters
        ----------
        frames : LayerFrames
            The line.
        among : collection of int, optional
            Look at these objects only.
        """
        history, ledger = self.tasks.history, self.tasks.ledger
        if frames.plane != (frames.ndim - 2, frames.ndim - 1):
            return set()  # of other planes the ledger does not know

        def here(at: Key) -> bool:
            return index_on(frames, at.plane, at.position) is not None

        prompts = {k: ask for k, ask in self.starts.prompts().items() if here(k)}
        asked = {k.object_id for k, ask in prompts.items() if replace(ask, start=None)}
        found = {key.object_id for key in prompts} - asked
        if not found:
            return found
        found -= self.followed(frames)
        made = history.record.review.facts.get(frames.plane, {})  # also merged ones
        return {
            i
            for i in (found if among is None else found.intersection(among))
            for place in (*ledger.places(i), *ledger.uncounted)
            if (key := Key(frames.plane, place, i)) not in history.written and here(key)
            if place not in made.get(i, ())
        }

    def followed(self, frames: LayerFrames) -> set[int]:
        """Objects that were propagated along a line of frames."""
        found = set[int]()
        for key, known in self.tasks.history.written.items():
            if known.prompts or key.object_id in found:
                continue
            if index_on(frames, key.plane, key.position) is not None:
                found.add(key.object_id)
        return found

    def groups(self, image: Image, labels: Labels) -> list[_plan.Group]:
        """Show what was there before prompts that are gone; returns what to compute."""
        tasks, axis = self.tasks, self.tasks.state.axis
        told, step = self.told(), tasks.history.last
        for key in tasks.history.orphans(told):
            if key.object_id not in tasks.notes.locked:
                tasks.runner.cancel("propagate")  # it still believes in this prompt
                tasks.history.write_back(labels, key, step)
                tasks.history.record.journal.restore(key, step)
                tasks.refresh(key.plane, key.position)
        stale = tasks.history.stale(_plan.unlocked(told, tasks.notes.locked))
        return _plan.groups(image, told, stale, axis, self.sight)

    def others(
        self, labels: Labels, groups: Iterable[_plan.Group]
    ) -> dict[Any, NDArray[Any]]:
        """Labels that no mask may enter, (H, W), by (plane, position)."""
        locked, every = self.tasks.notes.locked, self.tasks.state.neighbours
        found: dict[Any, NDArray[Any]] = {}
        if not locked and not every:
            return found
        for key in (key for group in groups for key in group.changed):
            place = key.plane, key.position
            if place in found:
                continue
            here = np.array(labels.data[_layers.plane_index(*place)])
            here[here < 0 if every else ~np.isin(here, list(locked))] = 0
            if here.any():
                found[place] = here
        return found
