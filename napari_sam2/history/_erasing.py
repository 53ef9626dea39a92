"""Empty masks for an object."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_sam2._prompts import ObjectPrompts
from napari_sam2.asking._facts import measure
from napari_sam2.asking._messages import PlaneMasks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def erase_at(
    shape: tuple[int, ...],
    plane: tuple[int, int],
    positions: Iterable[tuple[int, ...]],
    object_id: int,
) -> Iterator[PlaneMasks]:
    """Empty masks for some planes of labels of this shape, because the user said so."""
    nothing = np.zeros((shape[plane[0]], shape[plane[1]]), bool)
    facts = measure({object_id: nothing}, {}, {}, prompted={object_id})
    for position in positions:
        yield PlaneMasks(
            plane,
            tuple(position),
            nothing.astype(np.uint32),
            {object_id: ObjectPrompts()},
            facts,
        )
