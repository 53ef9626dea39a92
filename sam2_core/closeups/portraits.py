"""What an object looked like where it was prompted, kept while it is followed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from sam2_core.closeups.windows import Window, cut
from sam2_core.nn.closeup import SIDE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sam2_core.closeups.answers import Answer
    from sam2_core.closeups.pictures import Picture

REACH = 2  # sides of the object's own window that are kept
SURE = 4.0  # largest logit of the true mask that slips are measured against


@dataclass(eq=False)
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
    slips : Tensor, optional
        (S, S) float16, what has to be added to the network's logits on this very frame
        where it does not draw the mask that it was given; known once the object is
        followed from here.
    """

    grey: Tensor
    window: Window
    answer: Answer
    slips: Tensor | None = None

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

    @property
    def own(self) -> Window:
        """The window in which the object has the size it is followed at."""
        side = self.window.side / REACH
        away = side * (REACH - 1) / 2
        return Window(self.window.x + away, self.window.y + away, side)

    def learn(self, drawn: Tensor) -> None:
        """Note where the network's own mask of this frame is not the object.

        Parameters
        ----------
        drawn : Tensor
            (S, S) float32 logits in the object's own window, by a network that was told
            what it is.
        """
        inside = self.answer.seen_in(self.own, len(drawn)) > 0
        wrong = inside != (drawn > 0)
        wanted = _depths(inside).clamp(-SURE, SURE)
        self.slips = torch.where(wrong, wanted - drawn, 0.0).half()

    def beside(
        self, other: Answer, window: Window, size: int = SIDE
    ) -> tuple[Tensor, Tensor, Tensor]:
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
            (S, S) float32 grey levels; the mask, -1 and 1; and the slips, as large as
            the other mask, 0 where nothing is known.
        """
        there = _middle(other, window)
        dx, dy = self._place - there
        moved = Window(window.x + float(dx), window.y + float(dy), window.side)
        step = self.window.side / self.grey.shape[-1]
        # The same window in pixels of what was kept.
        kept = Window(
            (moved.x - self.window.x) / step - 0.5,
            (moved.y - self.window.y) / step - 0.5,
            moved.side / step,
        )
        return (
            cut(self.grey, [kept], size)[0, 0],
            signs(self.answer.seen_in(moved, size)),
            self._slips_about(there, window, size),
        )

    @cached_property
    def _place(self) -> NDArray[np.float64]:
        return _middle(self.answer, self.own)

    def _slips_about(
        self, there: NDArray[np.float64], window: Window, size: int
    ) -> Tensor:
        """The slips moved with the object, whose middle is there in a window."""
        if self.slips is None:
            return torch.zeros(size, size, device=self.grey.device)
        here = (self._place - self.own.middle) / self.own.side
        dx, dy = 2 * (here - (there - window.middle) / window.side)
        at = (torch.arange(size, device=self.grey.device) + 0.5) * (2 / size) - 1
        grid = torch.stack(
            torch.meshgrid(at + float(dx), at + float(dy), indexing="xy"), -1
        )
        slips = self.slips.float()[None, None]
        return F.grid_sample(slips, grid[None], align_corners=False)[0, 0]


def _middle(answer: Answer, window: Window) -> NDArray[np.float64]:
    """Of a mask, (2,) xy; of the window where it is empty."""
    ends = answer.corners()
    return np.asarray(ends.mean(0) if len(ends) else window.middle, np.float64)


def _depths(inside: Tensor) -> Tensor:
    """Signed distance of each pixel to the outline, positive in the object."""
    mask = inside.cpu().numpy()
    depths = distance_transform_edt(mask) - distance_transform_edt(~mask)
    return torch.from_numpy(depths.astype(np.float32)).to(inside.device)


def signs(logits: Tensor) -> Tensor:
    """A mask of -1 and 1."""
    return (logits > 0).float() * 2 - 1
