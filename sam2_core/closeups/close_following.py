"""Objects of one frame found on the next one, each in its window.

Those that seem to have moved are looked for in two places; the better answer counts.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from sam2_core.closeups.closeups import in_batches
from sam2_core.closeups.displacements import moved_windows
from sam2_core.closeups.portraits import signs
from sam2_core.closeups.questions import size_to_follow, window_of_mask
from sam2_core.closeups.windows import cut
from sam2_core.nn.closeup import frame_maps, prompt_maps, window_maps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from sam2_core.closeups.answers import Answer
    from sam2_core.closeups.closeups import CloseUps
    from sam2_core.closeups.portraits import Portrait
    from sam2_core.closeups.windows import Window

STAYING = 0.9  # what an object is worth where it was, beside where it seems to be
TURNS = 4  # quarter turns in which a window can be shown


def follow(
    before: CloseUps,
    now: CloseUps,
    answers: Sequence[Answer],
    portraits: Sequence[Portrait | None],
    turn: int = 0,
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
    turn : int
        Quarter turns by which the windows are shown. Another number for each frame
        keeps small errors to one side from adding up.

    Returns
    -------
    list of Answer
        In the same order; ``present`` says whether the object is still there.
    """
    _learn_slips(now, [p for p in portraits if p is not None and p.slips is None])
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
            turn,
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
    turn: int,
) -> list[Answer]:
    shown = cut(before.image, windows, size).mean(1)
    drawn = torch.stack(
        [
            signs(answer.seen_in(window, size))
            for answer, window in zip(answers, windows, strict=True)
        ]
    )
    recalled = torch.stack(
        [
            torch.stack(portrait.beside(answer, window, size))
            if portrait is not None
            else shown.new_zeros(3, size, size)
            for answer, window, portrait in zip(
                answers, windows, portraits, strict=True
            )
        ]
    )
    grey = torch.stack((shown, recalled[:, 0]), 1)
    masks = torch.stack((drawn, recalled[:, 1]), 1)
    slips = recalled[:, 2]
    found = _seen(now, windows, grey, masks, slips, turn)
    moved = moved_windows(now.image, now.hw, shown, drawn, windows)
    places = {row: place for row, place in enumerate(moved) if place is not None}
    if places:
        rows = list(places)
        others = grey[rows], masks[rows], slips[rows]
        again = _seen(now, list(places.values()), *others, turn)
        for row, answer in zip(rows, again, strict=True):
            if _worth(answer) > STAYING * _worth(found[row]):
                found[row] = answer
    return found


def _learn_slips(close: CloseUps, portraits: Sequence[Portrait]) -> None:
    """Ask what the network would draw of portraits, being told what they show."""
    windows = [portrait.own for portrait in portraits]
    answers = [portrait.answer for portrait in portraits]
    for size, rows in in_batches(list(map(size_to_follow, answers, windows))):
        shown = [portraits[i].beside(answers[i], windows[i], size) for i in rows]
        grey, masks, _ = (torch.stack(part) for part in zip(*shown, strict=True))
        pictures = grey[:, None].expand(-1, 3, -1, -1)
        twice = (part[:, None].expand(-1, 2, -1, -1) for part in (grey, masks))
        maps = _maps(pictures, *twice)
        turned = [
            _answered(close, [windows[i] for i in rows], maps, turn)
            for turn in range(TURNS)
        ]
        for i, answers_ in zip(rows, zip(*turned, strict=True), strict=True):
            portraits[i].learn(torch.stack([a.logits for a in answers_]).mean(0))


def _seen(
    now: CloseUps,
    windows: Sequence[Window],
    grey: Tensor,
    masks: Tensor,
    slips: Tensor,
    turn: int,
) -> list[Answer]:
    """What is seen in windows of a frame; the others as `frame_maps` takes them."""
    pictures = cut(now.image, windows, grey.shape[-1])
    answers = _answered(now, windows, _maps(pictures, grey, masks), turn)
    return [
        replace(answer, logits=answer.logits + slip)
        for answer, slip in zip(answers, slips, strict=True)
    ]


def _answered(
    close: CloseUps, windows: Sequence[Window], maps: Tensor, turn: int
) -> list[Answer]:
    """What the network says of windows that are shown to it turned."""
    answers = close.answered(windows, maps.rot90(turn, (2, 3)))
    if not turn:
        return answers
    return [
        replace(answer, logits=answer.logits.rot90(-turn, (0, 1))) for answer in answers
    ]


def _maps(pictures: Tensor, grey: Tensor, masks: Tensor) -> Tensor:
    """What the network looks at where nothing is prompted."""
    n, _, size, _ = grey.shape
    points = torch.zeros(n, 1, 2, device=pictures.device)
    nothing = torch.full((n, 1), -1, device=pictures.device)
    prompts = prompt_maps(points, nothing, None, size)
    return window_maps(pictures, prompts, frame_maps(pictures, grey, masks))


def _worth(answer: Answer) -> float:
    return answer.score * answer.present
