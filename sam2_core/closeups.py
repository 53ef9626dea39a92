"""Small objects in large images, seen again at full resolution.

A network with an input of 512 pixels sees an image of 2048 at a quarter of its size,
and a nucleus of 20 pixels as one of 5. So once it is known where the object is, a
window around it is encoded at full resolution and the same prompt is answered there.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from sam2_core import transforms
from sam2_core.image import MAX_LOGIT, Prediction, decode, encode
from sam2_core.prompts import BOX_BOTTOM_RIGHT, BOX_TOP_LEFT, NEGATIVE, POSITIVE

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from sam2_core.nn.mask_decoder import DecodedMasks
    from sam2_core.nn.sam2 import ImageFeatures, Sam2
    from sam2_core.prompts import SparsePrompt

WORTHWHILE = 1.25  # times the network's input that an image must measure
LARGEST = 0.4  # of the window, for the longer side of an object
KEPT = 16  # windows, about 5 MB each


class CloseUps:
    """Windows of one image at full resolution, encoded when a prompt needs them.

    Parameters
    ----------
    model : Sam2
        One with a guide; the official models see images whole, as their authors do.
    image : ndarray
        (H, W, 3) uint8.
    """

    def __init__(self, model: Sam2, image: NDArray[np.uint8]) -> None:
        self.model = model
        self.image = image
        side = model.config.image_size
        self.size = (min(side, image.shape[0]), min(side, image.shape[1]))
        self._seen: OrderedDict[tuple[int, int], ImageFeatures] = OrderedDict()

    @staticmethod
    def worthwhile(model: Sam2, hw: tuple[int, int]) -> bool:
        """Whether images of this height and width have more to show."""
        config = model.config
        return config.guided and max(hw) > WORTHWHILE * config.image_size

    def improve(
        self, found: Prediction, prompt: SparsePrompt, multimask_output: bool
    ) -> Prediction:
        """Answer prompts on small objects again, each in its window.

        Parameters
        ----------
        found : Prediction
            What the whole image gave for B prompts: masks (B, C, H, W) and so on.
        prompt : SparsePrompt
            The B prompts in image pixels.
        multimask_output : bool
            As for the whole image.

        Returns
        -------
        Prediction
            With the better answers in place; objects too large for a window, or not
            found there, stay as they were.
        """
        better = Prediction(
            found.masks.copy(), found.scores.copy(), found.logits.copy()
        )
        for row in range(len(prompt)):
            labels = prompt.labels[row]
            xy = prompt.point_xy[row]
            extent = _extent(xy, labels, found.masks[row], found.scores[row])
            corner = None if extent is None else self._corner(extent, xy, labels)
            if corner is None:
                continue
            one = replace(prompt, point_xy=xy[None], labels=labels[None])
            answer = self._answer(one, corner, multimask_output)
            drawn = transforms.logits_to_image(answer.logits, self.size)[0]
            if not bool((drawn > 0).any()):
                continue
            whole = self._on_image(drawn.cpu(), corner)
            better.masks[row] = (whole > 0).numpy()
            better.scores[row] = answer.iou[0].cpu().numpy()
            # The highest logit of each cell, lest small objects vanish.
            coarse = F.adaptive_max_pool2d(whole, better.logits.shape[-2:])
            better.logits[row] = coarse.clamp(-MAX_LOGIT, MAX_LOGIT).numpy()
        return better

    def _corner(
        self,
        extent: tuple[float, float, float, float],
        xy: NDArray[np.float32],
        labels: NDArray[np.int32],
    ) -> tuple[int, int] | None:
        """Top left (x, y) of the window on an object; None if it does not suit one."""
        start = []
        for axis, limit, size in (
            (0, self.image.shape[1], self.size[1]),
            (1, self.image.shape[0], self.size[0]),
        ):
            low, high = extent[axis], extent[axis + 2]
            if high - low > LARGEST * size and size < limit:
                return None
            # On a grid, so that neighbouring objects share a window.
            step = size // 4
            wanted = round(((low + high) / 2 - size / 2) / step) * step
            start.append(int(np.clip(wanted, 0, limit - size)))
        x, y = start
        on = xy[(labels != NEGATIVE) & (labels >= 0)]
        h, w = self.size
        if ((on < (x - 0.5, y - 0.5)) | (on > (x + w, y + h))).any():
            return None
        return x, y

    def _answer(
        self, prompt: SparsePrompt, corner: tuple[int, int], multimask_output: bool
    ) -> DecodedMasks:
        """The masks in the window; several clicks are answered after the first one."""
        xy = prompt.point_xy - np.array(corner, np.float32)
        # Negative clicks elsewhere have nothing to say here.
        inside = ((xy[0] > -0.5) & (xy[0] < self.size[::-1])).all(-1)
        told = inside | (prompt.labels[0] != NEGATIVE)
        xy, labels = xy[:, told], prompt.labels[:, told]
        scaled = transforms.points_to_input(xy, self.size, self.model.config.image_size)
        points, flags = torch.from_numpy(scaled), torch.from_numpy(labels)
        features = self._features(corner)
        boxed = prompt.has_box
        begin = [0, 1] if boxed else np.flatnonzero(labels[0] == POSITIVE)[:1].tolist()
        previous = None
        if begin and (labels >= 0).sum() > len(begin):
            first = decode(
                self.model, features, points[:, begin], flags[:, begin], None, not boxed
            )
            best = int(first.iou[0].argmax())
            previous = first.logits[:, best : best + 1].clamp(-MAX_LOGIT, MAX_LOGIT)
        return decode(self.model, features, points, flags, previous, multimask_output)

    def _features(self, corner: tuple[int, int]) -> ImageFeatures:
        if corner not in self._seen:
            x, y = corner
            h, w = self.size
            window = self.image[y : y + h, x : x + w]
            self._seen[corner] = encode(self.model, window)
            if len(self._seen) > KEPT:
                self._seen.popitem(last=False)
        self._seen.move_to_end(corner)
        return self._seen[corner]

    def _on_image(self, drawn: Tensor, corner: tuple[int, int]) -> Tensor:
        """Logits (C, h, w) of the window in their place: (C, H, W)."""
        x, y = corner
        h, w = self.size
        height, width = self.image.shape[:2]
        padding = (x, width - w - x, y, height - h - y)
        return F.pad(drawn, padding, value=-MAX_LOGIT)


def _extent(
    xy: NDArray[np.float32],
    labels: NDArray[np.int32],
    masks: NDArray[np.bool_],
    scores: NDArray[np.float32],
) -> tuple[float, float, float, float] | None:
    """Box around the object: the prompted one, else that of the best mask."""
    if (labels == BOX_TOP_LEFT).any():
        (x0, y0) = xy[labels == BOX_TOP_LEFT][0]
        (x1, y1) = xy[labels == BOX_BOTTOM_RIGHT][0]
        return float(x0), float(y0), float(x1), float(y1)
    mask = masks[int(scores.argmax())]
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    return float(columns[0]), float(rows[0]), float(columns[-1]), float(rows[-1])
