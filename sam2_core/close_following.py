"""Objects of one frame found on the next one, each in its window.

Those that seem to have moved are looked for in two places; the better answer counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from sam2_core.closeups import in_batches
from sam2_core.displacements import moved_windows
from sam2_core.nn.closeup import frame_maps, prompt_maps, window_maps
from sam2_core.portraits import signs
from sam2_core.questions import size_to_follow, window_of_mask
from sam2_core.windows import cut

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from sam2_core.answers import Answer
    from sam2_core.closeups import CloseUps
    from sam2_core.portraits import Portrait
    from sam2_core.windows import Window

STAYING = 0.9  # what an object is worth where it was, beside where it seems to be


def follow(
    before: CloseUps,
    now: CloseUps,
    answers: Sequence[Answer],
    portraits: Sequence[Portrait | None],
) -> list[Answer]:
    """Find objects of one frame on the next one.

    Parameters
    ----------
    before, now : CloseUps
        Of the two frames.
    answers : sequence of Answer
        The objects on the former.
    portraits : sequence of (Portrait or None)
        What they looked like where they were prompted.

    Returns
    -------
    list of Answer
        In the same order; ``present`` says whether the object is still there.
    """
    windows = [window_of_mask(answer, before.hw) for answer in answers]
    sizes = list(map(size_to_follow, answers, windows))
    found: dict[int, Answer] = {}
    for size, rows in in_batches(sizes):
        seen = _follow_together(
            before,
            now,
            [answers[row] for row in rows],
            [windows[row] for row in rows],
            [portraits[row] for row in rows],
            size,
        )
        found.update(zip(rows, seen, strict=True))
    return [found[row] for row in range(len(answers))]


def _follow_together(
    before: CloseUps,
    now: CloseUps,
    answers: Sequence[Answer],
    windows: Sequence[Window],
    portraits: Sequence[Portrait | None],
    size: int,
) -> list[Answer]:
    shown = cut(before.image, windows, size).mean(1)
    drawn = torch.stack(
        [
            signs(answer.seen_in(window, size))
            for answer, window in zip(answers, windows, strict=True)
        ]
    )
    nothing_known = (torch.zeros_like(shown[0]), torch.zeros_like(drawn[0]))
    recalled = [
        nothing_known if portrait is None else portrait.beside(answer, window, size)
        for answer, window, portrait in zip(answers, windows, portraits, strict=True)
    ]
    grey = torch.stack((shown, torch.stack([part for part, _ in recalled])), 1)
    masks = torch.stack((drawn, torch.stack([part for _, part in recalled])), 1)
    found = _seen(now, windows, grey, masks)
    moved = moved_windows(now.image, now.hw, shown, drawn, windows)
    places = {row: place for row, place in enumerate(moved) if place is not None}
    if places:
        rows = list(places)
        again = _seen(now, list(places.values()), grey[rows], masks[rows])
        for row, answer in zip(rows, again, strict=True):
            if _worth(answer) > STAYING * _worth(found[row]):
                found[row] = answer
    return found


def _seen(
    now: CloseUps, windows: Sequence[Window], grey: Tensor, masks: Tensor
) -> list[Answer]:
    """What is seen in windows of a frame; the others as `frame_maps` takes them."""
    n, _, size, _ = grey.shape
    pictures = cut(now.image, windows, size)
    points = torch.zeros(n, 1, 2, device=pictures.device)
    nothing = torch.full((n, 1), -1, device=pictures.device)
    prompts = prompt_maps(points, nothing, None, size)
    memory = frame_maps(pictures, grey, masks)
    return now.answered(windows, window_maps(pictures, prompts, memory))


def _worth(answer: Answer) -> float:
    return answer.score * answer.present
