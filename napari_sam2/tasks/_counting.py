"""Finding out where every label is: a job with low priority."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2._jobs import Job
from napari_sam2.history._ledger import count_plane

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_sam2._jobs import Stop
    from napari_sam2.history._ledger import Place
    from napari_sam2.tasks._tasks import Tasks
    from sam2_core.errors import Sam2Error

SECONDS = 0.05  # of counting, before other work has its turn


def count(tasks: Tasks) -> None:
    """Count the labels in use anew, a few planes at a time."""
    labels, ledger = tasks.stage.labels, tasks.ledger
    ledger.clear(() if labels is None else np.ndindex(*labels.data.shape[:-2]))
    if labels is None:
        return
    data: Any = labels.data
    left = ledger.uncounted  # another one as soon as somebody counts anew

    def work(stop: Stop) -> Iterator[Any]:
        end = time.monotonic() + SECONDS
        for place in list(left):
            yield place, count_plane(data, place)
            if time.monotonic() > end:
                return

    def on_item(item: tuple[Place, dict[int, int]]) -> None:
        if left is not ledger.uncounted:
            return
        place, counts = item
        if place in ledger.touched:  # while it was being counted, perhaps
            counts = count_plane(data, place)
        ledger.count(place, counts)

    def more(_: Sam2Error | None = None) -> None:
        if left is not ledger.uncounted:
            return
        if left:
            tasks.runner.submit(Job("count", work, on_item, more))
        else:
            tasks.ended.emit("count")
            tasks.renew()

    more()
