"""What an object looked like where it was prompted, kept while it is followed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from sam2_core.nn.closeup import SIDE
from sam2_core.windows import Window, cut

if TYPE_CHECKING:
    from torch import Tensor

    from sam2_core.answers import Answer
    from sam2_core.pictures import Picture

REACH = 2  # sides of the object's own window that are kept


@dataclass(frozen=True)
class Portrait:
    """One object on the frame on which it was prompted.

    Attributes
    ----------
    grey : Tensor
        (1, REACH * SIDE, REACH * SIDE) uint8 grey levels about it.
    window : Window
        Where they were cut.
    answer : Answer
        The object there.
    """

    grey: Tensor
    window: Window
    answer: Answer

    @classmethod
    def of(cls, image: Picture, answer: Answer, window: Window) -> Portrait:
        """Keep what is about an object.

        Parameters
        ----------
        image : Picture
            The frame.
        answer : Answer
            The object, not empty.
        window : Window
            In which it has the size it is followed at.
        """
        away = window.side * (REACH - 1) / 2
        wide = Window(window.x - away, window.y - away, window.side * REACH)
        grey = cut(image, [wide], REACH * SIDE)[0].mean(0, keepdim=True)
        return cls((grey + 0.5).to(torch.uint8), wide, answer)

    def beside(
        self, other: Answer, window: Window, size: int = SIDE
    ) -> tuple[Tensor, Tensor]:
        """The object as large, and at the same place of the window, as another mask.

        Parameters
        ----------
        other : Answer
            The object on a later frame; where it is empty, the middle of the window
            takes its place.
        window : Window
            In which that one is seen.
        size : int
            S.

        Returns
        -------
        tuple of Tensor
            (S, S) float32 grey levels, and the mask, -1 and 1.
        """
        x, y = self.answer.corners().mean(0).tolist()
        if len(ends := other.corners()):
            there_x, there_y = ends.mean(0).tolist()
        else:
            there_x, there_y = (
                start + window.side / 2 for start in (window.x, window.y)
            )
        dx, dy = x - there_x, y - there_y
        moved = Window(window.x + dx, window.y + dy, window.side)
        step = self.window.side / self.grey.shape[-1]
        # The same window in pixels of what was kept.
        kept = Window(
            (moved.x - self.window.x) / step - 0.5,
            (moved.y - self.window.y) / step - 0.5,
            moved.side / step,
        )
        return cut(self.grey, [kept], size)[0, 0], signs(
            self.answer.seen_in(moved, size)
        )


def signs(logits: Tensor) -> Tensor:
    """A mask of -1 and 1."""
    return (logits > 0).float() * 2 - 1
