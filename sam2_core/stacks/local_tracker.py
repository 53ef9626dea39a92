"""Objects followed with memories, each in a window around where it was."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from sam2_core.cell_windows import (
    FINE,
    Area,
    CellWindow,
    crop,
    crop_features,
    occupied,
    paste,
)
from sam2_core.memory import Memory
from sam2_core.stacks import tracking
from sam2_core.stacks.trackers import MemoryTracker

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping, Sequence

    from torch import Tensor

    from sam2_core.memory import MemoryBank, Recollection
    from sam2_core.nn.sam2 import ImageFeatures


class LocalTracker(MemoryTracker):
    """SAM 2's way with less to look at, for crowds of small objects.

    A frame is read, and the mask drawn, in a window of the feature grid around where
    the object was on the frame before. Where the mask reaches the window's border a
    larger window is looked at; where nothing is found, or no window is large enough,
    the whole frame.

    A memory is kept of the window around the object on *its own* frame, not of the
    window that later looks for it: an object that has moved on is still compared with
    what it looked like when it was prompted. All tokens keep their places on the frame.
    """

    @property
    def _grid(self) -> int:
        return self.model.config.grid_size

    def final(self, frame_index: int, draft: Memory) -> Memory:
        """With spatial memory of the object's surroundings."""
        (area,) = occupied(draft.logits)
        window = self._around(area)
        features = self.features[frame_index]
        windows = [] if window is None else [window]
        spatial = self._remember(features, draft, windows, prompted=True)
        return replace(draft, spatial=spatial, window=window)

    def follow(
        self, banks: Sequence[MemoryBank], frame_index: int, reverse: bool
    ) -> list[Memory]:
        """See :class:`sam2_core.stacks.trackers.Tracker`."""
        features = self.features[frame_index]
        before = [bank.find(frame_index + (1 if reverse else -1)) for bank in banks]
        recollections = [
            bank.recall(frame_index, self.num_frames, self.model.config, reverse)
            for bank in banks
        ]
        found: dict[int, Memory] = {}
        asked = {
            row: None if memory is None else memory.window
            for row, memory in enumerate(before)
        }
        while asked:
            drawn = self._find(features, recollections, asked)
            areas = occupied(torch.cat([memory.logits for memory in drawn.values()]))
            again: dict[int, CellWindow | None] = {}
            for (row, memory), area in zip(drawn.items(), areas, strict=True):
                window = asked[row]
                if window is not None and area is None:
                    again[row] = None
                elif window and area and window.cuts(area, self._grid):
                    again[row] = CellWindow.around(area, self._grid, window.side)
                else:
                    found[row] = replace(memory, window=self._around(area))
            asked = again
        return self._remembered(features, [found[row] for row in range(len(banks))])

    # ------------------------------------------------------------------ helpers

    def _around(self, area: Area | None) -> CellWindow | None:
        return None if area is None else CellWindow.around(area, self._grid)

    def _find(
        self,
        features: ImageFeatures,
        recollections: Sequence[Recollection],
        asked: Mapping[int, CellWindow | None],
    ) -> dict[int, Memory]:
        """Objects by row, each in its window, or on the whole frame where that is None.

        Their logits are those of the whole frame; nothing is remembered yet.
        """
        alike: dict[Hashable, list[int]] = {}
        for row, window in asked.items():
            key = _side(window), recollections[row].length
            alike.setdefault(key, []).append(row)
        found: dict[int, Memory] = {}
        for rows in alike.values():
            first = rows[0]
            size = tracking.objects_at_once(
                self.model, _side(asked[first]), recollections[first].length[0]
            )
            for part in _parts(rows, size):
                windows = [window for i in part if (window := asked[i]) is not None]
                known = [recollections[i] for i in part]
                together = self._find_alike(features, known, windows)
                found.update(zip(part, together.split(), strict=True))
        return found

    def _find_alike(
        self,
        features: ImageFeatures,
        recollections: Sequence[Recollection],
        windows: Sequence[CellWindow],
    ) -> Memory:
        """Objects that remember equally much, in windows of equal size or in none."""
        previous = tracking.last_logits(self.model, recollections)
        if windows:
            features = crop_features(features, windows, self._grid)
            previous = None if previous is None else crop(previous, windows, FINE)
        seen = tracking.look(self.model, features, recollections)
        found = tracking.segment(self.model, features, seen, previous=previous)
        if windows:
            found = replace(found, logits=paste(found.logits, windows, self._grid))
        return found

    def _remembered(
        self, features: ImageFeatures, found: Sequence[Memory]
    ) -> list[Memory]:
        """The same with spatial memories of their windows, and holes filled."""
        alike: dict[int | None, list[int]] = {}
        for row, memory in enumerate(found):
            alike.setdefault(_side(memory.window), []).append(row)
        spatial: dict[int, Tensor] = {}
        for side, rows in alike.items():
            # Encoding needs the surroundings of the window too.
            wide = side and CellWindow(0, 0, side).widened(self._grid).side
            size = tracking.objects_at_once(self.model, wide)
            for part in _parts(rows, size):
                memories = [found[i] for i in part]
                windows = [m.window for m in memories if m.window is not None]
                encoded = self._remember(
                    features, _joined(memories), windows, prompted=False
                )
                # Copies: a view would keep the memories of all objects alive.
                spatial.update(
                    (row, encoded[i : i + 1].clone()) for i, row in enumerate(part)
                )
        return [
            replace(tracking.fill_holes(self.model, memory), spatial=spatial[row])
            for row, memory in enumerate(found)
        ]

    def _remember(
        self,
        features: ImageFeatures,
        memory: Memory,
        windows: Sequence[CellWindow],
        prompted: bool,
    ) -> Tensor:
        """Spatial memory of N objects in windows of equal size, or of the frame."""
        if not windows:
            return tracking.remember(self.model, features, memory, prompted)
        wide = [window.widened(self._grid) for window in windows]
        spatial = tracking.remember(
            self.model,
            crop_features(features, wide, self._grid),
            replace(memory, logits=crop(memory.logits, wide, FINE)),
            prompted,
        )
        within = [
            CellWindow(part.row - whole.row, part.column - whole.column, part.side)
            for part, whole in zip(windows, wide, strict=True)
        ]
        return crop(spatial, within)


def _side(window: CellWindow | None) -> int | None:
    return None if window is None else window.side


def _parts(rows: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    return (rows[first : first + size] for first in range(0, len(rows), size))


def _joined(memories: Sequence[Memory]) -> Memory:
    """Several objects as one batch, without their spatial memories."""
    return Memory(
        torch.cat([memory.logits for memory in memories]),
        torch.cat([memory.iou for memory in memories]),
        torch.cat([memory.object_score for memory in memories]),
        torch.cat([memory.pointer for memory in memories]),
    )
