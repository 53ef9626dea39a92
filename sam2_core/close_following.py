"""Objects of one frame found on the next one, each in its window."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from sam2_core.closeups import AT_ONCE
from sam2_core.nn.closeup import SIDE, frame_maps, prompt_maps, window_maps
from sam2_core.portraits import signs
from sam2_core.questions import window_of_mask
from sam2_core.windows import cut

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sam2_core.answers import Answer
    from sam2_core.closeups import CloseUps
    from sam2_core.portraits import Portrait
    from sam2_core.windows import Window


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
    found: list[Answer] = []
    for start in range(0, len(windows), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        found += _follow_together(
            before, now, answers[part], windows[part], portraits[part]
        )
    return found


def _follow_together(
    before: CloseUps,
    now: CloseUps,
    answers: Sequence[Answer],
    windows: Sequence[Window],
    portraits: Sequence[Portrait | None],
) -> list[Answer]:
    pictures = cut(now.image, windows, SIDE)
    grey = cut(before.image, windows, SIDE).mean(1)
    rows = list(zip(answers, windows, portraits, strict=True))
    masks = torch.stack(
        [signs(answer.seen_in(window, SIDE)) for answer, window, _ in rows]
    )
    nothing_known = (torch.zeros_like(grey[0]), torch.zeros_like(masks[0]))
    recalled = [
        nothing_known if portrait is None else portrait.beside(answer, window)
        for answer, window, portrait in rows
    ]
    memory = frame_maps(
        pictures,
        torch.stack((grey, torch.stack([shown for shown, _ in recalled])), 1),
        torch.stack((masks, torch.stack([mask for _, mask in recalled])), 1),
    )
    n = len(windows)
    points = torch.zeros(n, 1, 2, device=pictures.device)
    nothing = torch.full((n, 1), -1, device=pictures.device)
    prompts = prompt_maps(points, nothing, None)
    return before.answered(windows, window_maps(pictures, prompts, memory))
