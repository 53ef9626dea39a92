"""Masks as prompts: what is in the labels already is where correcting starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_sam2 import _layers
from napari_sam2._masks import PackedMask
from napari_sam2._prompts import Key, MaskPrompt, ObjectPrompts, collect

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_sam2._history import Step
    from napari_sam2._stage import Stage
    from napari_sam2._steps import Steps


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

    def keep(
        self, masks: Mapping[Key, NDArray[Any]], step: Step | None, own: bool = True
    ) -> None:
        """Take masks, (H, W), for what the prompts of these keys lead to.

        Parameters
        ----------
        masks : mapping
            Shown by the labels, or about to be.
        step : Step or None
            On whose behalf.
        own : bool
            Whether the masks answer the other prompts of their keys, rather than be
            corrected by them.
        """
        drawn = self.prompts(with_masks=False) if own else {}
        for key, mask in masks.items():
            answers = drawn.get(key, ObjectPrompts())
            self.stage.masks[key] = MaskPrompt(PackedMask.of(mask), answers)
        self.steps.look()
        prompts = self.prompts()
        for key in masks if own else ():
            history = self.steps.history
            history.note(key, prompts[key], step)
            history.record.journal.note(key, prompts[key], step)
