"""Everything in an image, by a model with close-ups: one question for each object.

The guide says where centres of objects are, in the whole image and, where that is
large, in its parts at full resolution; each centre that no earlier mask covers is
answered as a click would be. Points of a grid that lie on foreground and are still bare
come last.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sam2_core import transforms
from sam2_core.closeups.closeups import CloseUps
from sam2_core.closeups.windows import paste
from sam2_core.everything.candidates import MaskCandidate
from sam2_core.everything.crops import Box, Crop
from sam2_core.everything.grid_search import REGION_TOLERANCE, report, stop_if
from sam2_core.everything.seeds import seeds
from sam2_core.inference import inference
from sam2_core.nn.guide import FOREGROUND

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from sam2_core.closeups.answers import Answer
    from sam2_core.everything.grid_search import Cancel, Progress
    from sam2_core.nn.sam2 import Sam2

TILE, OVERLAP = 512, 64  # image pixels
WORTHWHILE = 1.25  # times TILE that an image must measure to be tiled
AT_ONCE = 8  # places
COVERED_FROM = 0.5  # predicted IoU of masks that need not be asked about again
BARE_FOREGROUND = 0.5  # probability


@dataclass(frozen=True)
class CloseSearch:
    """What to keep of what is found; the fields are as for `GridSearch`."""

    model: Sam2
    grid: NDArray[np.float64]
    min_iou: float
    min_stability: float
    stability_score_offset: float = 1.0

    def run(
        self,
        pixels: NDArray[Any],
        region: Box,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> Iterator[list[MaskCandidate]]:
        """Look at a region of an image; as for :meth:`GridSearch.run`, all at once.

        Close-ups see beyond its border: masks that lie mostly outside are left out.
        """
        rgb = pixels
        if rgb.dtype != np.uint8:
            rgb = np.clip(pixels * 255 + 0.5, 0, 255).astype(np.uint8)
        assert self.model.closeup is not None
        close = CloseUps(self.model.closeup, rgb)
        hw = (rgb.shape[0], rgb.shape[1])
        covered = np.zeros(hw, bool)
        crop = Crop(region, 0)
        found: list[MaskCandidate] = []
        stop_if(cancel)
        with inference():
            places = self._places(rgb, region)
        report(progress, 0, len(places))
        for start in range(0, len(places), AT_ONCE):
            stop_if(cancel)
            part = places[start : start + AT_ONCE]
            at = np.round(part).astype(int)
            bare = part[~covered[at[:, 1], at[:, 0]]]
            prompts = [(xy[None], np.ones(1, np.int32)) for xy in bare]
            with inference():
                answers = [row[0] for row in close.first(prompts)]
                for xy, answer in zip(bare, answers, strict=True):
                    column, row = np.round(xy).astype(int)
                    if covered[row, column]:  # by an answer of the same batch
                        continue
                    candidate = self._candidate(answer, (xy[0], xy[1]), crop, hw)
                    if candidate is None or not _is_inside(candidate, region):
                        continue
                    if candidate.predicted_iou >= COVERED_FROM:
                        x0, y0, x1, y1 = candidate.box
                        covered[y0:y1, x0:x1] |= candidate.patch()
                    if not crop.is_cut(candidate.inclusive_box, hw, REGION_TOLERANCE):
                        found.append(candidate)
            report(progress, start + len(part), len(places))
        yield found

    def _places(self, rgb: NDArray[np.uint8], region: Box) -> NDArray[np.float32]:
        """Where to ask, (N, 2) xy in pixels of the image, the surest first."""
        model = self.model
        assert model.guide is not None
        centres: list[NDArray[np.float64]] = []
        rest: list[NDArray[np.float64]] = []
        for x0, y0, x1, y1 in _tiles(region):
            size = np.array((x1 - x0, y1 - y0))
            tile = transforms.image_to_input(
                rgb[y0:y1, x0:x1], model.config.image_size, model.device
            )
            guide = model.guide(tile.to(model.dtype))[0]
            centres.append(seeds(guide) * size + (x0, y0))
            if not rest:  # the whole region comes first
                side = guide.shape[-1]
                cells = np.minimum((self.grid * side).astype(int), side - 1)
                seen = torch.sigmoid(guide[0, FOREGROUND].float()).cpu().numpy()
                bare = seen[cells[:, 1], cells[:, 0]] > BARE_FOREGROUND
                rest.append(self.grid[bare] * size + (x0, y0))
        places = np.concatenate((*centres, *rest))
        x0, y0, x1, y1 = region
        inside = np.clip(places - 0.5, (x0, y0), (x1 - 1, y1 - 1))
        return np.asarray(inside, np.float32)

    def _candidate(
        self,
        answer: Answer,
        xy: tuple[float, float],
        crop: Crop,
        hw: tuple[int, int],
    ) -> MaskCandidate | None:
        if answer.score <= self.min_iou:
            return None
        drawn, (rows, columns) = paste(answer.logits[None], answer.window, hw)
        logits = drawn[0].cpu().numpy()
        offset = self.stability_score_offset
        outer = np.count_nonzero(logits > -offset)
        stability = np.count_nonzero(logits > offset) / outer if outer else 0.0
        if stability < self.min_stability:
            return None
        origin = (columns.start, rows.start)
        return MaskCandidate.of(
            logits > 0, answer.score, stability, xy, crop.box, origin
        )


def _is_inside(candidate: MaskCandidate, region: Box) -> bool:
    """Whether most of a mask is in the region: close-ups see what surrounds it, too."""
    (left, top, right, bottom), (x0, y0, _, _) = region, candidate.box
    rows = slice(max(0, top - y0), max(0, bottom - y0))
    columns = slice(max(0, left - x0), max(0, right - x0))
    return bool(2 * np.count_nonzero(candidate.patch()[rows, columns]) > candidate.area)


def _tiles(region: Box) -> Sequence[Box]:
    """The region, then its parts at full resolution if it is large."""
    x0, y0, x1, y1 = region
    parts = [region]
    if max(x1 - x0, y1 - y0) <= WORTHWHILE * TILE:
        return parts
    for top in _starts(y0, y1):
        for left in _starts(x0, x1):
            parts.append((left, top, min(left + TILE, x1), min(top + TILE, y1)))
    return parts


def _starts(first: int, last: int) -> list[int]:
    length = last - first
    if length <= TILE:
        return [first]
    count = int(np.ceil((length - OVERLAP) / (TILE - OVERLAP)))
    return [int(start) for start in np.linspace(first, last - TILE, count)]
