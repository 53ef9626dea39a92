"""The candidates that pass the sliders, painted as they would be added."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sam2_core.everything.candidates import paint_labels, select_candidates

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sam2_core.everything.candidates import MaskCandidate

LARGEST_NUMBER = int(np.iinfo(np.uint16).max)
_TAKEN = -1
NONE = "No candidate passes; move the sliders first."
KNOWN = "Those that pass are labelled already; move the sliders to see others."


@dataclass(frozen=True)
class Chosen:
    """Candidates painted into a plane.

    Attributes
    ----------
    ids : (H, W) int32
        Numbers of the candidates, 0 elsewhere. A candidate has the same number (and so
        the same colour) whatever else is painted.
    numbers : list of int
        Those that have any pixels, smallest object first.
    known : int
        How many were left out, as they are labelled already.
    """

    ids: NDArray[np.int32]
    numbers: list[int]
    known: int = 0

    def renumbered(self, labels: Sequence[int]) -> NDArray[np.uint32]:
        """The same plane with one label for each of ``numbers``, (H, W) uint32."""
        table = np.zeros(1 + max(self.numbers, default=0), np.uint32)
        table[self.numbers] = labels
        return np.asarray(table[self.ids])


def choose(
    masks: Sequence[MaskCandidate],
    shape: tuple[int, int],
    labelled: NDArray[np.bool_] | None = None,
    **limits: Any,
) -> Chosen:
    """Select candidates and paint them, small ones on top.

    Parameters
    ----------
    masks : sequence of MaskCandidate
        Everything that was found.
    shape : (int, int)
        Height and width of the plane.
    labelled : (H, W) bool, optional
        Pixels that stay as they are. A candidate that lies there for the larger part
        is the object that has been labelled already, and is left out.
    **limits
        As for :func:`sam2_core.everything.candidates.select_candidates`.
    """
    number_of = {id(mask): 1 + i % LARGEST_NUMBER for i, mask in enumerate(masks)}
    ids = np.zeros(shape, np.int32)
    if labelled is not None:
        ids[labelled] = _TAKEN
    numbers, known = [], 0
    for mask in sorted(select_candidates(masks, **limits), key=lambda mask: mask.area):
        if labelled is not None:
            inside = labelled[mask.window(shape)]
            if inside.any() and (inside & mask.patch()).sum() > mask.area / 2:
                known += 1
                continue
        numbers += paint_labels([mask], ids, first_id=number_of[id(mask)])
    if labelled is not None:
        np.maximum(ids, 0, out=ids)
    return Chosen(ids, numbers, known)
